//! What user space tells the kernel programs to leave out, through maps that can be changed
//! while they run. Each map is looked at only if a flag says that there is something in it.

record! {
    /// The one element of the map `SETTINGS`.
    #[derive(Default)]
    pub struct Settings {
        /// Bits of `HAS_*` and [`PSEUDO`].
        pub flags: u32,
        /// Padding.
        pub reserved: u32,
        /// Bit `n` is set when a watched inode has a number that gives `n` in [`watch_bit`]:
        /// a look at it spares most opens the look-up.
        pub watched: [u64; WATCH_WORDS],
    }
}

/// Words in [`Settings::watched`], a power of two.
pub const WATCH_WORDS: usize = 16;

/// Settings flag: the map `PATH_PREFIXES` is not empty.
pub const HAS_PREFIXES: u32 = 1;
/// Settings flag: the map `PATH_SUFFIXES` is not empty.
pub const HAS_SUFFIXES: u32 = 2;
/// Settings flag: the map `COMMS` is not empty.
pub const HAS_COMMS: u32 = 4;
/// Settings flag: the map `UIDS` is not empty.
pub const HAS_UIDS: u32 = 8;
/// Settings flag: the map `CGROUPS` is not empty.
pub const HAS_CGROUPS: u32 = 16;
/// Settings flag: the map `WATCHED` is not empty.
pub const HAS_WATCHED: u32 = 32;
/// Settings flag: report changes in kernel file systems (proc, sysfs, cgroup, …) like any
/// other. Without it only what a prefix or suffix says is reported there.
pub const PSEUDO: u32 = 64;

/// Bytes of a path that a prefix can have.
pub const PREFIX_MAX: usize = 120;
/// Bytes of a path's end that a suffix can have.
pub const SUFFIX_MAX: usize = 24;
/// Prefixes there can be.
pub const PREFIXES_MAX: u32 = 1024;
/// Suffixes there can be.
pub const SUFFIXES_MAX: u32 = 256;
/// Names, user ids or control groups there can be, each.
pub const SUBJECTS_MAX: u32 = 1024;
/// Watched inodes there can be.
pub const WATCHED_MAX: u32 = 8192;

/// Key of `PATH_PREFIXES`, behind the prefix length in bits: the beginning of a path. The NUL
/// at its end counts, so that a prefix with a NUL stands for that very file.
pub type PrefixKey = [u8; PREFIX_MAX];
/// Key of `PATH_SUFFIXES`, behind the prefix length in bits: the end of a path, last byte
/// first.
pub type SuffixKey = [u8; SUFFIX_MAX];

/// Action: do not report. The longest prefix decides; a suffix that says [`REPORT`] beats it,
/// one that says `DROP` is beaten by a prefix that says [`REPORT`].
pub const DROP: u32 = 1;
/// Action: report.
pub const REPORT: u32 = 2;

record! {
    /// Key of `WATCHED`: an inode.
    #[derive(Default, PartialEq, Eq, Hash)]
    pub struct InodeKey {
        /// Inode number, as the kernel has it (`inode.i_ino`).
        pub inode: u64,
        /// Device of its file system (`super_block.s_dev`), `major << 20 | minor`.
        pub dev: u32,
        /// Padding.
        pub reserved: u32,
    }
}

/// Watch bit: report when this file is read.
pub const WATCH_SELF: u32 = 1;
/// Watch bit: report when a file in this directory is read.
pub const WATCH_CHILDREN: u32 = 2;

/// Where an inode number stands in [`Settings::watched`]: word and bit.
#[inline(always)]
#[must_use]
pub const fn watch_bit(inode: u64) -> (usize, u64) {
    let mixed = inode ^ (inode >> 10);
    ((mixed >> 6) as usize & (WATCH_WORDS - 1), 1 << (mixed & 63))
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::size_of;

    #[test]
    fn the_layout_is_the_one_of_this_version() {
        assert_eq!(size_of::<Settings>(), 8 + 8 * WATCH_WORDS);
        assert_eq!(size_of::<InodeKey>(), 16);
    }

    #[test]
    fn every_inode_number_has_its_place() {
        for inode in [0, 1, 63, 64, 1023, 1024, u64::MAX] {
            let (word, bit) = watch_bit(inode);
            assert!(word < WATCH_WORDS);
            assert_eq!(bit.count_ones(), 1);
        }
    }
}
