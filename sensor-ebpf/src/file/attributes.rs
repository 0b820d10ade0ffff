//! Attributes: mode, owner, size. The programs of the preferred way; see `change` for how the
//! two halves of each work together, and `calls` for the fallback.

use aya_ebpf::macros::{fentry, fexit};
use aya_ebpf::programs::{FEntryContext, FExitContext};
use sensor_common::file::{KNOWN_BEFORE, KNOWN_FILE};
use sensor_common::kind::{FILE_CHMOD, FILE_CHOWN, FILE_TRUNCATE};
use sensor_common::tail;

use super::change::{begin, end, identify, mount_of, report};
use crate::fact;
use crate::kernel::{Address, Memory as _, Typed, argument, follow, read};

/// `ATTR_*` of `include/linux/fs.h`, alike from 5.10 to 7.x: which attributes are set.
const ATTR_MODE: u32 = 1;
const ATTR_UID: u32 = 1 << 1;
const ATTR_GID: u32 = 1 << 2;
const ATTR_SIZE: u32 = 1 << 3;
/// Emptied by an open with `O_TRUNC`, which is part of that event.
const ATTR_OPEN: u32 = 1 << 15;

/// Sees: a mode is about to be changed, by path or descriptor.
/// Hook: `int security_path_chmod(const struct path *path, umode_t mode)`,
/// `security/security.c`, 5.10 to 7.x.
/// Cost: 200 ns. Fallback: `file_chmod_exit`.
#[fentry]
pub fn path_chmod(ctx: FEntryContext) -> i32 {
    begin_change(FILE_CHMOD, ctx.arg::<*const u8>(0));
    0
}

/// Sees: an owner is about to be changed, by path or descriptor.
/// Hook: `int security_path_chown(const struct path *path, kuid_t uid, kgid_t gid)`,
/// `security/security.c`, 6.1 to 7.x. Before, trampolines could not pass those two structures
/// on, and it is `int chown_common(const struct path *path, uid_t user, gid_t group)`,
/// `fs/open.c`.
/// Cost: 200 ns. Fallback: `file_chown_exit`.
#[fentry]
pub fn path_chown(ctx: FEntryContext) -> i32 {
    begin_change(FILE_CHOWN, ctx.arg::<*const u8>(0));
    0
}

/// Sees: a file is about to be truncated by path; up to 6.1 by descriptor and at open as well.
/// Hook: `int security_path_truncate(const struct path *path)`, `security/security.c`, 5.10 to
/// 7.x.
/// Cost: 200 ns. Fallback: `file_truncate_exit`.
#[fentry]
pub fn path_truncate(ctx: FEntryContext) -> i32 {
    begin_change(FILE_TRUNCATE, ctx.arg::<*const u8>(0));
    0
}

/// Sees: a file is about to be truncated by descriptor or at open.
/// Hook: `int security_file_truncate(struct file *file)`, `security/security.c`, 6.2 to 7.x;
/// before, `path_truncate` sees all.
#[fentry]
pub fn file_truncate(ctx: FEntryContext) -> i32 {
    let file: Address = ctx.arg::<*const u8>(0);
    let dentry = Typed::follow(file, fact!(file_path_dentry));
    begin(
        FILE_TRUNCATE,
        Typed::follow(file, fact!(file_path_mnt)),
        dentry,
        |pending| {
            identify(dentry, &mut pending.before);
        },
    );
    0
}

#[inline(always)]
fn begin_change(kind: u16, path: Address) {
    let dentry = Typed::follow(path, fact!(path_dentry));
    begin(kind, mount_of(path), dentry, |pending| {
        identify(dentry, &mut pending.before)
    });
}

/// Sees: the outcome of a change of attributes.
/// Hook: `int notify_change(struct mnt_idmap *idmap, struct dentry *dentry, struct iattr *attr,
/// struct delegated_inode *)`, `fs/attr.c`; up to 5.11 without the first argument.
/// Cost: a look-up for each change of attributes, of times as well.
#[fexit]
pub fn notify_change(ctx: FExitContext) -> i32 {
    let valid: u32 = read(
        argument(&ctx, fact!(notify_change_iattr)) as Address,
        fact!(iattr_valid),
    );
    let kind = if valid & (ATTR_SIZE | ATTR_OPEN) == ATTR_SIZE {
        FILE_TRUNCATE
    } else if valid & (ATTR_UID | ATTR_GID) != 0 {
        FILE_CHOWN
    } else if valid & ATTR_MODE != 0 {
        FILE_CHMOD
    } else {
        return 0;
    };
    let dentry = argument(&ctx, fact!(notify_change_dentry)) as Address;
    let result = argument(&ctx, fact!(notify_change_args)) as i32;
    let Some(pending) = end(kind, dentry, result) else {
        return 0;
    };
    let location = pending.at(dentry);
    report(
        kind,
        location,
        follow(dentry, fact!(dentry_inode)),
        |record, tail, judge| {
            if !judge.admits(tail.path(tail::PATH, location)) {
                return false;
            }
            identify(dentry, &mut record.file);
            record.before_size = pending.before.size;
            record.before_mode = pending.before.mode;
            record.before_uid = pending.before.uid;
            record.before_gid = pending.before.gid;
            record.known = KNOWN_FILE | KNOWN_BEFORE;
            true
        },
    );
    0
}
