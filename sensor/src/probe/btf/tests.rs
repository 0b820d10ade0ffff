//! Statements about the BTF reader: on hand-built descriptions for the edge cases, on this
//! machine's kernel where there is one, and on arbitrary bytes.

use proptest::prelude::*;

use super::*;

mod builder;

use builder::Builder;

fn reason(btf: &Btf, query: &str) -> Reason {
    btf.resolve(query).unwrap_err().reason
}

#[test]
fn nested_members_add_up_through_typedefs_and_qualifiers() {
    let mut b = Builder::new();
    let long = b.int("long", 8, 64);
    let inner = b.strukt("inner", 16, &[("x", long, 0), ("y", long, 64)]);
    let alias = b.refer(kind::TYPEDEF, "inner_t", inner);
    let constant = b.refer(kind::CONST, "", alias);
    let tagged = b.refer(kind::TYPE_TAG, "rcu", constant);
    let volatile = b.refer(kind::VOLATILE, "", tagged);
    let outer = b.strukt("outer", 24, &[("a", long, 0), ("in", volatile, 64)]);
    b.refer(kind::TYPEDEF, "outer_t", outer);
    let btf = b.build();
    assert_eq!(btf.resolve("outer.in.y"), Ok(16));
    assert_eq!(btf.resolve("outer_t.in.y"), Ok(16));
    assert_eq!(btf.resolve("sizeof outer_t"), Ok(24));
    assert_eq!(btf.resolve("sizeof outer.in"), Ok(16));
    assert_eq!(btf.resolve("sizeof outer.in.x"), Ok(8));
    assert_eq!(btf.len(), 8);
}

#[test]
fn members_of_unnamed_structs_and_unions_are_found_from_outside() {
    let mut b = Builder::new();
    let int = b.int("int", 4, 32);
    let s = b.strukt("", 8, &[("deep", int, 0), ("deeper", int, 32)]);
    let u = b.record(kind::UNION, false, "", 8, &[("", s, 0), ("other", int, 0)]);
    b.strukt("sock", 16, &[("first", int, 0), ("", u, 64)]);
    let btf = b.build();
    assert_eq!(btf.resolve("sock.deeper"), Ok(12));
    assert_eq!(btf.resolve("sock.other"), Ok(8));
}

#[test]
fn kind_flag_splits_offset_and_width_and_bitfields_are_refused() {
    let mut b = Builder::new();
    let int = b.int("int", 4, 32);
    let rec = [
        ("plain", int, 64),
        ("bits", int, (3 << 24) | 96),
        ("aligned", int, (8 << 24) | 104),
    ];
    b.record(kind::STRUCT, true, "flagged", 16, &rec);
    let part = b.int("part", 4, 3);
    b.strukt("old", 8, &[("bits", part, 0), ("odd", int, 33)]);
    let btf = b.build();
    assert_eq!(btf.resolve("flagged.plain"), Ok(8));
    for query in [
        "flagged.bits",
        "flagged.aligned",
        "old.bits",
        "old.odd",
        "sizeof old.bits",
    ] {
        assert_eq!(reason(&btf, query), Reason::Bitfield, "{query}");
    }
    assert_eq!(btf.resolve("bit flagged.plain"), Ok(64));
    assert_eq!(btf.resolve("bit flagged.bits"), Ok(96));
    assert_eq!(btf.resolve("bit old.odd"), Ok(33));
    assert!(!btf.resolve("old.bits").unwrap_err().is_absent());
}

#[test]
fn of_types_with_one_name_the_first_that_has_the_whole_path_answers() {
    let mut b = Builder::new();
    let int = b.int("int", 4, 32);
    b.refer(kind::FWD, "dup", 0);
    b.strukt("dup", 4, &[("only_first", int, 0)]);
    b.strukt("dup", 8, &[("pad", int, 0), ("wanted", int, 32)]);
    b.strukt("dup", 12, &[("pad", int, 0), ("wanted", int, 64)]);
    let btf = b.build();
    assert_eq!(btf.resolve("dup.wanted"), Ok(4));
    assert_eq!(btf.resolve("dup.only_first"), Ok(0));
    assert_eq!(btf.resolve("sizeof dup"), Ok(4));
    assert_eq!(reason(&btf, "dup.nowhere"), Reason::NoMember);
    assert_eq!(reason(&btf, "nobody.x"), Reason::NoType);
}

#[test]
fn arrays_pointers_and_enums_have_a_size_but_are_not_entered() {
    let mut b = Builder::new();
    let char = b.int("char", 1, 8);
    let row = b.add(kind::ARRAY, false, "", 0, 0);
    b.words(&[char, char, 16]);
    let grid = b.add(kind::ARRAY, false, "", 0, 0);
    b.words(&[row, char, 3]);
    let pointer = b.refer(kind::PTR, "", char);
    b.strukt(
        "task",
        72,
        &[
            ("comm", row, 0),
            ("grid", grid, 128),
            ("next", pointer, 512),
        ],
    );
    let btf = b.build();
    assert_eq!(btf.resolve("task.grid"), Ok(16));
    assert_eq!(btf.resolve("sizeof task.comm"), Ok(16));
    assert_eq!(btf.resolve("sizeof task.grid"), Ok(48));
    assert_eq!(btf.resolve("sizeof task.next"), Ok(8));
    assert_eq!(btf.resolve("task.next"), Ok(64));
    assert_eq!(reason(&btf, "task.next.comm"), Reason::NoMember);
}

#[test]
fn enum_values_of_both_widths_and_of_unnamed_enums() {
    let mut b = Builder::new();
    b.add(kind::ENUM, true, "pid_type", 2, 4);
    let (pid, minus) = (b.name("PID"), b.name("MINUS"));
    b.words(&[pid, 7, minus, -2i32 as u32]);
    b.add(kind::ENUM64, true, "wide", 3, 8);
    let (small, neg, big) = (b.name("SMALL"), b.name("NEG"), b.name("BIG"));
    b.words(&[small, 9, 0, neg, u32::MAX, u32::MAX, big, 0, 1]);
    b.add(kind::ENUM, false, "", 1, 4);
    let listen = b.name("TCP_LISTEN");
    b.words(&[listen, 10]);
    let btf = b.build();
    assert_eq!(btf.resolve("enum pid_type.PID"), Ok(7));
    assert_eq!(btf.resolve("enum pid_type.MINUS"), Ok(u32::MAX - 1));
    assert_eq!(btf.resolve("enum wide.SMALL"), Ok(9));
    assert_eq!(btf.resolve("enum wide.NEG"), Ok(u32::MAX));
    assert_eq!(reason(&btf, "enum wide.BIG"), Reason::TooWide);
    assert_eq!(btf.resolve("enum .TCP_LISTEN"), Ok(10));
    assert_eq!(reason(&btf, "enum pid_type.GONE"), Reason::NoMember);
    assert_eq!(reason(&btf, "enum .GONE"), Reason::NoMember);
}

#[test]
fn functions_and_tracepoints_tell_their_parameters() {
    let mut b = Builder::new();
    let int = b.int("int", 4, 32);
    let dentry = b.strukt("dentry", 4, &[("x", int, 0)]);
    let constant = b.refer(kind::CONST, "", dentry);
    let pointer = b.refer(kind::PTR, "", constant);
    let void = b.refer(kind::PTR, "", 0);
    let unlink = b.proto(&[("dir", int), ("raw", void), ("dentry", pointer)]);
    b.refer(kind::FUNC, "vfs_unlink", unlink);
    let printk = b.proto(&[("fmt", void), ("", 0)]);
    b.refer(kind::FUNC, "printk", printk);
    let exit = b.proto(&[("__data", void), ("p", pointer), ("dead", int)]);
    let exit = b.refer(kind::PTR, "", exit);
    b.refer(kind::TYPEDEF, "btf_trace_sched_process_exit", exit);
    let btf = b.build();
    assert_eq!(btf.resolve("func vfs_unlink"), Ok(1));
    assert_eq!(btf.resolve("args vfs_unlink"), Ok(3));
    assert_eq!(btf.resolve("arg vfs_unlink dentry"), Ok(2));
    assert_eq!(btf.resolve("args printk"), Ok(1));
    assert_eq!(btf.resolve("tp sched_process_exit"), Ok(1));
    assert_eq!(btf.resolve("tpargs sched_process_exit"), Ok(2));
    assert_eq!(btf.resolve("tparg sched_process_exit dentry"), Ok(0));
    assert!(btf.resolve("arg vfs_unlink inode").unwrap_err().is_absent());
    assert!(btf.resolve("func dentry").unwrap_err().is_absent());
    assert!(btf.resolve("tp sched_process_nap").unwrap_err().is_absent());
}

#[test]
fn a_kind_from_the_future_is_skipped_when_the_layout_section_describes_it() {
    let mut b = Builder::new();
    let int = b.int("int", 4, 32);
    b.add(20, false, "loc", 2, 0);
    b.words(&[1, 2, 3]);
    b.strukt("after", 4, &[("x", int, 0)]);
    assert!(matches!(
        Btf::parse(b.bytes()),
        Err(BtfError::UnknownKind { kind: 20, id: 2 })
    ));
    b.layout = vec![0; 4 * 20];
    b.layout.extend([4, 4, 0, 0]);
    assert_eq!(b.build().resolve("after.x"), Ok(0));
}

#[test]
fn loops_and_self_containing_types_end_with_an_error() {
    let mut b = Builder::new();
    let int = b.int("int", 4, 32);
    b.refer(kind::TYPEDEF, "ring", 3);
    b.refer(kind::CONST, "", 2);
    let myself = b.last + 1;
    b.strukt(
        "matryoshka",
        8,
        &[
            ("", myself, 8),
            ("", myself, 8),
            ("", myself, 8),
            ("", myself, 8),
        ],
    );
    let array = b.add(kind::ARRAY, false, "", 0, 0);
    b.words(&[array, int, 1]);
    b.strukt("holder", 8, &[("loop", array, 0), ("past", 999, 0)]);
    let btf = b.build();
    for query in [
        "ring.x",
        "sizeof ring",
        "matryoshka.x",
        "sizeof holder.loop",
    ] {
        assert_eq!(reason(&btf, query), Reason::Malformed, "{query}");
    }
    assert_eq!(btf.resolve("holder.past"), Ok(0));
    assert!(btf.resolve("holder.past.x").is_err());
}

#[test]
fn nonsense_queries_are_called_so() {
    let btf = Builder::new().build();
    assert!(btf.is_empty());
    for query in [
        "",
        "task_struct",
        "a b c d",
        "sizeof",
        "enum x",
        "frob x",
        "a..b",
        "a.",
        ".a",
        "sizeof a.b-c",
        "arg f",
        "tp",
    ] {
        assert_eq!(reason(&btf, query), Reason::BadQuery, "{query:?}");
    }
}

#[test]
fn what_is_not_btf_is_refused_with_what_it_looks_like() {
    assert!(
        matches!(Btf::parse(*b"\x7fELF\0\0\0\0"), Err(BtfError::NotBtf(b)) if &b == b"\x7fELF")
    );
    assert!(matches!(Btf::parse(*b"\x9f"), Err(BtfError::Truncated(_))));
    let whole = Builder::new().bytes();
    for cut in 0..whole.len() {
        assert!(Btf::parse(&whole[..cut]).is_err(), "{cut} bytes");
    }
    let error = Btf::load("/nonexistent/btf").unwrap_err().to_string();
    assert!(
        error.contains("/nonexistent/btf") && error.contains("CONFIG_DEBUG_INFO_BTF"),
        "{error}"
    );
}

/// Queries that every kernel from 5.10 on must answer, with the answer where it is fixed by
/// the kernel's interface rather than by its configuration.
const EVERYWHERE: &[(&str, Option<u32>)] = &[
    ("task_struct.files", None),
    ("task_struct.mm", None),
    ("mm_struct.arg_start", None),
    ("files_struct.fdt", None),
    ("fdtable.fd", None),
    ("file.f_inode", None),
    ("file.f_path.dentry", None),
    ("inode.i_ino", None),
    ("sock.__sk_common.skc_daddr", Some(0)),
    ("sock.__sk_common.skc_rcv_saddr", Some(4)),
    ("sock.__sk_common.skc_dport", Some(12)),
    ("sock.__sk_common.skc_num", Some(14)),
    ("sock.__sk_common.skc_family", Some(16)),
    ("sock.__sk_common.skc_state", Some(18)),
    ("sizeof task_struct.comm", Some(16)),
    ("sizeof sockaddr_in6", Some(28)),
    ("sizeof list_head", Some(16)),
    ("enum pid_type.PIDTYPE_PID", Some(0)),
    ("enum .TCP_LISTEN", Some(10)),
    ("func vfs_unlink", Some(1)),
    ("tp sched_process_exec", Some(1)),
    ("tpargs sched_process_exec", Some(3)),
    ("tparg sched_process_exec linux_binprm", Some(2)),
];

#[test]
fn this_kernel_answers_what_every_kernel_must() {
    if !Path::new(VMLINUX).exists() {
        println!("skipped: this kernel publishes no types at {VMLINUX}");
        return;
    }
    let begin = std::time::Instant::now();
    let raw = std::fs::read(VMLINUX).unwrap();
    let read = begin.elapsed();
    let btf = Btf::parse(raw).unwrap();
    let parsed = begin.elapsed();
    for (query, fixed) in EVERYWHERE {
        let answer = btf.resolve(query).unwrap_or_else(|e| panic!("{e}"));
        assert!(
            fixed.is_none_or(|f| f == answer),
            "{query} is {answer}, must be {fixed:?}"
        );
    }
    println!(
        "{btf:?}: read {read:?}, parse and index {:?}, {} queries {:?}",
        parsed - read,
        EVERYWHERE.len(),
        begin.elapsed() - parsed
    );
    assert_eq!(reason(&btf, "sock.__sk_common.skc_reuse"), Reason::Bitfield);
    assert!(
        btf.resolve("task_struct.no_such_member")
            .unwrap_err()
            .is_absent()
    );
}

/// Everything a hostile blob can reach; also the body of the fuzz target.
fn exercise(data: &[u8]) {
    let Ok(btf) = Btf::parse(data) else { return };
    for (query, _) in EVERYWHERE {
        let _ = btf.resolve(query);
    }
    for query in [
        "a.b",
        "sizeof a",
        "sizeof a.a.a",
        "enum a.b",
        "enum .a",
        "args a",
        "arg a b",
        "tpargs a",
        "b.a.b",
    ] {
        let _ = btf.resolve(query);
    }
}

/// Well-framed sections with arbitrary types that refer to each other.
fn framed() -> impl Strategy<Value = Vec<u8>> {
    let one = (
        0u8..24,
        any::<bool>(),
        0u32..4,
        0u32..24,
        prop::collection::vec(0u32..24, 0..12),
    );
    prop::collection::vec(one, 0..24).prop_map(|types| {
        let mut b = Builder::new();
        b.strings = b"\0a\0b\0btf_trace_a\0".to_vec();
        b.layout = [[4u8, 4, 0, 0]; 24].concat();
        for (kind, flag, vlen, refers, fill) in types {
            b.words(&[
                [0, 1, 3, 5][(refers % 4) as usize],
                u32::from(flag) << 31 | u32::from(kind) << 24 | vlen,
                refers,
            ]);
            let (fixed, item) = tail_layout(kind).unwrap_or((4, 4));
            let need = (fixed + item * vlen as usize) / 4;
            let words: Vec<u32> = fill
                .iter()
                .copied()
                .chain(std::iter::repeat(1))
                .take(need)
                .collect();
            b.words(&words);
        }
        b.bytes()
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..512)) {
        exercise(&data);
        let mut framed = Builder::new().bytes();
        framed.extend(&data);
        exercise(&framed);
    }

    #[test]
    fn arbitrary_types_that_refer_to_each_other_never_panic(data in framed()) {
        prop_assert!(Btf::parse(data.as_slice()).is_ok());
        exercise(&data);
    }

    #[test]
    fn a_damaged_byte_never_panics(data in framed(), at in any::<prop::sample::Index>(), value: u8) {
        let mut data = data;
        let at = at.index(data.len());
        data[at] = value;
        exercise(&data);
    }

    #[test]
    fn any_query_is_safe(query in "[a-z_.  ]{0,24}", raw in ".{0,24}") {
        let mut b = Builder::new();
        let int = b.int("a", 4, 32);
        b.strukt("b", 4, &[("a", int, 0)]);
        let btf = b.build();
        let _ = (btf.resolve(&query), btf.resolve(&raw));
    }
}
