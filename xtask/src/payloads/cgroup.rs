//! A control group named as a service manager would name it, gone when it is dropped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The kernel needs a moment to see that killed processes have left.
const PATIENCE: Duration = Duration::from_secs(2);

/// A group of the unified hierarchy.
pub(crate) struct Cgroup(PathBuf);

impl Cgroup {
    /// `/system.slice/<name>-<our pid>.service`
    pub(crate) fn new(name: &str) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").context("no /proc")?;
        let root = mounts
            .lines()
            .find_map(unified)
            .context("the unified control group hierarchy (cgroup2) is not mounted")?;
        let slice = Path::new(root).join("system.slice");
        let path = slice.join(format!("{name}-{}.service", process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

fn unified(mount: &str) -> Option<&str> {
    let mut words = mount.split(' ').skip(1);
    let (place, kind) = (words.next()?, words.next()?);
    (kind == "cgroup2").then_some(place)
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let began = Instant::now();
        while fs::remove_dir(&self.0).is_err() && began.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(5));
        }
        // Ours only if nobody else has one in it.
        if let Some(slice) = self.0.parent() {
            let _ = fs::remove_dir(slice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unified_hierarchy_is_found_by_its_type() {
        assert_eq!(
            unified("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0"),
            Some("/sys/fs/cgroup")
        );
        assert_eq!(unified("cgroup /sys/fs/cgroup/cpu cgroup rw 0 0"), None);
    }
}
