//! A frozen control group below the root of the unified hierarchy
//! (`Documentation/admin-guide/cgroup-v2.rst`, `cgroup.freeze`).

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::super::handle::Handle;
use super::super::proc::{self, Stat};
use crate::event::process::ProcessKey;

/// The group that holds all frozen ones.
const ALL: &str = "sensor.frozen";
/// Processes of a group that are looked at.
const PROCESSES_MAX: usize = super::super::PROCESSES_MAX;

/// One frozen group.
#[derive(Debug)]
pub struct Group(PathBuf);

impl Group {
    /// Makes one, frozen already, named after a process.
    ///
    /// # Errors
    /// When the hierarchy does not let us, or has no freezer.
    pub fn make(root: &Path, first: ProcessKey) -> io::Result<Self> {
        let name = format!("{}-{}", first.pid, first.start_ticks);
        let group = Self(root.join(ALL).join(name));
        fs::create_dir_all(&group.0)?;
        if let Err(error) = fs::write(group.0.join("cgroup.freeze"), "1") {
            group.remove();
            return Err(error);
        }
        Ok(group)
    }

    /// One that is there.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// All there are.
    #[must_use]
    pub fn all(root: &Path) -> Vec<Self> {
        let entries = fs::read_dir(root.join(ALL)).into_iter().flatten().flatten();
        let directories = entries.filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()));
        directories.map(|entry| Self(entry.path())).collect()
    }

    /// Whether a group, named from the root, is one of these.
    #[must_use]
    pub fn is_ours(group: &Path) -> bool {
        group.starts_with(ALL)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Moves a process there, with all its threads; what it starts from then on is there too.
    ///
    /// # Errors
    /// When the kernel does not let us, or the process ended meanwhile.
    pub fn take(&self, handle: &Handle) -> io::Result<()> {
        let pid = handle.stat.key.pid;
        send(pid, &self.0)?;
        // The move goes by number. While the process lives, nobody else has its number.
        if handle.has_ended() {
            self.give_back_stranger(handle.stat.key)?;
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "it has ended meanwhile",
            ));
        }
        Ok(())
    }

    /// If someone got the pid between our look and the move, it goes to its parent's group, which
    /// is where it was born.
    fn give_back_stranger(&self, gone: ProcessKey) -> io::Result<()> {
        match Stat::of(gone.pid) {
            Ok(stat) if stat.key != gone && self.processes().contains(&gone.pid) => {
                let home = proc::group(stat.ppid)?;
                let root = self.0.ancestors().nth(2).unwrap_or(&self.0);
                send(gone.pid, &root.join(home))
            }
            _ => Ok(()),
        }
    }

    /// Pids of those in it.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        let pids = text.lines().take(PROCESSES_MAX);
        pids.filter_map(|line| line.parse().ok()).collect()
    }

    /// Waits until everything in it stands still; false when that takes longer.
    #[must_use]
    pub fn is_still_within(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let Ok(mut events) = File::open(self.0.join("cgroup.events")) else {
            return false;
        };
        loop {
            let mut text = String::new();
            let read = events
                .rewind()
                .and_then(|()| events.read_to_string(&mut text));
            if read.is_err() {
                return false;
            }
            if text.lines().any(|line| line == "frozen 1") {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || !changes_within(&events, left) {
                return false;
            }
        }
    }

    /// Removes it, when nobody is in it any more.
    pub fn remove(&self) {
        if fs::remove_dir(&self.0).is_ok()
            && let Some(all) = self.0.parent()
        {
            // Stays while there are others.
            let _ = fs::remove_dir(all);
        }
    }
}

/// Moves a process by its number.
///
/// # Errors
/// What the kernel says.
pub fn send(pid: u32, group: &Path) -> io::Result<()> {
    fs::write(group.join("cgroup.procs"), pid.to_string())
}

/// Waits for a change of a file of the hierarchy (`POLLPRI`, `kernfs_generic_poll`).
fn changes_within(file: &File, time: Duration) -> bool {
    let mut poll = libc::pollfd {
        fd: file.as_raw_fd(),
        events: libc::POLLPRI,
        revents: 0,
    };
    let milliseconds = i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one structure of the kernel's type, which outlives the call.
    unsafe { libc::poll(&raw mut poll, 1, milliseconds) > 0 }
}
