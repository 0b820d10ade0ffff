//! Finds the root of the unified control group hierarchy, where the cgroup programs go. Which
//! container a group belongs to is not known here.

use std::fs::{self, File};
use std::path::PathBuf;

use thiserror::Error;

const MOUNTS: &str = "/proc/self/mountinfo";

/// Why there is no place to attach cgroup programs to.
#[derive(Debug, Error)]
pub enum CgroupError {
    /// The list of mounts cannot be read.
    #[error("cannot read {MOUNTS}: {0}")]
    Mounts(#[source] std::io::Error),
    /// No mount shows the whole hierarchy.
    #[error(
        "no cgroup2 file system is mounted with its root; mount one with \
         `mount -t cgroup2 none /sys/fs/cgroup`, or give the container the host's cgroup namespace"
    )]
    NotMounted,
    /// It cannot be opened.
    #[error("cannot open {path}: {error}", path = path.display())]
    Open {
        /// The mount point.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        error: std::io::Error,
    },
}

/// Opens the root of the unified hierarchy.
///
/// # Errors
/// When it is not mounted here, or only a part of it, as in most containers.
pub fn root() -> Result<File, CgroupError> {
    let path = mount_point()?;
    File::open(&path).map_err(|error| CgroupError::Open { path, error })
}

/// Where the root of the unified hierarchy is.
///
/// # Errors
/// As for [`root`].
pub fn mount_point() -> Result<PathBuf, CgroupError> {
    let mounts = fs::read_to_string(MOUNTS).map_err(CgroupError::Mounts)?;
    find(&mounts).ok_or(CgroupError::NotMounted)
}

/// The mount point of a cgroup2 file system of which the root is visible. Fields as in
/// proc_pid_mountinfo(5): the fourth is the root of the mount, the fifth the mount point, and
/// the type comes after a lone dash.
fn find(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (place, system) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (root, point) = (place.next()?, place.next()?);
        (root == "/" && system.starts_with("cgroup2 ")).then(|| PathBuf::from(unescape(point)))
    })
}

/// Blanks and backslashes stand as three octal digits in the file.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_with_the_whole_hierarchy_is_taken() {
        let mounts = "\
            24 1 0:22 / /proc rw shared:1 - proc proc rw\n\
            40 31 0:37 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
            41 31 0:38 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n\
            42 31 0:38 / /mnt/a\\040b rw,relatime shared:4 master:2 - cgroup2 cgroup2 rw\n";
        assert_eq!(find(mounts), Some(PathBuf::from("/mnt/a b")));
        assert_eq!(find("24 1 0:22 / /proc rw - proc proc rw\n"), None);
        assert_eq!(
            find("41 31 0:38 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
            None
        );
    }
}
