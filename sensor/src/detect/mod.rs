//! Detection: concludes from events, and from the state of the host that they add up to, that
//! somebody is at work who should not be. Each behaviour is a file of its own whose first lines
//! say what it sees, what it misses and what looks alike. Nothing here talks to the kernel or
//! acts on what it finds.

mod channel;
mod command_loop;
mod content;
mod decoded;
mod decoys;
mod download;
mod finding;
pub mod hits;
mod identity;
mod incidents;
mod indicators;
mod injection;
mod late;
mod pivot;
mod prevented;
mod program;
mod remote_shell;
mod repeats;
mod reported;
mod scan;
pub mod sigma;
mod story;
mod suspects;
mod webshell;

use std::io;
use std::sync::Arc;

use crate::content::scanner::{Counters, Renewer, Settings};
use crate::decoy::{self, ports::Ports};
use crate::event::alert::{Alert, Severity};
use crate::event::process::{Process, ProcessKey, Program};
use crate::event::{Action, Event, Stamp};
use crate::intelligence::shared::Reader;
use crate::state::Memory;
use crate::track::Tracker;

use channel::Channels;
use command_loop::CommandLoops;
use content::Contents;
use decoded::Decoded;
use decoys::Decoys;
use download::Downloads;
use finding::{Cause, Finding};
use incidents::Incidents;
use indicators::Indicators;
use injection::Injections;
use late::Late;
use pivot::Pivots;
use remote_shell::RemoteShells;
use repeats::Repeats;
use reported::Reported;
use scan::Scans;
use sigma::Engine;
use webshell::Webshells;
pub use webshell::baseline::RecallError;

/// How sure a rule is that says nothing about it, in percent, by how bad it finds things.
const fn confidence(severity: Severity) -> u8 {
    match severity {
        Severity::Informational | Severity::Low => 30,
        Severity::Medium => 50,
        Severity::High => 70,
        Severity::Critical => 85,
    }
}

/// All behaviours and rules, and what they remember.
#[derive(Debug, Default)]
pub struct Detector {
    rules: Option<Box<Engine>>,
    remote_shells: RemoteShells,
    command_loops: CommandLoops,
    webshells: Webshells,
    decoded: Decoded,
    downloads: Downloads,
    injections: Injections,
    scans: Scans,
    pivots: Pivots,
    channels: Channels,
    contents: Option<Contents>,
    indicators: Option<Indicators>,
    decoys: Option<Decoys>,
    reported: Reported,
    repeats: Repeats,
    incidents: Incidents,
    found: Vec<Finding>,
}

/// An alert and the process it is about.
#[derive(Debug)]
pub struct Raised {
    /// The alert.
    pub alert: Alert,
    /// The process.
    pub about: Box<Process>,
}

impl Raised {
    /// The alert as the event that it will be, but for its number.
    fn as_event(&self, cause: &Event) -> Event {
        Event {
            id: cause.id.undelivered(),
            cpu: cause.cpu,
            time: cause.time,
            process: Some((*self.about).clone()),
            action: Action::Alert(Box::new(self.alert.clone())),
        }
    }
}

impl Detector {
    /// For recorded events: looks at nothing of this host, which need not be theirs.
    #[must_use]
    pub fn replaying() -> Self {
        Self {
            remote_shells: RemoteShells::of_elsewhere(),
            ..Self::default()
        }
    }

    /// Knows nothing any more but its rules, for recorded events of yet another machine.
    #[must_use]
    pub fn anew(self) -> Self {
        Self {
            rules: self.rules,
            ..Self::replaying()
        }
    }

    /// Goes on from what earlier runs learned of services, and has it kept from now on.
    ///
    /// # Errors
    /// When what was kept cannot be used; learning begins anew then.
    pub fn remember(&mut self, memory: Memory) -> Result<(), RecallError> {
        self.webshells.remember(memory)
    }

    /// Looks at an event, after the host's state has learned of it; gives what it means.
    pub fn observe(&mut self, event: &Event, host: &Tracker) -> Vec<Raised> {
        let (reported, found) = (&mut self.reported, &mut self.found);
        self.remote_shells.observe(event, host, reported, found);
        self.command_loops.observe(event, host, reported, found);
        self.webshells.observe(event, host, found);
        self.downloads.observe(event, host, found);
        self.decoded.observe(event, found);
        self.injections.observe(event, host, found);
        self.scans.observe(event, host, found);
        self.pivots.observe(event, host, found);
        self.channels.observe(event, host, found);
        prevented::observe(event, found);
        for (key, of) in self.webshells.same_story() {
            self.incidents.join(key, of);
        }
        self.found.retain(|finding| !is_our_own(&finding.about));
        if let Some(contents) = &mut self.contents {
            contents.observe(event, host);
        }
        if let Some(indicators) = &mut self.indicators {
            indicators.observe(event, host, &mut self.found);
        }
        if let Some(decoys) = &mut self.decoys {
            decoys.observe(event, &mut self.found);
        }
        if !is_our_helper(event) {
            self.try_rules(event);
        }
        let mut raised = self.raise(event, host);
        // What rules conclude from alerts is not looked at again: nothing can go round.
        for at in 0..raised.len() {
            if let Some(first) = raised.get(at) {
                let alert = first.as_event(event);
                self.try_rules(&alert);
                raised.extend(self.raise(event, host));
            }
        }
        self.incidents.learn(event);
        raised
    }

    /// Makes alerts of what was found.
    fn raise(&mut self, event: &Event, host: &Tracker) -> Vec<Raised> {
        self.found
            .drain(..)
            .filter_map(|finding| {
                let repeats = self.repeats.say(&finding, event.time.boot_ns)?;
                Some(self.incidents.raise(finding, repeats, host))
            })
            .collect()
    }

    /// Has files scanned from now on.
    ///
    /// # Errors
    /// When there can be no thread for it.
    pub fn scan_content(&mut self, settings: Settings) -> io::Result<(Arc<Counters>, Renewer)> {
        let contents = Contents::start(settings)?;
        let handles = (contents.counters(), contents.renewer());
        self.contents = Some(contents);
        Ok(handles)
    }

    /// Wakes this thread up when there may be something for [`Detector::late`].
    pub fn wakes_this_thread(&self) {
        if let Some(contents) = &self.contents {
            contents.wakes_this_thread();
        }
        if let Some(decoys) = &self.decoys {
            decoys.wakes_this_thread();
        }
    }

    /// Whether there may be more for [`Detector::late`].
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.contents.as_ref().is_some_and(Contents::is_busy)
    }

    /// What follows from an event only some time after it: when it was, and on which CPU.
    pub fn late(&mut self, host: &Tracker) -> Vec<(Stamp, u32, Raised)> {
        let mut raised = Vec::new();
        while let Some(late) = self.next_late() {
            if let Some(repeats) = self.repeats.say(&late.finding, late.time.boot_ns) {
                let alert = self.incidents.raise(late.finding, repeats, host);
                raised.push((late.time, late.cpu, alert));
            }
        }
        raised
    }

    fn next_late(&mut self) -> Option<Late> {
        let contents = self.contents.as_mut().and_then(Contents::late);
        contents
            .or_else(|| self.indicators.as_mut().and_then(Indicators::late))
            .or_else(|| self.decoys.as_mut().and_then(Decoys::late))
    }

    /// Looks for what these lists call hostile from now on.
    pub fn look_for(&mut self, lists: Reader) {
        self.indicators = Some(Indicators::of(lists));
    }

    /// Watches over decoys from now on; those of before that are ports stay open.
    pub fn watch_decoys(&mut self, settings: &decoy::Decoys, ports: Option<Ports>) {
        match (&mut self.decoys, ports) {
            (Some(decoys), None) => decoys.renew(settings),
            (_, ports) => self.decoys = Some(Decoys::of(settings, ports)),
        }
    }

    /// Takes these rules from now on, in the place of those before.
    pub fn set_rules(&mut self, rules: Box<Engine>) {
        self.rules = Some(rules);
    }

    fn try_rules(&mut self, event: &Event) {
        let (Some(rules), Some(process)) = (&mut self.rules, &event.process) else {
            return;
        };
        let (peer, file, evidence) = match &event.action {
            Action::Alert(alert) => (alert.peer, alert.file.clone(), alert.evidence.clone()),
            Action::FileAccess(access) => (None, Some(access.path.clone()), vec![event.id]),
            Action::FileChange(change) => (None, Some(change.path().path.clone()), vec![event.id]),
            _ => (None, None, vec![event.id]),
        };
        for found in rules.evaluate(event) {
            self.found.push(Finding {
                cause: Cause::Rule(found.rule),
                severity: found.severity,
                confidence: confidence(found.severity),
                message: found.message,
                path: None,
                peer,
                file: file.clone(),
                content: None,
                indicator: None,
                evidence: evidence.clone(),
                about: Box::new(process.clone()),
            });
        }
    }

    /// A playbook has ended a process: when what that did happens again, with another process, it
    /// is told again and not taken for the same story, so that it is answered again.
    pub fn answered(&mut self, process: ProcessKey) {
        self.reported.forget(process);
        self.repeats.forget(process);
    }

    /// The processes of an incident that are known.
    #[must_use]
    pub fn members(&self, incident: &str) -> Vec<ProcessKey> {
        self.incidents.members(incident)
    }

    /// How much was forgotten for want of room.
    #[must_use]
    pub const fn forgotten(&self) -> u64 {
        self.remote_shells.forgotten() + self.command_loops.forgotten()
    }
}

/// Whether a process is the sensor itself, or its helper that looks into files. With decoy ports
/// open, who calls them is connected to both as if they served somebody.
fn is_our_own(process: &Process) -> bool {
    let own = std::process::id();
    let parent = process.parent.as_ref();
    process.key.pid == own
        || parent.is_some_and(|parent| {
            let program = process.program.as_deref();
            let is_same = |program: &Program| program.executable == parent.program.executable;
            parent.key.pid == own && program.is_some_and(is_same)
        })
}

/// Whether the sensor itself starts a process: that of the content scanner, by a way that would
/// look strange of anybody else.
fn is_our_helper(event: &Event) -> bool {
    let parent = event
        .process
        .as_ref()
        .and_then(|process| process.parent.as_ref());
    matches!(event.action, Action::Exec(_))
        && parent.is_some_and(|parent| parent.key.pid == std::process::id())
}

#[cfg(test)]
mod tests;
