//! A rule about programs that are not to start, as the probe takes it: what a configuration says,
//! checked.

use std::fmt;

use sensor_common::exec as raw;
use sensor_common::prevent::{
    NAME_BYTES, RULES_MAX, STREAM_LOOPBACK, TRAIT_DELETED, TRAIT_HIDDEN_NAME, TRAIT_MEMFD,
    TRAIT_NOT_OF_ROOT, TRAIT_OVERLAY_UPPER, TRAIT_SETUID, TRAIT_TMPFS, TRAIT_WRITABLE_BY_OTHERS,
};
use thiserror::Error;

use super::known::Known;
use crate::probe::filters::{Pattern, PatternError};

/// Why a rule means nothing.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RuleError {
    /// No name, a long one, or one that another rule has.
    #[error("a rule needs a name of its own, of 1 to 63 bytes: {0:?} is none")]
    Name(String),
    /// It would keep everything from starting.
    #[error("rule {0:?} has no condition, and would keep every program from starting")]
    Unconditional(String),
    /// Not a set of programs and not a path.
    #[error(
        "in rule {rule:?}: {program:?} is no program: {} for a set, or {reason}",
        Known::words()
    )]
    Program {
        /// Its name.
        rule: String,
        /// What was given.
        program: String,
        /// What is wrong with it as a path.
        reason: String,
    },
    /// A word that is none of its kind.
    #[error("in rule {rule:?}: {word:?} is none of {choice}")]
    Word {
        /// Its name.
        rule: String,
        /// What was given.
        word: String,
        /// What can be given.
        choice: String,
    },
    /// Too many.
    #[error("more than {RULES_MAX} rules")]
    Many,
}

/// Whether a rule is in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is told when it would apply.
    #[default]
    DryRun,
    /// It keeps programs from starting.
    Enforce,
}

/// Which programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// All of a kind.
    Known(Known),
    /// By path.
    Path(Pattern),
}

impl Program {
    /// Reads a word for a set, or a path as in `[files]`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(rule: &str, text: &str) -> Result<Self, RuleError> {
        if let Some(known) = Known::from_name(text) {
            return Ok(Self::Known(known));
        }
        let fail = |reason: String| RuleError::Program {
            rule: rule.to_owned(),
            program: text.to_owned(),
            reason,
        };
        match Pattern::parse(text) {
            Ok(pattern @ Pattern::Beginning(_)) => Ok(Self::Path(pattern)),
            Ok(Pattern::Ending(_)) => Err(fail("a path from / on".to_owned())),
            Err(PatternError::Unclear(_)) => Err(fail("a path from / on".to_owned())),
            Err(error) => Err(fail(error.to_string())),
        }
    }
}

macro_rules! words {
    ($($(#[$meta:meta])* $type:ident { $($variant:ident $word:literal $place:expr;)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $type { $(#[doc = concat!("`", $word, "`.")] $variant,)* }

        impl $type {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Word for it in the configuration.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// Its place in the sets of the programs.
            #[must_use]
            pub const fn place(self) -> usize {
                match self { $(Self::$variant => $place),* }
            }

            /// From its word.
            ///
            /// # Errors
            /// When there is no such word.
            pub fn parse(rule: &str, word: &str) -> Result<Self, RuleError> {
                let mut all = Self::ALL.iter().copied();
                all.find(|one| one.name() == word).ok_or_else(|| RuleError::Word {
                    rule: rule.to_owned(),
                    word: word.to_owned(),
                    choice: Self::ALL.iter().map(|one| one.name()).collect::<Vec<_>>().join(", "),
                })
            }
        }
    )*};
}

words! {
    /// What is unusual about the file of a program.
    Trait {
        Memfd "memfd" TRAIT_MEMFD;
        Deleted "deleted" TRAIT_DELETED;
        Tmpfs "tmpfs" TRAIT_TMPFS;
        HiddenName "hidden_name" TRAIT_HIDDEN_NAME;
        OverlayUpper "overlay_upper" TRAIT_OVERLAY_UPPER;
        Setuid "setuid" TRAIT_SETUID;
        WritableByOthers "writable_by_others" TRAIT_WRITABLE_BY_OTHERS;
        NotOfRoot "not_of_root" TRAIT_NOT_OF_ROOT;
    }

    /// What a standard stream is; an inet socket on loopback is one of its own.
    Stream {
        InetSocket "inet_socket" raw::OBJECT_INET as usize;
        LoopbackSocket "loopback_socket" STREAM_LOOPBACK;
        UnixSocket "unix_socket" raw::OBJECT_UNIX as usize;
        OtherSocket "socket" raw::OBJECT_SOCKET as usize;
        Pipe "pipe" raw::OBJECT_PIPE as usize;
        Fifo "fifo" raw::OBJECT_FIFO as usize;
        Tty "tty" raw::OBJECT_TTY as usize;
        PtyMaster "pty_master" raw::OBJECT_PTY_MASTER as usize;
        File "file" raw::OBJECT_FILE as usize;
        Memfd "memfd" raw::OBJECT_MEMFD as usize;
        Null "null" raw::OBJECT_NULL as usize;
        Closed "closed" raw::OBJECT_CLOSED as usize;
    }
}

/// A rule. All of its conditions have to hold, each of which is a list of what it accepts, and
/// accepts everything when that is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// What people call it.
    pub name: String,
    /// Whether it is in force.
    pub mode: Mode,
    /// Programs.
    pub programs: Vec<Program>,
    /// What is unusual about the file; one of them is enough.
    pub traits: Vec<Trait>,
    /// What standard input is.
    pub stdin: Vec<Stream>,
    /// What standard output is.
    pub stdout: Vec<Stream>,
    /// Real users, by number.
    pub users: Vec<u32>,
    /// Control groups, with all in them, by path in the unified hierarchy.
    pub groups: Vec<String>,
    /// Also what people who have logged in start.
    pub logins: bool,
}

impl Rule {
    /// Checks that it has a name and a condition.
    ///
    /// # Errors
    /// When it has not.
    pub fn check(&self) -> Result<(), RuleError> {
        if self.name.is_empty() || self.name.len() >= NAME_BYTES || self.name.contains('\0') {
            return Err(RuleError::Name(self.name.clone()));
        }
        let is_bare = self.programs.is_empty()
            && self.traits.is_empty()
            && self.stdin.is_empty()
            && self.stdout.is_empty()
            && self.users.is_empty()
            && self.groups.is_empty();
        if is_bare {
            return Err(RuleError::Unconditional(self.name.clone()));
        }
        Ok(())
    }
}

/// Checks all of them together.
///
/// # Errors
/// The first that means nothing.
pub fn check_all(rules: &[Rule]) -> Result<(), RuleError> {
    if rules.len() > RULES_MAX as usize {
        return Err(RuleError::Many);
    }
    for (at, rule) in rules.iter().enumerate() {
        rule.check()?;
        if rules.iter().take(at).any(|other| other.name == rule.name) {
            return Err(RuleError::Name(rule.name.clone()));
        }
    }
    Ok(())
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DryRun => "dry-run",
            Self::Enforce => "enforce",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::object::Kind;

    #[test]
    fn words_of_streams_are_those_of_events() {
        for stream in Stream::ALL.iter().filter(|s| **s != Stream::LoopbackSocket) {
            let kind = Kind::from_raw(stream.place() as u8);
            assert_eq!(kind.name(), stream.name());
        }
    }

    #[test]
    fn what_means_nothing_is_said() {
        let error = |text| Program::parse("r", text).unwrap_err().to_string();
        assert!(error("*.sh").contains("a path from / on"));
        assert!(error("shel").contains("shell"), "{}", error("shel"));
        assert!(Program::parse("r", "shell").is_ok() && Program::parse("r", "/tmp/").is_ok());
        let mut rule = Rule {
            name: "r".into(),
            ..Rule::default()
        };
        assert!(matches!(rule.check(), Err(RuleError::Unconditional(_))));
        rule.users.push(33);
        assert_eq!(check_all(std::slice::from_ref(&rule)), Ok(()));
        assert_eq!(
            check_all(&[rule.clone(), rule.clone()]),
            Err(RuleError::Name("r".into()))
        );
        assert_eq!(check_all(&vec![rule; 33]), Err(RuleError::Many));
    }
}
