//! All indicators of all lists, made to be looked at for every event: one look into a hash table
//! for an address, a few for a name. Written once, then only read; another one takes its place
//! when lists have changed ([`super::shared`]). A million addresses take some 20 MB.
//!
//! Names and hashes of files are kept as 64-bit fingerprints under a key drawn at the start:
//! nobody can make one that is taken for another, and one by chance in a million million look-ups
//! takes more indicators than fit.

mod ranges;

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use ranges::Ranges;
use serde::Serialize;

use super::subject::{Domain, FileHash, Network, Subject};
use crate::event::attack::Tactic;

/// Addresses, names and hashes kept at most, of all lists together.
pub const ENTRIES_MAX: usize = 4_000_000;
/// Networks kept at most.
pub const NETWORKS_MAX: usize = 1_000_000;

/// What a list says of one or many indicators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Name of the list.
    pub list: Arc<str>,
    /// What it calls the threat; empty when it does not say.
    pub title: Arc<str>,
    /// Its id of the indicator; empty when it has none.
    pub id: Box<str>,
    /// The ATT&CK technique it gives.
    pub technique: Option<Box<str>>,
    /// The ATT&CK tactic it gives.
    pub tactic: Option<Tactic>,
    /// How sure it is, in percent.
    pub confidence: u8,
    /// When it ends, in seconds since the epoch.
    pub until: u64,
    /// Whether traffic with what it names is to be blocked.
    pub blocks: bool,
}

impl Note {
    /// Of two that say something of the same, the one that is kept: what blocks, what is surer,
    /// what lasts longer.
    const fn rank(&self) -> (bool, u8, u64) {
        (self.blocks, self.confidence, self.until)
    }
}

/// Stands for a [`Note`] in the store that it is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoteId(u32);

/// Which tables say something, and how much is in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// Single addresses.
    pub addresses: usize,
    /// Networks.
    pub networks: usize,
    /// Domain names, hosts of pages included.
    pub domains: usize,
    /// Hashes of files.
    pub files: usize,
    /// Named by more than one list, or twice by one.
    pub repeated: u64,
    /// Not kept for want of room.
    pub dropped: u64,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match<'s> {
    /// The indicator, as a list would write it.
    pub indicator: Subject,
    /// What is said of it.
    pub note: &'s Note,
}

type Table<K> = HashMap<K, u32>;

/// All indicators.
#[derive(Debug, Default)]
pub struct Store {
    notes: Vec<Note>,
    v4: Table<u32>,
    v6: Table<[u8; 16]>,
    networks_v4: Ranges<u32>,
    networks_v6: Ranges<u128>,
    names: Table<u64>,
    keys: RandomState,
    /// Most labels a name has; longer names are looked up by so many labels from their end.
    labels_max: usize,
    /// Networks to be blocked, in order.
    blocked: Vec<(Network, u32)>,
    sizes: Sizes,
}

/// What a fingerprint is of, so that a name and a hash cannot be the same.
#[derive(Clone, Copy, Hash)]
enum Sort {
    Domain,
    Below,
    Host,
    File,
}

impl Store {
    /// How much there is.
    #[must_use]
    pub const fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Whether there is nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    /// Whether there are hashes of files.
    #[must_use]
    pub const fn has_files(&self) -> bool {
        self.sizes.files > 0
    }

    /// Bytes of memory it takes, about.
    #[must_use]
    pub fn memory(&self) -> usize {
        fn table<K>(table: &Table<K>) -> usize {
            // One byte of control for each place (hashbrown), and 7 of 8 places are used at most.
            table.capacity() * 8 / 7 * (size_of::<(K, u32)>() + 1)
        }
        let texts: usize = self
            .notes
            .iter()
            .map(|note| note.id.len() + note.technique.as_ref().map_or(0, |text| text.len()))
            .sum();
        table(&self.v4)
            + table(&self.v6)
            + table(&self.names)
            + self.networks_v4.memory()
            + self.networks_v6.memory()
            + self.blocked.capacity() * size_of::<(Network, u32)>()
            + self.notes.capacity() * size_of::<Note>()
            + texts
    }

    /// What is said of an address. `now` is in seconds since the epoch.
    #[must_use]
    pub fn address(&self, address: IpAddr, now: u64) -> Option<Match<'_>> {
        let address = address.to_canonical();
        let exact = match address {
            IpAddr::V4(address) => self.v4.get(&address.to_bits()),
            IpAddr::V6(address) => self.v6.get(&address.octets()),
        };
        let host = || exact.map(|note| (*note, Network::host(address)));
        let found = |(note, network): (u32, Network)| {
            let note = self.valid(note, now)?;
            let indicator = Subject::Network(network);
            Some(Match { indicator, note })
        };
        host().and_then(found).or_else(|| {
            let (note, bits) = match address {
                IpAddr::V4(address) => self.networks_v4.find(address.to_bits())?,
                IpAddr::V6(address) => self.networks_v6.find(address.to_bits())?,
            };
            found((note, Network::new(address, bits)?))
        })
    }

    /// What is said of a name, or of one that it is below. In lower case, without a dot at the
    /// end, as [`crate::event::dns`] gives it.
    #[must_use]
    pub fn domain(&self, name: &str, now: u64) -> Option<Match<'_>> {
        if self.sizes.domains == 0 {
            return None;
        }
        if let Some(note) = self.named(Sort::Host, name.as_bytes(), now) {
            let indicator = Subject::Host(Domain {
                name: name.into(),
                only_below: false,
            });
            return Some(Match { indicator, note });
        }
        let labels = name.split('.').count();
        let mut rest = Some(name);
        let mut left = labels;
        while let Some(part) = rest {
            if left <= self.labels_max {
                let itself = self.named(Sort::Domain, part.as_bytes(), now);
                let below = || self.named(Sort::Below, part.as_bytes(), now);
                let found = itself.map(|note| (note, false)).or_else(|| {
                    let note = (left < labels).then(below)??;
                    Some((note, true))
                });
                if let Some((note, only_below)) = found {
                    let name = part.into();
                    let indicator = Subject::Domain(Domain { name, only_below });
                    return Some(Match { indicator, note });
                }
            }
            rest = part.split_once('.').map(|(_, parent)| parent);
            left -= 1;
        }
        None
    }

    /// What is said of a file.
    #[must_use]
    pub fn file(&self, hash: FileHash, now: u64) -> Option<Match<'_>> {
        let note = self.named(Sort::File, hash.bytes(), now)?;
        let indicator = Subject::File(hash);
        Some(Match { indicator, note })
    }

    /// What is said of anything.
    #[must_use]
    pub fn find(&self, subject: &Subject, now: u64) -> Option<Match<'_>> {
        match subject {
            Subject::Network(network) => self.address(network.address(), now),
            Subject::Domain(domain) | Subject::Host(domain) => self.domain(&domain.name, now),
            Subject::File(hash) => self.file(*hash, now),
        }
    }

    /// All that is to be blocked, until when, in seconds since the epoch. In no order.
    pub fn blocks(&self) -> impl Iterator<Item = (Network, &Note)> {
        let v4 = self.v4.iter();
        let v4 = v4.map(|(bits, note)| (Network::host(IpAddr::V4((*bits).into())), *note));
        let v6 = self.v6.iter();
        let v6 = v6.map(|(bytes, note)| (Network::host(Ipv6Addr::from(*bytes).into()), *note));
        v4.chain(v6)
            .chain(self.blocked.iter().copied())
            .filter_map(|(network, note)| Some((network, self.note(note)?)))
            .filter(|(_, note)| note.blocks)
    }

    /// Until when exactly this is to be blocked, if it is.
    #[must_use]
    pub fn blocked_until(&self, network: Network) -> Option<u64> {
        let host = match network.address() {
            IpAddr::V4(address) if network.is_host() => self.v4.get(&address.to_bits()).copied(),
            IpAddr::V6(address) if network.is_host() => self.v6.get(&address.octets()).copied(),
            _ => {
                let key = |(network, _): &(Network, u32)| *network;
                let at = self.blocked.binary_search_by_key(&network, key).ok()?;
                self.blocked.get(at).map(|(_, note)| *note)
            }
        };
        let note = self.note(host?)?;
        note.blocks.then_some(note.until)
    }

    fn named(&self, sort: Sort, bytes: &[u8], now: u64) -> Option<&Note> {
        let fingerprint = self.keys.hash_one((sort, bytes));
        self.valid(*self.names.get(&fingerprint)?, now)
    }

    fn note(&self, note: u32) -> Option<&Note> {
        self.notes.get(note as usize)
    }

    fn valid(&self, note: u32, now: u64) -> Option<&Note> {
        self.note(note).filter(|note| now < note.until)
    }
}

/// Makes a [`Store`].
#[derive(Debug, Default)]
pub struct Builder {
    store: Store,
    networks: HashMap<Network, u32>,
}

impl Builder {
    /// A note that indicators are then added with.
    pub fn note(&mut self, note: Note) -> NoteId {
        let id = u32::try_from(self.store.notes.len()).unwrap_or(u32::MAX);
        self.store.notes.push(note);
        NoteId(id)
    }

    /// Adds an indicator; false when there is no room.
    pub fn add(&mut self, subject: &Subject, note: NoteId) -> bool {
        let has_room = self.entries() < ENTRIES_MAX && self.networks.len() < NETWORKS_MAX;
        if !has_room {
            self.store.sizes.dropped += 1;
            return false;
        }
        let NoteId(note) = note;
        let store = &mut self.store;
        let (notes, sizes) = (&store.notes, &mut store.sizes);
        match subject {
            Subject::Network(network) if !network.is_host() => {
                put(&mut self.networks, *network, note, notes, sizes);
            }
            Subject::Network(network) => match network.address() {
                IpAddr::V4(address) => put(&mut store.v4, address.to_bits(), note, notes, sizes),
                IpAddr::V6(address) => put(&mut store.v6, address.octets(), note, notes, sizes),
            },
            Subject::Domain(domain) | Subject::Host(domain) => {
                let sort = match subject {
                    Subject::Host(_) => Sort::Host,
                    _ if domain.only_below => Sort::Below,
                    _ => Sort::Domain,
                };
                store.labels_max = store.labels_max.max(domain.name.split('.').count());
                let key = store.keys.hash_one((sort, domain.name.as_bytes()));
                let before = store.names.len();
                put(&mut store.names, key, note, notes, sizes);
                sizes.domains += store.names.len() - before;
            }
            Subject::File(hash) => {
                let key = store.keys.hash_one((Sort::File, hash.bytes()));
                let before = store.names.len();
                put(&mut store.names, key, note, notes, sizes);
                sizes.files += store.names.len() - before;
            }
        }
        true
    }

    fn entries(&self) -> usize {
        self.store.v4.len() + self.store.v6.len() + self.store.names.len()
    }

    /// All of it, in the form in which it is looked at.
    #[must_use]
    pub fn finish(self) -> Store {
        let Self {
            mut store,
            networks,
        } = self;
        store.sizes.addresses = store.v4.len() + store.v6.len();
        store.sizes.networks = networks.len();
        let mut networks: Vec<_> = networks.into_iter().collect();
        networks.sort_unstable();
        // In this order an outer network comes before those in it.
        store.networks_v4 = Ranges::of(networks.iter().filter_map(|(network, note)| {
            let IpAddr::V4(address) = network.address() else {
                return None;
            };
            let rest = u32::MAX.checked_shr(network.bits().into()).unwrap_or(0);
            let first = address.to_bits();
            Some((first, first | rest, *note, network.bits()))
        }));
        store.networks_v6 = Ranges::of(networks.iter().filter_map(|(network, note)| {
            let IpAddr::V6(address) = network.address() else {
                return None;
            };
            let rest = u128::MAX.checked_shr(network.bits().into()).unwrap_or(0);
            let first = address.to_bits();
            Some((first, first | rest, *note, network.bits()))
        }));
        networks.retain(|(_, note)| store.note(*note).is_some_and(|note| note.blocks));
        networks.shrink_to_fit();
        store.blocked = networks;
        store.notes.shrink_to_fit();
        store
    }
}

/// Enters something, or keeps the better of two notes on it.
fn put<K: Eq + std::hash::Hash>(
    table: &mut Table<K>,
    key: K,
    note: u32,
    notes: &[Note],
    sizes: &mut Sizes,
) {
    let rank = |note: u32| notes.get(note as usize).map(Note::rank);
    table
        .entry(key)
        .and_modify(|kept| {
            sizes.repeated += 1;
            if rank(note) > rank(*kept) {
                *kept = note;
            }
        })
        .or_insert(note);
}

#[cfg(test)]
mod tests;
