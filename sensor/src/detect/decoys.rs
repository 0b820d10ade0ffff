//! *Decoys*: somebody touched a file (`decoy-file`) or a port (`decoy-port`) that nobody has any
//! business with.
//!
//! Sees: a decoy file opened for reading or writing, renamed, linked, removed or changed in mode,
//! by its path; a decoy port called over TCP or UDP, with what was said first.
//! Misses: who reads a file under another name that it had before the sensor; who sees that a port
//! does not behave like what it pretends to be, and looks elsewhere.
//! Looks alike: backups, indexers and virus scanners, which are to be named in
//! `decoys.exclude_programs`; vulnerability scanners of one's own, in `decoys.ignore_peers`.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::finding::{Builtin, Cause, Finding};
use super::late::Late;
use crate::decoy::Decoys as Settings;
use crate::decoy::ports::{Ports, Touch};
use crate::event::alert::{Peer, Rule, Severity};
use crate::event::file::{Access, AccessKind, Change, ChangeKind};
use crate::event::network::Direction;
use crate::event::process::Process;
use crate::event::{Action, Event, EventId, attack, text};

/// A file.
pub const FILE: Builtin = Builtin {
    id: "decoy-file",
    name: "Decoy file touched",
    techniques: &["T1083", "T1552.001"],
    tactics: &[attack::DISCOVERY, attack::CREDENTIAL_ACCESS],
};
/// A port.
pub const PORT: Builtin = Builtin {
    id: "decoy-port",
    name: "Decoy port called",
    techniques: &["T1046"],
    tactics: &[attack::DISCOVERY],
};
/// How sure an alert about a decoy is, in percent.
const SURE: u8 = 90;
/// Connections to decoy ports whose events are remembered until they are told of.
const ACCEPTED_MAX: usize = 256;

/// Watches over decoys.
#[derive(Debug)]
pub struct Decoys {
    files: HashSet<Box<str>>,
    exclude: HashSet<Box<str>>,
    ports: Option<Ports>,
    /// The sensor itself, which has the ports open; known from its first event.
    own: Option<Box<Process>>,
    /// Peers of connections to the sensor, with the events that told of them.
    accepted: VecDeque<(crate::event::Endpoint, EventId)>,
    file_rule: Arc<Rule>,
    port_rule: Arc<Rule>,
}

impl Decoys {
    /// Over these.
    #[must_use]
    pub fn of(settings: &Settings, ports: Option<Ports>) -> Self {
        let mut decoys = Self {
            files: HashSet::new(),
            exclude: HashSet::new(),
            ports,
            own: None,
            accepted: VecDeque::new(),
            file_rule: FILE.rule(),
            port_rule: PORT.rule(),
        };
        decoys.renew(settings);
        decoys
    }

    /// Over other files from now on.
    pub fn renew(&mut self, settings: &Settings) {
        self.files = settings.files.iter().cloned().collect();
        self.exclude = settings.exclude_programs.iter().cloned().collect();
    }

    /// Wakes this thread up when somebody calls.
    pub fn wakes_this_thread(&self) {
        if let Some(ports) = &self.ports {
            ports.wakes_this_thread();
        }
    }

    /// Looks at an event.
    pub fn observe(&mut self, event: &Event, found: &mut Vec<Finding>) {
        let Some(process) = &event.process else {
            return;
        };
        if process.key.pid == std::process::id() {
            return self.ours(event, process);
        }
        let touched = match &event.action {
            Action::FileAccess(access) if self.files.contains(&access.path) => {
                accessed(access).map(|did| (did, &*access.path))
            }
            Action::FileChange(change) => self.changed(change),
            _ => return,
        };
        let Some((did, path)) = touched else { return };
        let program = process.program.as_deref();
        let executable = program.and_then(|program| program.executable.as_deref());
        if executable.is_some_and(|path| self.exclude.contains(path)) || is_of_ours(process) {
            return;
        }
        found.push(Finding {
            cause: Cause::Rule(Arc::clone(&self.file_rule)),
            severity: Severity::High,
            confidence: SURE,
            message: format!("{} {did} the decoy {path}", process.name()),
            path: None,
            peer: None,
            file: Some(path.into()),
            content: None,
            indicator: None,
            evidence: vec![event.id],
            about: Box::new(process.clone()),
        });
    }

    fn changed<'e>(&self, change: &'e Change) -> Option<(&'static str, &'e str)> {
        let names = [Some(&change.name), change.target.as_ref()];
        let name = names
            .into_iter()
            .flatten()
            .find(|name| self.files.contains(&name.path))?;
        let did = match change.kind {
            ChangeKind::Rename => "renamed",
            ChangeKind::Unlink => "removed",
            ChangeKind::Link | ChangeKind::Symlink => "gave another name to",
            ChangeKind::Chmod | ChangeKind::Chown => "changed who may read",
            ChangeKind::Truncate => "emptied",
            ChangeKind::Mkdir => "put a directory in the place of",
        };
        Some((did, &*name.path))
    }

    /// An event of the sensor itself.
    fn ours(&mut self, event: &Event, process: &Process) {
        if self.ports.is_none() {
            return;
        }
        if self.own.is_none() {
            self.own = Some(Box::new(process.clone()));
        }
        if let Action::TcpAccept(accept) = &event.action {
            if self.accepted.len() >= ACCEPTED_MAX {
                self.accepted.pop_front();
            }
            self.accepted.push_back((accept.0.remote, event.id));
        }
    }

    /// The next caller at a port.
    pub fn late(&mut self) -> Option<Late> {
        let about = self.own.clone()?;
        let touch = self.ports.as_ref()?.touch()?;
        let at = self
            .accepted
            .iter()
            .position(|(peer, _)| *peer == touch.peer);
        let event = at.and_then(|at| self.accepted.remove(at));
        Some(Late {
            time: touch.time,
            cpu: 0,
            finding: Finding {
                cause: Cause::Rule(Arc::clone(&self.port_rule)),
                severity: Severity::High,
                confidence: SURE,
                message: called(&touch),
                path: None,
                peer: Some(Peer {
                    endpoint: touch.peer,
                    direction: Direction::Ingress,
                }),
                file: None,
                content: None,
                indicator: None,
                evidence: event.map(|(_, id)| id).into_iter().collect(),
                about,
            },
        })
    }
}

fn accessed(access: &Access) -> Option<&'static str> {
    match access.kind {
        AccessKind::Read => Some("read"),
        AccessKind::Open if access.writes => Some("opened for writing"),
        // It was told of when it was opened.
        AccessKind::Open | AccessKind::Close => None,
    }
}

/// A process that the sensor started of its own program, which looks into files.
fn is_of_ours(process: &Process) -> bool {
    let parent = process.parent.as_ref();
    parent.is_some_and(|parent| parent.key.pid == std::process::id())
}

fn called(touch: &Touch) -> String {
    let Touch {
        transport,
        local,
        peer,
        said,
        ..
    } = touch;
    let said = match said.len() {
        0 => "said nothing".to_owned(),
        _ => format!("said {:?} first", text::lossy(said)),
    };
    format!(
        "{} called the decoy port {}/{} and {said}",
        peer,
        local.port,
        transport.name()
    )
}

#[cfg(test)]
mod tests;
