//! What the keeper tells readers, and readers the keeper: which blocks are there, and how far
//! everybody has got. All of it moves on at once, so that a reader who merges the lanes never sees
//! a record without those of the other lane that came before it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::segment::Segment;
use super::{Lane, PerLane};

/// What is on disk.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Goes up with every change.
    pub version: u64,
    /// Segments of each lane, oldest first.
    pub segments: PerLane<VecDeque<Segment>>,
    /// Index in each lane that the next record gets. Those between the last segment and this one
    /// could not be kept.
    pub next: PerLane<u64>,
}

/// How far one receiver has got.
#[derive(Debug)]
pub struct Progress(PerLane<AtomicU64>);

impl Progress {
    /// Everything before this has been delivered.
    pub fn set(&self, next: PerLane<u64>) {
        for lane in Lane::ALL {
            self.0.of(lane).store(*next.of(lane), Ordering::Release);
        }
    }

    /// Index of the first record that is still to be delivered.
    #[must_use]
    pub fn next(&self, lane: Lane) -> u64 {
        self.0.of(lane).load(Ordering::Acquire)
    }
}

/// What became of records, since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Kept, in each lane.
    pub kept: PerLane<AtomicU64>,
    /// Bytes written to disk.
    pub bytes: AtomicU64,
    /// Not kept: the queue before the disk was full.
    pub queue_full: PerLane<AtomicU64>,
    /// Not kept: the disk did not take them.
    pub failed: PerLane<AtomicU64>,
    /// Not kept: no room, and new ones give way.
    pub refused: PerLane<AtomicU64>,
    /// Dropped before everybody had them: no room.
    pub dropped_full: PerLane<AtomicU64>,
    /// Dropped before everybody had them: too old.
    pub dropped_old: PerLane<AtomicU64>,
    /// Blocks that cannot be read any more.
    pub broken: AtomicU64,
    /// Times that the disk was waited for.
    pub syncs: AtomicU64,
    /// For how long altogether, in ns.
    pub sync_ns: AtomicU64,
}

/// What is kept for receivers, for people and metrics.
#[derive(Clone, Debug, Serialize)]
pub struct Kept {
    /// By lane.
    pub lanes: Vec<LaneReport>,
    /// Blocks that cannot be read any more.
    pub broken: u64,
    /// Bytes written to disk since the start.
    pub written_bytes: u64,
    /// Times that the disk was waited for.
    pub syncs: u64,
    /// For how long altogether, in ns.
    pub sync_ns: u64,
}

/// The same of one lane; events are counted since the start.
#[derive(Clone, Debug, Serialize)]
pub struct LaneReport {
    /// Its name.
    pub lane: &'static str,
    /// Bytes on disk.
    pub bytes: u64,
    /// Files they are in.
    pub segments: u64,
    /// Events kept.
    pub kept: u64,
    /// Not kept: the queue before the disk was full.
    pub queue_full: u64,
    /// Not kept: the disk did not take them.
    pub failed: u64,
    /// Not kept: no room, and new ones give way.
    pub refused: u64,
    /// Dropped before everybody had them: no room.
    pub dropped_full: u64,
    /// Dropped before everybody had them: too old.
    pub dropped_old: u64,
}

/// Between keeper and readers.
#[derive(Debug, Default)]
pub struct Shared {
    view: Mutex<View>,
    changed: Condvar,
    receivers: Mutex<Vec<Arc<Progress>>>,
    /// The account.
    pub counts: Counts,
}

impl Shared {
    /// What is there now.
    #[must_use]
    pub fn view(&self) -> View {
        self.lock().clone()
    }

    /// Index in each lane that the next record gets.
    #[must_use]
    pub fn next(&self) -> PerLane<u64> {
        self.lock().next
    }

    /// Waits for something newer than a version, but not longer than `time`; whether there is.
    #[must_use]
    pub fn wait(&self, version: u64, time: Duration) -> bool {
        let is_old = |view: &mut View| view.version == version;
        let (view, timeout) = self
            .changed
            .wait_timeout_while(self.lock(), time, is_old)
            .unwrap_or_else(PoisonError::into_inner);
        drop(view);
        !timeout.timed_out()
    }

    /// Changes what is there, and wakes whoever waits.
    pub fn publish(&self, change: impl FnOnce(&mut View)) {
        let mut view = self.lock();
        change(&mut view);
        view.version += 1;
        drop(view);
        self.changed.notify_all();
    }

    /// Wakes whoever waits, though nothing is new.
    pub fn wake(&self) {
        self.publish(|_| {});
    }

    /// Somebody who is to get everything from here on.
    pub fn register(&self, next: PerLane<u64>) -> Arc<Progress> {
        let progress = Arc::new(Progress(PerLane::make(|lane| {
            AtomicU64::new(*next.of(lane))
        })));
        self.receivers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&progress));
        progress
    }

    /// Index of the first record of a lane that somebody has yet to get; none if nobody is there.
    pub fn slowest(&self, lane: Lane) -> Option<u64> {
        let receivers = self
            .receivers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        receivers.iter().map(|progress| progress.next(lane)).min()
    }

    /// Events since the start that could not be kept until everybody had them.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let counts = &self.counts;
        [
            &counts.queue_full,
            &counts.failed,
            &counts.refused,
            &counts.dropped_full,
            &counts.dropped_old,
        ]
        .into_iter()
        .flat_map(|lanes| [&lanes.alerts, &lanes.telemetry])
        .map(|count| count.load(Ordering::Relaxed))
        .sum()
    }

    /// What is kept, and what became of the rest.
    #[must_use]
    pub fn kept(&self) -> Kept {
        let view = self.view();
        let counts = &self.counts;
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Kept {
            lanes: Lane::ALL
                .into_iter()
                .map(|lane| {
                    let segments = view.segments.of(lane);
                    LaneReport {
                        lane: lane.name(),
                        bytes: segments.iter().map(|segment| segment.bytes).sum(),
                        segments: segments.len() as u64,
                        kept: of(counts.kept.of(lane)),
                        queue_full: of(counts.queue_full.of(lane)),
                        failed: of(counts.failed.of(lane)),
                        refused: of(counts.refused.of(lane)),
                        dropped_full: of(counts.dropped_full.of(lane)),
                        dropped_old: of(counts.dropped_old.of(lane)),
                    }
                })
                .collect(),
            broken: of(&counts.broken),
            written_bytes: of(&counts.bytes),
            syncs: of(&counts.syncs),
            sync_ns: of(&counts.sync_ns),
        }
    }

    fn lock(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
