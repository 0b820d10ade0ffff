//! The firewall: who is cut off, in the kernel, and stays so whether or not a sensor runs. Used
//! alike by the command line, by playbooks and by lists; every operation says what became of it.
//!
//! Its programs, their maps and the links that hold them in place are pinned below
//! [`Settings::pins`]. Whoever opens the firewall takes over what is there; who changes it holds
//! a lock on that directory. Time limits are kept by the programs.

pub mod network;
pub mod order;
pub mod target;

use crate::event::response::Response;
use crate::respond::Cause;
use order::{How, Isolation, Scope, Settings, Which};
use target::Target;
use thiserror::Error;

/// Why the firewall cannot be had.
#[derive(Debug, Error)]
pub enum FirewallError {
    /// Not there yet.
    #[error("the firewall is not built yet")]
    Unbuilt,
}

/// The firewall as this process has it. Nothing is loaded before it is needed.
#[derive(Debug)]
pub struct Firewall {
    settings: Settings,
}

impl Firewall {
    /// Takes over what is pinned; loads nothing when nothing is.
    ///
    /// # Errors
    /// When what is pinned cannot be used, or not by us.
    pub fn open(settings: Settings) -> Result<Self, FirewallError> {
        Ok(Self { settings })
    }

    /// Loads and attaches the programs now and keeps them in place as long as this lives, so that
    /// a block costs no more than an entry in a table. For the daemon, when it has a policy that
    /// blocks.
    ///
    /// # Errors
    /// When the kernel refuses what it takes.
    pub fn arm(&mut self) -> Result<(), FirewallError> {
        Err(FirewallError::Unbuilt)
    }

    /// What has to be done from time to time; the daemon calls it once a second: takes up new
    /// interfaces, looks anew what is protected, removes what has expired and says so.
    pub fn tick(&mut self) -> Vec<Response> {
        Vec::new()
    }

    /// Blocks an address or network. Takes microseconds once armed; then ends connections that
    /// there are, which may take milliseconds.
    pub fn block(&mut self, target: Target, how: &How) -> Response {
        self.unbuilt(how, &target.to_string())
    }

    /// Blocks many at once. What is protected is left out, and named in the one answer.
    pub fn block_many(&mut self, targets: &[Target], how: &How) -> Response {
        self.unbuilt(how, &format!("{} targets", targets.len()))
    }

    /// Takes blocks back.
    pub fn unblock(&mut self, which: &Which, how: &How) -> Response {
        self.unbuilt(how, &format!("{which:?}"))
    }

    /// Excepts an address or network from all blocks, and from isolation.
    pub fn allow(&mut self, target: Target, how: &How) -> Response {
        self.unbuilt(how, &target.to_string())
    }

    /// Takes exceptions back.
    pub fn disallow(&mut self, which: &Which, how: &How) -> Response {
        self.unbuilt(how, &format!("{which:?}"))
    }

    /// Isolates this host or a control group.
    pub fn isolate(&mut self, isolation: &Isolation) -> Response {
        isolation.cause.response(
            crate::event::response::Verb::Isolate,
            isolation.scope.to_string(),
        )
    }

    /// Makes all stay that would end unless it is confirmed; one answer for each.
    pub fn confirm(&mut self, cause: &Cause, dry_run: bool) -> Vec<Response> {
        let _ = (cause, dry_run);
        Vec::new()
    }

    /// Takes an isolation back.
    pub fn release(&mut self, scope: &Scope, cause: &Cause, dry_run: bool) -> Response {
        let _ = dry_run;
        cause.response(crate::event::response::Verb::Release, scope.to_string())
    }

    fn unbuilt(&self, how: &How, target: &str) -> Response {
        let _ = &self.settings;
        how.cause
            .response(crate::event::response::Verb::Block, target)
    }
}
