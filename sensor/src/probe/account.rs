//! The balancing account. The kernel's side counts, per kind, what hooks saw and what became
//! of it; this side counts what was read, understood and delivered. Both have to agree to the
//! last event, and where they do not, that is itself reported. Only counting happens here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use aya::maps::{MapData, PerCpuArray};
use sensor_common::account::KindCount;
use sensor_common::kind;
use serde::Serialize;
use zerocopy::{FromBytes, IntoBytes};

use super::programs::Programs;

/// One kernel count as the map holds it; `KindCount` itself cannot implement aya's marker.
type Words = [u64; size_of::<KindCount>() / size_of::<u64>()];

/// Reads the kernel's side.
pub struct KernelSide {
    counts: PerCpuArray<MapData, Words>,
}

impl KernelSide {
    /// Takes over the map `COUNTS`.
    #[must_use]
    pub const fn new(counts: PerCpuArray<MapData, Words>) -> Self {
        Self { counts }
    }

    /// The count of one kind, all CPUs together.
    ///
    /// # Errors
    /// When the kernel refuses the look-up.
    pub fn read(&self, kind: u16) -> Result<KindCount, aya::maps::MapError> {
        let mut sum = KindCount::default();
        for words in self.counts.get(&u32::from(kind), 0)?.iter() {
            let Ok(count) = KindCount::read_from_bytes(words.as_bytes()) else {
                continue;
            };
            sum.seen += count.seen;
            sum.filtered += count.filtered;
            sum.submitted += count.submitted;
            sum.lost_ring += count.lost_ring;
            sum.lost_scratch += count.lost_scratch;
            sum.lost_begun += count.lost_begun;
        }
        Ok(sum)
    }
}

/// Counters of this side, shared by the threads that fill them.
#[derive(Debug)]
pub struct UserSide {
    read: [AtomicU64; kind::LIMIT],
    delivered: [AtomicU64; kind::LIMIT],
    suppressed: [AtomicU64; kind::LIMIT],
    /// Records that could not be understood.
    pub malformed: AtomicU64,
    /// Events that could not be written.
    pub unwritten: AtomicU64,
}

impl Default for UserSide {
    fn default() -> Self {
        Self {
            read: [const { AtomicU64::new(0) }; kind::LIMIT],
            delivered: [const { AtomicU64::new(0) }; kind::LIMIT],
            suppressed: [const { AtomicU64::new(0) }; kind::LIMIT],
            malformed: AtomicU64::new(0),
            unwritten: AtomicU64::new(0),
        }
    }
}

impl UserSide {
    /// A record was taken from a ring.
    pub fn count_read(&self, kind: u16) {
        bump(&self.read, kind);
    }

    /// An event was handed to the output.
    pub fn count_delivered(&self, kind: u16) {
        bump(&self.delivered, kind);
    }

    /// Events done with, one way or another.
    #[must_use]
    pub fn handled(&self) -> u64 {
        let sum = |counters: &[AtomicU64]| -> u64 {
            counters
                .iter()
                .map(|counter| counter.load(Ordering::Relaxed))
                .sum()
        };
        sum(&self.delivered)
            + sum(&self.suppressed)
            + self.malformed.load(Ordering::Relaxed)
            + self.unwritten.load(Ordering::Relaxed)
    }

    /// An event was left out because the user did not ask for its kind.
    pub fn count_suppressed(&self, kind: u16) {
        bump(&self.suppressed, kind);
    }
}

fn bump(counters: &[AtomicU64; kind::LIMIT], kind: u16) {
    if let Some(counter) = counters.get(usize::from(kind)) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

fn value(counters: &[AtomicU64; kind::LIMIT], kind: u16) -> u64 {
    counters
        .get(usize::from(kind))
        .map_or(0, |counter| counter.load(Ordering::Relaxed))
}

/// Both sides of one kind at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Name of the kind.
    pub kind: &'static str,
    /// Seen by a hook.
    pub seen: u64,
    /// Dropped on purpose in the kernel.
    pub filtered: u64,
    /// Put into a ring.
    pub submitted: u64,
    /// Lost: ring full.
    pub lost_ring: u64,
    /// Lost: no scratch slot.
    pub lost_scratch: u64,
    /// Lost: what was noted when it began was pushed out.
    pub lost_begun: u64,
    /// Read from a ring.
    pub read: u64,
    /// Handed to the output.
    pub delivered: u64,
    /// Left out by `--events`.
    pub suppressed: u64,
}

impl Line {
    /// Whether nothing is unaccounted for. Only meaningful when nothing is under way.
    #[must_use]
    pub const fn balances(&self) -> bool {
        self.seen == self.filtered + self.submitted + self.lost()
            && self.submitted == self.read
            && self.read == self.delivered + self.suppressed
    }

    /// Events that should have come and did not.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost_ring + self.lost_scratch + self.lost_begun
    }
}

/// The whole account at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// One line per kind that was ever seen.
    pub lines: Vec<Line>,
    /// Records that could not be understood.
    pub malformed: u64,
    /// Events that could not be written.
    pub unwritten: u64,
    /// Runs that the kernel skipped, by program: events that not even a hook saw.
    pub skipped: BTreeMap<String, u64>,
}

impl Account {
    /// Reads both sides.
    ///
    /// # Errors
    /// When the kernel refuses a look-up.
    pub fn take(
        kernel: &KernelSide,
        user: &UserSide,
        programs: &Programs,
    ) -> Result<Self, aya::maps::MapError> {
        let mut lines = Vec::new();
        for (number, _, name) in kind::ALL {
            let count = kernel.read(*number)?;
            if count.seen == 0 {
                continue;
            }
            lines.push(Line {
                kind: name,
                seen: count.seen,
                filtered: count.filtered,
                submitted: count.submitted,
                lost_ring: count.lost_ring,
                lost_scratch: count.lost_scratch,
                lost_begun: count.lost_begun,
                read: value(&user.read, *number),
                delivered: value(&user.delivered, *number),
                suppressed: value(&user.suppressed, *number),
            });
        }
        Ok(Self {
            lines,
            malformed: user.malformed.load(Ordering::Relaxed),
            unwritten: user.unwritten.load(Ordering::Relaxed),
            skipped: programs.skipped(),
        })
    }

    /// The line of a kind, all zero when it was never seen.
    #[must_use]
    pub fn line(&self, kind: &'static str) -> Line {
        self.lines
            .iter()
            .find(|line| line.kind == kind)
            .copied()
            .unwrap_or(Line {
                kind,
                ..Line::default()
            })
    }

    /// All events lost in the kernel.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lines.iter().map(Line::lost).sum()
    }

    /// Whether nothing that a hook saw is unaccounted for.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.malformed == 0 && self.unwritten == 0 && self.lines.iter().all(Line::balances)
    }

    /// The account in a sentence.
    #[must_use]
    pub fn verdict(&self) -> String {
        let skipped: u64 = self.skipped.values().sum();
        match (self.balances(), self.lost(), skipped) {
            (false, ..) => "the account does not balance".to_owned(),
            (true, 0, 0) => "every event accounted for".to_owned(),
            (true, lost, skipped) => format!(
                "the account balances; {lost} events lost, {skipped} runs of programs skipped"
            ),
        }
    }
}
