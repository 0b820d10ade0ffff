//! Changes of names and attributes without trampolines: system calls as they return. By then
//! a removed name is gone and a mount was never known, so these report the names as the
//! program passed them, with the true path of the directory they start from; user space does
//! the rest. Only changes through a descriptor have a true path. None see io_uring or 32-bit
//! system calls; each costs 100 ns before it does anything.

use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;
use sensor_common::file::{FileChange, KNOWN_FILE};
use sensor_common::kind::{
    FILE_CHMOD, FILE_CHOWN, FILE_LINK, FILE_MKDIR, FILE_RENAME, FILE_SYMLINK, FILE_TRUNCATE,
    FILE_UNLINK,
};
use sensor_common::tail;

use super::change::{NO_FILE, report};
use crate::emit::Tail;
use crate::fact;
use crate::kernel::path::Location;
use crate::kernel::{file, follow, read_user, task};
use crate::syscall::{Call, number};

const AT_FDCWD: i32 = -100;
const AT_REMOVEDIR: u32 = 0x200;
const AT_EMPTY_PATH: u32 = 0x1000;

/// How a system call says which file it means.
///
/// VERIFIER: no enum, whose unused bytes LLVM may leave unwritten in a register and yet read.
#[derive(Clone, Copy)]
struct Means {
    /// Descriptor of the file, or of the directory that the path starts from.
    fd: i32,
    /// Address of the path; 0 when it is the descriptor that is meant.
    path: u64,
}

/// A path that starts from the working directory.
const fn path(path: u64) -> Means {
    Means { fd: AT_FDCWD, path }
}

/// A descriptor.
const fn open(fd: u64) -> Means {
    Means {
        fd: fd as i32,
        path: 0,
    }
}

/// A path that starts from a directory given by descriptor; or the descriptor alone.
#[inline(always)]
fn path_at(fd: u64, path: u64, flags: u32) -> Means {
    let empty = flags & AT_EMPTY_PATH != 0 && read_user::<u8>(path) == 0;
    Means {
        fd: fd as i32,
        path: if empty { 0 } else { path },
    }
}

/// Where a path starts: the root, the working directory or an open directory of the task.
#[inline(always)]
fn base(means: Means) -> Location {
    if means.path != 0 && read_user::<u8>(means.path) == b'/' {
        Location::root(task::current())
    } else {
        opened(means.fd)
    }
}

/// Where an open file is; the working directory for `AT_FDCWD`.
#[inline(always)]
fn opened(fd: i32) -> Location {
    if fd == AT_FDCWD {
        Location::working_directory(task::current())
    } else {
        Location::of_file(task::open_file(fd as u32))
    }
}

/// Reports a change of one file.
#[inline(always)]
fn changed(kind: u16, means: Means, add: impl FnOnce(&mut FileChange, &mut Tail)) {
    let location = base(means);
    let inode = follow(location.dentry, fact!(dentry_inode));
    report(kind, location, inode, |record, tail, judge| {
        if means.path == 0 {
            if !judge.admits(tail.path(tail::PATH, location)) {
                return false;
            }
            file::identify_inode_frugally(inode, location.dentry, &mut record.file);
            record.known = KNOWN_FILE;
        } else {
            tail.path(tail::BASE, location);
            tail.user_string(tail::RAW_PATH, means.path);
            record.file = NO_FILE;
            record.known = 0;
        }
        add(record, tail);
        true
    });
}

/// Reports a change that has a further path.
#[inline(always)]
fn changed_two(kind: u16, from: Means, to: Means, flags: u32) {
    changed(kind, from, |record, tail| {
        tail.path(tail::TARGET_BASE, base(to));
        tail.user_string(tail::RAW_TARGET_PATH, to.path);
        record.flags = flags;
    });
}

/// Defines a program for the tracepoints `syscalls:sys_exit_*` of calls that give 0 when they
/// have done what was wanted.
macro_rules! on_success {
    ($(#[$meta:meta])* $program:ident($call:ident) $body:block) => {
        $(#[$meta])*
        #[tracepoint]
        pub fn $program(ctx: TracePointContext) -> u32 {
            let $call = Call::from(&ctx);
            if $call.result == 0 {
                $body
            }
            0
        }
    };
}

on_success! {
    /// Sees: unlink, unlinkat and rmdir. Fallback of `names::vfs_unlink` and `directory_removed`.
    file_unlink_exit(call) {
        let (means, flags) = match call.number {
            number::UNLINK => (path(call.argument::<0>()), 0),
            number::RMDIR => (path(call.argument::<0>()), AT_REMOVEDIR),
            _ => (path_at(call.argument::<0>(), call.argument::<1>(), 0), call.argument::<2>() as u32),
        };
        changed(FILE_UNLINK, means, |record, _| record.flags = flags);
    }
}

on_success! {
    /// Sees: rename, renameat and renameat2. Fallback of `names::vfs_rename`; does not know what
    /// was replaced.
    file_rename_exit(call) {
        let (from, to, flags) = match call.number {
            number::RENAME => (path(call.argument::<0>()), path(call.argument::<1>()), 0),
            number => (
                path_at(call.argument::<0>(), call.argument::<1>(), 0),
                path_at(call.argument::<2>(), call.argument::<3>(), 0),
                if number == number::RENAMEAT2 { call.argument::<4>() as u32 } else { 0 },
            ),
        };
        changed_two(FILE_RENAME, from, to, flags);
    }
}

on_success! {
    /// Sees: link and linkat. Fallback of `names::vfs_link`.
    file_link_exit(call) {
        let (from, to) = match call.number {
            number::LINK => (path(call.argument::<0>()), path(call.argument::<1>())),
            _ => (
                path_at(call.argument::<0>(), call.argument::<1>(), call.argument::<4>() as u32),
                path_at(call.argument::<2>(), call.argument::<3>(), 0),
            ),
        };
        changed_two(FILE_LINK, from, to, 0);
    }
}

on_success! {
    /// Sees: symlink and symlinkat. Fallback of `names::vfs_symlink`.
    file_symlink_exit(call) {
        let means = match call.number {
            number::SYMLINK => path(call.argument::<1>()),
            _ => path_at(call.argument::<1>(), call.argument::<2>(), 0),
        };
        changed(FILE_SYMLINK, means, |_, tail| tail.user_string(tail::RAW_TARGET_PATH, call.argument::<0>()));
    }
}

on_success! {
    /// Sees: mkdir and mkdirat. Fallback of `names::vfs_mkdir`.
    file_mkdir_exit(call) {
        let means = match call.number {
            number::MKDIR => path(call.argument::<0>()),
            _ => path_at(call.argument::<0>(), call.argument::<1>(), 0),
        };
        changed(FILE_MKDIR, means, |_, _| {});
    }
}

on_success! {
    /// Sees: chmod, fchmod, fchmodat and fchmodat2. Fallback of `attributes::notify_change`; does
    /// not know the mode before.
    file_chmod_exit(call) {
        let (means, mode) = match call.number {
            number::CHMOD => (path(call.argument::<0>()), call.argument::<1>()),
            number::FCHMOD => (open(call.argument::<0>()), call.argument::<1>()),
            number => {
                let flags = if number == number::FCHMODAT2 { call.argument::<3>() as u32 } else { 0 };
                (path_at(call.argument::<0>(), call.argument::<1>(), flags), call.argument::<2>())
            }
        };
        changed(FILE_CHMOD, means, |record, _| {
            if record.known & KNOWN_FILE == 0 {
                record.file.mode = mode as u32;
            }
        });
    }
}

on_success! {
    /// Sees: chown, lchown, fchown and fchownat. Fallback of `attributes::notify_change`; does not
    /// know the owner before.
    file_chown_exit(call) {
        let (means, uid, gid) = match call.number {
            number::CHOWN | number::LCHOWN => {
                (path(call.argument::<0>()), call.argument::<1>(), call.argument::<2>())
            }
            number::FCHOWN => {
                (open(call.argument::<0>()), call.argument::<1>(), call.argument::<2>())
            }
            _ => (
                path_at(call.argument::<0>(), call.argument::<1>(), call.argument::<4>() as u32),
                call.argument::<2>(),
                call.argument::<3>(),
            ),
        };
        changed(FILE_CHOWN, means, |record, _| {
            if record.known & KNOWN_FILE == 0 {
                record.file.uid = uid as u32;
                record.file.gid = gid as u32;
            }
        });
    }
}

on_success! {
    /// Sees: truncate and ftruncate. Fallback of `attributes::notify_change`; does not know the
    /// size before.
    file_truncate_exit(call) {
        let means = match call.number {
            number::FTRUNCATE => open(call.argument::<0>()),
            _ => path(call.argument::<0>()),
        };
        let size = call.argument::<1>();
        changed(FILE_TRUNCATE, means, |record, _| {
            if record.known & KNOWN_FILE == 0 {
                record.file.size = size;
            }
        });
    }
}
