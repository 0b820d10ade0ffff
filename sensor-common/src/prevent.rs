//! What user space tells the kernel programs that keep programs from starting: rules of which
//! every condition has to hold. Each value that a program to be started has (its file, user,
//! standard input, …) is looked up and gives the set of rules that accept it, one bit each; what is
//! in all the sets is a rule that applies. And the record of what came of it.

use crate::exec::{FileIdentity, Object};
use crate::record::{Header, Subject};

/// Rules there can be at a time; each may have to be known in its old and its new form while it is
/// changed, and all of them have to fit into the bits of a `u64`.
pub const RULES_MAX: u32 = 32;
/// Places for the kinds of object that a standard stream can be.
pub const STREAMS: usize = 16;
/// Place, beside those of `OBJECT_*`, of an inet socket of which the other side is on loopback.
pub const STREAM_LOOPBACK: usize = 15;

/// Place of a trait: an anonymous file in memory.
pub const TRAIT_MEMFD: usize = 0;
/// The name is no longer in its directory.
pub const TRAIT_DELETED: usize = 1;
/// It lives in memory, on tmpfs or ramfs, with a name.
pub const TRAIT_TMPFS: usize = 2;
/// Its name begins with a dot.
pub const TRAIT_HIDDEN_NAME: usize = 3;
/// It is in the writable layer of a container.
pub const TRAIT_OVERLAY_UPPER: usize = 4;
/// It gives away its owner's rights.
pub const TRAIT_SETUID: usize = 5;
/// Anybody may change it.
pub const TRAIT_WRITABLE_BY_OTHERS: usize = 6;
/// It is not root's.
pub const TRAIT_NOT_OF_ROOT: usize = 7;
/// How many traits there are.
pub const TRAITS: usize = 8;

record! {
    /// The one element of the map `PREVENTION`: the sets of rules that need no map of their own.
    #[derive(Default, PartialEq, Eq)]
    pub struct Prevention {
        /// Rules in force; nothing is looked at when there are none.
        pub rules: u64,
        /// Of those, the ones that are not only rehearsed.
        pub enforced: u64,
        /// Rules that accept any program.
        pub any_program: u64,
        /// Rules that accept programs by their path, as `PREVENT_PATHS` says.
        pub by_path: u64,
        /// Rules that accept any file, whatever its traits.
        pub any_trait: u64,
        /// Rules that accept a file with this trait.
        pub traits: [u64; TRAITS],
        /// Rules that accept this kind of standard input.
        pub stdin: [u64; STREAMS],
        /// Rules that accept this kind of standard output.
        pub stdout: [u64; STREAMS],
        /// Rules that accept any user.
        pub any_user: u64,
        /// Rules that accept any control group.
        pub any_group: u64,
        /// Rules that also apply to what people who logged in start.
        pub logins: u64,
        /// Control group that those are in, at level 1 of the hierarchy; 0 when there is none.
        pub logins_group: u64,
        /// Bit `n` is set when `PREVENT_GROUPS` has a group of level `n`.
        pub group_levels: u32,
        /// Bits of `LOOK_*`.
        pub looks: u32,
    }
}

/// Some rule has a condition on standard input.
pub const LOOK_STDIN: u32 = 1;
/// Some rule has one on standard output.
pub const LOOK_STDOUT: u32 = 2;
/// Some rule has one on traits.
pub const LOOK_TRAITS: u32 = 4;
/// Some rule has one on users.
pub const LOOK_USERS: u32 = 8;
/// `PREVENT_FILES` is not empty.
pub const LOOK_FILES: u32 = 16;

/// Deepest level of a control group in `PREVENT_GROUPS`; the root is level 0.
pub const GROUP_LEVEL_MAX: u32 = 15;
/// Entries of `PREVENT_FILES`: from an [`crate::filter::InodeKey`] to the rules that accept it.
pub const FILES_MAX: u32 = 4_096;
/// Entries of `PREVENT_SPARED`: from an [`crate::filter::InodeKey`] to the user (`u32`) as whom
/// that program always starts.
pub const SPARED_MAX: u32 = 256;
/// Entries of `PREVENT_PATHS`, each with the rules of all beginnings of its own beginning.
pub const PATHS_MAX: u32 = 1_024;
/// Entries of `PREVENT_USERS` and of `PREVENT_GROUPS`.
pub const SUBJECTS_MAX: u32 = 1_024;
/// Bytes of a rule's name in `PREVENT_NAMES`, of which there is one for each bit of a set; it ends
/// with its first NUL.
pub const NAME_BYTES: usize = 64;
/// Bits of a set of rules.
pub const SLOTS: u32 = 64;

record! {
    /// [`crate::kind::PREVENT`]: a rule applies to a program that is being started.
    pub struct Prevent {
        /// Header.
        pub header: Header,
        /// The process.
        pub subject: Subject,
        /// Its standard input and output.
        pub stdio: [Object; 2],
        /// The program, or the script that is to be run.
        pub executable: FileIdentity,
        /// Rules that apply.
        pub rules: u64,
        /// One of `PREVENT_*`.
        pub outcome: u32,
        /// Padding.
        pub reserved: u32,
    }
}

/// Outcome: the rule is only rehearsed.
pub const PREVENT_REHEARSED: u32 = 0;
/// The process was killed before the program's first instruction.
pub const PREVENT_KILLED: u32 = 1;
/// The call failed with `EPERM`.
pub const PREVENT_DENIED: u32 = 2;
/// It is one of the programs, or of the processes, that are always spared.
pub const PREVENT_SPARED: u32 = 3;
/// It should have been killed, but the kernel did not take the signal.
pub const PREVENT_FAILED: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::size_of;

    #[test]
    fn the_layout_is_the_one_of_this_version() {
        assert_eq!(
            size_of::<Prevention>(),
            8 * (5 + TRAITS + 2 * STREAMS + 4) + 8
        );
        assert_eq!(size_of::<Prevent>(), 24 + 120 + 2 * 72 + 72 + 16);
    }

    #[test]
    fn two_generations_of_rules_have_room() {
        const { assert!(2 * RULES_MAX <= SLOTS) };
    }
}
