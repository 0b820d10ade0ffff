//! Control groups by id: which path, and so which container and service, a process belongs to.
//! Only the unified hierarchy, whose ids every event carries. Filled once from its file system
//! and kept up to date by events. Bounded; removed groups stay known while there is room,
//! because events of their last processes may still come.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::home_of;
use crate::detached::Detached;
use crate::event::process::Home;
use crate::event::system::Cgroup;
use crate::event::text;

/// Number of the unified hierarchy.
const UNIFIED: u32 = 0;
/// Deepest group looked for; the kernel's own default limit is not below.
const DEPTH_MAX: usize = 64;

/// The table.
#[derive(Debug)]
pub struct Cgroups {
    homes: HashMap<u64, Home>,
    /// Removed groups, longest removed first.
    removed: VecDeque<u64>,
    max: usize,
    refused: u64,
}

impl Cgroups {
    /// An empty table for at most `max` groups.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            homes: HashMap::new(),
            removed: VecDeque::new(),
            max,
            refused: 0,
        }
    }

    /// Learns the groups there are. Call it when events of new ones are already being queued:
    /// then none falls between.
    ///
    /// # Errors
    /// When the unified hierarchy is mounted nowhere and cannot be mounted either; processes
    /// older than the sensor then have no group but what `/proc` said.
    pub fn seed(&mut self) -> io::Result<()> {
        let mounts = fs::read("/proc/self/mountinfo")?;
        match mount_point(&mounts) {
            Some(root) => self.walk(&root),
            None => self.walk(&Detached::mount(c"cgroup2")?.path()),
        }
        Ok(())
    }

    fn walk(&mut self, root: &Path) {
        // A directory, its path in the hierarchy, its depth.
        let mut to_do = vec![(root.to_owned(), String::from("/"), 0)];
        while let Some((directory, path, depth)) = to_do.pop() {
            // It may have been removed by now.
            let Ok(metadata) = fs::metadata(&directory) else {
                continue;
            };
            // The id of a control group is the inode number of its directory
            // (`kernfs_id_ino`, include/linux/kernfs.h).
            self.insert(metadata.ino(), &path);
            if depth == DEPTH_MAX {
                continue;
            }
            let Ok(entries) = fs::read_dir(&directory) else {
                continue;
            };
            for entry in entries
                .flatten()
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            {
                let name = entry.file_name();
                let name = text::lossy(name.as_bytes());
                to_do.push((
                    entry.path(),
                    format!("{}/{name}", path.trim_end_matches('/')),
                    depth + 1,
                ));
            }
        }
    }

    /// A group was made.
    pub fn on_mkdir(&mut self, made: &Cgroup) {
        if made.hierarchy == UNIFIED {
            self.insert(made.id, &made.path);
        }
    }

    /// A group was removed. Ids are not given again.
    pub fn on_rmdir(&mut self, removed: &Cgroup) {
        if removed.hierarchy == UNIFIED && self.homes.contains_key(&removed.id) {
            self.removed.push_back(removed.id);
        }
    }

    /// Where a process in the group with this id belongs.
    #[must_use]
    pub fn home(&self, id: u64) -> Option<&Home> {
        self.homes.get(&id)
    }

    /// Path of the group with this id.
    #[must_use]
    pub fn path(&self, id: u64) -> Option<&str> {
        self.home(id)?.cgroup.as_deref()
    }

    /// How many groups found no room.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    fn insert(&mut self, id: u64, path: &str) {
        while self.homes.len() >= self.max && !self.homes.contains_key(&id) {
            let Some(oldest) = self.removed.pop_front() else {
                self.refused += 1;
                return;
            };
            self.homes.remove(&oldest);
        }
        self.homes.insert(id, home_of(path));
    }
}

/// Where the whole unified hierarchy is mounted (`proc_pid_mountinfo(5)`).
fn mount_point(mounts: &[u8]) -> Option<PathBuf> {
    mounts.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let root = fields.nth(3)?;
        let place = fields.next()?;
        let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
        let is_wanted = kind == b"cgroup2" && root == b"/";
        is_wanted.then(|| OsString::from_vec(unescaped(place)).into())
    })
}

/// Undoes `\040` and the like.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = (*first == b'\\')
            .then(|| after.get(..3))
            .flatten()
            .and_then(|digits| {
                let digits = std::str::from_utf8(digits).ok()?;
                u8::from_str_radix(digits, 8).ok()
            });
        match octal {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn group(id: u64, path: &str) -> Cgroup {
        Cgroup {
            id,
            path: path.into(),
            hierarchy: UNIFIED,
            level: 1,
        }
    }

    #[test]
    fn the_unified_hierarchy_is_found_wherever_it_is_mounted() {
        let mounts = b"30 24 0:26 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro\n\
            31 30 0:27 /x /sys/fs/cgroup/part rw shared:10 - cgroup2 cgroup2 rw\n\
            32 30 0:27 / /sys/fs/my\\040groups rw shared:10 master:3 - cgroup2 cgroup2 rw\n\
            33 30 0:28 / /sys/fs/cgroup/cpu rw shared:11 - cgroup cgroup rw,cpu\n";
        assert_eq!(mount_point(mounts).unwrap(), Path::new("/sys/fs/my groups"));
        assert_eq!(
            mount_point(b"30 24 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n"),
            None
        );
    }

    #[test]
    fn a_group_is_known_from_its_making_until_after_its_removal() {
        let mut table = Cgroups::new(8);
        table.on_mkdir(&group(7, "/system.slice/nginx.service"));
        assert_eq!(table.path(7), Some("/system.slice/nginx.service"));
        assert_eq!(
            table.home(7).unwrap().service.as_deref(),
            Some("nginx.service")
        );
        table.on_rmdir(&group(7, "/system.slice/nginx.service"));
        assert!(table.path(7).is_some());
    }

    #[test]
    fn other_hierarchies_are_left_out() {
        let mut table = Cgroups::new(8);
        table.on_mkdir(&Cgroup {
            hierarchy: 4,
            ..group(7, "/cpu")
        });
        assert_eq!(table.path(7), None);
    }

    #[test]
    fn room_is_made_of_removed_groups_only() {
        let mut table = Cgroups::new(2);
        table.on_mkdir(&group(1, "/a"));
        table.on_mkdir(&group(2, "/b"));
        table.on_mkdir(&group(3, "/c"));
        assert_eq!((table.path(3), table.refused()), (None, 1));
        table.on_rmdir(&group(1, "/a"));
        table.on_mkdir(&group(4, "/d"));
        assert_eq!(
            (table.path(1), table.path(4), table.refused()),
            (None, Some("/d"), 1)
        );
    }

    #[test]
    fn a_tree_is_walked_with_inodes_as_ids() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("a/b")).unwrap();
        fs::write(tree.path().join("a/cgroup.procs"), "").unwrap();
        let mut table = Cgroups::new(8);
        table.walk(tree.path());
        let ino = |path: &str| fs::metadata(tree.path().join(path)).unwrap().ino();
        assert_eq!(table.path(ino("")), Some("/"));
        assert_eq!(table.path(ino("a/b")), Some("/a/b"));
        assert_eq!(table.homes.len(), 3);
    }

    proptest! {
        #[test]
        fn arbitrary_mount_tables_never_panic(bytes: Vec<u8>) {
            let _ = mount_point(&bytes);
            let _ = unescaped(&bytes);
        }
    }
}
