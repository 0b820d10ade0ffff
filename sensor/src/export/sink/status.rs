//! How a sink fares, for `sensor status` and the metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::options::Sink;

/// Longest reason that is kept, in characters.
const WHY_MAX: usize = 300;

/// Of one sink.
#[derive(Debug)]
pub struct Status {
    name: String,
    kind: &'static str,
    /// Events that have arrived.
    pub(super) delivered: AtomicU64,
    /// Bytes of them, as sent and before packing.
    pub(super) bytes: AtomicU64,
    /// Events that it will never take.
    pub(super) refused: AtomicU64,
    /// Events missing in the spool, of which it was told.
    pub(super) missing: AtomicU64,
    /// Attempts that failed.
    pub(super) failures: AtomicU64,
    /// Events in the spool that it has yet to look at.
    pub(super) behind: AtomicU64,
    /// Time of the last event that has arrived, ns since the epoch.
    pub(super) last_ns: AtomicU64,
    /// Since when nothing arrives, and why.
    trouble: Mutex<Option<String>>,
}

/// The same at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Its name.
    pub name: String,
    /// What kind of receiver it is.
    pub kind: &'static str,
    /// Events that have arrived.
    pub delivered: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Events that it will never take.
    pub refused: u64,
    /// Events missing in the spool, of which it was told.
    pub missing: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Events in the spool that it has yet to get.
    pub behind: u64,
    /// Time of the last event that has arrived, ns since the epoch.
    pub last_event_ns: u64,
    /// Why nothing arrives now.
    pub trouble: Option<String>,
}

impl Status {
    pub(super) fn new(sink: &Sink) -> Self {
        Self {
            name: sink.name.clone(),
            kind: sink.to.kind(),
            delivered: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            missing: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            behind: AtomicU64::new(0),
            last_ns: AtomicU64::new(0),
            trouble: Mutex::new(None),
        }
    }

    /// At this moment.
    #[must_use]
    pub fn report(&self) -> Report {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        Report {
            name: self.name.clone(),
            kind: self.kind,
            delivered: of(&self.delivered),
            bytes: of(&self.bytes),
            refused: of(&self.refused),
            missing: of(&self.missing),
            failures: of(&self.failures),
            behind: of(&self.behind),
            last_event_ns: of(&self.last_ns),
            trouble: trouble.clone(),
        }
    }

    /// An attempt failed; whether that is news.
    pub(super) fn failed(&self, why: &str) -> bool {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let short: String = why.chars().take(WHY_MAX).collect();
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = trouble.as_deref() != Some(short.as_str());
        *trouble = Some(short);
        is_news
    }

    /// An attempt did not fail; whether that is news.
    pub(super) fn recovered(&self) -> bool {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.take().is_some()
    }
}
