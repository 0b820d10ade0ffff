//! The guard's maps together: who is denied, who is allowed, what is isolated, and why. Which
//! entries there should be is decided elsewhere.

use std::path::Path;

use aya::maps::{Map, MapData, PerCpuArray};
use sensor_common::guard::{Entry, Group, LAYOUT, State, Who4, Who6, tally};

use super::keys::{Key, Net4, Net6};
use super::notes::Notes;
use super::table::{Table, TableError};
use super::target::Target;

/// What an entry does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum List {
    /// Drops.
    Deny,
    /// Excepts from being dropped.
    Allow,
}

impl List {
    /// Both.
    pub(super) const ALL: [Self; 2] = [Self::Deny, Self::Allow];
}

/// All maps, opened.
pub(super) struct Maps {
    deny4: Table<Who4, Entry>,
    deny6: Table<Who6, Entry>,
    deny_nets4: Table<Net4, Entry>,
    deny_nets6: Table<Net6, Entry>,
    allow4: Table<Net4, Entry>,
    allow6: Table<Net6, Entry>,
    state: Table<u32, State>,
    /// Isolated control groups.
    pub(super) groups: Table<u64, Group>,
    /// Why and by whom.
    pub(super) notes: Notes,
    tally: Option<PerCpuArray<MapData, [u64; 2]>>,
}

/// Does something with the table that a key belongs in.
macro_rules! with_table {
    ($maps:expr, $list:expr, $key:expr, |$table:ident, $inner:ident| $do:expr) => {
        match ($list, $key) {
            (_, Key::Address4($inner)) => {
                let $table = &$maps.deny4;
                $do
            }
            (_, Key::Address6($inner)) => {
                let $table = &$maps.deny6;
                $do
            }
            (List::Deny, Key::Net4($inner)) => {
                let $table = &$maps.deny_nets4;
                $do
            }
            (List::Deny, Key::Net6($inner)) => {
                let $table = &$maps.deny_nets6;
                $do
            }
            (List::Allow, Key::Net4($inner)) => {
                let $table = &$maps.allow4;
                $do
            }
            (List::Allow, Key::Net6($inner)) => {
                let $table = &$maps.allow6;
                $do
            }
        }
    };
}

impl Maps {
    /// Opens what is pinned in a directory.
    pub(super) fn open(pins: &Path) -> Result<Self, TableError> {
        let tally = MapData::from_pin(pins.join("TALLY"));
        let tally = tally.ok().map(Map::PerCpuArray);
        Ok(Self {
            deny4: Table::open(pins, "DENY4")?,
            deny6: Table::open(pins, "DENY6")?,
            deny_nets4: Table::open(pins, "DENY_NETS4")?,
            deny_nets6: Table::open(pins, "DENY_NETS6")?,
            allow4: Table::open(pins, "ALLOW4")?,
            allow6: Table::open(pins, "ALLOW6")?,
            state: Table::open(pins, "STATE")?,
            groups: Table::open(pins, "GROUPS")?,
            notes: Notes(Table::open(pins, "NOTES")?),
            tally: tally.and_then(|tally| tally.try_into().ok()),
        })
    }

    /// What is in force.
    pub(super) fn state(&self) -> Result<State, TableError> {
        Ok(self.state.get(&0)?.unwrap_or_default())
    }

    /// Sets what is in force.
    pub(super) fn set_state(&self, state: State) -> Result<(), TableError> {
        let state = State {
            layout: LAYOUT,
            ..state
        };
        self.state.set(&0, &state)
    }

    /// The entry of a target, if it has one of its own.
    pub(super) fn get(&self, list: List, target: &Target) -> Result<Option<Entry>, TableError> {
        with_table!(self, list, key(list, target), |table, key| table.get(&key))
    }

    /// Makes or changes the entry of a target.
    pub(super) fn set(&self, list: List, target: &Target, entry: &Entry) -> Result<(), TableError> {
        let entry = &Entry {
            prefix: target.network.prefix(),
            ..*entry
        };
        with_table!(self, list, key(list, target), |table, key| table
            .set(&key, entry))
    }

    /// Makes or changes the entries of many targets, each with an entry of its own; how many were
    /// made is said also when that failed in between.
    pub(super) fn set_many(
        &self,
        list: List,
        entries: &[(Target, Entry)],
    ) -> (usize, Result<(), TableError>) {
        let mut sorted = Sorted::default();
        for (target, entry) in entries {
            let entry = Entry {
                prefix: target.network.prefix(),
                ..*entry
            };
            sorted.push(key(list, target), entry);
        }
        let Sorted { a4, a6, n4, n6 } = sorted;
        let (nets4, nets6) = self.nets(list);
        let mut done = 0;
        let mut add = |(more, result): (usize, Result<(), TableError>)| {
            done += more;
            result
        };
        let result = add(self.deny4.set_many(&a4.0, &a4.1))
            .and_then(|()| add(self.deny6.set_many(&a6.0, &a6.1)))
            .and_then(|()| add(nets4.set_many(&n4.0, &n4.1)))
            .and_then(|()| add(nets6.set_many(&n6.0, &n6.1)));
        (done, result)
    }

    /// Removes the entries of many targets, and says how many there were.
    pub(super) fn remove_many(&self, list: List, targets: &[Target]) -> Result<usize, TableError> {
        let mut sorted = Sorted::default();
        for target in targets {
            sorted.push(key(list, target), Entry::default());
        }
        let (nets4, nets6) = self.nets(list);
        Ok(self.deny4.remove_many(&sorted.a4.0)?
            + self.deny6.remove_many(&sorted.a6.0)?
            + nets4.remove_many(&sorted.n4.0)?
            + nets6.remove_many(&sorted.n6.0)?)
    }

    /// Looks at each entry. What is in a map and none of ours is passed over.
    pub(super) fn each(
        &self,
        list: List,
        mut look: impl FnMut(Target, &Entry),
    ) -> Result<(), TableError> {
        let mut known = |key: Key, entry: &Entry| {
            if let Some(target) = key.target() {
                look(target, entry);
            }
        };
        if list == List::Deny {
            self.deny4
                .each(|who, entry| known(Key::Address4(*who), entry))?;
            self.deny6
                .each(|who, entry| known(Key::Address6(*who), entry))?;
        }
        let (nets4, nets6) = self.nets(list);
        nets4.each(|net, entry| known(Key::Net4(*net), entry))?;
        nets6.each(|net, entry| known(Key::Net6(*net), entry))
    }

    /// What was dropped, and why: packets and bytes by [`tally`].
    pub(super) fn tally(&self) -> [[u64; 2]; tally::LIMIT as usize] {
        let mut sums = [[0; 2]; tally::LIMIT as usize];
        for (reason, sum) in (0..).zip(&mut sums) {
            let values = self.tally.as_ref().map(|tally| tally.get(&reason, 0));
            let Some(Ok(values)) = values else {
                continue;
            };
            for [packets, bytes] in values.iter() {
                let [all_packets, all_bytes] = sum;
                *all_packets += packets;
                *all_bytes += bytes;
            }
        }
        sums
    }

    /// Room for single addresses that are denied, by family.
    pub(super) const fn addresses(&self) -> u32 {
        self.deny4.max()
    }

    const fn nets(&self, list: List) -> (&Table<Net4, Entry>, &Table<Net6, Entry>) {
        match list {
            List::Deny => (&self.deny_nets4, &self.deny_nets6),
            List::Allow => (&self.allow4, &self.allow6),
        }
    }
}

fn key(list: List, target: &Target) -> Key {
    match list {
        List::Deny => Key::exact(target),
        List::Allow => Key::net(target),
    }
}

/// Keys and entries by the map they belong in.
#[derive(Default)]
struct Sorted {
    a4: (Vec<Who4>, Vec<Entry>),
    a6: (Vec<Who6>, Vec<Entry>),
    n4: (Vec<Net4>, Vec<Entry>),
    n6: (Vec<Net6>, Vec<Entry>),
}

impl Sorted {
    fn push(&mut self, key: Key, entry: Entry) {
        match key {
            Key::Address4(who) => push(&mut self.a4, who, entry),
            Key::Address6(who) => push(&mut self.a6, who, entry),
            Key::Net4(net) => push(&mut self.n4, net, entry),
            Key::Net6(net) => push(&mut self.n6, net, entry),
        }
    }
}

fn push<K>((keys, entries): &mut (Vec<K>, Vec<Entry>), key: K, entry: Entry) {
    keys.push(key);
    entries.push(entry);
}
