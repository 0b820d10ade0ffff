//! The true absolute path of a dentry on a mount: what `d_absolute_path` (`fs/d_path.c`)
//! computes, by walking parents and hopping over mount points up to the root of the mount
//! tree. Written from the end of a buffer to its beginning, because the walk goes that way.

use core::hint::black_box;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use sensor_common::limits::{NAME_MAX, PATH_DEPTH_MAX, PATH_MAX};

use super::{Address, follow, read};
use crate::fact;

/// Room for a path plus one component, so that a masked position plus a masked length is
/// always inside.
pub const BUFFER: usize = PATH_MAX + 1 + NAME_MAX + 1;

/// A dentry and the mount it is seen through (`struct path`).
#[derive(Clone, Copy)]
pub struct Location {
    /// `struct vfsmount *`.
    pub mnt: Address,
    /// `struct dentry *`.
    pub dentry: Address,
}

impl Location {
    /// Where an open file is.
    #[inline(always)]
    pub fn of_file(file: Address) -> Self {
        Self {
            mnt: follow(file, fact!(file_path_mnt)),
            dentry: follow(file, fact!(file_path_dentry)),
        }
    }

    /// Working directory of a task.
    #[inline(always)]
    pub fn working_directory(task: Address) -> Self {
        let fs = follow(task, fact!(task_fs));
        Self { mnt: follow(fs, fact!(fs_pwd_mnt)), dentry: follow(fs, fact!(fs_pwd_dentry)) }
    }
}

/// Where the path begins in the buffer (it ends at [`PATH_MAX`]), and whether it is whole.
#[derive(Clone, Copy)]
pub struct Walked {
    /// Index of the first byte.
    pub start: usize,
    /// The root was not reached within the bounds.
    pub truncated: bool,
}

/// `struct dentry` reads that the walk needs at each step.
#[derive(Clone, Copy)]
struct Step {
    parent: Address,
    name: Address,
    len: usize,
}

#[inline(always)]
fn step(dentry: Address) -> Step {
    Step {
        parent: follow(dentry, fact!(dentry_parent)),
        name: follow(dentry, fact!(dentry_name)),
        len: read::<u32>(dentry, fact!(dentry_name_len)) as usize,
    }
}

/// Walks from `location` to the root and leaves the path in `buffer[start..PATH_MAX]`.
///
/// VERIFIER: one bounded loop; the only variable pointer arithmetic is a masked position, and
/// the component length is masked right before the copy.
#[inline(always)]
pub fn walk(location: Location, buffer: *mut u8) -> Walked {
    let mut dentry = location.dentry;
    // `struct mount` contains the `struct vfsmount` that paths point to.
    let mut mount = location.mnt.wrapping_sub(fact!(mount_mnt) as usize);
    let mut mount_root = follow(location.mnt, fact!(vfsmount_root));
    let mut start = PATH_MAX;
    let mut truncated = true;

    for _ in 0..PATH_DEPTH_MAX {
        if core::ptr::eq(dentry, mount_root) {
            let parent_mount = follow(mount, fact!(mount_parent));
            if core::ptr::eq(parent_mount, mount) {
                truncated = false;
                break;
            }
            dentry = follow(mount, fact!(mount_mountpoint));
            mount = parent_mount;
            mount_root = follow(mount, fact!(mount_mnt) + fact!(vfsmount_root));
            continue;
        }
        let Step { parent, name, len } = step(dentry);
        if core::ptr::eq(parent, dentry) {
            // The root of a file system that is not mounted: pipes, sockets, memory files,
            // detached mounts. Its name is all there is.
            start = prepend(buffer, start, name, len, false);
            truncated = false;
            break;
        }
        if len + 1 > start {
            break;
        }
        start = prepend(buffer, start, name, len, true);
        dentry = parent;
    }
    if start == PATH_MAX {
        start = PATH_MAX - 1;
        // SAFETY: a constant index inside the buffer.
        unsafe { *buffer.add(PATH_MAX - 1) = b'/' };
    }
    Walked { start, truncated }
}

/// Puts `/name` (or just `name`) before what is already there; gives the new start.
#[inline(always)]
fn prepend(buffer: *mut u8, start: usize, name: Address, len: usize, slash: bool) -> usize {
    let len = black_box(len) & NAME_MAX;
    let at = black_box(start.wrapping_sub(len)) & PATH_MAX;
    // SAFETY: `at <= PATH_MAX` and `len <= NAME_MAX`, and the buffer holds both together.
    unsafe { bpf_probe_read_kernel(buffer.add(at).cast(), len as u32, name.cast()) };
    if !slash {
        return at;
    }
    let at = black_box(at.wrapping_sub(1)) & PATH_MAX;
    // SAFETY: `at <= PATH_MAX`.
    unsafe { *buffer.add(at) = b'/' };
    at
}
