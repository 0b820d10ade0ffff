//! Why a file is not put away, or not put back.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::{FILES_MAX, SIZE_MAX, TOTAL_MAX};
use crate::event::response::Outcome;

/// What the system says, with what it means here.
#[derive(Debug, Error)]
#[error("{}", explain(.0))]
pub struct System(io::Error);

impl From<io::Error> for System {
    fn from(error: io::Error) -> Self {
        Self(error)
    }
}

fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => "the disk is full".to_owned(),
        Some(libc::EROFS) => "the file system is read-only".to_owned(),
        Some(libc::EPERM) => {
            "the kernel does not allow it; an immutable directory? (lsattr -d)".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Why a file stays where it is.
#[derive(Debug, Error)]
pub enum PutError {
    /// Not from the root.
    #[error("a path has to begin with / and name a file")]
    Relative,
    /// The process whose path it is is gone.
    #[error("the process that knows it by that path has ended: {0}")]
    Gone(String),
    /// Nothing of that name.
    #[error("there is no such file: {0}")]
    Missing(System),
    /// A link on the way.
    #[error("a part of the path is a symbolic link; name the file itself (`readlink -f`)")]
    Link,
    /// Something else than a file.
    #[error("it is {0}, not a file")]
    Kind(&'static str),
    /// The machine, or the way to it, hangs on it.
    #[error("it is {0}, without which this machine or the way to it would be lost")]
    Protected(PathBuf),
    /// In our own directory.
    #[error("it is the sensor's own")]
    Ours,
    /// Too large.
    #[error("it has {0} bytes, more than the {SIZE_MAX} that one file may have")]
    Large(u64),
    /// No room.
    #[error(
        "the quarantine is full: {files} files of {FILES_MAX}, {bytes} bytes of {TOTAL_MAX}; \
         `sensor quarantine --list` shows them"
    )]
    Full {
        /// Files there are.
        files: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Read(System),
    /// It cannot be kept.
    #[error("it cannot be kept, and stays where it is: {0}")]
    Write(System),
    /// Somebody writes to it.
    #[error(
        "it changes while it is copied, and stays where it is: stop or freeze who writes to it"
    )]
    Changing,
    /// Another file has its name now.
    #[error("another file took its name meanwhile; nothing was removed")]
    Swapped,
    /// Its name cannot be removed.
    #[error("its name cannot be removed, and it stays where it is: {0}")]
    Remove(System),
}

impl PutError {
    /// Whether it was not allowed, or did not work.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Link
            | Self::Relative
            | Self::Kind(_)
            | Self::Protected(_)
            | Self::Ours
            | Self::Large(_)
            | Self::Full { .. } => Outcome::Refused,
            _ => Outcome::Failed,
        }
    }
}

/// Why a file is not put back.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// No such id.
    #[error("nothing is in quarantine under this id; `sensor quarantine --list` shows what is")]
    Unknown,
    /// Its card is not one.
    #[error("its card cannot be read: {0}")]
    Card(System),
    /// It came from a container.
    #[error("it was in the file system of a container; say where to put it with --to")]
    Elsewhere,
    /// The directory is not there.
    #[error(
        "the directory that it belongs to is not there, or is reached through a symbolic link; say where to put it with --to: {0}"
    )]
    Directory(System),
    /// Something has its name.
    #[error("another file is there; --force replaces it, --to puts this one elsewhere")]
    Exists,
    /// What is kept is not what was put away.
    #[error("what is kept is not what was put away: the sums differ")]
    Damaged,
    /// What is kept cannot be read.
    #[error("what is kept cannot be read: {0}")]
    Read(System),
    /// It cannot be written.
    #[error("it cannot be written: {0}")]
    Write(System),
}

impl RestoreError {
    /// Whether it was not allowed, or did not work.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Exists | Self::Elsewhere => Outcome::Refused,
            _ => Outcome::Failed,
        }
    }
}

/// Why a copy ended early.
#[derive(Debug)]
pub enum Stop {
    /// The source.
    Read(io::Error),
    /// The copy.
    Write(io::Error),
    /// There was more, or less, than there should be.
    Length,
}
