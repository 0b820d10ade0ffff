//! A map of the kernel programs together with what user space has put into it, so that a change
//! writes only what changes. What the entries mean is not known here.

use std::collections::HashMap;
use std::hash::Hash;

use aya::maps::lpm_trie::Key;
use aya::maps::{HashMap as BpfHashMap, LpmTrie, MapData, MapError};
use aya::{Ebpf, Pod};
use sensor_common::filter::InodeKey;

use super::FilterError;

/// An inode as maps have it; `InodeKey` itself cannot implement aya's marker.
pub type InodeBytes = [u8; size_of::<InodeKey>()];
/// A hash map.
pub type HashSet<K, V> = Set<K, BpfHashMap<MapData, K, V>, V>;
/// A trie.
pub type TrieSet<const N: usize, V> = Set<TrieKey<N>, LpmTrie<MapData, [u8; N], V>, V>;

/// A map of the kernel, and what is in it.
pub struct Set<K, M, V> {
    name: &'static str,
    map: M,
    /// What is in it.
    pub entries: HashMap<K, V>,
}

/// What the two kinds of map have in common.
pub trait Entries<K, V> {
    /// Writes an entry.
    fn put(&mut self, key: &K, value: V) -> Result<(), MapError>;
    /// Removes an entry.
    fn take(&mut self, key: &K) -> Result<(), MapError>;
}

impl<K: Pod, V: Pod> Entries<K, V> for BpfHashMap<MapData, K, V> {
    fn put(&mut self, key: &K, value: V) -> Result<(), MapError> {
        self.insert(key, value, 0)
    }

    fn take(&mut self, key: &K) -> Result<(), MapError> {
        self.remove(key)
    }
}

/// Bits that count, and the bytes they are in.
pub type TrieKey<const N: usize> = (u32, [u8; N]);

impl<const N: usize, V: Pod> Entries<TrieKey<N>, V> for LpmTrie<MapData, [u8; N], V> {
    fn put(&mut self, (bits, bytes): &TrieKey<N>, value: V) -> Result<(), MapError> {
        self.insert(&Key::new(*bits, *bytes), value, 0)
    }

    fn take(&mut self, (bits, bytes): &TrieKey<N>) -> Result<(), MapError> {
        self.remove(&Key::new(*bits, *bytes))
    }
}

impl<K: Eq + Hash + Clone, V: Copy + PartialEq, M: Entries<K, V>> Set<K, M, V> {
    /// Brings in what is new.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn add(&mut self, wanted: &HashMap<K, V>) -> Result<(), FilterError> {
        for (key, value) in wanted {
            if self.entries.get(key) != Some(value) {
                self.map
                    .put(key, *value)
                    .map_err(|error| FilterError::Map(self.name, error))?;
                self.entries.insert(key.clone(), *value);
            }
        }
        Ok(())
    }

    /// Takes out what is not wanted any more.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn retain(&mut self, wanted: &HashMap<K, V>) -> Result<(), FilterError> {
        let gone: Vec<K> = self
            .entries
            .keys()
            .filter(|key| !wanted.contains_key(key))
            .cloned()
            .collect();
        for key in gone {
            self.map
                .take(&key)
                .map_err(|error| FilterError::Map(self.name, error))?;
            self.entries.remove(&key);
        }
        Ok(())
    }

    /// The flag, unless it is empty.
    pub fn flag(&self, flag: u32) -> u32 {
        if self.entries.is_empty() { 0 } else { flag }
    }
}

/// A map of the object.
///
/// # Errors
/// When there is none of that name.
pub fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<aya::maps::Map, FilterError> {
    ebpf.take_map(name).ok_or(FilterError::NoMap(name))
}

/// An empty hash map of the object.
///
/// # Errors
/// When there is none of that name and type.
pub fn hash_set<K: Pod + Eq + Hash, V: Pod>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<HashSet<K, V>, FilterError> {
    let map = BpfHashMap::try_from(take(ebpf, name)?).map_err(|_| FilterError::NoMap(name))?;
    Ok(Set {
        name,
        map,
        entries: HashMap::new(),
    })
}

/// An empty trie of the object.
///
/// # Errors
/// When there is none of that name and type.
pub fn trie_set<const N: usize, V: Pod>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<TrieSet<N, V>, FilterError> {
    let map = LpmTrie::try_from(take(ebpf, name)?).map_err(|_| FilterError::NoMap(name))?;
    Ok(Set {
        name,
        map,
        entries: HashMap::new(),
    })
}
