//! What is remembered of those that were frozen together, for whoever thaws them: one small file
//! each. A record of another boot is nothing.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::event::process::ProcessKey;

/// Name of the directory.
const DIRECTORY: &str = "frozen";
/// Longest record read, in bytes: some 200 for each process.
const RECORD_MAX: u64 = 16 * 1024 * 1024;
/// Records read.
const RECORDS_MAX: usize = 4_096;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its pid.
    pub pid: u32,
    /// Its start in clock ticks since boot.
    pub start_ticks: u64,
    /// The kernel's name for it.
    pub comm: Box<str>,
    /// The control group it came from, from the root of the hierarchy; `None` when it was stopped
    /// by a signal.
    pub home: Option<PathBuf>,
}

impl Member {
    /// A process stopped by a signal.
    #[must_use]
    pub fn new(key: ProcessKey, comm: &str) -> Self {
        Self {
            pid: key.pid,
            start_ticks: key.start_ticks,
            comm: comm.into(),
            home: None,
        }
    }

    /// Which process.
    #[must_use]
    pub const fn key(&self) -> ProcessKey {
        ProcessKey {
            pid: self.pid,
            start_ticks: self.start_ticks,
        }
    }
}

/// Those that were frozen together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// The boot it was in.
    boot: Box<str>,
    /// Pid of the one that was named.
    pub pid: u32,
    /// Its start in clock ticks since boot.
    pub start_ticks: u64,
    /// All.
    pub members: Vec<Member>,
    /// Their frozen group; `None` when there is none and all were stopped by signals.
    pub group: Option<PathBuf>,
    /// Who had them frozen.
    pub by: Box<str>,
    /// Why.
    pub reason: Box<str>,
    /// When, in nanoseconds since the epoch; 0 when nobody wrote it down.
    pub wall_ns: u64,
}

impl Frozen {
    /// Nobody yet.
    #[must_use]
    pub fn new(first: ProcessKey, by: &str, reason: &str, wall_ns: u64) -> Self {
        Self {
            boot: boot(),
            pid: first.pid,
            start_ticks: first.start_ticks,
            members: Vec::new(),
            group: None,
            by: by.into(),
            reason: reason.into(),
            wall_ns,
        }
    }

    /// The one that was named.
    #[must_use]
    pub const fn process(&self) -> ProcessKey {
        ProcessKey {
            pid: self.pid,
            start_ticks: self.start_ticks,
        }
    }

    fn file(&self, state: &Path) -> PathBuf {
        let name = format!("{}-{}.json", self.pid, self.start_ticks);
        state.join(DIRECTORY).join(name)
    }

    /// Writes it down, for root's eyes only.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn keep(&self, state: &Path) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(state.join(DIRECTORY))?;
        let path = self.file(state);
        let fresh = path.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&fresh)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        fs::rename(&fresh, &path)
    }

    /// Forgets it.
    pub fn forget(&self, state: &Path) {
        let _ = fs::remove_file(self.file(state));
    }
}

/// All of this boot; others, and what cannot be read, are removed.
#[must_use]
pub fn read_all(state: &Path) -> Vec<Frozen> {
    let boot = boot();
    let entries = fs::read_dir(state.join(DIRECTORY)).into_iter().flatten();
    let files = entries.flatten().map(|entry| entry.path());
    let records = files.filter(|path| path.extension().is_some_and(|e| e == "json"));
    let mut all = Vec::new();
    for path in records.take(RECORDS_MAX) {
        match read(&path) {
            Some(frozen) if frozen.boot == boot => all.push(frozen),
            _ => drop(fs::remove_file(&path)),
        }
    }
    all
}

fn read(path: &Path) -> Option<Frozen> {
    let mut text = String::new();
    let file = File::open(path).ok()?;
    file.take(RECORD_MAX).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn boot() -> Box<str> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_is_found_in_this_boot_only() {
        let state = tempfile::tempdir().unwrap();
        let key = ProcessKey {
            pid: 7,
            start_ticks: 99,
        };
        let mut frozen = Frozen::new(key, "root", "why", 5);
        let mut member = Member::new(key, "sh");
        member.home = Some("system.slice/x.service".into());
        frozen.members.push(member);
        frozen.keep(state.path()).unwrap();
        assert_eq!(read_all(state.path()), [frozen.clone()]);

        let mut old = frozen.clone();
        old.boot = "another".into();
        old.pid = 8;
        old.keep(state.path()).unwrap();
        fs::write(state.path().join(DIRECTORY).join("9-9.json"), "{").unwrap();
        assert_eq!(read_all(state.path()), [frozen.clone()]);
        assert_eq!(
            fs::read_dir(state.path().join(DIRECTORY)).unwrap().count(),
            1
        );
        frozen.forget(state.path());
        assert!(read_all(state.path()).is_empty());
    }
}
