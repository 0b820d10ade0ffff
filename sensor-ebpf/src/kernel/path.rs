//! The true absolute path of a dentry on a mount: what `d_absolute_path` (`fs/d_path.c`)
//! computes, by walking parents and hopping over mount points up to the root of the mount
//! tree. Written from the end of a buffer to its beginning, because the walk goes that way.

use core::hint::black_box;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use sensor_common::limits::{NAME_MAX, PATH_DEPTH_MAX, PATH_MAX, SCRATCH_SLOTS};

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
        Self::read(file, fact!(file_path_mnt), fact!(file_path_dentry))
    }

    /// What a task takes for the root.
    #[inline(always)]
    pub fn root(task: Address) -> Self {
        let fs = follow(task, fact!(task_fs));
        Self::read(fs, fact!(fs_root_mnt), fact!(fs_root_dentry))
    }

    /// Working directory of a task.
    #[inline(always)]
    pub fn working_directory(task: Address) -> Self {
        let fs = follow(task, fact!(task_fs));
        Self::read(fs, fact!(fs_pwd_mnt), fact!(fs_pwd_dentry))
    }

    /// A `struct path` inside something else, of which the members are at these offsets.
    ///
    /// VERIFIER: always through the helper, because what it gives is a plain number, and
    /// [`path_walk`] takes nothing else.
    #[inline(always)]
    fn read(holder: Address, mnt: u32, dentry: u32) -> Self {
        if dentry == mnt + 8 {
            // In a row, as on all kernels so far: one read for two.
            let [mnt, dentry]: [u64; 2] = read(holder, mnt);
            return Self {
                mnt: mnt as usize as Address,
                dentry: dentry as usize as Address,
            };
        }
        Self {
            mnt: follow(holder, mnt),
            dentry: follow(holder, dentry),
        }
    }
}

/// Path buffers, one per scratch slot of the CPU.
#[map]
static PATHS: PerCpuArray<Buffer> = PerCpuArray::with_max_entries(SCRATCH_SLOTS, 0);

/// Room for one path, written from the end.
#[repr(C, align(8))]
pub struct Buffer([u8; BUFFER]);

/// The path buffer that belongs to a scratch slot.
#[inline(always)]
pub fn buffer(slot: u32) -> Option<*mut u8> {
    PATHS.get_ptr_mut(slot).map(|buffer| buffer.cast())
}

/// Where the path begins in the buffer (it ends at [`PATH_MAX`]), and whether it is whole.
#[derive(Clone, Copy)]
pub struct Walked {
    /// Index of the first byte.
    pub start: usize,
    /// The root was not reached within the bounds.
    pub truncated: bool,
}

/// Walks from `location` to the root and leaves the path in `buffer(slot)[start..PATH_MAX]`.
#[inline(always)]
pub fn walk(location: Location, slot: u32) -> Walked {
    walk_before(PATH_MAX, location, slot)
}

/// Walks from the directory at `location` to the root and leaves the path of the entry `name`
/// in it, `len` bytes long, in `buffer(slot)[start..PATH_MAX]`.
#[inline(always)]
pub fn walk_to_entry(location: Location, name: Address, len: usize, slot: u32) -> Walked {
    let start = buffer(slot).map_or(PATH_MAX, |buffer| {
        prepend(buffer, PATH_MAX, name, len, true)
    });
    walk_before(start, location, slot)
}

/// Puts the path of `location` before what begins at `start`.
#[inline(always)]
fn walk_before(start: usize, location: Location, slot: u32) -> Walked {
    let result = path_walk(
        location.mnt as u64,
        location.dentry as u64,
        slot,
        start as u32,
    );
    Walked {
        start: (result & PATH_MAX as u64) as usize,
        truncated: result & TRUNCATED != 0,
    }
}

/// Set in the result of [`path_walk`] when the root was not reached.
const TRUNCATED: u64 = 1 << 32;

/// What the walk needs of a `struct mount`.
#[derive(Clone, Copy)]
struct Mount {
    this: Address,
    parent: Address,
    mountpoint: Address,
    root: Address,
}

#[inline(always)]
fn mount(this: Address) -> Mount {
    let first = fact!(mount_parent);
    let root = fact!(mount_mnt) + fact!(vfsmount_root);
    if fact!(mount_mountpoint) == first + 8 && root == first + 16 {
        // In a row, as on all kernels so far: one read for three.
        let [parent, mountpoint, root]: [u64; 3] = read(this, first);
        return Mount {
            this,
            parent: parent as usize as Address,
            mountpoint: mountpoint as usize as Address,
            root: root as usize as Address,
        };
    }
    Mount {
        this,
        parent: follow(this, first),
        mountpoint: follow(this, fact!(mount_mountpoint)),
        root: follow(this, root),
    }
}

/// What the walk needs of a `struct dentry`.
#[derive(Clone, Copy)]
struct Step {
    parent: Address,
    name: Address,
    len: usize,
}

#[inline(always)]
fn step(dentry: Address) -> Step {
    let first = fact!(dentry_parent);
    if fact!(dentry_name_len) == first + 12 && fact!(dentry_name) == first + 16 {
        // Parent, hash and length of the name, and the name stand in a row, as on all kernels
        // so far: one read for three.
        let [parent, hash_and_len, name]: [u64; 3] = read(dentry, first);
        return Step {
            parent: parent as usize as Address,
            name: name as usize as Address,
            len: (hash_and_len.to_le() >> 32) as usize,
        };
    }
    Step {
        parent: follow(dentry, fact!(dentry_parent)),
        name: follow(dentry, fact!(dentry_name)),
        len: read::<u32>(dentry, fact!(dentry_name_len)) as usize,
    }
}

/// The walk itself, with what it finds put before `end`; gives the start, and [`TRUNCATED`].
///
/// VERIFIER: a global function, which the verifier goes through once per program and not once
/// per call; such functions take numbers only on 5.10. One bounded loop; the only variable
/// pointer arithmetic is a masked position, and the component length is masked right before
/// the copy.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn path_walk(mnt: u64, dentry: u64, slot: u32, end: u32) -> u64 {
    let Some(buffer) = buffer(slot) else {
        return TRUNCATED;
    };
    let mnt = mnt as Address;
    let mut dentry = dentry as Address;
    // `struct mount` contains the `struct vfsmount` that paths point to.
    let mut on = mount(mnt.wrapping_sub(fact!(mount_mnt) as usize));
    let mut start = end as usize & PATH_MAX;
    let mut truncated = TRUNCATED;

    for _ in 0..PATH_DEPTH_MAX {
        if core::ptr::eq(dentry, on.root) {
            if core::ptr::eq(on.parent, on.this) {
                truncated = 0;
                break;
            }
            dentry = on.mountpoint;
            on = mount(on.parent);
            continue;
        }
        let Step { parent, name, len } = step(dentry);
        if core::ptr::eq(parent, dentry) {
            // The root of a file system that is not mounted: pipes, sockets, memory files,
            // detached mounts. Its name is all there is.
            start = prepend(buffer, start, name, len, false);
            truncated = 0;
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
    start as u64 | truncated
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
