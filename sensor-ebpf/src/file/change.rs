//! Changes of names and attributes, seen from both sides of the operation.
//!
//! The security hooks (`security_path_*`) run before it and have the mount, which a true path
//! needs, and things as they were; the functions of the VFS (`vfs_*`, `notify_change`) return
//! after it with its outcome, but know no mount. So what the first see is kept by thread until
//! the second return with the same dentry. Operations that a file system does on its own
//! layers (overlayfs) go through the VFS with other dentries, or without the hooks.

use aya_ebpf::helpers::generated::bpf_get_current_pid_tgid;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, LruHashMap};
use sensor_common::exec::FileIdentity;
use sensor_common::file::FileChange;
use sensor_common::kind::LANE_FILE;
use sensor_common::limits::NAME_MAX;

use super::is_internal;
use crate::emit::{self, Path, Tail};
use crate::fact;
use crate::filter::Filter;
use crate::kernel::path::Location;
use crate::kernel::{Address, Memory as _, Typed, file, follow, read, task};

/// An operation that has begun: what is not known any more when it is over. Zeros are valid.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Pending {
    /// Kind of event to be; 0 when there is none.
    kind: u32,
    /// Thread, because an entry can fall to another one while it is written.
    thread: u32,
    /// Address of the dentry the operation is about.
    dentry: usize,
    /// Address of the mount.
    pub(super) mnt: usize,
    /// Another address, as the kind needs it.
    pub(super) other: usize,
    /// Flags of the operation.
    pub(super) flags: u32,
    reserved: u32,
    /// The file before.
    pub(super) before: FileIdentity,
    /// What is about to be replaced.
    pub(super) replaced: FileIdentity,
    /// Length of `name`.
    pub(super) name_len: usize,
    /// A name that is about to go.
    pub(super) name: [u8; NAME_MAX + 1],
}

impl Pending {
    /// Where it happens.
    ///
    /// VERIFIER: a number, not a pointer: a typed pointer cannot be handed to a global function,
    /// which the path walk is. Volatile, or the compiler takes the pointer it was compared with.
    #[inline(always)]
    pub(super) fn location(&self) -> Location {
        // SAFETY: a plain load from ourselves.
        let dentry = unsafe { (&raw const self.dentry).read_volatile() };
        self.at(dentry as Address)
    }

    /// The mount and another dentry.
    #[inline(always)]
    pub(super) fn at(&self, dentry: Address) -> Location {
        Location {
            mnt: self.mnt as Address,
            dentry,
        }
    }
}

/// More than threads that are inside such an operation at one time.
const THREADS: u32 = 4096;

/// Operations that have begun, by thread. Entries stay for the thread's next operation, and the
/// least recently used makes room for that of a new thread.
#[map]
static PENDING: LruHashMap<u64, Pending> = LruHashMap::with_max_entries(THREADS, 0);

/// A power of two; process ids are given out in sequence, so threads share a slot only when so
/// many lie between them.
const SLOTS: u32 = 16_384;

/// What a thread has begun.
#[repr(C)]
struct Begun {
    dentry: usize,
    thread: u32,
    kind: u32,
}

/// What each thread has begun: an entry of [`PENDING`] can be pushed out by those of other
/// threads before the operation is over, and this tells such a loss from operations that never
/// begin, which file systems do on their own layers. Plain slots by thread, of which a later
/// thread may take one over; then that loss alone is not counted.
#[map]
static BEGUN: Array<Begun> = Array::with_max_entries(SLOTS, 0);

/// The slot of a thread.
#[inline(always)]
fn slot(thread: u64) -> Option<*mut Begun> {
    BEGUN.get_ptr_mut(thread as u32 & (SLOTS - 1))
}

/// What a new entry of [`PENDING`] is made of.
static NOTHING: Pending = Pending {
    kind: 0,
    thread: 0,
    dentry: 0,
    mnt: 0,
    other: 0,
    flags: 0,
    reserved: 0,
    before: NO_FILE,
    replaced: NO_FILE,
    name_len: 0,
    name: [0; NAME_MAX + 1],
};

/// All zero.
pub(super) const NO_FILE: FileIdentity = FileIdentity {
    inode: 0,
    size: 0,
    mtime_sec: 0,
    ctime_sec: 0,
    mtime_nsec: 0,
    ctime_nsec: 0,
    dev: 0,
    mode: 0,
    uid: 0,
    gid: 0,
    links: 0,
    fs_magic: 0,
    flags: 0,
    reserved: 0,
};

#[inline(always)]
fn thread() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_get_current_pid_tgid() }
}

/// Keeps in mind that this thread begins an operation on `dentry`; `fill` adds what it needs.
/// An operation that is refused before it reaches the VFS is overwritten by the next.
#[inline(always)]
pub(super) fn begin(kind: u16, mnt: Address, dentry: Address, fill: impl FnOnce(&mut Pending)) {
    let thread = thread();
    if let Some(slot) = slot(thread) {
        let begun = Begun {
            dentry: dentry.addr(),
            thread: thread as u32,
            kind: u32::from(kind),
        };
        // SAFETY: an element of the map, of numbers only, whoever else writes there.
        unsafe { slot.write(begun) };
    }
    let mut place = PENDING.get_ptr_mut(thread);
    if place.is_none() {
        let _ = PENDING.insert(thread, &NOTHING, 0);
        place = PENDING.get_ptr_mut(thread);
    }
    let Some(place) = place else { return };
    // SAFETY: an element of the map. Only this thread uses it, unless the map is full of
    // threads busier than this one and it is given away; then `end` does not find it.
    let pending = unsafe { &mut *place };
    pending.kind = u32::from(kind);
    pending.thread = thread as u32;
    pending.dentry = dentry.addr();
    pending.mnt = mnt.addr();
    fill(pending);
}

/// What this thread began on `dentry`, if `result` says that it was done. Over in any case,
/// but for a delegation to be recalled first (`EWOULDBLOCK`), when the kernel tries again.
#[inline(always)]
pub(super) fn end(kind: u16, dentry: Address, result: i32) -> Option<&'static Pending> {
    const EWOULDBLOCK: i32 = 11;
    if result == -EWOULDBLOCK {
        return None;
    }
    let thread = thread();
    let begun = has_begun(kind, thread, dentry);
    let found = find(kind, thread, dentry);
    if found.is_none() && begun && result == 0 {
        emit::lost_begun(kind);
    }
    let pending = found?;
    pending.kind = 0;
    (result == 0).then_some(pending)
}

/// Whether this thread has begun this; not any more after that.
#[inline(always)]
fn has_begun(kind: u16, thread: u64, dentry: Address) -> bool {
    let Some(slot) = slot(thread) else {
        return false;
    };
    // SAFETY: as in `begin`.
    let begun = unsafe { &mut *slot };
    let is_it = begun.kind == u32::from(kind)
        && begun.thread == thread as u32
        && begun.dentry == dentry.addr();
    if is_it {
        begun.kind = 0;
    }
    is_it
}

/// What was kept of it.
#[inline(always)]
fn find(kind: u16, thread: u64, dentry: Address) -> Option<&'static mut Pending> {
    let place = PENDING.get_ptr_mut(thread)?;
    // SAFETY: as in `begin`.
    let pending = unsafe { &mut *place };
    let is_it = pending.kind == u32::from(kind)
        && pending.thread == thread as u32
        && pending.dentry == dentry.addr();
    is_it.then_some(pending)
}

/// Counts, filters and reports a change. `inode` is one of the file system it happened in;
/// `fill` puts in paths first, and gives up when [`Judge::admits`] none of them.
#[inline(always)]
pub(super) fn report(
    kind: u16,
    location: Location,
    inode: Address,
    fill: impl FnOnce(&mut FileChange, &mut Tail, Judge) -> bool,
) {
    let Some(filter) = Filter::now() else { return };
    emit::seen(kind);
    let magic = read::<u64>(follow(inode, fact!(inode_sb)), fact!(sb_magic)) as u32;
    if filter.excludes_file_system(magic) || is_internal(location.mnt) || filter.excludes_process()
    {
        return emit::filtered(kind);
    }
    emit::variable_if::<FileChange>(kind, LANE_FILE, |record, tail| {
        record.replaced = NO_FILE;
        record.before_size = 0;
        record.before_mode = 0;
        record.before_uid = 0;
        record.before_gid = 0;
        record.flags = 0;
        record.reserved = 0;
        if !fill(record, tail, Judge { filter, magic }) {
            return false;
        }
        task::identify_acting(&mut record.subject);
        true
    });
}

/// Says of a path whether it is reported.
#[derive(Clone, Copy)]
pub(super) struct Judge {
    filter: Filter,
    magic: u32,
}

impl Judge {
    #[inline(always)]
    pub(super) fn admits(self, path: Option<Path>) -> bool {
        path.is_some_and(|path| self.filter.admits(path, self.magic))
    }
}

/// `struct path *` as the security hooks get it.
#[inline(always)]
pub(super) fn mount_of(path: Address) -> Address {
    Typed::follow(path, fact!(path_mnt))
}

/// Fills in the identity of what a dentry names; all zero when it names nothing.
#[inline(always)]
pub(super) fn identify(dentry: Address, identity: &mut FileIdentity) {
    let inode = follow(dentry, fact!(dentry_inode));
    if inode.is_null() {
        *identity = NO_FILE;
    } else {
        file::identify_inode_frugally(inode, dentry, identity);
    }
}

/// The inode of the directory a dentry is in, which is there whatever became of its own.
#[inline(always)]
pub(super) fn directory_inode(dentry: Address) -> Address {
    follow(follow(dentry, fact!(dentry_parent)), fact!(dentry_inode))
}
