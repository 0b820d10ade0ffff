//! The user-space side of `sensor-ebpf/src/filter.rs`: writes the filter maps, at start and
//! while the programs run. Adds before it takes away, so that a change never leaves a moment
//! in which less is reported than before and after it.

mod pattern;
pub(super) mod set;
mod watch;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use aya::Ebpf;
use aya::maps::{Array, MapData, MapError};
use sensor_common::filter::{
    HAS_CGROUPS, HAS_COMMS, HAS_PREFIXES, HAS_SUFFIXES, HAS_UIDS, HAS_WATCHED, PREFIX_MAX, PSEUDO,
    SUBJECTS_MAX, SUFFIX_MAX, Settings, WATCHED_MAX, watch_bit,
};
use sensor_common::limits::COMM_LEN;
use thiserror::Error;

use crate::cgroup;

pub use pattern::{PathRules, Pattern, PatternError};
use set::{InodeBytes, TrieKey, hash_set, take, trie_set};
pub use watch::{Watch, WatchError};

/// Why the filters cannot be set.
#[derive(Debug, Error)]
pub enum FilterError {
    /// A map is not in the object, or of another type.
    #[error("the embedded object has no usable map {0}; this build is broken")]
    NoMap(&'static str),
    /// The kernel refuses an entry.
    #[error("the kernel refuses an entry of filter map {0}: {1}")]
    Map(&'static str, #[source] MapError),
}

/// What to leave out and what to look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// By path.
    pub paths: PathRules,
    /// Names of processes (`comm`) whose doings are not reported.
    pub processes: Vec<String>,
    /// Real user ids whose doings are not reported.
    pub users: Vec<u32>,
    /// Control groups, by path in the unified hierarchy, whose doings are not reported, nor
    /// those of the groups in them.
    pub cgroups: Vec<String>,
    /// Files of which reads are reported.
    pub watches: Vec<Watch>,
}

type SettingsBytes = [u8; size_of::<Settings>()];
type HashSet<K> = set::HashSet<K, u32>;
type TrieSet<const N: usize> = set::TrieSet<N, u32>;

/// The filters of running programs.
pub struct Filters {
    settings: Array<MapData, SettingsBytes>,
    prefixes: TrieSet<PREFIX_MAX>,
    suffixes: TrieSet<SUFFIX_MAX>,
    comms: HashSet<[u8; COMM_LEN]>,
    uids: HashSet<u32>,
    cgroups: HashSet<u64>,
    watched: HashSet<InodeBytes>,
    rules: Rules,
    /// Watched for the sensor's own sake.
    own: HashMap<InodeBytes, u32>,
    /// The directories that is for, by the names the kernel gives them.
    own_directories: std::collections::HashSet<Box<str>>,
}

impl Filters {
    /// Takes over the maps and sets the first rules.
    ///
    /// # Errors
    /// When a map is missing or the kernel refuses an entry.
    pub fn new(ebpf: &mut Ebpf, rules: Rules) -> Result<Self, FilterError> {
        const SETTINGS: &str = "SETTINGS";
        let mut filters = Self {
            settings: Array::try_from(take(ebpf, SETTINGS)?)
                .map_err(|_| FilterError::NoMap(SETTINGS))?,
            prefixes: trie_set(ebpf, "PATH_PREFIXES")?,
            suffixes: trie_set(ebpf, "PATH_SUFFIXES")?,
            comms: hash_set(ebpf, "COMMS")?,
            uids: hash_set(ebpf, "UIDS")?,
            cgroups: hash_set(ebpf, "CGROUPS")?,
            watched: hash_set(ebpf, "WATCHED")?,
            rules: Rules::default(),
            own: HashMap::new(),
            own_directories: std::collections::HashSet::new(),
        };
        filters.apply(rules)?;
        Ok(filters)
    }

    /// Replaces the rules, while the programs run.
    ///
    /// # Errors
    /// When the kernel refuses an entry; the rules are then between the old and the new.
    pub fn apply(&mut self, rules: Rules) -> Result<(), FilterError> {
        let (prefixes, suffixes) = tries(&rules.paths);
        let comms = rules.processes.iter().map(|name| (comm(name), 1)).collect();
        let uids = rules.users.iter().map(|uid| (*uid, 1)).collect();
        let cgroups = groups(&rules.cgroups);
        let watched = self.with_own(inodes(&rules.watches));
        self.rules = rules;

        self.prefixes.add(&prefixes)?;
        self.suffixes.add(&suffixes)?;
        self.comms.add(&comms)?;
        self.uids.add(&uids)?;
        self.cgroups.add(&cgroups)?;
        self.watched.add(&watched)?;
        self.set()?;
        self.prefixes.retain(&prefixes)?;
        self.suffixes.retain(&suffixes)?;
        self.comms.retain(&comms)?;
        self.uids.retain(&uids)?;
        self.cgroups.retain(&cgroups)?;
        self.watched.retain(&watched)?;
        self.set()
    }

    /// Watches the files in these directories as well, instead of those given last time. What
    /// is read there is for the sensor itself.
    ///
    /// # Errors
    /// When the kernel refuses an entry.
    pub fn also_watch(&mut self, directories: &[Box<str>]) -> Result<(), FilterError> {
        let watches: Vec<Watch> = directories
            .iter()
            .filter_map(|directory| Watch::parse(&format!("{directory}/")).ok())
            .collect();
        self.own = inodes(&watches);
        let names = directories.iter().map(|directory| of_its_root(directory));
        self.own_directories = names.map(Into::into).collect();
        self.refresh()
    }

    /// Whether it is reported that a file was read, and not only for the sensor itself.
    #[must_use]
    pub fn asked_for(&self, path: &str) -> bool {
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        let path = Path::new(path);
        !self.own_directories.contains(directory)
            || self.rules.watches.iter().any(|watch| watch.covers(path))
    }

    /// What the rules watch goes first.
    fn with_own(&self, mut watched: HashMap<InodeBytes, u32>) -> HashMap<InodeBytes, u32> {
        for (inode, bits) in &self.own {
            if watched.len() < WATCHED_MAX as usize || watched.contains_key(inode) {
                *watched.entry(*inode).or_insert(0) |= bits;
            }
        }
        watched
    }

    /// Tells of a new control group.
    ///
    /// # Errors
    /// When the kernel refuses an entry.
    pub fn group_made(&mut self, id: u64, path: &str) -> Result<(), FilterError> {
        if !self
            .rules
            .cgroups
            .iter()
            .any(|outer| is_in_group(path, outer))
        {
            return Ok(());
        }
        let entry = HashMap::from([(id, 1)]);
        self.cgroups.add(&entry)?;
        self.set()
    }

    /// Tells of a name that was made, changed or removed.
    ///
    /// # Errors
    /// When the kernel refuses an entry.
    pub fn name_changed(&mut self, path: &str) -> Result<(), FilterError> {
        let path = Path::new(path);
        if self
            .rules
            .watches
            .iter()
            .any(|watch| watch.is_touched_by(path))
        {
            self.refresh()
        } else {
            Ok(())
        }
    }

    /// Finds out anew what the watched paths mean; to be done from time to time, because
    /// mounts change them as well.
    ///
    /// # Errors
    /// When the kernel refuses an entry.
    pub fn refresh(&mut self) -> Result<(), FilterError> {
        let watched = self.with_own(inodes(&self.rules.watches));
        if watched == self.watched.entries {
            return Ok(());
        }
        self.watched.add(&watched)?;
        self.set()?;
        self.watched.retain(&watched)?;
        self.set()
    }

    /// Whether a path that the programs did not know, and so let pass, is to be reported.
    #[must_use]
    pub fn admit(&self, path: &str) -> bool {
        self.rules.paths.admit(path)
    }

    fn set(&mut self) -> Result<(), FilterError> {
        let mut settings = Settings {
            flags: self.prefixes.flag(HAS_PREFIXES)
                | self.suffixes.flag(HAS_SUFFIXES)
                | self.comms.flag(HAS_COMMS)
                | self.uids.flag(HAS_UIDS)
                | self.cgroups.flag(HAS_CGROUPS)
                | self.watched.flag(HAS_WATCHED)
                | if self.rules.paths.kernel_file_systems {
                    PSEUDO
                } else {
                    0
                },
            ..Settings::default()
        };
        for key in self.watched.entries.keys() {
            let (word, bit) = watch_bit(inode_of(key));
            if let Some(bits) = settings.watched.get_mut(word) {
                *bits |= bit;
            }
        }
        let bytes: SettingsBytes = zerocopy::transmute!(settings);
        self.settings
            .set(0, bytes, 0)
            .map_err(|error| FilterError::Map("SETTINGS", error))
    }
}

/// `/var/www` of `/proc/4711/root/var/www`.
fn of_its_root(path: &str) -> &str {
    path.strip_prefix("/proc/")
        .and_then(|rest| rest.split_once("/root/"))
        .and_then(|(_, rest)| path.get(path.len() - rest.len() - 1..))
        .unwrap_or(path)
}

/// The inode number stands first in an [`InodeKey`].
fn inode_of(key: &InodeBytes) -> u64 {
    key.first_chunk()
        .map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

fn inodes(watches: &[Watch]) -> HashMap<InodeBytes, u32> {
    let found = watch::resolve(watches);
    // In a fixed order, so that it is always the same ones that have no room.
    let ordered: BTreeMap<InodeBytes, u32> = found
        .into_iter()
        .map(|(key, bits)| (zerocopy::transmute!(key), bits))
        .collect();
    ordered.into_iter().take(WATCHED_MAX as usize).collect()
}

/// Ids of control groups and all in them. The id is the inode number of the group's directory
/// (`kernfs_id_ino`, `include/linux/kernfs.h`).
fn groups(paths: &[String]) -> HashMap<u64, u32> {
    if paths.is_empty() {
        return HashMap::new();
    }
    let root = cgroup::mount_point().unwrap_or_else(|error| {
        tracing::warn!(%error, "control groups are not left out");
        "/nonexistent".into()
    });
    let mut to_do: Vec<_> = paths
        .iter()
        .map(|path| root.join(path.trim_start_matches('/')))
        .collect();
    let mut ids = HashMap::new();
    while let Some(directory) = to_do.pop().filter(|_| ids.len() < SUBJECTS_MAX as usize) {
        let Ok(metadata) = fs::metadata(&directory) else {
            continue;
        };
        ids.insert(metadata.ino(), 1);
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        to_do.extend(
            entries
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path()),
        );
    }
    ids
}

fn is_in_group(path: &str, outer: &str) -> bool {
    let outer = outer.trim_matches('/');
    path.trim_matches('/')
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `task_struct.comm` of a process of that name.
fn comm(name: &str) -> [u8; COMM_LEN] {
    let mut comm = [0; COMM_LEN];
    // The last byte stays NUL.
    for (to, from) in comm.iter_mut().take(COMM_LEN - 1).zip(name.bytes()) {
        *to = from;
    }
    comm
}

type TrieEntries<const N: usize> = HashMap<TrieKey<N>, u32>;

fn tries(rules: &PathRules) -> (TrieEntries<PREFIX_MAX>, TrieEntries<SUFFIX_MAX>) {
    let (mut prefixes, mut suffixes) = (HashMap::new(), HashMap::new());
    for (pattern, says) in rules.iter() {
        match pattern {
            Pattern::Beginning(bytes) => {
                prefixes.insert(trie_key(bytes.iter()), *says);
            }
            Pattern::Ending(bytes) => {
                suffixes.insert(trie_key(bytes.iter().rev()), *says);
            }
        }
    }
    (prefixes, suffixes)
}

/// Bytes as the key of a trie, all of which count.
pub(super) fn trie_key<'b, const N: usize>(
    bytes: impl ExactSizeIterator<Item = &'b u8>,
) -> TrieKey<N> {
    let mut key = [0; N];
    let len = bytes.len().min(N);
    for (to, from) in key.iter_mut().zip(bytes) {
        *to = *from;
    }
    (8 * len as u32, key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sensor_common::filter::InodeKey;
    use zerocopy::IntoBytes as _;

    #[test]
    fn an_ending_is_looked_up_backwards() {
        let rules = PathRules::new(["*.php"], ["/var/log/"]).unwrap();
        let (prefixes, suffixes) = tries(&rules);
        let ((bits, bytes), _) = suffixes.into_iter().next().unwrap();
        assert_eq!((bits, &bytes[..5]), (32, b"php.\0".as_slice()));
        let ((bits, bytes), _) = prefixes.into_iter().next().unwrap();
        assert_eq!((bits, &bytes[..10]), (72, b"/var/log/\0".as_slice()));
    }

    #[test]
    fn a_group_is_in_itself_and_in_those_above_it() {
        assert!(is_in_group("/system.slice/x.service", "/system.slice"));
        assert!(is_in_group("/system.slice", "/system.slice/"));
        assert!(!is_in_group("/system.slice2", "/system.slice"));
    }

    #[test]
    fn a_process_name_is_cut_where_the_kernel_cuts_it() {
        assert_eq!(&comm("systemd-journald"), b"systemd-journal\0");
        assert_eq!(&comm("sh")[..3], b"sh\0");
    }

    #[test]
    fn a_watched_inode_has_its_number_in_front() {
        let key = InodeKey {
            inode: 0x0102_0304,
            dev: 5,
            reserved: 0,
        };
        assert_eq!(inode_of(&zerocopy::transmute!(key)), 0x0102_0304);
        assert_eq!(key.as_bytes().len(), size_of::<InodeBytes>());
    }
}
