//! Files. `open`: opened for writing, created, read while watched. `close`: closed after
//! writing. What they have in common is here.

mod attributes;
mod calls;
mod change;
mod close;
mod names;
mod open;
mod stream;

use sensor_common::file::{ACCESS_CREATED, ACCESS_READ, ACCESS_WRITE, FileAccess};
use sensor_common::kind::LANE_FILE;

use crate::emit;
use crate::fact;
use crate::filter::Filter;
use crate::kernel::file::{self, FMODE_CREATED, FMODE_READ, FMODE_WRITE, S_IFBLK, S_IFMT, S_IFREG};
use crate::kernel::path::Location;
use crate::kernel::{Address, Memory, follow, task};

/// Whether files of this type (an inode's mode) are reported: regular files and block devices.
#[inline(always)]
fn is_reported_type(mode: u16) -> bool {
    matches!(u32::from(mode) & S_IFMT, S_IFREG | S_IFBLK)
}

/// `ACCESS_*` from `file.f_mode`.
#[inline(always)]
fn access(mode: u32) -> u32 {
    let mut access = mode & (FMODE_READ | FMODE_WRITE);
    const { assert!(FMODE_READ == ACCESS_READ && FMODE_WRITE == ACCESS_WRITE) };
    if mode & FMODE_CREATED != 0 {
        access |= ACCESS_CREATED;
    }
    access
}

/// Whether a mount is nowhere in any tree: `MNT_NS_INTERNAL` (`fs/mount.h`), an error pointer,
/// on what overlayfs keeps of its layers and on file systems that have no names, such as those
/// of memory files.
#[inline(always)]
fn is_internal(mnt: Address) -> bool {
    let mount = mnt.wrapping_sub(fact!(mount_mnt) as usize);
    is_error(follow(mount, fact!(mount_ns)))
}

/// `IS_ERR` of `include/linux/err.h`.
#[inline(always)]
fn is_error(pointer: Address) -> bool {
    const MAX_ERRNO: usize = 4095;
    pointer.addr() > usize::MAX - MAX_ERRNO
}

/// What was done through an open file.
#[derive(Clone, Copy)]
struct Access {
    kind: u16,
    open_flags: u32,
    access: u32,
}

/// Counts, filters and reports an access.
#[inline(always)]
fn report<M: Memory>(filter: Filter, open: Address, seen: Access) {
    emit::seen(seen.kind);
    let inode = M::follow(open, fact!(file_inode));
    let magic = M::read::<u64>(M::follow(inode, fact!(inode_sb)), fact!(sb_magic)) as u32;
    let location = Location::of_file(open);
    if filter.excludes_file_system(magic) || is_internal(location.mnt) || filter.excludes_process()
    {
        return emit::filtered(seen.kind);
    }
    emit::variable_if::<FileAccess>(seen.kind, LANE_FILE, |record, tail| {
        let path = tail.path(sensor_common::tail::PATH, location);
        if !path.is_some_and(|path| filter.admits(path, magic)) {
            return false;
        }
        task::identify_acting(&mut record.subject);
        let aside = tail.aside::<{ file::ASIDE }>();
        file::identify_inode::<M>(inode, location.dentry, aside, &mut record.file);
        record.open_flags = seen.open_flags;
        record.access = seen.access;
        true
    });
}
