//! *Downloaded and run*: a process with a connection to another machine writes a file, and the
//! file is then executed, or given to an interpreter.
//!
//! Sees: curl, wget, scripts and anything else that writes what it fetches, whatever it is
//! called; output that a shell has redirected; renaming in between; execution by anybody.
//! (Commands that are piped into a shell at once are a remote shell's one-way case.)
//! Misses: what was copied, unpacked or compiled after the download; a writer that got the bytes
//! from another process; downloads through a proxy on this machine.
//! Looks alike: installers and updaters that people start; so it weighs where the file lies,
//! whether the peer was known by name, and on whose behalf it happens. Package managers are left
//! out; tools that keep source trees and toolchains are told of only where a service runs them.

use std::collections::{HashMap, VecDeque};

use super::finding::{Builtin, Finding};
use super::program::Look;
use super::story;
use crate::event::alert::{Peer, Severity};
use crate::event::file::{AccessKind, ChangeKind};
use crate::event::lineage::Lineage;
use crate::event::network::Direction;
use crate::event::object;
use crate::event::process::{Exec, Process, ProcessKey};
use crate::event::{Action, Endpoint, Event, EventId, attack};
use crate::track::Tracker;
use crate::track::streams::Connection;

/// Downloaded files remembered.
const FILES_MAX: usize = 4_096;
/// Processes remembered whose output goes to a file.
const OUTPUTS_MAX: usize = 1_024;
/// How long after a download running it is still the same story, in nanoseconds.
const STORY_NS: u64 = 24 * 60 * 60 * 1_000_000_000;
/// Port of the domain name system, whose answers are no downloads.
const DNS: u16 = 53;
/// They bring whole trees of sources and tools, which are then run all day long.
const KEEPERS: &[&str] = &[
    "git",
    "git-remote-http",
    "git-remote-https",
    "cargo",
    "rustup",
    "rustup-init",
    "npm",
    "node",
    "pip",
    "pip3",
    "uv",
    "go",
    "gem",
    "bundle",
    "composer",
    "mvn",
    "gradle",
    "java",
    "conda",
    "dockerd",
    "containerd",
    "podman",
    "buildkitd",
    "rsync",
    "apt-get",
    "apt",
];

/// The rule.
pub const RULE: Builtin = Builtin {
    id: "download.run",
    name: "Downloaded file run",
    techniques: &["T1105", "T1204.002", "T1059"],
    tactics: &[attack::COMMAND_AND_CONTROL, attack::EXECUTION],
};

/// A file by what it is.
type FileId = (u64, u32);

/// How a file came here.
#[derive(Clone, Debug)]
struct Fetched {
    path: Box<str>,
    by: Box<str>,
    is_keeper: bool,
    peer: Endpoint,
    at_boot_ns: u64,
    events: Vec<EventId>,
}

/// Remembers downloads and notices when one is run.
#[derive(Debug, Default)]
pub struct Downloads {
    files: HashMap<FileId, Fetched>,
    by_path: HashMap<Box<str>, FileId>,
    order: VecDeque<FileId>,
    outputs: HashMap<ProcessKey, (FileId, Box<str>)>,
}

impl Downloads {
    /// Looks at an event, which the host's state already knows of.
    pub fn observe(&mut self, event: &Event, host: &Tracker, found: &mut Vec<Finding>) {
        let Some(process) = &event.process else {
            return;
        };
        match &event.action {
            Action::FileAccess(access) if access.kind == AccessKind::Open && access.writes => {
                let id = (access.file.inode, access.file.device);
                match source(process, host) {
                    Some(from) => self.fetched(id, &access.path, process, &from, event),
                    // Somebody else's content, unless it only adds to it; a new file may have the
                    // number of one that is gone.
                    None if access.truncated || access.created => self.forget(id),
                    None => {}
                }
            }
            Action::FileChange(change) if change.kind == ChangeKind::Rename => {
                if let Some(target) = &change.target {
                    self.renamed(&change.name.path, &target.path);
                }
            }
            Action::TcpConnect(connect) => {
                if let Some((id, path)) = self.outputs.get(&process.key).cloned() {
                    let connection = Connection::new(
                        &connect.flow,
                        Direction::Egress,
                        process.key,
                        event.time.boot_ns,
                        Some(event.id),
                    );
                    if is_download(&connection) {
                        self.fetched(id, &path, process, &connection, event);
                    }
                }
            }
            Action::Exec(exec) => {
                self.remember_output(process.key, exec);
                found.extend(self.executed(event, process, exec, host));
            }
            Action::Exit(_) => drop(self.outputs.remove(&process.key)),
            _ => {}
        }
    }

    fn fetched(
        &mut self,
        id: FileId,
        path: &str,
        process: &Process,
        from: &Connection,
        event: &Event,
    ) {
        // Pseudo files have no content of their own.
        if process.lineage.has(Lineage::PACKAGE_MANAGER) || path.starts_with("/dev/") {
            return;
        }
        let mut events: Vec<EventId> = from.event.into_iter().collect();
        events.push(event.id);
        let fetched = Fetched {
            path: path.into(),
            by: process.name().into(),
            is_keeper: KEEPERS.contains(&process.name()),
            peer: from.remote,
            at_boot_ns: event.time.boot_ns,
            events,
        };
        self.by_path.insert(path.into(), id);
        if self.files.insert(id, fetched).is_none() {
            self.order.push_back(id);
        }
        while self.order.len() > FILES_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.forget(oldest);
            }
        }
    }

    fn forget(&mut self, id: FileId) {
        if let Some(gone) = self.files.remove(&id) {
            self.by_path.remove(&gone.path);
        }
    }

    fn renamed(&mut self, from: &str, to: &str) {
        self.by_path.remove(to);
        if let Some(id) = self.by_path.remove(from) {
            self.by_path.insert(to.into(), id);
            if let Some(file) = self.files.get_mut(&id) {
                file.path = to.into();
            }
        }
    }

    /// What a shell redirects is open before the program that will fetch it has a connection.
    fn remember_output(&mut self, key: ProcessKey, exec: &Exec) {
        let [_, output, _] = &exec.stdio;
        let path = output.path.as_deref();
        match path.filter(|_| output.kind == object::Kind::File) {
            Some(path) => {
                if self.outputs.len() >= OUTPUTS_MAX {
                    self.outputs.clear();
                }
                let id = (output.inode, output.device);
                self.outputs.insert(key, (id, path.into()));
            }
            None => drop(self.outputs.remove(&key)),
        }
    }

    fn executed(
        &mut self,
        event: &Event,
        process: &Process,
        exec: &Exec,
        host: &Tracker,
    ) -> Option<Finding> {
        if self.files.is_empty() {
            return None;
        }
        let id = (exec.executable.inode, exec.executable.device);
        let id = match self.files.contains_key(&id) {
            true => id,
            false => *script(exec).and_then(|path| self.by_path.get(&*path))?,
        };
        let file = self.files.get(&id)?;
        let age = event.time.boot_ns.saturating_sub(file.at_boot_ns);
        let severity = judge(file, process, host)?;
        let finding = (age < STORY_NS).then(|| file.finding(event, process, severity, host));
        // Told once.
        self.forget(id);
        finding
    }
}

/// The connection that a process most likely has what it writes from.
fn source(process: &Process, host: &Tracker) -> Option<Connection> {
    let mut connections = host.streams().connections_of(process.key);
    connections
        .find(|connection| is_download(connection))
        .copied()
}

/// A connection that was opened from here to another machine, for something else than names.
fn is_download(connection: &Connection) -> bool {
    connection.direction == Direction::Egress
        && !connection.remote.address.is_loopback()
        && connection.remote.port != DNS
}

/// The absolute path of the script that an interpreter is given.
fn script(exec: &Exec) -> Option<Box<str>> {
    if let Some(script) = exec.script() {
        return Some(script.into());
    }
    let operand = Look::at(&exec.program).script()?;
    if operand.starts_with('/') {
        return Some(operand.into());
    }
    let directory = exec.working_directory.as_deref()?.trim_end_matches('/');
    Some(format!("{directory}/{}", operand.trim_start_matches("./")).into())
}

fn judge(file: &Fetched, process: &Process, host: &Tracker) -> Option<Severity> {
    let for_service = process
        .lineage
        .has(Lineage::WEB_SERVICE | Lineage::DATABASE);
    if for_service {
        return Some(Severity::High);
    }
    let is_nameless = host.name_of(file.peer.address).is_none();
    let is_odd = is_odd_place(&file.path);
    match (is_odd, is_nameless, file.is_keeper) {
        (_, _, true) => None,
        (true, true, _) => Some(Severity::High),
        _ if is_hidden(&file.path) => Some(Severity::High),
        _ => Some(Severity::Medium),
    }
}

/// Where everybody may put files.
fn is_odd_place(path: &str) -> bool {
    ["/tmp/", "/var/tmp/", "/dev/shm/", "/run/user/"]
        .iter()
        .any(|place| path.starts_with(place))
}

/// Hidden where nothing has to be.
fn is_hidden(path: &str) -> bool {
    path.starts_with("/dev/shm/")
        || (is_odd_place(path)
            && path
                .split('/')
                .any(|element| element.starts_with('.') && element.len() > 1))
}

impl Fetched {
    fn finding(
        &self,
        event: &Event,
        process: &Process,
        severity: Severity,
        host: &Tracker,
    ) -> Finding {
        let peer = story::peer(self.peer, host);
        let mut evidence = self.events.clone();
        evidence.push(event.id);
        Finding {
            cause: RULE.into(),
            severity,
            confidence: if severity == Severity::High { 80 } else { 60 },
            message: format!(
                "{} was fetched by {} from {peer}, and is run",
                self.path, self.by
            ),
            path: Some(format!(
                "{} → {} → {} ⇒ {}",
                self.peer,
                self.by,
                self.path,
                process.name()
            )),
            peer: Some(Peer {
                endpoint: self.peer,
                direction: Direction::Egress,
            }),
            file: Some(self.path.clone()),
            evidence,
            content: None,
            indicator: None,
            about: Box::new(process.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
