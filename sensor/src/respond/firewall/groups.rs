//! Control groups of the unified hierarchy: where it is, which group somebody means, and who is
//! in one. That a group may be isolated at all is decided here, too: never one with process 1, an
//! sshd, or whoever asks in it.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use sensor_common::guard::GROUP_DEPTH_MAX;
use thiserror::Error;

use super::order::Group;
use crate::cgroup;
use crate::detached::Detached;

/// Groups looked at when a container is looked for.
const GROUPS_MAX: usize = 65_536;
/// Shortest beginning of a container's id.
const CONTAINER_MIN: usize = 6;
/// Processes looked at in a group.
const PROCESSES_MAX: usize = 65_536;

/// Why a group cannot be had, or not isolated.
#[derive(Debug, Error)]
pub enum GroupError {
    /// There is no unified hierarchy.
    #[error("no cgroup2 file system can be had: {0}")]
    NoHierarchy(io::Error),
    /// No such group.
    #[error("there is no control group {0}; `systemd-cgls` shows those there are")]
    Unknown(String),
    /// No such container, or none that has a group.
    #[error(
        "no container whose id begins with {0} has a control group here; see `docker ps --no-trunc`"
    )]
    NoContainer(Box<str>),
    /// Several containers.
    #[error(
        "several containers have ids that begin with {id}: {first} and {second}; give more of it"
    )]
    Ambiguous {
        /// What was given.
        id: Box<str>,
        /// One of them.
        first: String,
        /// Another.
        second: String,
    },
    /// A beginning that says nothing.
    #[error("{0:?} is no container id; give {CONTAINER_MIN} or more of its hexadecimal digits")]
    NoId(Box<str>),
    /// It is the whole hierarchy.
    #[error("that is the root of all control groups; to isolate this host, leave the group out")]
    Root,
    /// It is nested too deep for the programs.
    #[error(
        "{path} is {depth} levels deep; only groups down to level {GROUP_DEPTH_MAX} can be isolated"
    )]
    TooDeep {
        /// The group.
        path: String,
        /// Its level.
        depth: u32,
    },
    /// Somebody is in it who must not be cut off.
    #[error("{path} holds {who}; isolating it would lock you out. Isolate a smaller group")]
    Vital {
        /// The group.
        path: String,
        /// Who.
        who: String,
    },
}

/// The unified hierarchy.
pub(super) enum Hierarchy {
    /// Mounted by the system.
    Mounted(PathBuf),
    /// Mounted by us, for us alone.
    Own(Detached),
}

impl Hierarchy {
    pub(super) fn find() -> Result<Self, GroupError> {
        match cgroup::mount_point() {
            Ok(path) => Ok(Self::Mounted(path)),
            _ => Detached::mount(c"cgroup2")
                .map(Self::Own)
                .map_err(GroupError::NoHierarchy),
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        match self {
            Self::Mounted(path) => path.clone(),
            Self::Own(mount) => mount.path(),
        }
    }

    /// The group that somebody means.
    pub(super) fn group(&self, group: &Group) -> Result<Found, GroupError> {
        let root = self.path();
        let path = match group {
            Group::Path(path) => relative(&root, path),
            Group::Container(id) => container(&root, id)?,
        };
        let path = path.ok_or_else(|| GroupError::Unknown(group.to_string()))?;
        let depth = u32::try_from(path.components().count()).unwrap_or(u32::MAX);
        let shown = format!("/{}", path.display());
        let directory = root.join(&path);
        match (fs::metadata(&directory), depth) {
            (Ok(metadata), _) if !metadata.is_dir() => Err(GroupError::Unknown(shown)),
            (Err(_), _) => Err(GroupError::Unknown(shown)),
            (_, 0) => Err(GroupError::Root),
            (_, depth) if depth > GROUP_DEPTH_MAX => {
                Err(GroupError::TooDeep { path: shown, depth })
            }
            (Ok(metadata), level) => Ok(Found {
                id: metadata.ino(),
                level,
                path: shown,
                directory,
            }),
        }
    }

    /// The path of the group with this id, if it is still there.
    pub(super) fn path_of(&self, id: u64) -> Option<String> {
        let root = self.path();
        let found = walk(&root)
            .find(|path| fs::metadata(path).is_ok_and(|metadata| metadata.ino() == id))?;
        Some(format!("/{}", found.strip_prefix(&root).ok()?.display()))
    }
}

/// A group that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Its id, which is the inode number of its directory (`kernfs_id_ino`).
    pub(super) id: u64,
    /// Levels below the root.
    pub(super) level: u32,
    /// Its path from the root of the hierarchy.
    pub(super) path: String,
    directory: PathBuf,
}

impl Found {
    /// All processes in it and below.
    pub(super) fn processes(&self) -> Vec<u32> {
        walk(&self.directory)
            .flat_map(|group| processes(&group))
            .take(PROCESSES_MAX)
            .collect()
    }

    /// Whether it can be isolated without locking anybody out; `vital` are processes by name.
    pub(super) fn check(&self, vital: &[(u32, String)]) -> Result<(), GroupError> {
        let inside =
            |pid: u32| group_of(pid).is_some_and(|group| Path::new(&group).starts_with(&self.path));
        match vital.iter().find(|(pid, _)| inside(*pid)) {
            None => Ok(()),
            Some((pid, name)) => Err(GroupError::Vital {
                path: self.path.clone(),
                who: format!("{name} (pid {pid})"),
            }),
        }
    }
}

/// The path of a process's group: the line `0::PATH` of `/proc/PID/cgroup` (cgroups(7)).
fn group_of(pid: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(path.to_owned())
}

fn processes(group: &Path) -> Vec<u32> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// A path below the root of the hierarchy, however it was written; none that leads out of it.
fn relative(root: &Path, path: &Path) -> Option<PathBuf> {
    let path = path.strip_prefix(root).unwrap_or(path);
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}

/// The group of a container: the highest whose name has its id in it (`docker-ID.scope`,
/// `cri-containerd-ID.scope`, `libpod-ID.scope`, `ID`).
fn container(root: &Path, id: &str) -> Result<Option<PathBuf>, GroupError> {
    let is_id = id.len() >= CONTAINER_MIN && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_id {
        return Err(GroupError::NoId(id.chars().take(64).collect()));
    }
    let mut found: Option<PathBuf> = None;
    for path in walk(root) {
        let is_it = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| is_named(name, id));
        match &found {
            _ if !is_it => {}
            Some(first) if path.starts_with(first) => {}
            Some(first) => {
                return Err(GroupError::Ambiguous {
                    id: id.into(),
                    first: first.display().to_string(),
                    second: path.display().to_string(),
                });
            }
            None => found = Some(path),
        }
    }
    let path = found.ok_or_else(|| GroupError::NoContainer(id.into()))?;
    Ok(path.strip_prefix(root).ok().map(Path::to_owned))
}

/// Whether the name of a group says that it is this container's.
fn is_named(name: &str, id: &str) -> bool {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let (_, last) = name.rsplit_once('-').unwrap_or(("", name));
    last.starts_with(id) && last.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A group and all below it, from above, up to a bound.
fn walk(root: &Path) -> impl Iterator<Item = PathBuf> {
    let mut waiting = VecDeque::from([root.to_owned()]);
    let next = move || {
        let group = waiting.pop_front()?;
        let entries = fs::read_dir(&group).into_iter().flatten().flatten();
        let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        waiting.extend(below.map(|entry| entry.path()));
        Some(group)
    };
    std::iter::from_fn(next).take(GROUPS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_from_the_root_or_as_a_directory() {
        let root = Path::new("/sys/fs/cgroup");
        let found = |path: &str| relative(root, Path::new(path));
        let expected = Some(PathBuf::from("system.slice/a.service"));
        assert_eq!(found("/system.slice/a.service"), expected);
        assert_eq!(found("system.slice/./a.service/"), expected);
        assert_eq!(found("/sys/fs/cgroup/system.slice/a.service"), expected);
        assert_eq!(found("/system.slice/../../etc"), None);
        assert_eq!(found("/"), Some(PathBuf::new()));
    }

    #[test]
    fn a_container_is_known_by_the_name_of_its_group() {
        let id = "4f5e6a7b8c9d";
        for name in [
            "docker-4f5e6a7b8c9d00.scope",
            "4f5e6a7b8c9d00",
            "libpod-4f5e6a7b8c9d.scope",
        ] {
            assert!(is_named(name, id), "{name}");
        }
        for name in [
            "docker-0f5e6a7b8c9d.scope",
            "4f5e6a7b8c9d.service",
            "a4f5e6a7b8c9d",
        ] {
            assert!(!is_named(name, id), "{name}");
        }
    }

    #[test]
    fn one_container_and_not_several_is_meant() {
        let root = tempfile::tempdir().unwrap();
        for group in ["a/docker-abcdef01.scope/init", "b/docker-abcdef02.scope"] {
            fs::create_dir_all(root.path().join(group)).unwrap();
        }
        let found = |id| container(root.path(), id);
        assert_eq!(
            found("abcdef01").unwrap(),
            Some(PathBuf::from("a/docker-abcdef01.scope"))
        );
        assert!(matches!(found("abcdef"), Err(GroupError::Ambiguous { .. })));
        assert!(matches!(found("abcdee"), Err(GroupError::NoContainer(_))));
        for id in ["", "abc", "../../..", "abcdefg"] {
            assert!(matches!(found(id), Err(GroupError::NoId(_))), "{id}");
        }
    }
}
