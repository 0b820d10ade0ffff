//! Processes ended, stopped where they are, and let go on. Each is told from all that had or will
//! have its pid, and everything that happened to it, or did not, is in the response. Who is to be
//! acted on, and why, is decided elsewhere.

pub mod freeze;
pub mod handle;
mod kill;
mod listener;
pub mod proc;
pub mod protect;
mod tree;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::process::ProcessKey;
use crate::event::response::{Origin, Outcome, Response, Verb};

pub use freeze::{Frozen, freeze, frozen, thaw, thaw_all};
pub use kill::kill;
pub use protect::Protected;

/// Most processes of one action.
pub const PROCESSES_MAX: usize = 65_536;
/// Longest that one action may take.
const TIME_MAX: Duration = Duration::from_secs(10);
/// Longest that is waited for processes to end or stop.
const PATIENCE: Duration = Duration::from_secs(2);
/// Processes that the response names, of each fate.
const NAMED_MAX: usize = 8;

/// What is acted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The processes, the one that the response is about first: one, or all of an incident, or
    /// those that a process is known to have started.
    pub processes: Vec<ProcessKey>,
    /// Also whatever they started, as far as `/proc` still tells: what an ancestor that has ended
    /// left behind has to be among `processes`.
    pub tree: bool,
}

impl Target {
    /// One process.
    #[must_use]
    pub fn one(process: ProcessKey) -> Self {
        Self {
            processes: vec![process],
            tree: false,
        }
    }

    /// Whoever has a pid now.
    ///
    /// # Errors
    /// When nobody has.
    pub fn pid(pid: u32) -> std::io::Result<Self> {
        Ok(Self::one(proc::Stat::of(pid)?.key))
    }

    /// With whatever they started.
    #[must_use]
    pub fn with_tree(mut self) -> Self {
        self.tree = true;
        self
    }

    fn describe(&self) -> String {
        match self.processes.as_slice() {
            [] => "no process".to_owned(),
            [one] => format!("pid {}", one.pid),
            [first, rest @ ..] => format!("pid {} and {} more", first.pid, rest.len()),
        }
    }
}

/// How it is done, and what is written down about it.
#[derive(Clone, Debug)]
pub struct Options {
    /// What makes it happen.
    pub origin: Origin,
    /// Who.
    pub by: Box<str>,
    /// Why.
    pub reason: Box<str>,
    /// Find out what would be done, and do nothing.
    pub dry_run: bool,
    /// The signal that [`kill`] sends.
    pub signal: Signal,
    /// Who is never acted on.
    pub protected: Arc<Protected>,
    /// Directory of what is remembered; who was frozen is, in `frozen` below it.
    pub state: PathBuf,
}

/// A signal that ends processes, or asks them to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signal {
    /// Cannot be refused.
    #[default]
    Kill,
    /// `SIGTERM`.
    Terminate,
    /// `SIGINT`.
    Interrupt,
    /// `SIGHUP`.
    HangUp,
    /// `SIGQUIT`.
    Quit,
    /// `SIGABRT`.
    Abort,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Kill,
        Self::Terminate,
        Self::Interrupt,
        Self::HangUp,
        Self::Quit,
        Self::Abort,
    ];

    /// `KILL`, `TERM` and so on.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::Terminate => "TERM",
            Self::Interrupt => "INT",
            Self::HangUp => "HUP",
            Self::Quit => "QUIT",
            Self::Abort => "ABRT",
        }
    }

    const fn number(self) -> i32 {
        match self {
            Self::Kill => libc::SIGKILL,
            Self::Terminate => libc::SIGTERM,
            Self::Interrupt => libc::SIGINT,
            Self::HangUp => libc::SIGHUP,
            Self::Quit => libc::SIGQUIT,
            Self::Abort => libc::SIGABRT,
        }
    }
}

/// What became of each process.
#[derive(Debug, Default)]
struct Fates {
    done: Vec<String>,
    gone: Vec<String>,
    refused: Vec<String>,
    failed: Vec<String>,
    /// Further things to know.
    notes: Vec<String>,
}

impl Fates {
    /// In one word.
    fn outcome(&self, dry_run: bool) -> Outcome {
        if !self.failed.is_empty() {
            Outcome::Failed
        } else if !self.done.is_empty() {
            if dry_run {
                Outcome::DryRun
            } else {
                Outcome::Done
            }
        } else if !self.refused.is_empty() {
            Outcome::Refused
        } else {
            Outcome::Failed
        }
    }

    /// In one sentence; `did` is what was done, as in "killed".
    fn describe(&self, did: &str) -> String {
        let parts = [
            (did, &self.done),
            ("spared", &self.refused),
            ("could not be reached", &self.failed),
            ("already ended", &self.gone),
        ];
        let mut text = String::new();
        for (what, names) in parts.iter().filter(|(_, names)| !names.is_empty()) {
            let separator = if text.is_empty() { "" } else { "; " };
            let _ = write!(text, "{separator}{what}: {}", list(names));
        }
        for note in &self.notes {
            let _ = write!(text, "; {note}");
        }
        text
    }

    fn into_response(self, verb: Verb, did: &str, target: &Target, options: &Options) -> Response {
        let mut response = Response::new(verb, target.describe(), options.origin, &*options.by);
        response.reason = options.reason.clone();
        response.outcome = self.outcome(options.dry_run);
        response.detail = self.describe(did).into();
        response
    }
}

fn list(names: &[String]) -> String {
    let mut text = names
        .iter()
        .take(NAMED_MAX)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    if let Some(more) = names.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        let _ = write!(text, " and {more} more");
    }
    text
}

/// When an action has to be over.
#[derive(Clone, Copy, Debug)]
struct Deadline(Instant);

impl Deadline {
    fn start() -> Self {
        Self(Instant::now() + TIME_MAX)
    }

    fn is_over(self) -> bool {
        Instant::now() >= self.0
    }
}

#[cfg(test)]
mod tests;
