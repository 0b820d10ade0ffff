//! What an inode says about a file: type, owner, times, where it lives.

use core::marker::PhantomData;

use sensor_common::exec::{FILE_DELETED, FILE_MEMFD, FILE_OVERLAY_UPPER, FileIdentity};

use super::{Address, Integer, Memory, Probed, Typed, follow, read};
use crate::fact;

/// `S_IFMT` of `include/uapi/linux/stat.h`.
pub const S_IFMT: u32 = 0o170_000;
/// Regular file.
pub const S_IFREG: u32 = 0o100_000;
/// Character device.
pub const S_IFCHR: u32 = 0o020_000;
/// Block device.
pub const S_IFBLK: u32 = 0o060_000;

/// `FMODE_*` of `include/linux/fs.h`, alike from 5.10 to 7.x: open for reading.
pub const FMODE_READ: u32 = 1;
/// Open for writing.
pub const FMODE_WRITE: u32 = 2;
/// This open made the file.
pub const FMODE_CREATED: u32 = 1 << 20;
/// Opened by a file system for itself, not by a program: what overlayfs keeps behind each of
/// its open files.
pub const FMODE_NOACCOUNT: u32 = 1 << 29;

/// `OVERLAYFS_SUPER_MAGIC` of `include/uapi/linux/magic.h`.
const OVERLAY_MAGIC: u32 = 0x794c_7630;
/// `TMPFS_MAGIC` of `include/uapi/linux/magic.h`; memory files live on an internal tmpfs.
const TMPFS_MAGIC: u32 = 0x0102_1994;

/// Bits of a nanosecond count; `I_CTIME_QUERIED` (`include/linux/fs.h`, 6.13) is above them.
const NANOSECONDS: u32 = (1 << 30) - 1;

/// Type and permission bits of an inode.
#[inline(always)]
pub fn mode(inode: Address) -> u32 {
    u32::from(read::<u16>(inode, fact!(inode_mode)))
}

/// Fills in the identity of the file behind an open `struct file`; `aside` as below.
#[inline(always)]
pub fn identify<M: Memory>(file: Address, aside: *mut u8, identity: &mut FileIdentity) {
    let inode = M::follow(file, fact!(file_inode));
    let dentry = M::follow(file, fact!(file_path_dentry));
    identify_inode::<M>(inode, dentry, aside, identity);
}

/// Fills in the identity of an inode known under `dentry`, which may be read from any address
/// whatever. Every field is written. `aside` is memory of [`ASIDE`] bytes to work in.
#[inline(always)]
pub fn identify_inode<M: Memory>(
    inode: Address,
    dentry: Address,
    aside: *mut u8,
    identity: &mut FileIdentity,
) {
    let view = M::view_at(inode, aside, ASIDE as u32);
    let sb = copy_members(&Inode::<M>::new(inode, Some(view)), identity);
    complete::<M>(inode, sb, dentry, identity);
}

/// The same without memory to work in: member by member, half a microsecond slower.
#[inline(always)]
pub fn identify_inode_frugally(inode: Address, dentry: Address, identity: &mut FileIdentity) {
    let sb = copy_members(&Inode::<Probed>::new(inode, None), identity);
    complete::<Probed>(inode, sb, dentry, identity);
}

/// Fills in what does not stand in the inode itself.
#[inline(always)]
fn complete<M: Memory>(inode: Address, sb: Address, dentry: Address, identity: &mut FileIdentity) {
    let magic = M::read::<u64>(sb, fact!(sb_magic)) as u32;
    identity.dev = M::read(sb, fact!(sb_dev));
    identity.fs_magic = magic;
    identity.reserved = 0;

    let mut flags = 0;
    if identity.links == 0 || is_unhashed(dentry) {
        flags |= FILE_DELETED;
    }
    if magic == TMPFS_MAGIC && is_memfd(dentry) {
        flags |= FILE_MEMFD;
    }
    if magic == OVERLAY_MAGIC && has_upper(inode) {
        flags |= FILE_OVERLAY_UPPER;
    }
    identity.flags = flags;
}

/// Copies what stands in the inode itself; gives its `struct super_block *`.
#[inline(always)]
fn copy_members<M: Memory>(inode: &Inode<M>, identity: &mut FileIdentity) -> Address {
    identity.inode = inode.read(fact!(inode_ino));
    identity.size = inode.read(fact!(inode_size));
    identity.mtime_sec = inode.read(fact!(inode_mtime_sec));
    identity.mtime_nsec = inode.read(fact!(inode_mtime_nsec));
    identity.ctime_sec = inode.read(fact!(inode_ctime_sec));
    identity.ctime_nsec = inode.read::<u32>(fact!(inode_ctime_nsec)) & NANOSECONDS;
    identity.mode = u32::from(inode.read::<u16>(fact!(inode_mode)));
    identity.uid = inode.read(fact!(inode_uid));
    identity.gid = inode.read(fact!(inode_gid));
    identity.links = inode.read(fact!(inode_nlink));
    inode.read::<usize>(fact!(inode_sb)) as Address
}

/// What of an inode is read at once: more than 5.10 to 7.x need for the members of
/// [`copy_members`], which all stand at its beginning.
pub const ASIDE: usize = 18 * size_of::<u64>();

/// An inode, and its beginning where it is cheap to read.
struct Inode<M> {
    whole: Address,
    beginning: Option<Address>,
    memory: PhantomData<M>,
}

impl<M: Memory> Inode<M> {
    #[inline(always)]
    fn new(whole: Address, beginning: Option<Address>) -> Self {
        Self {
            whole,
            beginning,
            memory: PhantomData,
        }
    }

    /// Reads a member. Offsets are constants to the verifier: it follows one branch only.
    #[inline(always)]
    fn read<T: Integer>(&self, offset: u32) -> T {
        match self.beginning {
            Some(beginning) if offset as usize + size_of::<T>() <= ASIDE => {
                Typed::read(beginning, offset)
            }
            _ => M::read(self.whole, offset),
        }
    }
}

/// Whether the name was removed from its directory (`d_unhashed`, `include/linux/dcache.h`).
#[inline(always)]
fn is_unhashed(dentry: Address) -> bool {
    follow(dentry, fact!(dentry_hash_pprev)).is_null() && !is_root(dentry)
}

/// The root of a file system is its own parent.
#[inline(always)]
fn is_root(dentry: Address) -> bool {
    core::ptr::eq(follow(dentry, fact!(dentry_parent)), dentry)
}

/// `memfd_create` names its files `memfd:…` and makes each its own root (`mm/memfd.c`).
#[inline(always)]
pub fn is_memfd(dentry: Address) -> bool {
    let name = follow(dentry, fact!(dentry_name));
    is_root(dentry) && read::<[u8; 6]>(name, 0) == *b"memfd:"
}

/// `struct ovl_inode` (`fs/overlayfs/ovl_entry.h`) keeps `__upperdentry` right after its
/// `vfs_inode`. It is a module's type, so vmlinux BTF does not have it.
#[inline(always)]
fn has_upper(inode: Address) -> bool {
    !follow(inode, fact!(inode_struct_size)).is_null()
}
