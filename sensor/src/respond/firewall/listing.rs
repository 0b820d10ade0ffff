//! What is in force, for people and machines: what `sensor blocks` shows.

use std::collections::HashMap;

use sensor_common::guard::{Entry, PROTECTED, tally};
use serde::Serialize;

use super::entries::wall_of;
use super::groups::Hierarchy;
use super::maps::{List, Maps};
use super::target::{Directions, Target};
use super::{Attachment, Firewall, Result, is_ahead, notes};
use crate::clock::{boot_ns, wall_ns};

/// Names of what [`tally`] counts, in its order.
const TALLY: [&str; tally::LIMIT as usize] = [
    "denied in",
    "denied out",
    "refused to connect or send",
    "isolated in",
    "isolated out",
    "control group isolated",
    "malformed",
    "fragments",
    "would have been dropped",
];

/// Everything.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Listing {
    /// Whether this host is isolated, and until when.
    pub isolated: Option<InForce>,
    /// Isolated control groups.
    pub groups: Vec<IsolatedGroup>,
    /// What is blocked.
    pub blocked: Vec<Line>,
    /// What is excepted.
    pub allowed: Vec<Line>,
    /// Where the programs are.
    pub attached: Vec<Attachment>,
    /// What was dropped since they were loaded, and why.
    pub dropped: Vec<Dropped>,
    /// Addresses that there is room for, by family.
    pub room: u32,
}

/// What all that is in force has in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InForce {
    /// When it ends, in nanoseconds since the epoch; absent for no end.
    pub until_wall_ns: Option<u64>,
    /// Whether it ends then only because nobody confirmed it yet.
    pub unconfirmed: bool,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// A block or an exception.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Traffic with whom.
    pub target: Target,
    /// Which packets.
    pub directions: Directions,
    /// When it was made, in nanoseconds since the epoch.
    pub made_wall_ns: u64,
    /// Packets that it decided.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the last of them came, in nanoseconds since the epoch.
    pub last_wall_ns: Option<u64>,
    /// The operator's way in, which is not taken back by accident.
    pub protected: bool,
    /// Until when, by whom, why.
    #[serde(flatten)]
    pub in_force: InForce,
}

/// An isolated control group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IsolatedGroup {
    /// Its path, if it is still there.
    pub path: Option<String>,
    /// Its id.
    pub id: u64,
    /// Packets dropped.
    pub packets: u64,
    /// Until when, by whom, why.
    #[serde(flatten)]
    pub in_force: InForce,
}

/// Packets dropped for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// Why.
    pub reason: &'static str,
    /// How many.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Firewall {
    /// What is in force now.
    ///
    /// # Errors
    /// When what is pinned cannot be read.
    pub fn list(&mut self) -> Result<Listing> {
        if !self.take_over()? {
            return Ok(Listing::default());
        }
        let Some(taken) = &self.taken else {
            return Ok(Listing::default());
        };
        let maps = &taken.maps;
        let mut notes = Known::new(maps);
        let state = maps.state()?;
        let until = state.isolated_until_boot_ns;
        let isolated = match until != 0 && is_ahead(until) {
            true => Some(notes.in_force(until, state.note)?),
            false => None,
        };
        let totals = TALLY.iter().zip(maps.tally());
        Ok(Listing {
            isolated,
            groups: groups(maps, &mut notes)?,
            blocked: lines(maps, List::Deny, &mut notes)?,
            allowed: lines(maps, List::Allow, &mut notes)?,
            attached: taken.links.attachments(),
            dropped: totals
                .map(|(reason, [packets, bytes])| Dropped {
                    reason,
                    packets,
                    bytes,
                })
                .collect(),
            room: maps.addresses(),
        })
    }
}

/// Notes that were read before.
struct Known<'m> {
    maps: &'m Maps,
    notes: HashMap<u32, (String, String, bool)>,
}

impl<'m> Known<'m> {
    fn new(maps: &'m Maps) -> Self {
        Self {
            maps,
            notes: HashMap::new(),
        }
    }

    fn in_force(&mut self, until_boot_ns: u64, number: u32) -> Result<InForce> {
        if !self.notes.contains_key(&number) {
            let note = self.maps.notes.get(number)?;
            let made = note.as_ref().map(notes::cause);
            let needed = note.is_some_and(|note| note.confirmed_until_boot_ns != 0);
            let by = made.as_ref().map(notes::by).unwrap_or_default();
            let reason = made.map(|made| made.reason.into()).unwrap_or_default();
            self.notes.insert(number, (by, reason, needed));
        }
        let (by, reason, unconfirmed) = self.notes.get(&number).cloned().unwrap_or_default();
        Ok(InForce {
            until_wall_ns: wall_of(until_boot_ns),
            unconfirmed,
            by,
            reason,
        })
    }
}

fn lines(maps: &Maps, list: List, notes: &mut Known<'_>) -> Result<Vec<Line>> {
    let mut entries: Vec<(Target, Entry)> = Vec::new();
    maps.each(list, |target, entry| {
        if is_ahead(entry.until_boot_ns) {
            entries.push((target, *entry));
        }
    })?;
    entries.sort_unstable_by_key(|(target, _)| *target);
    let lines = entries.into_iter().map(|(target, entry)| {
        Ok(Line {
            target,
            directions: Directions::from_bits(entry.directions),
            made_wall_ns: entry.made_wall_ns,
            packets: entry.packets,
            bytes: entry.bytes,
            last_wall_ns: past(entry.last_boot_ns),
            protected: entry.flags & PROTECTED != 0,
            in_force: notes.in_force(entry.until_boot_ns, entry.note)?,
        })
    });
    lines.collect()
}

fn groups(maps: &Maps, notes: &mut Known<'_>) -> Result<Vec<IsolatedGroup>> {
    let mut found = Vec::new();
    maps.groups.each(|id, group| {
        if is_ahead(group.until_boot_ns) {
            found.push((*id, *group));
        }
    })?;
    let hierarchy = Hierarchy::find().ok();
    let groups = found.into_iter().map(|(id, group)| {
        Ok(IsolatedGroup {
            path: hierarchy
                .as_ref()
                .and_then(|hierarchy| hierarchy.path_of(id)),
            id,
            packets: group.packets,
            in_force: notes.in_force(group.until_boot_ns, group.note)?,
        })
    });
    groups.collect()
}

/// A time since boot by the wall; none for never.
fn past(boot: u64) -> Option<u64> {
    (boot != 0).then(|| wall_ns().saturating_sub(boot_ns().saturating_sub(boot)))
}
