//! The side of the pipeline: numbers records, collects them in blocks, and hands these on without
//! ever waiting. What there is no room for uses up its index and is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SendError, SyncSender, TrySendError};

use super::block::Open;
use super::record::{self, Meta};
use super::shared::Shared;
use super::{Lane, PerLane};

/// Bytes of records that may wait for the disk: a second of a heavy storm.
pub const QUEUE_BYTES: usize = 24 * 1024 * 1024;
/// Bytes beyond that which only alerts may take.
pub const RESERVE_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of records after which a block is closed.
const BLOCK_BYTES: usize = 256 * 1024;

/// Blocks of one moment, in the order of their records, for the keeper.
#[derive(Debug)]
pub struct Batch {
    /// The blocks.
    pub blocks: Vec<(Lane, Open)>,
    /// Bytes of all records in them.
    pub bytes: usize,
    /// Indexes that records after this moment get.
    pub next: PerLane<u64>,
}

/// Takes records.
#[derive(Debug)]
pub struct Feed {
    queue: SyncSender<Batch>,
    /// Bytes that wait, here and in the queue.
    waiting: Arc<AtomicUsize>,
    shared: Arc<Shared>,
    next: PerLane<u64>,
    /// What the keeper was last told of it.
    told: PerLane<u64>,
    number: u64,
    open: PerLane<Open>,
    closed: Vec<(Lane, Open)>,
}

impl Feed {
    pub(super) fn new(
        queue: SyncSender<Batch>,
        waiting: Arc<AtomicUsize>,
        shared: Arc<Shared>,
        next: PerLane<u64>,
        number: u64,
    ) -> Self {
        Self {
            queue,
            waiting,
            shared,
            next,
            told: next,
            number,
            open: PerLane::default(),
            closed: Vec::new(),
        }
    }

    /// Takes one record; `severity` and `name` are what receivers choose by.
    pub fn put(&mut self, lane: Lane, wall_ns: u64, severity: u8, name: &str, payload: &[u8]) {
        let index = *self.next.of(lane);
        *self.next.of_mut(lane) += 1;
        let meta = Meta {
            number: self.number,
            wall_ns,
            severity,
            name,
        };
        self.number += 1;
        let before = self.open.of(lane).records.len();
        let has_room = self.waiting.load(Ordering::Relaxed) + payload.len() <= limit(lane);
        let open = self.open.of_mut(lane);
        if !has_room || !record::append(&mut open.records, meta, payload) {
            self.close(lane);
            self.shared
                .counts
                .queue_full
                .of(lane)
                .fetch_add(1, Ordering::Relaxed);
            return;
        }
        if open.count == 0 {
            open.first_index = index;
        }
        open.count += 1;
        open.last_number = meta.number;
        open.newest_ns = open.newest_ns.max(wall_ns);
        let length = open.records.len();
        self.waiting.fetch_add(length - before, Ordering::Relaxed);
        if length >= BLOCK_BYTES {
            self.close(lane);
        }
    }

    /// Hands on what was collected. When the keeper is behind, it stays here until the next time.
    pub fn flush(&mut self) {
        let Some(batch) = self.batch() else { return };
        match self.queue.try_send(batch) {
            Ok(()) => {}
            Err(TrySendError::Full(batch)) => self.closed = batch.blocks,
            Err(TrySendError::Disconnected(batch)) => self.give_up(batch),
        }
    }

    /// Hands on all that is left, however long the keeper takes.
    pub fn finish(mut self) {
        let Some(batch) = self.batch() else { return };
        if let Err(SendError(batch)) = self.queue.send(batch) {
            self.give_up(batch);
        }
    }

    fn batch(&mut self) -> Option<Batch> {
        for lane in Lane::ALL {
            self.close(lane);
        }
        // Also without records: that some could not be taken is news.
        if self.closed.is_empty() && self.told == self.next {
            return None;
        }
        self.told = self.next;
        let blocks = std::mem::take(&mut self.closed);
        Some(Batch {
            bytes: blocks.iter().map(|(_, open)| open.records.len()).sum(),
            blocks,
            next: self.next,
        })
    }

    /// The keeper has ended, and with it all that records were kept for.
    fn give_up(&self, batch: Batch) {
        self.waiting.fetch_sub(batch.bytes, Ordering::Relaxed);
        for (lane, open) in batch.blocks {
            let failed = self.shared.counts.failed.of(lane);
            failed.fetch_add(u64::from(open.count), Ordering::Relaxed);
        }
    }

    fn close(&mut self, lane: Lane) {
        let open = self.open.of_mut(lane);
        if open.count > 0 {
            let full = std::mem::take(open);
            self.closed.push((lane, full));
        }
    }
}

const fn limit(lane: Lane) -> usize {
    match lane {
        Lane::Alerts => QUEUE_BYTES + RESERVE_BYTES,
        Lane::Telemetry => QUEUE_BYTES,
    }
}
