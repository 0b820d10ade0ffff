//! Programs that are not to start, as user space says through maps (see `sensor_common::prevent`).
//! The way that is taken where the kernel has it refuses the exec; the other kills the process
//! when everything is loaded and nothing of it has run. What decides is the same for both, and
//! depends neither on a ring nor, unless a rule speaks of paths, on scratch memory.

use core::hint::black_box;

use aya_ebpf::helpers::generated::{bpf_get_current_uid_gid, bpf_send_signal};
use aya_ebpf::macros::{btf_tracepoint, lsm, map};
use aya_ebpf::maps::{Array, HashMap, LpmTrie};
use aya_ebpf::programs::{BtfTracePointContext, LsmContext};
use sensor_common::exec::{
    FILE_DELETED, FILE_MEMFD, FILE_OVERLAY_UPPER, FileIdentity, OBJECT_INET, Object,
};
use sensor_common::filter::{InodeKey, PREFIX_MAX, PrefixKey};
use sensor_common::kind::{LANE_PROCESS, PREVENT};
use sensor_common::prevent::{
    FILES_MAX, GROUP_LEVEL_MAX, LOOK_FILES, LOOK_STDIN, LOOK_STDOUT, LOOK_TRAITS, LOOK_USERS,
    NAME_BYTES, PATHS_MAX, PREVENT_DENIED, PREVENT_FAILED, PREVENT_KILLED, PREVENT_REHEARSED,
    PREVENT_SPARED as SPARED, Prevent, Prevention, SLOTS, SPARED_MAX, STREAM_LOOPBACK, STREAMS,
    SUBJECTS_MAX, TRAIT_DELETED, TRAIT_HIDDEN_NAME, TRAIT_MEMFD, TRAIT_NOT_OF_ROOT,
    TRAIT_OVERLAY_UPPER, TRAIT_SETUID, TRAIT_TMPFS, TRAIT_WRITABLE_BY_OTHERS,
};
use sensor_common::tail;

use crate::emit::{self, Path, Tail};
use crate::fact;
use crate::kernel::object::AF_INET;
use crate::kernel::path::Location;
use crate::kernel::{Address, Memory as _, Typed, file, follow, object, read, sensor_pid, task};

#[map]
static PREVENTION: Array<Prevention> = Array::with_max_entries(1, 0);
#[map]
static PREVENT_FILES: HashMap<InodeKey, u64> = HashMap::with_max_entries(FILES_MAX, 0);
#[map]
static PREVENT_SPARED: HashMap<InodeKey, u32> = HashMap::with_max_entries(SPARED_MAX, 0);
#[map]
static PREVENT_PATHS: LpmTrie<PrefixKey, u64> = LpmTrie::with_max_entries(PATHS_MAX, 0);
#[map]
static PREVENT_USERS: HashMap<u32, u64> = HashMap::with_max_entries(SUBJECTS_MAX, 0);
#[map]
static PREVENT_GROUPS: HashMap<u64, u64> = HashMap::with_max_entries(SUBJECTS_MAX, 0);
#[map]
static PREVENT_NAMES: Array<[u8; NAME_BYTES]> = Array::with_max_entries(SLOTS, 0);

/// `EPERM` of `include/uapi/asm-generic/errno-base.h`.
const EPERM: i32 = 1;
/// Highest error number (`include/linux/err.h`).
const MAX_ERRNO: i64 = 4095;
/// `SIGKILL`.
const SIGKILL: u32 = 9;

/// Sees: every program that is about to be started, and before it every script of it.
/// Hook: LSM `bprm_check_security(struct linux_binprm *bprm)`, `include/linux/lsm_hook_defs.h`,
/// 5.10 to 7.x alike; called by `search_binary_handler` (`fs/exec.c`), once for each file.
/// Why: what it refuses has not happened: the caller gets `EPERM` and nothing was loaded.
/// Fallback: [`prevent_exec`], also where BPF is not among the LSMs in use.
#[lsm(hook = "bprm_check_security")]
pub fn prevent_check(ctx: LsmContext) -> i32 {
    let mut verdict: i32 = ctx.arg(1);
    let bprm: Address = ctx.arg::<*const u8>(0);
    if verdict == 0
        && let Some(rules) = rules_now()
    {
        let file = Typed::follow(bprm, fact!(bprm_file));
        judge(rules, task::current(), file, bprm, || {
            verdict = -EPERM;
            PREVENT_DENIED
        });
    }
    // VERIFIER: from 6.12 on it insists on seeing that this is 0 or an error number.
    i64::from(black_box(verdict)).clamp(-MAX_ERRNO, 0) as i32
}

/// Sees: every successful exec, before the new program's first instruction.
/// Hook: tracepoint `sched_process_exec`, as [`crate::process::process_exec`].
/// Why: the kernel looks for signals before it goes to user space, so that with a `SIGKILL`
/// nothing of the program runs (`exit_to_user_mode_loop`, `kernel/entry/common.c`). What was lost
/// with the exec, the memory of the process and its threads, is lost.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn prevent_exec(ctx: BtfTracePointContext) -> i32 {
    let running: Address = ctx.arg::<*const u8>(0);
    let bprm: Address = ctx.arg::<*const u8>(2);
    let Some(rules) = rules_now() else { return 0 };
    let mm = Typed::follow(running, fact!(task_mm));
    let file = Typed::follow(mm, fact!(mm_exe_file));
    judge(rules, running, file, bprm, || {
        // SAFETY: the helper has no preconditions.
        if unsafe { bpf_send_signal(SIGKILL) } == 0 {
            PREVENT_KILLED
        } else {
            PREVENT_FAILED
        }
    });
    0
}

/// The rules, when there are any.
#[inline(always)]
fn rules_now() -> Option<&'static Prevention> {
    let rules = PREVENTION.get_ptr(0)?;
    // SAFETY: an element of an array map outlives every program that uses the map; user space
    // may change it meanwhile, a word at a time, in an order that makes sense at each step.
    let rules = unsafe { &*rules };
    (rules.rules != 0).then_some(rules)
}

/// Looks whether rules apply to a program; if one does that is in force and nothing spares the
/// program, `prevent` is called, and says what came of it.
#[inline(always)]
fn judge(
    rules: &Prevention,
    running: Address,
    file: Address,
    bprm: Address,
    mut prevent: impl FnMut() -> u32,
) {
    emit::seen(PREVENT);
    let mut executable = FileIdentity::default();
    let (surely, perhaps) = candidates(rules, running, file, &mut executable);
    if surely | perhaps == 0 {
        return emit::filtered(PREVENT);
    }
    let mut outcome = None;
    emit::variable_if::<Prevent>(PREVENT, LANE_PROCESS, |record, tail| {
        let path = tail.path(tail::EXECUTABLE, Location::of_file(file));
        let hits = surely | (perhaps & path.map_or(0, accept_path));
        if hits == 0 {
            outcome = Some(PREVENT_REHEARSED);
            return false;
        }
        let outcome = *outcome.insert(decide(rules, hits, running, &executable, &mut prevent));
        describe(record, tail, running, bprm, hits, outcome);
        record.executable = executable;
        true
    });
    if outcome.is_none() {
        // No scratch memory, so no path and no record; that is counted as lost.
        decide(rules, surely, running, &executable, &mut prevent);
    }
}

/// Rules of which all conditions hold; and those of which all hold if the path is right.
#[inline(always)]
fn candidates(
    rules: &Prevention,
    running: Address,
    file: Address,
    executable: &mut FileIdentity,
) -> (u64, u64) {
    let mut left = rules.rules;
    if rules.looks & LOOK_USERS != 0 {
        // SAFETY: the helper has no preconditions.
        let uid = unsafe { bpf_get_current_uid_gid() } as u32;
        left &= rules.any_user | found(PREVENT_USERS.get_ptr(uid));
    }
    if left != 0 && rules.group_levels != 0 {
        left &= rules.any_group | groups(running, rules.group_levels);
    }
    if left != 0 && rules.looks & LOOK_STDIN != 0 {
        left &= accept_stream(&rules.stdin, running, 0);
    }
    if left != 0 && rules.looks & LOOK_STDOUT != 0 {
        left &= accept_stream(&rules.stdout, running, 1);
    }
    if left == 0 {
        return (0, 0);
    }
    file::identify::<Typed>(file, core::ptr::null_mut(), executable);
    if rules.looks & LOOK_TRAITS != 0 {
        left &= accept_traits(rules, file, executable);
    }
    let mut by_program = rules.any_program;
    if rules.looks & LOOK_FILES != 0 {
        let key = key(executable);
        by_program |= found(PREVENT_FILES.get_ptr(key));
    }
    (left & by_program, left & rules.by_path & !by_program)
}

#[inline(always)]
fn key(executable: &FileIdentity) -> InodeKey {
    InodeKey {
        inode: executable.inode,
        dev: executable.dev,
        reserved: 0,
    }
}

/// A set in a map; empty when there is none.
#[inline(always)]
fn found(set: Option<*const u64>) -> u64 {
    // SAFETY: a word, written at once.
    set.map_or(0, |set| unsafe { set.read_volatile() })
}

#[inline(always)]
fn groups(running: Address, levels: u32) -> u64 {
    let mut accepted = 0;
    for level in 0..=GROUP_LEVEL_MAX {
        if levels & (1 << level) != 0 {
            let group = task::ancestor_group(running, level);
            accepted |= found(PREVENT_GROUPS.get_ptr(group));
        }
    }
    accepted
}

#[inline(always)]
fn accept_stream(accepted: &[u64; STREAMS], running: Address, fd: u32) -> u64 {
    let mut stream = Object::default();
    object::describe(object::open_file(running, fd), &mut stream);
    let place = if stream.kind == OBJECT_INET && is_loopback(&stream) {
        STREAM_LOOPBACK
    } else {
        usize::from(stream.kind)
    };
    accepted.get(place & (STREAMS - 1)).copied().unwrap_or(0)
}

/// Whether the other side of an inet socket is this machine: 127.0.0.0/8, also mapped, or `::1`.
#[inline(always)]
fn is_loopback(stream: &Object) -> bool {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = stream.remote_address;
    if u16::from(stream.family) == AF_INET {
        return a == 127;
    }
    if a | b | c | d | e | f | g | h | i | j != 0 {
        return false;
    }
    (k & l == 0xff && m == 127) || (k | l | m | n | o == 0 && p == 1)
}

#[inline(always)]
fn accept_traits(rules: &Prevention, file: Address, executable: &FileIdentity) -> u64 {
    /// `S_ISUID` and `S_IWOTH` of `include/uapi/linux/stat.h`.
    const SETUID: u32 = 0o4000;
    const WRITABLE_BY_OTHERS: u32 = 0o2;
    /// `TMPFS_MAGIC` and `RAMFS_MAGIC` of `include/uapi/linux/magic.h`.
    const TMPFS: u32 = 0x0102_1994;
    const RAMFS: u32 = 0x8584_58f6;

    let name = follow(follow(file, fact!(file_path_dentry)), fact!(dentry_name));
    let is_memfd = executable.flags & FILE_MEMFD != 0;
    let mut accepted = rules.any_trait;
    let mut accept = |holds: bool, place: usize| {
        if holds && let Some(rules) = rules.traits.get(place) {
            accepted |= rules;
        }
    };
    accept(is_memfd, TRAIT_MEMFD);
    accept(
        executable.flags & FILE_DELETED != 0 && !is_memfd,
        TRAIT_DELETED,
    );
    accept(
        matches!(executable.fs_magic, TMPFS | RAMFS) && !is_memfd,
        TRAIT_TMPFS,
    );
    accept(read::<u8>(name, 0) == b'.', TRAIT_HIDDEN_NAME);
    accept(
        executable.flags & FILE_OVERLAY_UPPER != 0,
        TRAIT_OVERLAY_UPPER,
    );
    accept(executable.mode & SETUID != 0, TRAIT_SETUID);
    accept(
        executable.mode & WRITABLE_BY_OTHERS != 0,
        TRAIT_WRITABLE_BY_OTHERS,
    );
    accept(executable.uid != 0, TRAIT_NOT_OF_ROOT);
    accepted
}

#[inline(always)]
fn accept_path(path: Path) -> u64 {
    let used = if path.len < PREFIX_MAX {
        path.len + 1
    } else {
        PREFIX_MAX
    };
    path.key(used)
        .and_then(|key| PREVENT_PATHS.get(key))
        .copied()
        .unwrap_or(0)
}

/// What becomes of a program to which rules apply.
#[inline(always)]
fn decide(
    rules: &Prevention,
    hits: u64,
    running: Address,
    executable: &FileIdentity,
    prevent: &mut impl FnMut() -> u32,
) -> u32 {
    let mut enforced = hits & rules.enforced;
    if enforced != 0
        && rules.logins_group != 0
        && task::ancestor_group(running, 1) == rules.logins_group
    {
        enforced &= rules.logins;
        if enforced == 0 {
            return SPARED;
        }
    }
    if enforced == 0 {
        return PREVENT_REHEARSED;
    }
    if is_spared(running, executable) {
        return SPARED;
    }
    prevent()
}

/// Init, the sensor and what it starts, and protected programs of their own user.
#[inline(always)]
fn is_spared(running: Address, executable: &FileIdentity) -> bool {
    let pid: u32 = read(running, fact!(task_tgid));
    let parent: u32 = read(follow(running, fact!(task_real_parent)), fact!(task_tgid));
    if pid == 1 || pid == sensor_pid() || parent == sensor_pid() {
        return true;
    }
    // SAFETY: the helper has no preconditions.
    let uid = unsafe { bpf_get_current_uid_gid() } as u32;
    PREVENT_SPARED
        .get_ptr(key(executable))
        // SAFETY: a word, written at once.
        .is_some_and(|user| unsafe { user.read_volatile() } == uid)
}

#[inline(always)]
fn describe(
    record: &mut Prevent,
    tail: &mut Tail,
    running: Address,
    bprm: Address,
    hits: u64,
    outcome: u32,
) {
    task::identify(running, &mut record.subject);
    let [stdin, stdout] = &mut record.stdio;
    object::describe(object::open_file(running, 0), stdin);
    object::describe(object::open_file(running, 1), stdout);
    record.rules = hits;
    record.outcome = outcome;
    record.reserved = 0;
    tail.kernel_string(tail::FILENAME, Typed::follow(bprm, fact!(bprm_filename)));
    // The one of the lowest number speaks for all.
    if let Some(name) = PREVENT_NAMES.get_ptr(lowest(hits)) {
        tail.kernel_bytes::<{ NAME_BYTES - 1 }>(tail::RULE, name.cast(), NAME_BYTES as u64 - 1);
    }
}

/// Number of the lowest bit that is set. Written out, because this target has no instruction for
/// it and the compiler would take a table.
#[inline(always)]
fn lowest(set: u64) -> u32 {
    let mut number = 0;
    let mut set = set;
    let mut width = 32;
    while width > 0 {
        if set & ((1 << width) - 1) == 0 {
            number += width;
            set >>= width;
        }
        width >>= 1;
    }
    number
}
