//! Files opened for writing or created, and watched files opened for reading; and what an open
//! joins to other processes.

use aya_ebpf::macros::{fexit, tracepoint};
use aya_ebpf::programs::{FExitContext, TracePointContext};
use sensor_common::file::ACCESS_TRUNCATED;
use sensor_common::kind::{FILE_OPEN, FILE_READ};

use super::stream::{FMODE_STREAM, PTMX};
use super::{Access, access, is_error, is_reported_type, report, stream};
use crate::fact;
use crate::filter::Filter;
use crate::kernel::file::{FMODE_CREATED, FMODE_READ, FMODE_WRITE, S_IFCHR, S_IFMT};
use crate::kernel::{Address, Memory, Probed, Typed, read_user, task};
use crate::syscall::{Call, number};

/// `O_*` of `include/uapi/asm-generic/fcntl.h`, the same on x86-64 and arm64.
const O_WRONLY: u32 = 1;
const O_CREAT: u32 = 0o100;
const O_TRUNC: u32 = 0o1000;
/// `__FMODE_EXEC` of `include/linux/fs.h`, in the open flags when a program is executed.
const FMODE_EXEC: u32 = 0x20;

/// Sees: every file opened by path on behalf of a program, when it is open: open, openat,
/// openat2, creat, io_uring, and what the kernel opens for a program (core dumps, accounting).
/// Hook: `struct file *do_filp_open(int dfd, struct filename *pathname,
/// const struct open_flags *op)`, `fs/namei.c`, 5.10 to 6.19; from 7.0 on it is
/// `do_file_open` with the same arguments.
/// Why: it returns the file after everything that can fail, `O_TRUNC` included, and file
/// systems that open their own files (overlayfs) do not come this way, so that one open by a
/// program is one event. `security_file_open` is earlier and sees those as well.
/// Cost: an uninteresting open takes three loads. Fallback: `file_open_exit`.
#[fexit]
pub fn file_open(ctx: FExitContext) -> i32 {
    opened_by_kernel(ctx.arg::<*const u8>(3), ctx.arg::<*const u8>(2));
    0
}

/// Sees: files opened by handle (`open_by_handle_at`), and by the kernel under a given root.
/// Hook: `struct file *do_file_open_root(const struct path *root, const char *name,
/// const struct open_flags *op)`, `fs/namei.c`, 5.13 to 7.x; with `struct dentry *, struct
/// vfsmount *` in place of the path up to 5.12.
#[fexit]
pub fn file_open_root(ctx: FExitContext) -> i32 {
    if fact!(file_open_root_args) == 4 {
        opened_by_kernel(ctx.arg::<*const u8>(4), ctx.arg::<*const u8>(3));
    } else {
        opened_by_kernel(ctx.arg::<*const u8>(3), ctx.arg::<*const u8>(2));
    }
    0
}

#[inline(always)]
fn opened_by_kernel(file: Address, open_flags: Address) {
    if !is_error(file) {
        opened::<Typed>(file, Typed::read(open_flags, fact!(open_flags_flag)));
    }
}

/// Sees: open, openat, openat2 and creat that gave a descriptor.
/// Hook: their tracepoints `syscalls:sys_exit_*`.
/// Cost: 100 ns for every such call. Fallback of `file_open`; does not see
/// `open_by_handle_at`, io_uring or 32-bit system calls.
#[tracepoint]
pub fn file_open_exit(ctx: TracePointContext) -> u32 {
    let call = Call::from(&ctx);
    if call.result >= 0 {
        returned(&call);
    }
    0
}

#[inline(always)]
fn returned(call: &Call) {
    let flags = open_flags(call);
    opened::<Probed>(task::open_file(call.result as u32), flags);
}

#[inline(always)]
fn open_flags(call: &Call) -> u32 {
    match call.number {
        number::OPENAT => call.argument::<2>() as u32,
        number::OPEN => call.argument::<1>() as u32,
        // The first member of `struct open_how` (`include/uapi/linux/openat2.h`).
        number::OPENAT2 => read_user::<u64>(call.argument::<2>()) as u32,
        // creat
        _ => O_WRONLY | O_CREAT | O_TRUNC,
    }
}

/// Reports what an open file and the flags it was opened with amount to.
#[inline(always)]
fn opened<M: Memory>(file: Address, flags: u32) {
    let mode: u32 = M::read(file, fact!(file_mode));
    let changes = mode & (FMODE_WRITE | FMODE_CREATED) != 0 || flags & O_TRUNC != 0;
    let Some(filter) = Filter::now() else { return };
    if mode & FMODE_STREAM != 0 {
        return stream::opened(filter, file, mode);
    }
    if !changes && (!filter.watches_any() || mode & FMODE_READ == 0 || flags & FMODE_EXEC != 0) {
        return;
    }
    let inode = M::follow(file, fact!(file_inode));
    let of_type: u16 = M::read(inode, fact!(inode_mode));
    if u32::from(of_type) & S_IFMT == S_IFCHR && M::read::<u32>(inode, fact!(inode_rdev)) == PTMX {
        return stream::opened(filter, file, mode);
    }
    if !is_reported_type(of_type) {
        return;
    }
    let dentry = M::follow(file, fact!(file_path_dentry));
    let kind = if changes {
        FILE_OPEN
    } else if filter.watches::<M>(inode, dentry) {
        FILE_READ
    } else {
        return;
    };
    let mut access = access(mode);
    if flags & O_TRUNC != 0 && mode & FMODE_CREATED == 0 {
        access |= ACCESS_TRUNCATED;
    }
    report::<M>(
        filter,
        file,
        Access {
            kind,
            open_flags: flags,
            access,
        },
    );
}
