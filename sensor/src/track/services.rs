//! Network services and their workers, by what they do: who listens (seen, or found in `/proc`
//! at the start), who accepts, who is called by a web service, and the forks of those that run no
//! other program. Of web services also where their pages are and which scripts they opened and
//! wrote. Bounded, and correct for services older than the sensor. Draws no conclusions.

mod config;
mod inside;
mod roots;
mod scripts;
mod seed;
mod service;
mod trade;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use inside::{Inside, matches};
pub use roots::Roots;
pub use scripts::{Scripts, Written, given_content, is_script, is_settings};

use super::processes::ProcessTable;
use crate::event::file::AccessKind;
use crate::event::network::UnixConnect;
use crate::event::process::{Exec, Process, ProcessKey};
use crate::event::{Action, Event};
use roots::Scanner;
pub use service::{Caller, Request, Service};

/// Services known.
const SERVICES_MAX: usize = 1_024;
/// Processes of services known.
const MEMBERS_MAX: usize = 65_536;
/// Ended processes of services still known.
const ENDED_MAX: usize = 4_096;
/// Ancestors looked at for the first process of a service.
const MASTERS_MAX: usize = 8;
/// How often the roots of a service are looked for again.
const ROOTS_EVERY: Duration = Duration::from_secs(60);
/// Directories watched for all services together.
const WATCHED_MAX: usize = 4_096;

/// What a service listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// A TCP port.
    Port(u16),
    /// A unix socket.
    Unix,
}

/// A process of a service.
#[derive(Clone, Debug)]
struct Member {
    service: ProcessKey,
    request: Option<Arc<Request>>,
    has_ended: bool,
}

impl Member {
    const fn of(service: ProcessKey) -> Self {
        Self {
            service,
            request: None,
            has_ended: false,
        }
    }
}

/// A process of a web service.
#[derive(Clone, Copy, Debug)]
pub struct Worker<'s> {
    /// Which process.
    pub key: ProcessKey,
    /// Of what.
    pub service: &'s Service,
    /// The request it runs for, where it was told in its environment.
    pub request: Option<&'s Arc<Request>>,
}

/// All services.
#[derive(Debug, Default)]
pub struct Services {
    members: HashMap<ProcessKey, Member>,
    services: HashMap<ProcessKey, Service>,
    /// Members that have ended, longest ended first; what they started may live.
    ended: VecDeque<ProcessKey>,
    scripts: Scripts,
    scanner: Option<Scanner>,
    is_watch_changed: bool,
    /// A web service is there whose roots nobody has looked for.
    is_due: bool,
    dropped: u64,
}

impl Services {
    /// With a thread that looks for web roots.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start() -> std::io::Result<Self> {
        Ok(Self {
            scanner: Some(Scanner::start()?),
            ..Self::default()
        })
    }

    /// A process as one of a web service.
    #[must_use]
    pub fn web_worker(&self, key: ProcessKey) -> Option<Worker<'_>> {
        let member = self.members.get(&key)?;
        let service = self.services.get(&member.service)?;
        service.is_web.then_some(Worker {
            key,
            service,
            request: member.request.as_ref(),
        })
    }

    /// Whether a path is below a directory that some web service has pages in.
    #[must_use]
    pub fn is_in_web_root(&self, path: &str) -> bool {
        let mut services = self.services.values();
        services.any(|service| service.is_web && service.roots.have(path))
    }

    /// Scripts that were opened and written.
    #[must_use]
    pub const fn scripts(&self) -> &Scripts {
        &self.scripts
    }

    /// How much could not be remembered for want of room.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Learns from an event that is completed already.
    pub fn apply(&mut self, event: &Event, processes: &ProcessTable) {
        let Some(process) = &event.process else {
            return;
        };
        let (key, now) = (process.key, event.time.boot_ns);
        match &event.action {
            Action::Fork => self.forked(process),
            Action::Exec(exec) => self.executed(process, exec),
            Action::TcpListen(listen) => {
                self.listens(key, Door::Port(listen.flow.local.port), now, processes);
            }
            Action::TcpAccept(accept) if !self.members.contains_key(&key) => {
                self.listens(key, Door::Port(accept.0.local.port), now, processes);
            }
            Action::UnixConnect(connect) => self.called(process, connect, now, processes),
            Action::TcpConnect(connect) if connect.flow.remote.address.is_loopback() => {
                self.called_port(key, connect.flow.remote.port, now);
            }
            Action::FileAccess(access) if access.kind == AccessKind::Read => {
                if is_script(&access.path) && self.web_worker(key).is_some() {
                    self.scripts.opened(&access.path, process, event);
                }
            }
            _ => {
                if let Some((path, _)) = given_content(event).filter(|(path, _)| is_script(path)) {
                    self.wrote(path, process, event);
                }
            }
        }
    }

    /// A process ended, and nobody asks about it any more.
    pub fn ended(&mut self, key: ProcessKey) {
        self.scripts.ended(key);
        let Some(member) = self.members.get_mut(&key) else {
            return;
        };
        member.has_ended = true;
        self.ended.push_back(key);
        if let Some(service) = self.services.remove(&key) {
            self.succeed(service);
        }
        while self.ended.len() > ENDED_MAX {
            if let Some(oldest) = self.ended.pop_front() {
                self.members.remove(&oldest);
            }
        }
    }

    /// The first process of a service has ended, as that of every daemon does once it has put
    /// itself into the background: the oldest of the others is the first from now on.
    fn succeed(&mut self, mut service: Service) {
        let before = service.master;
        let is_heir = |(key, member): &(&ProcessKey, &Member)| {
            member.service == before
                && !member.has_ended
                && member.request.is_none()
                && **key != before
        };
        let heirs = self.members.iter().filter(is_heir);
        let heir = heirs
            .map(|(key, _)| *key)
            .min_by_key(|key| (key.start_ticks, key.pid));
        self.is_watch_changed = true;
        let Some(heir) = heir else { return };
        for member in self.members.values_mut() {
            if member.service == before {
                member.service = heir;
            }
        }
        service.master = heir;
        // Paths may lead through it.
        service.roots_asked = None;
        self.services.insert(heir, service);
    }

    /// Learns who listens already.
    pub fn seed(&mut self, processes: &ProcessTable, now_boot_ns: u64) {
        let mut listening = seed::Listening::default();
        for found in super::seed::processes() {
            for door in listening.of(found.key.pid) {
                self.listens(found.key, door, now_boot_ns, processes);
            }
            // Workers may have closed what they do not accept from.
            let parent = processes.live(found.ppid);
            let parent = parent.filter(|parent| {
                processes.program(*parent).is_some_and(|program| {
                    program.executable.is_some() && program.executable == found.program.executable
                })
            });
            if let Some(member) = parent.and_then(|parent| self.members.get(&parent)).cloned() {
                self.join(found.key, member);
            }
        }
    }

    /// Takes in what was found, and has it looked for at once where the pages of a new service are:
    /// somebody may be quick to put something there.
    pub fn turn(&mut self) {
        let Some(scanner) = &self.scanner else { return };
        while let Ok((key, roots)) = scanner.answer() {
            if let Some(service) = self.services.get_mut(&key) {
                self.is_watch_changed |= service.roots != roots;
                service.roots = roots;
            }
        }
        if std::mem::take(&mut self.is_due) {
            self.tick();
        }
    }

    /// Has it looked for again, from time to time, where pages are.
    pub fn tick(&mut self) {
        let Some(scanner) = &self.scanner else { return };
        for service in self.services.values_mut().filter(|service| service.is_web) {
            let is_due = service
                .roots_asked
                .is_none_or(|at| at.elapsed() >= ROOTS_EVERY);
            if is_due && scanner.ask(service.master, &service.program) {
                service.roots_asked = Some(Instant::now());
            }
        }
    }

    /// The directories to be watched for scripts being read, when they are others than last time.
    pub fn new_watches(&mut self) -> Option<Vec<Box<str>>> {
        if !std::mem::take(&mut self.is_watch_changed) {
            return None;
        }
        let all = self
            .services
            .values()
            .flat_map(|service| &service.roots.with_scripts);
        let mut all: Vec<_> = all.cloned().collect();
        all.sort();
        all.dedup();
        all.truncate(WATCHED_MAX);
        Some(all)
    }

    #[cfg(test)]
    pub(super) fn give_roots(&mut self, service: ProcessKey, paths: &[&str]) {
        if let Some(service) = self.services.get_mut(&service) {
            service.roots.paths = paths.iter().map(|path| (*path).into()).collect();
        }
    }

    fn forked(&mut self, process: &Process) {
        let parent = process.parent.as_ref().map(|parent| parent.key);
        if let Some(member) = parent.and_then(|parent| self.members.get(&parent)).cloned() {
            self.join(process.key, member);
        }
    }

    fn executed(&mut self, process: &Process, exec: &Exec) {
        let Some(member) = self.members.get(&process.key).cloned() else {
            return;
        };
        if member.service == process.key {
            // A server that starts itself anew keeps what it listens on.
            if let Some(service) = self.services.get_mut(&process.key) {
                service.program = Arc::clone(&exec.program);
                self.is_due |= service.judge();
            }
            return;
        }
        self.members.remove(&process.key);
        self.scripts.ended(process.key);
        let request = match &member.request {
            None => service::cgi(exec),
            Some(_) => None,
        };
        if let Some(request) = request {
            let request = Some(Arc::new(request));
            self.join(process.key, Member { request, ..member });
        }
    }

    fn listens(&mut self, key: ProcessKey, door: Door, now: u64, processes: &ProcessTable) {
        let Some(program) = processes.program(key) else {
            return;
        };
        if key.pid == 1
            || self
                .members
                .get(&key)
                .is_some_and(|member| member.request.is_some())
        {
            return;
        }
        // Not one that has put the others into the background and is gone.
        let same = |other: &ProcessKey| {
            processes.live(other.pid) == Some(*other)
                && processes.program(*other).is_some_and(|other| {
                    other.executable.is_some() && other.executable == program.executable
                })
        };
        let ancestors = processes.ancestors(key).take(MASTERS_MAX).take_while(same);
        let master = ancestors.last().unwrap_or(key);
        if !self.services.contains_key(&master) {
            if self.services.len() >= SERVICES_MAX {
                self.dropped += 1;
                return;
            }
            let program = Arc::clone(processes.program(master).unwrap_or(program));
            self.services
                .insert(master, Service::new(master, program, now));
            // Those that are there already: of a unix listener is heard only when it is called.
            for fork in processes.forks_of(master) {
                self.join(fork, Member::of(master));
            }
        }
        for process in [master, key] {
            self.join(process, Member::of(master));
        }
        if let Some(service) = self.services.get_mut(&master) {
            if let Door::Port(port) = door
                && service.ports.len() < service::PORTS_MAX
                && !service.ports.contains(&port)
            {
                service.ports.push(port);
            }
            self.is_due |= service.judge();
        }
    }

    /// A unix socket was connected: whoever listens there works for whoever calls.
    fn called(
        &mut self,
        process: &Process,
        connect: &UnixConnect,
        now: u64,
        processes: &ProcessTable,
    ) {
        if self.web_worker(process.key).is_none() {
            return;
        }
        let Some(peer) = connect.peer_pid.and_then(|pid| processes.live(pid)) else {
            return;
        };
        self.listens(peer, Door::Unix, now, processes);
        let master = self.members.get(&peer).map(|member| member.service);
        self.note_call(master, process.key, now);
    }

    fn called_port(&mut self, key: ProcessKey, port: u16, now: u64) {
        if self.web_worker(key).is_none() {
            return;
        }
        let has_port = |service: &&Service| service.has_port(port);
        let master = self
            .services
            .values()
            .filter(has_port)
            .map(|service| service.master)
            .min();
        self.note_call(master, key, now);
    }

    fn note_call(&mut self, master: Option<ProcessKey>, key: ProcessKey, boot_ns: u64) {
        if let Some(service) = master.and_then(|master| self.services.get_mut(&master)) {
            service.caller = Some(Caller { key, boot_ns });
            if !service.is_called_by_web {
                service.is_called_by_web = true;
                self.is_due |= service.judge();
            }
        }
    }

    fn wrote(&mut self, path: &str, process: &Process, event: &Event) {
        let mut changed = false;
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        let mut is_page = false;
        for service in self.services.values_mut().filter(|service| service.is_web) {
            if !service.roots.have(path) {
                continue;
            }
            is_page = true;
            // A directory that had no scripts has one now.
            let known = &mut service.roots.with_scripts;
            let is_known = known.iter().any(|known| known.ends_with(directory));
            if !is_known && known.len() < WATCHED_MAX {
                let is_ours = known.iter().all(|known| !known.starts_with("/proc/"));
                let prefix = if is_ours {
                    String::new()
                } else {
                    format!("/proc/{}/root", service.master.pid)
                };
                known.push(format!("{prefix}{directory}").into());
                changed = true;
            }
        }
        self.is_watch_changed |= changed;
        if is_page || self.web_worker(process.key).is_some() {
            self.scripts.wrote(path, process, event);
        }
    }

    fn join(&mut self, key: ProcessKey, member: Member) {
        if self.members.len() >= MEMBERS_MAX && !self.members.contains_key(&key) {
            self.dropped += 1;
            return;
        }
        self.members.insert(key, member);
    }
}

#[cfg(test)]
mod tests;
