//! The state of the host, kept up to date by events, and used to complete them: process
//! table, names, control groups, hashes. Imports `event` only; never the probe.

pub mod cgroups;
pub mod container;
pub mod hash;
mod lineage;
pub mod names;
pub mod path;
pub mod processes;
pub mod seed;
pub mod services;
pub mod streams;
pub mod users;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cgroups::Cgroups;
use container::{container, systemd_unit};
use hash::Hasher;
use names::Resolved;
use processes::{ProcessTable, Seeded};
use services::Services;
use streams::Streams;
use users::Users;

use crate::event::lineage::Lineage;
use crate::event::privilege::Target;
use crate::event::process::{Ancestor, Home, Names, Process, ProcessKey, Program};
use crate::event::{Action, Event};

/// How many control groups are known at most.
const CGROUPS_MAX: usize = 32_768;
/// Ancestors of an old process told with a fork of it.
const ANCESTORS_MAX: usize = 16;
/// How often files that name users and groups are looked at again.
const NAMES_EVERY: Duration = Duration::from_secs(5);

/// Identifies this boot of this machine, so that entity ids are unique beyond it.
fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.chars().filter(char::is_ascii_hexdigit).take(8).collect())
        .unwrap_or_else(|_| "00000000".to_owned())
}

/// What the sensor knows of the host.
pub struct Tracker {
    boot_id: String,
    processes: ProcessTable,
    streams: Streams,
    services: Services,
    resolved: Resolved,
    cgroups: Cgroups,
    /// `None` when the events are of the past, and perhaps of another machine.
    here: Option<Here>,
}

/// What is looked up on this machine.
struct Here {
    users: Users,
    names_read: Instant,
    hasher: Hasher,
}

impl Tracker {
    /// A tracker that knows nothing yet.
    ///
    /// # Errors
    /// When the hashing thread cannot be started.
    pub fn new(max_processes: usize) -> std::io::Result<Self> {
        let mut users = Users::from_files("/etc/passwd", "/etc/group");
        report_names(users.refresh());
        Ok(Self {
            boot_id: boot_id(),
            processes: ProcessTable::new(max_processes),
            streams: Streams::new(max_processes),
            services: Services::start()?,
            resolved: Resolved::default(),
            cgroups: Cgroups::new(CGROUPS_MAX),
            here: Some(Here {
                users,
                names_read: Instant::now(),
                hasher: Hasher::start()?,
            }),
        })
    }

    /// A tracker for recorded events: it takes from them what it would look up on the machine
    /// they are of, and looks at nothing of this one.
    #[must_use]
    pub fn replaying(max_processes: usize) -> Self {
        Self {
            boot_id: String::new(),
            processes: ProcessTable::new(max_processes),
            streams: Streams::new(max_processes),
            services: Services::default(),
            resolved: Resolved::default(),
            cgroups: Cgroups::new(CGROUPS_MAX),
            here: None,
        }
    }

    /// Whether the events are of this machine and of now, so that it can be looked at.
    #[must_use]
    pub const fn is_here(&self) -> bool {
        self.here.is_some()
    }

    /// Learns the processes and control groups that are already there. Call it after the programs are attached
    /// and before the first event is applied: then no process falls between.
    pub fn seed(&mut self) {
        if let Err(error) = self.cgroups.seed() {
            tracing::warn!(%error, "no unified control group hierarchy: containers and services are known only of processes that were there before the sensor");
        }
        for found in seed::processes() {
            self.processes.insert_seeded(found);
        }
        self.streams.seed();
        self.services.seed(&self.processes, since_boot());
    }

    /// Updates the state by an event and completes the event from the state.
    pub fn apply(&mut self, event: &mut Event) {
        let Some(process) = &mut event.process else {
            return;
        };
        if self.here.is_none() {
            self.adopt(process);
        }
        match &event.action {
            Action::Fork => self
                .processes
                .fork(process.key, process.ppid, event.time.boot_ns),
            Action::Exec(exec) => {
                self.processes
                    .exec(process.key, process.ppid, Arc::clone(&exec.program));
                // Until this exec it was a worker, and the event tells of what it did as one.
                if self.services.web_worker(process.key).is_some() {
                    self.processes.is_of(process.key, Lineage::WEB_SERVICE);
                }
                if let Some(here) = &self.here {
                    here.hasher
                        .want(process.key.pid, &exec.executable, &exec.program);
                }
            }
            Action::CgroupMkdir(cgroup) => self.cgroups.on_mkdir(cgroup),
            Action::CgroupRmdir(cgroup) => self.cgroups.on_rmdir(cgroup),
            Action::Dns(dns) => self.resolved.apply(dns),
            _ => {}
        }
        self.complete(process);
        match &mut event.action {
            Action::Fork if self.here.is_some() => self.tell_ancestors(process),
            Action::FileChange(change) if self.here.is_some() => path::complete(change, process),
            Action::Ptrace(ptrace) => self.complete_target(&mut ptrace.target),
            Action::VmWrite(write) => self.complete_target(&mut write.target),
            Action::Setns(setns) => setns
                .target
                .iter_mut()
                .for_each(|target| self.complete_target(target)),
            _ => {}
        }
        if matches!(event.action, Action::Exit(_)) {
            self.processes.exit(process.key);
        }
        self.streams.apply(event);
        self.services.apply(event, &self.processes);
    }

    /// Forgets what an event ended, when nobody asks about it any more: call it after
    /// [`Tracker::apply`] and all that looks at its outcome.
    pub fn settle(&mut self, event: &Event) {
        if let (Action::Exit(_), Some(process)) = (&event.action, &event.process) {
            self.streams.ended(process.key);
            self.services.ended(process.key);
        }
    }

    /// What joins processes to each other and to the network.
    #[must_use]
    pub const fn streams(&self) -> &Streams {
        &self.streams
    }

    /// Who serves whom.
    #[must_use]
    pub const fn services(&self) -> &Services {
        &self.services
    }

    /// Says where a service has its pages, instead of the thread that looks.
    #[cfg(test)]
    pub fn give_roots(&mut self, service: ProcessKey, paths: &[&str]) {
        self.services.give_roots(service, paths);
    }

    /// Directories of web services in which reading is to be watched, when they have changed.
    pub fn new_watches(&mut self) -> Option<Vec<Box<str>>> {
        self.services.new_watches()
    }

    /// What a process runs, or ran last.
    #[must_use]
    pub fn program(&self, key: ProcessKey) -> Option<&Arc<Program>> {
        self.processes.program(key)
    }

    /// The ancestors of a process, nearest first, as far as they are known.
    pub fn ancestors(&self, key: ProcessKey) -> impl Iterator<Item = ProcessKey> {
        self.processes.ancestors(key)
    }

    /// The live descendants of a process.
    #[must_use]
    pub fn descendants(&self, of: ProcessKey) -> Vec<ProcessKey> {
        self.processes.descendants(of)
    }

    /// Whether a process is there now.
    #[must_use]
    pub fn is_live(&self, key: ProcessKey) -> bool {
        self.processes.is_live(key)
    }

    /// Where a process belongs.
    #[must_use]
    pub fn home(&self, key: ProcessKey) -> Option<&Home> {
        self.processes.home(key)
    }

    /// The name that an address was last found under.
    #[must_use]
    pub fn name_of(&self, address: IpAddr) -> Option<&str> {
        self.resolved.name(address)
    }

    /// Things to do between events.
    pub fn turn(&mut self) {
        self.services.turn();
    }

    /// Things to do from time to time.
    pub fn tick(&mut self) {
        let Some(here) = &mut self.here else { return };
        if here.names_read.elapsed() >= NAMES_EVERY {
            here.names_read = Instant::now();
            report_names(here.users.refresh());
        }
        self.services.tick();
    }

    /// How many processes are known, and how many were forgotten for want of room.
    #[must_use]
    pub fn table_size(&self) -> (usize, u64) {
        (self.processes.len(), self.processes.forgotten())
    }

    /// Learns from a recorded event what was there before the recording.
    fn adopt(&mut self, process: &Process) {
        if let (true, Some(boot)) = (self.boot_id.is_empty(), process.boot()) {
            boot.clone_into(&mut self.boot_id);
        }
        // The oldest first, so that children find their parents.
        if let Some(parent) = &process.parent {
            let mut older = None;
            for ancestor in parent.ancestors.iter().rev() {
                let program = Program {
                    executable: Some(ancestor.executable.clone()).filter(|path| !path.is_empty()),
                    ..Program::default()
                };
                self.adopt_one(ancestor.key, older, &Arc::new(program), None);
                older = Some(ancestor.key);
            }
            self.adopt_one(parent.key, older, &parent.program, None);
        }
        let program = process.program.clone().unwrap_or_default();
        let parent = process.parent.as_ref().map(|parent| parent.key);
        self.adopt_one(process.key, parent, &program, Some(&process.home));
    }

    fn adopt_one(
        &mut self,
        key: ProcessKey,
        parent: Option<ProcessKey>,
        program: &Arc<Program>,
        home: Option<&Home>,
    ) {
        if self.processes.program(key).is_none() {
            let ppid = parent.map_or(0, |parent| parent.pid);
            self.processes.insert_seeded(Seeded {
                key,
                ppid,
                program: Arc::clone(program),
                home: home.cloned(),
            });
            self.streams.adopt(key, ppid);
        } else if !program.args.is_empty() {
            self.processes.has_arguments(key, program);
        }
        if let Some(parent) = parent {
            self.processes.has_parent(key, parent);
        }
    }

    /// Tells with a fork of an old process where that comes from.
    fn tell_ancestors(&self, process: &mut Process) {
        let Some(parent) = &mut process.parent else {
            return;
        };
        if self.processes.is_old(parent.key) {
            let ancestors = self.processes.ancestors(parent.key).take(ANCESTORS_MAX);
            parent.ancestors = ancestors.map(|key| self.ancestor(key)).collect();
        }
    }

    fn ancestor(&self, key: ProcessKey) -> Ancestor {
        let program = self.processes.program(key);
        Ancestor {
            key,
            entity: self.entity(key),
            executable: program
                .and_then(|program| program.executable.clone())
                .unwrap_or_default(),
        }
    }

    fn complete(&mut self, process: &mut Process) {
        let known = self.processes.describe(process.key, process.ppid);
        keep_hash(process.program.as_deref(), known.program.as_deref());
        process.program = known.program;
        process.depth = known.depth;
        // What was recorded knew more than a recording of a part can tell.
        process.lineage = match &self.here {
            Some(_) => known.lineage | self.of_web(process.key),
            None => process.lineage | known.lineage,
        };
        process.parent_entity = known.parent.as_ref().map(|parent| self.entity(parent.key));
        let recorded = process.parent.take();
        process.parent = known.parent;
        if let (Some(parent), Some(recorded)) = (&mut process.parent, recorded) {
            parent.ancestors = recorded.ancestors;
        }
        process.entity = Some(self.entity(process.key));
        if let Some(here) = &self.here {
            process.names = here.names(process);
        }
        if process.home.cgroup.is_none() {
            process.home = self
                .cgroups
                .home(process.cgroup_id)
                .cloned()
                .or(known.home)
                .unwrap_or_default();
        }
    }

    fn of_web(&self, key: ProcessKey) -> Lineage {
        match self.services.web_worker(key) {
            Some(_) => Lineage::WEB_SERVICE,
            None => Lineage::NONE,
        }
    }

    fn complete_target(&self, target: &mut Target) {
        let Some(key) = target.key else { return };
        let known = self.processes.describe(key, 0).program;
        target.program = known.or(target.program.take());
        target.entity = Some(self.entity(key));
    }

    /// Identifies a process beyond this boot.
    #[must_use]
    pub fn entity(&self, key: ProcessKey) -> Box<str> {
        format!("{}-{}-{}", self.boot_id, key.pid, key.start_ticks).into_boxed_str()
    }
}

impl Here {
    fn names(&self, process: &Process) -> Names {
        let user = |uid: u32| self.users.user(uid).map(Arc::from);
        Names {
            user: user(process.ids.euid),
            real_user: user(process.ids.uid),
            login_user: process.login_uid.and_then(user),
            group: self.users.group(process.ids.egid).map(Arc::from),
        }
    }
}

/// Nanoseconds since boot, suspended time included.
fn since_boot() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a place for the result that lives through the call.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// A hash that was known when an event was recorded is known from then on.
fn keep_hash(recorded: Option<&Program>, known: Option<&Program>) {
    let hash = recorded.and_then(|program| program.sha256.get());
    if let (Some(hash), Some(known)) = (hash, known) {
        let _ = known.sha256.set(hash.clone());
    }
}

/// What a control group path says about where a process belongs.
#[must_use]
pub fn home_of(path: &str) -> Home {
    let container = container(path.as_bytes());
    Home {
        cgroup: Some(Arc::from(path)),
        runtime: container
            .as_ref()
            .and_then(|container| container.runtime.name())
            .map(Arc::from),
        container: container.map(|container| Arc::from(container.id.as_str())),
        service: systemd_unit(path.as_bytes()).map(|unit| Arc::from(unit.as_str())),
    }
}

fn report_names(outcome: std::io::Result<bool>) {
    if let Err(error) = outcome {
        tracing::debug!(%error, "names of users and groups cannot be read; ids are shown alone");
    }
}
