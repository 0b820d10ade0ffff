//! Watched files: from paths that may hold stars to the inodes that are there now. The kernel
//! knows files by inode, and a path can come to mean another one at any time, so this is done
//! again whenever something on the way may have changed. No maps here.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Component, Path, PathBuf};

use sensor_common::filter::{InodeKey, WATCH_CHILDREN, WATCH_SELF, WATCHED_MAX};
use thiserror::Error;

use crate::probe::inode::Inodes;

/// Why a path cannot be watched.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum WatchError {
    /// Not from the root.
    #[error("cannot watch {0:?}: a path must begin with /")]
    Relative(String),
}

/// A path to watch: a file, or with `/` at its end the files in a directory. A component that
/// is a star stands for every directory there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    components: Vec<OsString>,
    children: bool,
}

impl Watch {
    /// Reads one.
    ///
    /// # Errors
    /// When it does not begin at the root.
    pub fn parse(text: &str) -> Result<Self, WatchError> {
        if !text.starts_with('/') {
            return Err(WatchError::Relative(text.to_owned()));
        }
        Ok(Self {
            components: names(Path::new(text)).map(OsStr::to_owned).collect(),
            children: text.ends_with('/'),
        })
    }

    /// Whether a change of the name `path` can change what is watched: it is on the way there.
    #[must_use]
    pub fn is_touched_by(&self, path: &Path) -> bool {
        let mut ours = self.components.iter();
        names(path).all(|theirs| {
            ours.next()
                .is_some_and(|ours| ours == "*" || ours == theirs)
        })
    }

    /// Whether a file at this path is watched, as far as its path shows.
    #[must_use]
    pub fn covers(&self, path: &Path) -> bool {
        let theirs = names(path).count();
        theirs == self.components.len() + usize::from(self.children)
            && self
                .components
                .iter()
                .zip(names(path))
                .all(|(ours, theirs)| ours == "*" || ours == theirs)
    }

    /// The paths it stands for now.
    fn expand(&self) -> Vec<PathBuf> {
        let mut found = vec![PathBuf::from("/")];
        for component in &self.components {
            found = found
                .iter()
                .flat_map(|directory| step(directory, component))
                .collect();
            found.truncate(WATCHED_MAX as usize);
        }
        found
    }
}

fn names(path: &Path) -> impl Iterator<Item = &OsStr> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        _ => None,
    })
}

fn step(directory: &Path, component: &OsString) -> Vec<PathBuf> {
    if component != "*" {
        return vec![directory.join(component)];
    }
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect()
}

/// The inodes that some watches mean now, and what to watch of each.
#[must_use]
pub fn resolve(watches: &[Watch]) -> HashMap<InodeKey, u32> {
    let known = Inodes::default();
    let mut inodes = HashMap::new();
    for watch in watches {
        let bit = if watch.children {
            WATCH_CHILDREN
        } else {
            WATCH_SELF
        };
        for path in watch.expand() {
            // What is not there is found when it comes.
            if let Some(key) = known.at(&path) {
                *inodes.entry(key).or_insert(0) |= bit;
            }
        }
    }
    inodes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn a_change_anywhere_on_the_way_touches_a_watch() {
        let watch = Watch::parse("/home/*/.ssh/").unwrap();
        for touched in ["/home", "/home/eve", "/home/eve/.ssh", "/"] {
            assert!(watch.is_touched_by(Path::new(touched)), "{touched}");
        }
        for other in [
            "/root/.ssh",
            "/home/eve/.config",
            "/homes",
            "/home/eve/.ssh/id_rsa",
        ] {
            assert!(!watch.is_touched_by(Path::new(other)), "{other}");
        }
        assert_eq!(
            Watch::parse("shadow"),
            Err(WatchError::Relative("shadow".to_owned()))
        );
    }

    #[test]
    fn a_watch_covers_the_file_or_the_files_in_the_directory_and_no_others() {
        let watch = |text| Watch::parse(text).unwrap();
        assert!(watch("/etc/shadow").covers(Path::new("/etc/shadow")));
        assert!(watch("/home/*/.ssh/").covers(Path::new("/home/eve/.ssh/id_rsa")));
        assert!(!watch("/etc/shadow").covers(Path::new("/etc/shadow/x")));
        assert!(!watch("/etc/").covers(Path::new("/etc/ssh/x")));
        assert!(!watch("/etc/").covers(Path::new("/etc")));
    }

    #[test]
    fn stars_stand_for_the_directories_that_are_there() {
        let root = tempfile::tempdir().unwrap();
        for user in ["a", "b"] {
            fs::create_dir_all(root.path().join(user).join(".ssh")).unwrap();
        }
        fs::write(root.path().join("file"), "").unwrap();
        let watch = Watch::parse(&format!("{}/*/.ssh/", root.path().display())).unwrap();
        let inodes = resolve(&[watch]);
        assert_eq!(inodes.len(), 2);
        assert!(inodes.values().all(|bits| *bits == WATCH_CHILDREN));
        let expected = fs::metadata(root.path().join("a/.ssh")).unwrap().ino();
        assert!(inodes.keys().any(|key| key.inode == expected));
    }

    #[test]
    fn a_file_replaced_is_another_inode() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("shadow");
        let watches = [Watch::parse(path.to_str().unwrap()).unwrap()];
        assert!(resolve(&watches).is_empty());
        fs::write(&path, "1").unwrap();
        let first = resolve(&watches);
        fs::write(root.path().join("new"), "2").unwrap();
        fs::rename(root.path().join("new"), &path).unwrap();
        let second = resolve(&watches);
        assert_eq!((first.len(), second.len()), (1, 1));
        assert_ne!(first, second);
    }
}
