//! Names: renamed, removed, linked, made. The programs of the preferred way; see `change` for
//! how the two halves of each work together, and `calls` for the fallback.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use aya_ebpf::macros::{fentry, fexit};
use aya_ebpf::programs::{FEntryContext, FExitContext};
use sensor_common::file::{FileChange, KNOWN_FILE, KNOWN_REPLACED};
use sensor_common::kind::{FILE_LINK, FILE_MKDIR, FILE_RENAME, FILE_SYMLINK, FILE_UNLINK};
use sensor_common::limits::NAME_MAX;
use sensor_common::tail;

use super::change::{Pending, begin, directory_inode, end, identify, mount_of, report};
use super::is_error;
use crate::fact;
use crate::kernel::{Address, Memory as _, Typed, argument, follow, read};

/// `AT_REMOVEDIR` of `include/uapi/linux/fcntl.h`.
const AT_REMOVEDIR: u32 = 0x200;

#[inline(always)]
fn typed(ctx: &FEntryContext, place: usize) -> Address {
    ctx.arg::<*const u8>(place)
}

/// Sees: a file is about to be removed.
/// Hook: `int security_path_unlink(const struct path *dir, struct dentry *dentry)`,
/// `security/security.c`, 5.10 to 7.x.
/// Cost: 200 ns. Fallback: `file_unlink_exit`.
#[fentry]
pub fn path_unlink(ctx: FEntryContext) -> i32 {
    begin_removal(typed(&ctx, 0), typed(&ctx, 1));
    0
}

/// Sees: a directory is about to be removed.
/// Hook: `int security_path_rmdir(const struct path *dir, struct dentry *dentry)`,
/// `security/security.c`, 5.10 to 7.x.
#[fentry]
pub fn path_rmdir(ctx: FEntryContext) -> i32 {
    begin_removal(typed(&ctx, 0), typed(&ctx, 1));
    0
}

#[inline(always)]
fn begin_removal(directory: Address, dentry: Address) {
    begin(FILE_UNLINK, mount_of(directory), dentry, |pending| {
        identify(dentry, &mut pending.before);
    });
}

/// Sees: the outcome of a file's removal.
/// Hook: `int vfs_unlink(struct mnt_idmap *idmap, struct inode *dir, struct dentry *dentry,
/// struct delegated_inode *)`, `fs/namei.c`; up to 5.11 without the first argument. The dentry
/// keeps name and parent after it.
#[fexit]
pub fn vfs_unlink(ctx: FExitContext) -> i32 {
    let dentry = argument(&ctx, fact!(vfs_unlink_dentry)) as Address;
    end_removal(dentry, argument(&ctx, fact!(vfs_unlink_args)) as i32, 0);
    0
}

/// Sees: that a directory was removed.
/// Hook: `void shrink_dcache_parent(struct dentry *parent)`, `fs/dcache.c`, 5.10 to 7.x alike,
/// which `vfs_rmdir` calls once it has succeeded.
/// Why: of `vfs_rmdir` itself compilers inline a part, and a program on it then sees nothing
/// (Debian's 5.10). What else calls this function has not begun a removal.
#[fentry]
pub fn directory_removed(ctx: FEntryContext) -> i32 {
    end_removal(typed(&ctx, 0), 0, AT_REMOVEDIR);
    0
}

#[inline(always)]
fn end_removal(dentry: Address, result: i32, flags: u32) {
    let Some(pending) = end(FILE_UNLINK, dentry, result) else {
        return;
    };
    let location = pending.location();
    report(
        FILE_UNLINK,
        location,
        directory_inode(dentry),
        |record, tail, judge| {
            if !judge.admits(tail.path(tail::PATH, location)) {
                return false;
            }
            record.file = pending.before;
            record.flags = flags;
            record.known = KNOWN_FILE;
            true
        },
    );
}

/// Sees: a name is about to be given to something else.
/// Hook: `int security_path_rename(const struct path *old_dir, struct dentry *old_dentry,
/// const struct path *new_dir, struct dentry *new_dentry, unsigned int flags)`,
/// `security/security.c`, 5.10 to 7.x.
/// Cost: 300 ns. Fallback: `file_rename_exit`.
#[fentry]
pub fn path_rename(ctx: FEntryContext) -> i32 {
    let (directory, old, new) = (typed(&ctx, 0), typed(&ctx, 1), typed(&ctx, 3));
    begin(FILE_RENAME, mount_of(directory), old, |pending| {
        pending.other = Typed::follow(directory, fact!(path_dentry)).addr();
        keep_name(old, pending);
        identify(new, &mut pending.replaced);
        pending.flags = ctx.arg::<u32>(4);
    });
    0
}

/// The old name is gone when the rename is done.
#[inline(always)]
fn keep_name(dentry: Address, pending: &mut Pending) {
    let len = Typed::read::<u32>(dentry, fact!(dentry_name_len)) as usize & NAME_MAX;
    let name = Typed::follow(dentry, fact!(dentry_name));
    pending.name_len = len;
    // SAFETY: `len` is at most `NAME_MAX`, for which there is room.
    unsafe { bpf_probe_read_kernel(pending.name.as_mut_ptr().cast(), len as u32, name.cast()) };
}

/// Sees: the outcome of a rename.
/// Hook: `int vfs_rename(struct renamedata *rd)`, `fs/namei.c`, 5.12 to 7.x, and 5.10 since
/// 5.10.220; before, the dentries were arguments, and the kernel refuses this program.
#[fexit]
pub fn vfs_rename(ctx: FExitContext) -> i32 {
    let data = argument(&ctx, fact!(vfs_rename_data)) as Address;
    let dentry = follow(data, fact!(renamedata_old_dentry));
    let result = argument(&ctx, fact!(vfs_rename_args)) as i32;
    let Some(pending) = end(FILE_RENAME, dentry, result) else {
        return 0;
    };
    let inode = directory_inode(dentry);
    let number: u64 = read(follow(dentry, fact!(dentry_inode)), fact!(inode_ino));
    if number == pending.replaced.inode {
        // Both names were links to one file: POSIX has nothing happen then.
        return 0;
    }
    report(
        FILE_RENAME,
        pending.at(dentry),
        inode,
        |record, tail, judge| {
            let name = (&raw const pending.name).cast::<u8>();
            let directory = pending.at(pending.other as Address);
            let old = judge.admits(tail.entry_path(tail::PATH, directory, name, pending.name_len));
            let new = judge.admits(tail.path(tail::TARGET_PATH, pending.at(dentry)));
            if !old && !new {
                return false;
            }
            identify(dentry, &mut record.file);
            record.replaced = pending.replaced;
            record.flags = pending.flags;
            record.known = KNOWN_FILE | KNOWN_REPLACED;
            true
        },
    );
    0
}

/// Sees: a file is about to get a further name.
/// Hook: `int security_path_link(struct dentry *old_dentry, const struct path *new_dir,
/// struct dentry *new_dentry)`, `security/security.c`, 5.10 to 7.x. Both are on one mount.
/// Cost: 100 ns. Fallback: `file_link_exit`.
#[fentry]
pub fn path_link(ctx: FEntryContext) -> i32 {
    begin(
        FILE_LINK,
        mount_of(typed(&ctx, 1)),
        typed(&ctx, 0),
        |pending| {
            pending.other = ctx.arg::<*const u8>(2).addr();
        },
    );
    0
}

/// Sees: the outcome of a hard link.
/// Hook: `int vfs_link(struct dentry *old_dentry, struct mnt_idmap *idmap, struct inode *dir,
/// struct dentry *new_dentry, struct delegated_inode *)`, `fs/namei.c`; up to 5.11 without the
/// second argument.
#[fexit]
pub fn vfs_link(ctx: FExitContext) -> i32 {
    let dentry = argument(&ctx, 0) as Address;
    let result = argument(&ctx, fact!(vfs_link_args)) as i32;
    let Some(pending) = end(FILE_LINK, dentry, result) else {
        return 0;
    };
    let new = pending.other as Address;
    report(
        FILE_LINK,
        pending.at(new),
        directory_inode(new),
        |record, tail, judge| {
            let from = judge.admits(tail.path(tail::PATH, pending.at(dentry)));
            let to = judge.admits(tail.path(tail::TARGET_PATH, pending.at(new)));
            if !from && !to {
                return false;
            }
            identify(dentry, &mut record.file);
            record.known = KNOWN_FILE;
            true
        },
    );
    0
}

/// Sees: a symbolic link is about to be made.
/// Hook: `int security_path_symlink(const struct path *dir, struct dentry *dentry,
/// const char *old_name)`, `security/security.c`, 5.10 to 7.x. The text stays where it is until
/// the link is made.
/// Cost: 100 ns. Fallback: `file_symlink_exit`.
#[fentry]
pub fn path_symlink(ctx: FEntryContext) -> i32 {
    begin(
        FILE_SYMLINK,
        mount_of(typed(&ctx, 0)),
        typed(&ctx, 1),
        |pending| {
            pending.other = ctx.arg::<*const u8>(2).addr();
        },
    );
    0
}

/// Sees: the outcome of a symbolic link.
/// Hook: `int vfs_symlink(struct mnt_idmap *idmap, struct inode *dir, struct dentry *dentry,
/// const char *oldname)`, `fs/namei.c`; up to 5.11 without the first argument, in 7.x with a
/// further one.
#[fexit]
pub fn vfs_symlink(ctx: FExitContext) -> i32 {
    let dentry = argument(&ctx, fact!(vfs_symlink_dentry)) as Address;
    let result = argument(&ctx, fact!(vfs_symlink_args)) as i32;
    let Some(pending) = end(FILE_SYMLINK, dentry, result) else {
        return 0;
    };
    made(FILE_SYMLINK, pending, dentry, |tail| {
        tail.kernel_string(tail::RAW_TARGET_PATH, pending.other as Address);
    });
    0
}

/// Sees: a directory is about to be made.
/// Hook: `int security_path_mkdir(const struct path *dir, struct dentry *dentry, umode_t mode)`,
/// `security/security.c`, 5.10 to 7.x.
/// Cost: 100 ns. Fallback: `file_mkdir_exit`.
#[fentry]
pub fn path_mkdir(ctx: FEntryContext) -> i32 {
    begin(FILE_MKDIR, mount_of(typed(&ctx, 0)), typed(&ctx, 1), |_| {});
    0
}

/// Sees: the outcome of making a directory.
/// Hook: `int vfs_mkdir(struct mnt_idmap *idmap, struct inode *dir, struct dentry *dentry,
/// umode_t mode)`, `fs/namei.c`; up to 5.11 without the first argument. From 6.15 on it returns
/// a dentry, which may be another one, or an error pointer.
#[fexit]
pub fn vfs_mkdir(ctx: FExitContext) -> i32 {
    let dentry = argument(&ctx, fact!(vfs_mkdir_dentry)) as Address;
    let result = argument(&ctx, fact!(vfs_mkdir_args));
    // The upper half tells a pointer from a number, which leaves 0 or ones there.
    let is_dentry = !matches!(result >> 32, 0 | 0xffff_ffff);
    let Some(pending) = end(
        FILE_MKDIR,
        dentry,
        if is_dentry { 0 } else { result as i32 },
    ) else {
        return 0;
    };
    let made_dentry = if is_dentry && !is_error(result as Address) {
        result as Address
    } else {
        dentry
    };
    made(FILE_MKDIR, pending, made_dentry, |_| {});
    0
}

/// Reports a new name.
#[inline(always)]
fn made(kind: u16, pending: &Pending, dentry: Address, add: impl FnOnce(&mut crate::emit::Tail)) {
    let location = pending.at(dentry);
    report(
        kind,
        location,
        directory_inode(dentry),
        |record: &mut FileChange, tail, judge| {
            if !judge.admits(tail.path(tail::PATH, location)) {
                return false;
            }
            add(tail);
            identify(dentry, &mut record.file);
            record.known = KNOWN_FILE;
            true
        },
    );
}
