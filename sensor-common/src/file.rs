//! Files: opened, closed after writing, and changed. Names are in the tail.

use crate::exec::{FileIdentity, Object};
use crate::record::{Header, Subject};

record! {
    /// [`crate::kind::FILE_OPEN`], [`crate::kind::FILE_CLOSE`] and [`crate::kind::FILE_READ`]:
    /// what was done through an open file. [`crate::tail::PATH`] is where it is.
    pub struct FileAccess {
        /// Header.
        pub header: Header,
        /// The process.
        pub subject: Subject,
        /// The file, after the fact.
        pub file: FileIdentity,
        /// `O_*` flags as passed to the open (`include/uapi/asm-generic/fcntl.h`); those of
        /// the open file at close, when creation flags are gone.
        pub open_flags: u32,
        /// Bits of `ACCESS_*`.
        pub access: u32,
    }
}

/// Access bit: open for reading (`FMODE_READ` of `include/linux/fs.h`).
pub const ACCESS_READ: u32 = 1;
/// Access bit: open for writing (`FMODE_WRITE`).
pub const ACCESS_WRITE: u32 = 2;
/// Access bit: this open made the file (`FMODE_CREATED`).
pub const ACCESS_CREATED: u32 = 4;
/// Access bit: this open emptied the file (`O_TRUNC` on one that was there).
pub const ACCESS_TRUNCATED: u32 = 8;

record! {
    /// [`crate::kind::STREAM_OPEN`]: a fifo or the master of a pseudo-terminal was opened.
    /// [`crate::tail::PATH`] is where it is.
    pub struct StreamOpen {
        /// Header.
        pub header: Header,
        /// The process.
        pub subject: Subject,
        /// What was opened; for a master, `rdev` says which terminal it is.
        pub object: Object,
        /// Bits of `ACCESS_*`.
        pub access: u32,
        /// Padding.
        pub reserved: u32,
    }
}

record! {
    /// A change of a name or of attributes: every kind from [`crate::kind::FILE_RENAME`] on.
    ///
    /// Where the true path is not known, the tail has no [`crate::tail::PATH`] but
    /// [`crate::tail::RAW_PATH`] as passed by the program, and [`crate::tail::BASE`], the
    /// directory it starts from; likewise for the target. A symbolic link has the text it
    /// holds as [`crate::tail::RAW_TARGET_PATH`], and no base for it.
    pub struct FileChange {
        /// Header.
        pub header: Header,
        /// The process.
        pub subject: Subject,
        /// The file, after the change; before it, for one whose name was removed.
        pub file: FileIdentity,
        /// What had the new name before a rename; all zero when nothing had it.
        pub replaced: FileIdentity,
        /// Size in bytes before the change.
        pub before_size: u64,
        /// Type and permission bits before the change.
        pub before_mode: u32,
        /// Owner before the change, in the initial user namespace.
        pub before_uid: u32,
        /// Group before the change, in the initial user namespace.
        pub before_gid: u32,
        /// Rename: `RENAME_*` of `include/uapi/linux/fs.h`. Unlink: `AT_REMOVEDIR` (0x200)
        /// for a directory. Zero otherwise.
        pub flags: u32,
        /// Bits of `KNOWN_*`.
        pub known: u32,
        /// Padding.
        pub reserved: u32,
    }
}

/// Known bit: `file` is filled in. Without it only that is, which the system call asked for:
/// the mode, the owner (`u32::MAX` for unchanged), the size.
pub const KNOWN_FILE: u32 = 1;
/// Known bit: `before_*` are filled in.
pub const KNOWN_BEFORE: u32 = 2;
/// Known bit: `replaced` is filled in, if anything was replaced.
pub const KNOWN_REPLACED: u32 = 4;
#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{offset_of, size_of};

    #[test]
    fn the_layout_is_the_one_of_this_version() {
        assert_eq!(size_of::<FileAccess>(), 24 + 120 + 72 + 8);
        assert_eq!(offset_of!(FileAccess, open_flags), 216);
        assert_eq!(size_of::<StreamOpen>(), 24 + 120 + 72 + 8);
        assert_eq!(size_of::<FileChange>(), 24 + 120 + 2 * 72 + 8 + 6 * 4);
        assert_eq!(offset_of!(FileChange, replaced), 216);
        assert_eq!(offset_of!(FileChange, before_size), 288);
        assert_eq!(offset_of!(FileChange, known), 312);
    }
}
