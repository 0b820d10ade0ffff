//! Files closed after they were open for writing: the moment their content is whole.
//!
//! Without trampolines nothing runs between the last `close` and the end of the open file, so
//! the fallback looks before: at each `close`, and when a process ends with open descriptors.

use core::hint::black_box;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::macros::{btf_tracepoint, fentry, tracepoint};
use aya_ebpf::programs::{BtfTracePointContext, FEntryContext, TracePointContext};
use sensor_common::facts::MISSING;
use sensor_common::kind::FILE_CLOSE;

use super::{Access, access, report};
use crate::fact;
use crate::filter::Filter;
use crate::kernel::file::{FMODE_NOACCOUNT, FMODE_WRITE, S_IFMT, S_IFREG};
use crate::kernel::{Address, Memory, Probed, Typed, follow, read, task};

/// Sees: the end of every open file, by close, dup2, exec, exit, munmap or whatever else gave
/// up the last reference; reports regular files that were open for writing.
/// Hook: `void locks_remove_file(struct file *filp)`, `fs/locks.c`, 5.10 to 7.x; `__fput`
/// (`fs/file_table.c`) calls it once for each file it ends, before anything is taken apart.
/// Why: `__fput` itself is static, this is not, and does not run for failed opens.
/// Cost: two loads for every file that is not open for writing. Fallback: `file_close_enter`,
/// `file_dup_enter` and `file_close_at_exit`.
#[fentry]
pub fn file_close(ctx: FEntryContext) -> i32 {
    let file: Address = ctx.arg::<*const u8>(0);
    let mode: u32 = Typed::read(file, fact!(file_mode));
    if mode & FMODE_WRITE != 0 && mode & FMODE_NOACCOUNT == 0 {
        closed::<Typed>(file, mode);
    }
    0
}

/// Reports an open file that is about to end and was open for writing.
#[inline(always)]
fn closed<M: Memory>(file: Address, mode: u32) {
    if !is_regular::<M>(M::follow(file, fact!(file_inode))) {
        return;
    }
    let open_flags = M::read(file, fact!(file_flags));
    let Some(filter) = Filter::now() else { return };
    report::<M>(
        filter,
        file,
        Access {
            kind: FILE_CLOSE,
            open_flags,
            access: access(mode),
        },
    );
}

#[inline(always)]
fn is_regular<M: Memory>(inode: Address) -> bool {
    u32::from(M::read::<u16>(inode, fact!(inode_mode))) & S_IFMT == S_IFREG
}

/// Sees: `close(unsigned int fd)` (`fs/open.c`) of the last reference to an open file.
/// Hook: tracepoint `syscalls:sys_enter_close`: the call cannot fail any more when there is a
/// file, and at its return there is none.
/// Cost: 100 ns for every close. Fallback of `file_close`, together with the next two.
#[tracepoint]
pub fn file_close_enter(ctx: TracePointContext) -> u32 {
    given_up(task::open_file(entry_argument::<0>(&ctx) as u32));
    0
}

/// Sees: `dup2(unsigned int oldfd, unsigned int newfd)` and `dup3` (`fs/file.c`) onto a
/// descriptor that is the last reference to another open file: how shells end redirections.
/// Hook: tracepoints `syscalls:sys_enter_dup2` and `sys_enter_dup3`.
#[tracepoint]
pub fn file_dup_enter(ctx: TracePointContext) -> u32 {
    let (from, to) = (
        entry_argument::<0>(&ctx) as u32,
        entry_argument::<1>(&ctx) as u32,
    );
    if from != to && !task::open_file(from).is_null() {
        given_up(task::open_file(to));
    }
    0
}

/// Argument `N` of a system call, from the record of its `sys_enter_*` tracepoint
/// (`struct syscall_trace_enter`, `kernel/trace/trace.h`), where they stand from 16 on.
#[inline(always)]
fn entry_argument<const N: usize>(ctx: &TracePointContext) -> u64 {
    // SAFETY: the verifier knows the length of the record and lets us load from it.
    unsafe {
        ctx.as_ptr()
            .byte_add(16 + 8 * N)
            .cast::<u64>()
            .read_volatile()
    }
}

/// Reports a file whose descriptor is about to be given up, if that is the last reference.
#[inline(always)]
fn given_up(file: Address) {
    let mode: u32 = read(file, fact!(file_mode));
    if mode & FMODE_WRITE != 0 && references(file) == 1 {
        closed::<Probed>(file, mode);
    }
}

/// How many references an open file has; 0 when it has ended.
#[inline(always)]
fn references(file: Address) -> u64 {
    if fact!(file_ref) == MISSING {
        return read(file, fact!(file_count));
    }
    // `include/linux/file_ref.h`: one less than the count; ended ones have the highest bit.
    let count: i64 = read(file, fact!(file_ref));
    if count < 0 { 0 } else { count as u64 + 1 }
}

/// Descriptors looked at when a process ends.
const DESCRIPTORS: u32 = 64;

/// Sees: processes that end with regular files open for writing that nobody else has open;
/// looks at the first 64 descriptors and at the last four such files among them.
/// Hook: tracepoint `sched_process_exit(struct task_struct *p)`, see `process::process_exit`.
/// Why: the descriptors are closed a few steps later, where there is no hook.
/// Cost: 150 ns per process. Fallback of `file_close`, together with the two above.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn file_close_at_exit(ctx: BtfTracePointContext) -> i32 {
    let gone: Address = ctx.arg::<*const u8>(0);
    let files = follow(gone, fact!(task_files));
    let live: i32 = read(follow(gone, fact!(task_signal)), fact!(signal_live));
    if live != 0 || read::<u32>(files, fact!(files_count)) != 1 {
        return 0;
    }
    let fdt = follow(files, fact!(files_fdt));
    let table = follow(fdt, fact!(fdt_fd));
    let mut open: u64 = read(follow(fdt, fact!(fdt_open_fds)), 0);
    let nothing: Address = core::ptr::null();
    let (mut a, mut b, mut c, mut d) = (nothing, nothing, nothing, nothing);
    // VERIFIER: the bit is shifted out and the loop body has no other branch than skipping,
    // so that the states at its head are few; and the loop ends with its test, because 5.10
    // takes no other way back.
    let mut fd = 0;
    loop {
        if black_box(open) & 1 != 0 {
            let file = follow(table, fd * size_of::<usize>() as u32);
            let mode: u32 = read(file, fact!(file_mode));
            if mode & FMODE_WRITE != 0 && is_regular::<Probed>(follow(file, fact!(file_inode))) {
                (a, b, c, d) = (file, a, b, c);
            }
        }
        open >>= 1;
        fd += 1;
        if black_box(fd) >= DESCRIPTORS {
            break;
        }
    }
    // A file can stand there more than once; it counts at its last place.
    let same = |file: Address, other: Address| u64::from(core::ptr::eq(file, other));
    file_closed(a as u64, 1 + same(a, b) + same(a, c) + same(a, d));
    if same(b, a) == 0 {
        file_closed(b as u64, 1 + same(b, c) + same(b, d));
    }
    if same(c, a) + same(c, b) == 0 {
        file_closed(c as u64, 1 + same(c, d));
    }
    if same(d, a) + same(d, b) + same(d, c) == 0 {
        file_closed(d as u64, 1);
    }
    0
}

/// Reports a file that an ending process has open at `times` descriptors, if that is all.
///
/// VERIFIER: a global function, gone through once for all four.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn file_closed(file: u64, times: u64) -> u64 {
    let file = file as Address;
    if !file.is_null() && references(file) == times {
        closed::<Probed>(file, read(file, fact!(file_mode)));
    }
    0
}
