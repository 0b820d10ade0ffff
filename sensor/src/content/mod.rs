//! What is in a file: YARA rules, tried on the content of files in a process of its own that may
//! do nothing but that. Knows rules, files and the helper; which files are worth a look, and what
//! it means when a rule matches, is for others to decide.
//!
//! `scanner` takes jobs off the pipeline's hands on a thread of its own. It opens the file and
//! passes the descriptor to the helper (`child` on this side, `helper` on the other, `wire`
//! between them), which has shut itself in (`sandbox`) before it reads the first byte, and tries
//! the rules (`engine`) on what it reads. A file that makes it crash or hang costs that file.

pub mod card;
pub mod child;
pub mod engine;
pub mod helper;
pub mod samples;
mod sandbox;
pub mod scanner;
pub mod source;
mod target;
mod waiting;
pub mod wire;

use std::time::Duration;

/// Bytes of a file that are looked at unless the configuration says otherwise.
pub const SIZE_DEFAULT: u64 = 10 * 1024 * 1024;
/// Most that it can say: what the helper may take of memory is bounded.
pub const SIZE_MAX: u64 = 256 * 1024 * 1024;
/// How long the rules may take over one file.
pub const TIME_LIMIT: Duration = Duration::from_secs(8);
/// How much longer the helper may take to say so, before it is killed.
pub const GRACE: Duration = Duration::from_secs(4);
/// How long the helper may take to compile the rules.
pub const COMPILE_LIMIT: Duration = Duration::from_secs(60);

/// What was found in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The rules that match, worst first; never empty.
    pub rules: Vec<Hit>,
    /// Bytes that were looked at.
    pub scanned: u64,
    /// Size of the file.
    pub size: u64,
    /// Hash of the whole file, unless it is too large or changed meanwhile.
    pub sha256: Option<Box<str>>,
}

/// A rule that matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// What the rule says of itself.
    pub card: std::sync::Arc<card::Card>,
    /// The first of its strings that was found, and where.
    pub place: Option<(Box<str>, u64)>,
}

/// Why a file was not scanned, or not to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unscanned {
    /// It is no longer there, or is another by now.
    Gone,
    /// It cannot be opened or read.
    Unreadable,
    /// The rules took too long over it.
    TimedOut,
    /// The helper did not answer in time and was killed.
    Hung,
    /// The helper ended over it.
    Died,
    /// There is no helper, and none can be started.
    NoHelper,
}

impl Unscanned {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Gone => "it was gone, or another file, before it could be opened",
            Self::Unreadable => "it cannot be opened or read",
            Self::TimedOut => "the rules took too long over it",
            Self::Hung => "the scanner did not answer in time and was killed",
            Self::Died => "the scanner ended over it",
            Self::NoHelper => "no scanner could be started",
        }
    }
}
