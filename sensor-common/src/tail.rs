//! The variable part of a record: a run of sections, each a [`SectionHeader`] followed by
//! `len` bytes, unaligned, in any order, each tag at most once.

record! {
    /// Header of one section.
    pub struct SectionHeader {
        /// What the bytes are, one of the constants of this module.
        pub tag: u8,
        /// [`TRUNCATED`] or zero.
        pub flags: u8,
        /// Length of the bytes that follow.
        pub len: u16,
    }
}

/// Section flag: the kernel had more than its bound allowed to copy.
pub const TRUNCATED: u8 = 1;
/// Section flag: the memory could not be read; `len` is zero.
pub const UNREADABLE: u8 = 2;

/// Absolute path of the executable.
pub const EXECUTABLE: u8 = 1;
/// Absolute path of the working directory.
pub const WORKING_DIRECTORY: u8 = 2;
/// Arguments, each ended by NUL.
pub const ARGUMENTS: u8 = 3;
/// Environment, each variable ended by NUL.
pub const ENVIRONMENT: u8 = 4;
/// The file named to `execve`, as passed; differs from the interpreter for `#!` scripts.
pub const FILENAME: u8 = 5;
/// The interpreter that `#!` named, as written there.
pub const INTERPRETER: u8 = 6;
/// Absolute path of what standard input is, where it has one.
pub const STDIN_PATH: u8 = 7;
/// Absolute path of what standard output is, where it has one.
pub const STDOUT_PATH: u8 = 8;
/// Absolute path of what standard error is, where it has one.
pub const STDERR_PATH: u8 = 9;
/// Absolute path of the file the event is about.
pub const PATH: u8 = 10;
/// Absolute path of the other file of the event: the new name, the target of a link.
pub const TARGET_PATH: u8 = 11;
/// A name that is not a path: module, memfd, BPF program, file-system type.
pub const NAME: u8 = 12;
/// Bytes of a network message.
pub const PAYLOAD: u8 = 13;
/// A path as the program passed it, not resolved.
pub const RAW_PATH: u8 = 14;
/// The second path as the program passed it.
pub const RAW_TARGET_PATH: u8 = 15;
/// Absolute path of the directory that [`RAW_PATH`] starts from: the working directory, the
/// one given by descriptor, or the process's root for an absolute one.
pub const BASE: u8 = 16;
/// Likewise for [`RAW_TARGET_PATH`].
pub const TARGET_BASE: u8 = 17;
/// Name of a rule, NUL padded.
pub const RULE: u8 = 25;
/// Name of the kernel function, tracepoint or hook a BPF program is made for.
pub const FUNCTION: u8 = 24;
