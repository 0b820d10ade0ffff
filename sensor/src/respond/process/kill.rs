//! Ending processes. All that are to end are stopped first, so that none can start another, warn
//! or revive the rest meanwhile; then all are killed; then their death is waited for.

use std::io;
use std::time::Instant;

use super::handle::{Handle, HoldError};
use super::proc::Stat;
use super::protect::Now;
use super::tree::{self, Unfinished};
use super::{Deadline, Fates, Options, PATIENCE, Signal, Target};
use crate::event::process::ProcessKey;
use crate::event::response::{Response, Verb};

/// Ends processes, or with another signal than `KILL` asks them to end. A protected one is spared,
/// with whatever it started.
#[must_use]
pub fn kill(target: &Target, options: &Options) -> Response {
    let protected = options.protected.now();
    let mut work = Work {
        options,
        protected: &protected,
        // One alone has nobody to be warned by.
        stop_first: options.signal == Signal::Kill && (target.tree || target.processes.len() > 1),
        victims: Vec::new(),
        fates: Fates::default(),
    };
    let deadline = Deadline::start();
    let found = tree::walk(&target.processes, target.tree, deadline, |key| {
        work.select(key)
    });
    work.note(found);
    let did = match options.signal {
        Signal::Kill => "killed".to_owned(),
        other => format!("sent SIG{}", other.name()),
    };
    if !options.dry_run {
        work.strike();
    }
    work.fates.into_response(Verb::Kill, &did, target, options)
}

struct Work<'a> {
    options: &'a Options,
    protected: &'a Now<'a>,
    stop_first: bool,
    /// Those to be killed, by name.
    victims: Vec<(ProcessKey, String)>,
    fates: Fates,
}

impl Work<'_> {
    /// Decides about one, and has it stopped; whether what it started is to go as well.
    fn select(&mut self, key: ProcessKey) -> bool {
        let name = format!("pid {}", key.pid);
        let handle = match Handle::open(key) {
            Ok(handle) => handle,
            Err(HoldError::Gone) => {
                self.fates.gone.push(name);
                return false;
            }
            Err(error @ HoldError::Reused(_)) => {
                self.fates.gone.push(format!("{name}, {error}"));
                return false;
            }
            Err(error) => {
                self.fates.failed.push(format!("{name}, {error}"));
                return false;
            }
        };
        let name = handle.stat.name();
        if let Some(reason) = self.protected.refusal(&handle.stat) {
            self.fates.refused.push(format!("{name}, {reason}"));
            return false;
        }
        if handle.has_ended() {
            self.fates.gone.push(uncollected(&handle.stat));
            return true;
        }
        if self.options.dry_run {
            self.fates.done.push(name);
            return true;
        }
        if self.stop_first {
            // If it has just ended, or we may not, the kill will say so.
            let _ = handle.signal(libc::SIGSTOP);
        }
        self.victims.push((key, name));
        true
    }

    fn note(&mut self, found: io::Result<Option<Unfinished>>) {
        match found {
            Ok(None) => {}
            Ok(Some(unfinished)) => self.fates.failed.push(unfinished.describe()),
            Err(error) => self.fates.failed.push(format!("/proc: {error}")),
        }
    }

    /// Sends the signal to all, then waits for those it has to end.
    fn strike(&mut self) {
        let victims = std::mem::take(&mut self.victims);
        // A descriptor for each would be too many.
        let mut struck = Vec::with_capacity(victims.len());
        for (key, name) in victims {
            let Ok(handle) = Handle::open(key) else {
                self.fates.gone.push(name);
                continue;
            };
            match handle.signal(self.options.signal.number()) {
                Ok(()) => struck.push((key, name)),
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {
                    self.fates.gone.push(name);
                }
                Err(error) => self.fates.failed.push(format!("{name}, {error}")),
            }
        }
        let until = Instant::now() + PATIENCE;
        for (key, name) in struck {
            match self.ended(key, until) {
                None => self.fates.done.push(name),
                Some(why) => self.fates.failed.push(format!("{name}, {why}")),
            }
        }
    }

    /// Waits for the end of one; gives what keeps it.
    fn ended(&self, key: ProcessKey, until: Instant) -> Option<String> {
        if self.options.signal != Signal::Kill {
            return None;
        }
        let Ok(handle) = Handle::open(key) else {
            return None;
        };
        let left = until.saturating_duration_since(Instant::now());
        if handle.has_ended_within(left).unwrap_or(false) {
            return None;
        }
        let state = Stat::of(key.pid).map_or('?', |stat| stat.state);
        Some(if state == 'D' {
            "which waits in the kernel and cannot be interrupted; it dies as soon as that wait ends"
                .to_owned()
        } else {
            format!("which has been sent SIGKILL and has not ended (state {state})")
        })
    }
}

/// A process that has ended and is still listed.
fn uncollected(stat: &Stat) -> String {
    let parent = Stat::of(stat.ppid).map_or_else(|_| format!("pid {}", stat.ppid), |s| s.name());
    format!(
        "{}, a zombie that its parent {parent} has not collected",
        stat.name()
    )
}
