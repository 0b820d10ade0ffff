//! The process table: what each process runs, who its parent is, and for a while after its
//! end still, so that ancestry survives. Bounded: the longest ended are forgotten first, and
//! counted.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use super::lineage::begun_by;
use crate::event::lineage::Lineage;
use crate::event::process::{Home, Parent, ProcessKey, Program};

/// Longest chain of ancestors followed.
const DEPTH_MAX: u16 = 64;

/// A process found in `/proc`, older than the sensor.
#[derive(Debug)]
pub struct Seeded {
    /// Which process.
    pub key: ProcessKey,
    /// Pid of its parent.
    pub ppid: u32,
    /// What it runs.
    pub program: Arc<Program>,
    /// Where it belongs.
    pub home: Option<Home>,
}

/// What the table knows of a process.
#[derive(Debug, Default)]
pub struct Known {
    /// What it runs.
    pub program: Option<Arc<Program>>,
    /// Its parent.
    pub parent: Option<Parent>,
    /// How many ancestors are known.
    pub depth: u16,
    /// Where it belongs.
    pub home: Option<Home>,
    /// On whose behalf it works.
    pub lineage: Lineage,
}

#[derive(Debug)]
struct Entry {
    parent: Option<ProcessKey>,
    program: Arc<Program>,
    home: Option<Home>,
    depth: u16,
    /// What it and its ancestors began, but package managers.
    lineage: Lineage,
    /// The package manager that it descends from, or is. What that leaves behind when it ends
    /// does not work for it any more.
    package_manager: Option<ProcessKey>,
    /// It was there before any event.
    old: bool,
}

impl Entry {
    /// It runs this program from now on.
    fn begin(&mut self, key: ProcessKey, program: &Program) {
        let begun = begun_by(program);
        self.lineage |= begun.without(Lineage::PACKAGE_MANAGER);
        if begun.has(Lineage::PACKAGE_MANAGER) {
            self.package_manager = Some(key);
        }
    }
}

/// All processes known.
#[derive(Debug)]
pub struct ProcessTable {
    entries: HashMap<ProcessKey, Entry>,
    /// The process that has a pid now. In the same order in every run, so that a replay forgets
    /// what another of the same events forgot; nobody can choose pids that collide.
    live: HashMap<u32, ProcessKey, BuildHasherDefault<DefaultHasher>>,
    /// Ended processes, longest ended first.
    ended: VecDeque<ProcessKey>,
    max: usize,
    forgotten: u64,
}

impl ProcessTable {
    /// An empty table for at most `max` processes, live and ended together.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            entries: HashMap::new(),
            live: HashMap::default(),
            ended: VecDeque::new(),
            max: max.max(1),
            forgotten: 0,
        }
    }

    /// How many processes are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many were forgotten for want of room while their descendants may still live.
    #[must_use]
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// A process was found in `/proc`. What an event already told is newer and stays.
    pub fn insert_seeded(&mut self, found: Seeded) {
        if self.entries.contains_key(&found.key) {
            return;
        }
        let parent = self.live.get(&found.ppid).copied();
        self.insert(found.key, parent, found.program, found.home);
        if let Some(entry) = self.entries.get_mut(&found.key) {
            entry.old = true;
        }
    }

    /// A process that is known turns out to have this parent; what is known already stays.
    pub fn has_parent(&mut self, key: ProcessKey, parent: ProcessKey) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.parent = entry.parent.or(Some(parent));
        }
    }

    /// A process of which only the file was known turns out to have arguments.
    pub fn has_arguments(&mut self, key: ProcessKey, program: &Arc<Program>) {
        if let Some(entry) = self.entries.get_mut(&key)
            && entry.program.args.is_empty()
        {
            entry.program = Arc::clone(program);
        }
    }

    /// Whether a process was there before any event.
    #[must_use]
    pub fn is_old(&self, key: ProcessKey) -> bool {
        self.entries.get(&key).is_some_and(|entry| entry.old)
    }

    /// A process was forked: it runs what its parent runs.
    pub fn fork(&mut self, key: ProcessKey, ppid: u32, _boot_ns: u64) {
        if self.entries.contains_key(&key) {
            return;
        }
        let parent = self.live.get(&ppid).copied();
        let (program, home) = parent
            .and_then(|parent| self.entries.get(&parent))
            .map(|entry| (Arc::clone(&entry.program), entry.home.clone()))
            .unwrap_or_default();
        self.insert(key, parent, program, home);
    }

    /// A process runs a new program.
    pub fn exec(&mut self, key: ProcessKey, ppid: u32, program: Arc<Program>) {
        if !self.entries.contains_key(&key) {
            self.fork(key, ppid, 0);
        }
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.begin(key, &program);
            entry.program = program;
        }
    }

    /// A process ended; it stays known until there is no room.
    pub fn exit(&mut self, key: ProcessKey) {
        if self.live.get(&key.pid) == Some(&key) {
            self.live.remove(&key.pid);
            self.ended.push_back(key);
        }
    }

    /// What is known of a process.
    #[must_use]
    pub fn describe(&self, key: ProcessKey, ppid: u32) -> Known {
        let Some(entry) = self.entries.get(&key) else {
            return Known {
                parent: self.parent(self.live.get(&ppid).copied()),
                ..Known::default()
            };
        };
        // Orphans get a new parent, which the event's own ppid shows.
        let parent = entry
            .parent
            .filter(|parent| parent.pid == ppid)
            .or_else(|| self.live.get(&ppid).copied());
        Known {
            program: Some(Arc::clone(&entry.program)),
            parent: self.parent(parent),
            depth: entry.depth,
            home: entry.home.clone(),
            lineage: self.lineage(entry),
        }
    }

    fn lineage(&self, entry: &Entry) -> Lineage {
        let works = |of: &ProcessKey| self.live.get(&of.pid) == Some(of);
        match entry.package_manager {
            Some(of) if works(&of) => entry.lineage | Lineage::PACKAGE_MANAGER,
            _ => entry.lineage,
        }
    }

    /// A process is of a lineage, and so are those that it forks from now on.
    pub fn is_of(&mut self, key: ProcessKey, lineage: Lineage) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.lineage |= lineage;
        }
    }

    /// What a process runs, or ran last.
    #[must_use]
    pub fn program(&self, key: ProcessKey) -> Option<&Arc<Program>> {
        self.entries.get(&key).map(|entry| &entry.program)
    }

    /// The process that has a pid now.
    #[must_use]
    pub fn live(&self, pid: u32) -> Option<ProcessKey> {
        self.live.get(&pid).copied()
    }

    /// The live descendants of a process that run what it runs, with none between that do not.
    #[must_use]
    pub fn forks_of(&self, master: ProcessKey) -> Vec<ProcessKey> {
        let Some(program) = self.program(master) else {
            return Vec::new();
        };
        let same = |key: &ProcessKey| {
            self.program(*key).is_some_and(|other| {
                other.executable.is_some() && other.executable == program.executable
            })
        };
        let is_fork = |key: &ProcessKey| {
            same(key)
                && *key != master
                && self.ancestors(*key).take_while(same).any(|of| of == master)
        };
        self.live.values().copied().filter(is_fork).collect()
    }

    /// The live descendants of a process.
    #[must_use]
    pub fn descendants(&self, of: ProcessKey) -> Vec<ProcessKey> {
        let live = self.live.values().copied();
        live.filter(|key| self.ancestors(*key).any(|ancestor| ancestor == of))
            .collect()
    }

    /// Whether a process is there now.
    #[must_use]
    pub fn is_live(&self, key: ProcessKey) -> bool {
        self.live(key.pid) == Some(key)
    }

    /// Where a process belongs.
    #[must_use]
    pub fn home(&self, key: ProcessKey) -> Option<&Home> {
        self.entries.get(&key)?.home.as_ref()
    }

    /// The ancestors of a process, nearest first, as far as they are known.
    pub fn ancestors(&self, key: ProcessKey) -> impl Iterator<Item = ProcessKey> {
        let parent = |key: &ProcessKey| self.entries.get(key)?.parent;
        std::iter::successors(parent(&key), parent).take(usize::from(DEPTH_MAX))
    }

    fn parent(&self, key: Option<ProcessKey>) -> Option<Parent> {
        let key = key?;
        let entry = self.entries.get(&key)?;
        Some(Parent {
            key,
            program: Arc::clone(&entry.program),
            ancestors: Box::default(),
        })
    }

    fn insert(
        &mut self,
        key: ProcessKey,
        parent: Option<ProcessKey>,
        program: Arc<Program>,
        home: Option<Home>,
    ) {
        self.make_room();
        let above = parent.and_then(|parent| self.entries.get(&parent));
        let mut entry = Entry {
            parent,
            depth: above.map_or(0, |above| (above.depth + 1).min(DEPTH_MAX)),
            lineage: above.map_or(Lineage::NONE, |above| above.lineage),
            package_manager: above.and_then(|above| above.package_manager),
            program: Arc::clone(&program),
            home,
            old: false,
        };
        // A fork begins nothing that its parent has not begun.
        if above.is_none_or(|above| !Arc::ptr_eq(&above.program, &program)) {
            entry.begin(key, &program);
        }
        self.entries.insert(key, entry);
        if let Some(before) = self.live.insert(key.pid, key) {
            // Its end was not seen.
            self.ended.push_back(before);
        }
    }

    fn make_room(&mut self) {
        while self.entries.len() >= self.max {
            let oldest = self.ended.pop_front().or_else(|| {
                let any = self.live.values().next().copied()?;
                self.live.remove(&any.pid);
                self.forgotten += 1;
                Some(any)
            });
            match oldest {
                Some(key) => drop(self.entries.remove(&key)),
                None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(pid: u32, start_ticks: u64) -> ProcessKey {
        ProcessKey { pid, start_ticks }
    }

    fn program(path: &str) -> Arc<Program> {
        Arc::new(Program {
            executable: Some(path.into()),
            ..Program::default()
        })
    }

    #[test]
    fn a_fork_runs_what_its_parent_runs_until_it_execs() {
        let mut table = ProcessTable::new(10);
        table.exec(key(1, 1), 0, program("/bin/init"));
        table.fork(key(2, 5), 1, 0);
        let child = table.describe(key(2, 5), 1);
        assert_eq!(child.program.unwrap().name(), Some("init"));
        assert_eq!(child.depth, 1);
        table.exec(key(2, 5), 1, program("/bin/sh"));
        let child = table.describe(key(2, 5), 1);
        assert_eq!(child.program.unwrap().name(), Some("sh"));
        assert_eq!(child.parent.unwrap().program.name(), Some("init"));
    }

    #[test]
    fn a_script_works_for_the_package_manager_until_that_ends() {
        let mut table = ProcessTable::new(10);
        table.exec(key(1, 1), 0, program("/usr/bin/dpkg"));
        table.exec(key(2, 2), 1, program("/usr/bin/dash"));
        let lineage = |table: &ProcessTable| table.describe(key(2, 2), 1).lineage;
        assert_eq!(lineage(&table), Lineage::PACKAGE_MANAGER);
        table.exit(key(1, 1));
        assert_eq!(lineage(&table), Lineage::NONE);
    }

    #[test]
    fn what_somebody_does_who_logged_in_from_afar_is_of_that_lineage() {
        let mut table = ProcessTable::new(10);
        table.exec(key(1, 1), 0, program("/usr/sbin/sshd"));
        table.fork(key(2, 2), 1, 0);
        table.exec(key(3, 3), 2, program("/usr/bin/bash"));
        let lineage = table.describe(key(3, 3), 2).lineage;
        assert_eq!(lineage, Lineage::REMOTE_LOGIN);
    }

    #[test]
    fn a_reused_pid_is_another_process() {
        let mut table = ProcessTable::new(10);
        table.exec(key(7, 1), 0, program("/bin/old"));
        table.exit(key(7, 1));
        table.fork(key(7, 9), 0, 0);
        assert!(
            table
                .describe(key(7, 9), 0)
                .program
                .unwrap()
                .name()
                .is_none()
        );
        assert_eq!(
            table.describe(key(7, 1), 0).program.unwrap().name(),
            Some("old")
        );
    }

    #[test]
    fn the_table_stays_within_its_bound_and_forgets_the_ended_first() {
        let mut table = ProcessTable::new(3);
        for pid in 1..=3 {
            table.fork(key(pid, 0), 0, 0);
        }
        table.exit(key(2, 0));
        table.fork(key(4, 0), 0, 0);
        assert_eq!(table.len(), 3);
        assert!(table.describe(key(2, 0), 0).program.is_none());
        assert!(table.describe(key(1, 0), 0).program.is_some());
        assert_eq!(table.forgotten(), 0);
        table.fork(key(5, 0), 0, 0);
        assert_eq!((table.len(), table.forgotten()), (3, 1));
    }

    #[test]
    fn what_an_event_told_is_not_overwritten_by_the_seed() {
        let mut table = ProcessTable::new(10);
        table.exec(key(3, 3), 0, program("/bin/new"));
        table.insert_seeded(Seeded {
            key: key(3, 3),
            ppid: 0,
            program: program("/bin/seed"),
            home: None,
        });
        assert_eq!(
            table.describe(key(3, 3), 0).program.unwrap().name(),
            Some("new")
        );
    }
}
