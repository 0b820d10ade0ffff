//! Statements about the DNS decoder: messages as resolvers send them, cut and hostile ones,
//! and round trips through a small encoder.

use proptest::prelude::*;

use super::*;

fn header(flags: u16, counts: [u16; 4]) -> Vec<u8> {
    [0x1234, flags]
        .iter()
        .chain(&counts)
        .flat_map(|w| w.to_be_bytes())
        .collect()
}

fn wire_name(labels: &[&[u8]]) -> Vec<u8> {
    let mut out: Vec<u8> = labels
        .iter()
        .flat_map(|l| [&[l.len() as u8], *l].concat())
        .collect();
    out.push(0);
    out
}

fn question(labels: &[&[u8]], qtype: u16) -> Vec<u8> {
    [wire_name(labels), qtype.to_be_bytes().to_vec(), vec![0, 1]].concat()
}

/// A record whose name points to the first question.
fn record(rtype: u16, data: &[u8]) -> Vec<u8> {
    let mut out = vec![0xc0, HEADER as u8];
    out.extend(rtype.to_be_bytes());
    out.extend([0, 1, 0, 0, 1, 44]);
    out.extend((data.len() as u16).to_be_bytes());
    out.extend(data);
    out
}

const EXAMPLE: [&[u8]; 3] = [b"WWW", b"Example", b"com"];

fn response(records: &[Vec<u8>]) -> Vec<u8> {
    [
        header(0x8180, [1, records.len() as u16, 0, 0]),
        question(&EXAMPLE, 1),
        records.concat(),
    ]
    .concat()
}

#[test]
fn a_query_is_read_in_lower_case_without_the_last_dot() {
    let message = parse(&[header(0x0120, [1, 0, 0, 0]), question(&EXAMPLE, 28)].concat()).unwrap();
    assert_eq!(
        (
            message.id,
            message.is_response,
            message.opcode,
            message.rcode
        ),
        (0x1234, false, 0, 0)
    );
    assert_eq!(
        message.questions,
        [Question {
            name: "www.example.com".into(),
            qtype: 28,
            qclass: 1
        }]
    );
    assert_eq!(message.header_flags(), ["RD", "AD"]);
    assert!(!message.incomplete && !message.truncated && message.answers.is_empty());
}

#[test]
fn answers_of_every_common_type_have_their_zone_file_text() {
    let soa = [
        &b"\x02ns\xc0\x0c\x05admin\xc0\x0c"[..],
        &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5],
    ]
    .concat();
    let rows: [(u16, &[u8], &str); 14] = [
        (1, &[203, 0, 113, 7], "203.0.113.7"),
        (
            28,
            &[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            "2001:db8::1",
        ),
        (5, b"\x03CDN\xc0\x10", "cdn.example.com"),
        (2, b"\xc0\x10", "example.com"),
        (12, b"\x01a\x00", "a"),
        (15, b"\x00\x0a\x04mail\xc0\x10", "10 mail.example.com"),
        (
            16,
            b"\x05v=spf\x03 \"\\\x04\x00\xff\n;",
            r#"v=spf "\\\000\255\010;"#,
        ),
        (
            33,
            b"\x00\x01\x00\x02\x13\xc4\x03sip\xc0\x10",
            "1 2 5060 sip.example.com",
        ),
        (
            6,
            &soa,
            "ns.www.example.com admin.www.example.com 1 2 3 4 5",
        ),
        (65, b"\x00\x01\x00\x00\x01\x00\x03\x02h2", "1 ."),
        (10, &[0xde, 0xad], r"\# 2 dead"),
        (1, &[1, 2, 3], r"\# 3 010203"),
        (15, b"\x00", r"\# 1 00"),
        (5, b"\x01a\x00trailing", r"\# 11 016100747261696c696e67"),
    ];
    let message = parse(&response(
        &rows
            .iter()
            .map(|(t, d, _)| record(*t, d))
            .collect::<Vec<_>>(),
    ))
    .unwrap();
    assert!(!message.incomplete);
    for (answer, (rtype, _, text)) in message.answers.iter().zip(rows) {
        assert_eq!((answer.rtype, answer.data.as_str()), (rtype, text));
        assert_eq!(
            (answer.name.as_str(), answer.class, answer.ttl),
            ("www.example.com", 1, 300)
        );
    }
    assert_eq!(
        message
            .addresses()
            .map(|a| a.to_string())
            .collect::<Vec<_>>(),
        ["203.0.113.7", "2001:db8::1"]
    );
    let long = parse(&response(&[record(10, &[0xaa; 100])])).unwrap();
    assert_eq!(
        long.answers[0].data,
        format!(r"\# 100 {}…", "aa".repeat(MAX_HEX))
    );
}

#[test]
fn edns_widens_the_response_code_and_tells_dnssec() {
    let opt = b"\x00\x00\x29\x04\xd0\x01\x00\x80\x00\x00\x04\x00\x0a\x00\x00";
    let message = parse(
        &[
            &header(0x8187, [1, 0, 0, 1])[..],
            &question(&EXAMPLE, 1),
            opt,
        ]
        .concat(),
    )
    .unwrap();
    assert_eq!(
        (message.rcode, rcode_name(message.rcode).as_ref()),
        (0x17, "BADCOOKIE")
    );
    assert_eq!(message.header_flags(), ["RD", "RA", "DO"]);
    assert!(!message.incomplete);
}

#[test]
fn bytes_without_a_shape_are_spelled_out_in_names() {
    let labels: [&[u8]; 3] = [b"a.b\\", b"\x00 \xff\x1b", b"_dmarc-1"];
    let message = parse(&[header(0, [1, 0, 0, 0]), question(&labels, 16)].concat()).unwrap();
    assert_eq!(
        message.questions[0].name,
        r"a\.b\\.\000\032\255\027._dmarc-1"
    );
    let root = parse(&[header(0, [1, 0, 0, 0]), question(&[], 2)].concat()).unwrap();
    assert_eq!(root.questions[0].name, ".");
}

#[test]
fn a_message_cut_anywhere_says_what_was_there() {
    let whole = response(&[record(1, &[10, 0, 0, 1]), record(1, &[10, 0, 0, 2])]);
    for cut in 0..whole.len() {
        let Ok(message) = parse(&whole[..cut]) else {
            assert!(cut < HEADER, "{cut}");
            continue;
        };
        assert!(message.incomplete, "{cut}");
    }
    let cut = parse(&whole[..whole.len() - 1]).unwrap();
    assert_eq!(
        (cut.questions.len(), cut.answers.len(), cut.cut_name),
        (1, 1, None)
    );
    let in_name = parse(&whole[..HEADER + 7]).unwrap();
    assert_eq!(
        (in_name.questions.len(), in_name.cut_name.as_deref()),
        (0, Some("www.ex"))
    );
    assert_eq!(parse(&whole[..5]), Err(DnsError::Short(5)));
}

#[test]
fn names_that_loop_point_ahead_or_never_end_are_refused() {
    let long: Vec<&[u8]> = vec![&[b'a'; 63]; 4];
    let label = [b'a'; 63];
    let just: [&[u8]; 4] = [&label, &label, &label, &label[..61]];
    for (name, ok) in [
        (&b"\xc0\x0c"[..], false),
        (b"\x01a\xc0\x0c", false),
        (b"\xc0\xff", false),
        (b"\xc0\x04", false),
        (b"\x40a", false),
        (b"\x80a", false),
        (&wire_name(&long), false),
        (&wire_name(&just), true),
    ] {
        let parsed = parse(&[&header(0, [1, 0, 0, 0])[..], name, &[0, 1, 0, 1]].concat());
        assert_eq!(parsed.is_ok(), ok, "{name:02x?}");
        assert!(ok || parsed == Err(DnsError::Name(HEADER)), "{name:02x?}");
    }
    // In an answer the question still stands.
    let mut answer = record(1, &[1, 2, 3, 4]);
    answer[1] = 0xff;
    let message = parse(&response(&[answer])).unwrap();
    assert!(message.incomplete && message.questions.len() == 1 && message.answers.is_empty());
}

#[test]
fn counts_that_lie_cost_nothing() {
    let message = parse(&header(0x8000, [0xffff; 4])).unwrap();
    assert!(message.incomplete);
    let many = [
        header(0x8000, [0, 0xffff, 0xffff, 0]),
        [0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0].repeat(5000),
    ]
    .concat();
    let message = parse(&many).unwrap();
    assert_eq!(
        (message.answers.len(), message.incomplete),
        (MAX_ANSWERS, true)
    );
}

/// Everything a hostile payload can reach; also the body of the fuzz target.
fn exercise(payload: &[u8]) {
    let Ok(message) = parse(payload) else { return };
    let names = message
        .questions
        .iter()
        .map(|q| &q.name)
        .chain(message.answers.iter().flat_map(|a| [&a.name, &a.data]));
    for text in names.chain(&message.cut_name) {
        assert!(
            text.chars()
                .all(|c| c == '…' || c == ' ' || c.is_ascii_graphic()),
            "{text:?}"
        );
    }
    assert!(message.questions.len() <= MAX_QUESTIONS && message.answers.len() <= MAX_ANSWERS);
    let _ = (
        message.header_flags(),
        message.addresses().count(),
        rcode_name(message.rcode),
    );
}

fn label() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..20)
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(payload in prop::collection::vec(any::<u8>(), 0..300)) {
        exercise(&payload);
        exercise(&[header(0x8180, [1, 3, 1, 1]), payload].concat());
    }

    #[test]
    fn a_damaged_byte_never_panics(at in any::<prop::sample::Index>(), value: u8, rtype in 0u16..70, data in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut payload = response(&[record(5, b"\x01x\xc0\x0c"), record(rtype, &data)]);
        let at = at.index(payload.len());
        payload[at] = value;
        exercise(&payload);
    }

    #[test]
    fn what_was_encoded_is_decoded(labels in prop::collection::vec(label(), 0..8), qtype: u16, octets: [u8; 4], split in any::<prop::sample::Index>()) {
        let refs: Vec<&[u8]> = labels.iter().map(Vec::as_slice).collect();
        // The answer's name shares the question's tail through a pointer.
        let keep = split.index(refs.len() + 1);
        let target = HEADER + refs[..keep].iter().map(|l| l.len() + 1).sum::<usize>();
        let mut name = wire_name(&refs[..keep]);
        name.pop();
        name.extend((0xc000 | target as u16).to_be_bytes());
        let answer = [&name[..], &record(1, &octets)[2..]].concat();
        let message = parse(&[header(0x8180, [1, 1, 0, 0]), question(&refs, qtype), answer].concat()).unwrap();
        prop_assert!(!message.incomplete);
        prop_assert_eq!(&message.questions[0].name, &message.answers[0].name);
        prop_assert_eq!(message.questions[0].qtype, qtype);
        prop_assert_eq!(message.answers[0].address, Some(IpAddr::from(octets)));
        prop_assert_eq!(unescape(&message.questions[0].name), labels.iter().map(|l| l.to_ascii_lowercase()).collect::<Vec<_>>());
    }
}

/// Reads RFC 4343 text back into labels.
fn unescape(name: &str) -> Vec<Vec<u8>> {
    if name == "." {
        return Vec::new();
    }
    let (mut labels, mut rest) = (vec![Vec::new()], name.as_bytes());
    while let [first, tail @ ..] = rest {
        let (byte, used) = match (first, tail) {
            (b'.', _) => {
                labels.push(Vec::new());
                rest = tail;
                continue;
            }
            (b'\\', [d, ..]) if d.is_ascii_digit() => (name_number(&tail[..3]), 4),
            (b'\\', [c, ..]) => (*c, 2),
            (c, _) => (*c, 1),
        };
        labels.last_mut().unwrap().push(byte);
        rest = &rest[used..];
    }
    labels
}

fn name_number(digits: &[u8]) -> u8 {
    std::str::from_utf8(digits).unwrap().parse().unwrap()
}
