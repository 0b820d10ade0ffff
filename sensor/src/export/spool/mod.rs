//! The spool: what has to reach receivers, kept on disk until it has. An append-only log in two
//! lanes, so that a flood of telemetry never pushes out an alert; each lane is a row of segment
//! files, each segment a row of checksummed blocks, each block some compressed records. It knows
//! bytes, numbers and times; what an event is, and who wants it, is decided elsewhere.
//!
//! ```text
//! pipeline ─ Feed ═ bounded queue ═► Keeper (thread) ─► DIR/alerts/00000000000000000000.log
//!                                        │              DIR/telemetry/00000000000000000000.log
//!                                        ▼ published      ▲
//!                                     Shared ◄──────── Reader, one per receiver, with a cursor
//! ```
//!
//! Every record has a number, in one row over both lanes and all runs, and an index in its lane
//! without holes. What cannot be kept (queue or disk full, too old) uses up its indexes all the
//! same, so a reader that misses some knows exactly how many, and says so.

pub mod block;
pub mod cursor;
pub mod feed;
pub mod keeper;
pub mod reader;
pub mod record;
pub mod segment;
pub mod shared;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

/// One of the two rows of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Alerts, what was done about them, and what the sensor says of itself.
    Alerts,
    /// Everything else.
    Telemetry,
}

impl Lane {
    /// Both, in the order of [`PerLane`].
    pub const ALL: [Self; 2] = [Self::Alerts, Self::Telemetry];

    /// Its word in messages, and the name of its directory.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alerts => "alerts",
            Self::Telemetry => "telemetry",
        }
    }
}

/// Something for each lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerLane<T> {
    /// Of [`Lane::Alerts`].
    pub alerts: T,
    /// Of [`Lane::Telemetry`].
    pub telemetry: T,
}

impl<T> PerLane<T> {
    /// Makes both.
    pub fn make(mut of: impl FnMut(Lane) -> T) -> Self {
        Self {
            alerts: of(Lane::Alerts),
            telemetry: of(Lane::Telemetry),
        }
    }

    /// That of one lane.
    pub const fn of(&self, lane: Lane) -> &T {
        match lane {
            Lane::Alerts => &self.alerts,
            Lane::Telemetry => &self.telemetry,
        }
    }

    /// The same, to be changed.
    pub const fn of_mut(&mut self, lane: Lane) -> &mut T {
        match lane {
            Lane::Alerts => &mut self.alerts,
            Lane::Telemetry => &mut self.telemetry,
        }
    }
}

/// What gives way when a lane has no room left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// The oldest records, a segment at a time.
    #[default]
    DropOldest,
    /// The new ones.
    DropNewest,
}

/// How a spool is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where.
    pub directory: PathBuf,
    /// Bytes on disk of each lane.
    pub bytes_max: PerLane<u64>,
    /// Bytes of a segment, after which another is begun.
    pub segment_bytes: u64,
    /// Older records are dropped, delivered or not.
    pub age_max: Duration,
    /// What gives way.
    pub when_full: WhenFull,
    /// How long records other than alerts may stand in the memory of the kernel only; what a power
    /// cut can cost. Alerts are on disk at once.
    pub sync_every: Duration,
}

/// Why a spool cannot be had.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// A file or directory of it.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process writes to it.
    #[error("another process uses the spool {}; give each sensor a directory of its own", .0.display())]
    InUse(PathBuf),
}

impl SpoolError {
    fn io<'p>(what: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> Self + use<'p> {
        move |source| Self::Io {
            what,
            path: path.to_owned(),
            source,
        }
    }
}
