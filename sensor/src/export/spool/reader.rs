//! The side of a receiver: hands out the records of both lanes in the order of their numbers, and
//! tells of those that are missing. Reads blocks that were published, and nothing after them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::cursor::Position;
use super::record::{self, Record};
use super::segment::{self, Blocks, Next, Segment};
use super::shared::{Progress, Shared, View};
use super::{Lane, PerLane};

/// Records that are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// From which lane.
    pub lane: Lane,
    /// Index of the first.
    pub first_index: u64,
    /// How many.
    pub count: u64,
    /// Time of the record before them, ns since the epoch; 0 if there was none.
    pub after_ns: u64,
    /// Time of the record after them; 0 if there is none yet.
    pub before_ns: u64,
}

/// What is to be delivered next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'r> {
    /// A record.
    Record(Lane, Record<'r>),
    /// The news that some are missing.
    Gap(Gap),
}

/// Reads for one receiver.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    progress: Arc<Progress>,
    view: View,
    rows: PerLane<Row>,
    number: u64,
}

/// What is read of one lane.
#[derive(Debug)]
struct Row {
    directory: PathBuf,
    /// Index of the record that is to be handed out next.
    next: u64,
    /// Time of the last one that was.
    last_ns: u64,
    open: Option<Open>,
    /// The segment of this first index has nothing more, or nothing that can be read.
    done: Option<u64>,
    /// Records of a block.
    records: Vec<u8>,
    /// Where in them the next one is.
    at: usize,
    /// Its index, and how many are left with it.
    index: u64,
    left: u32,
    /// A block as it is stored.
    stored: Vec<u8>,
}

/// A segment being read.
#[derive(Debug)]
struct Open {
    first_index: u64,
    file: File,
    offset: u64,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, directory: &Path, start: Position) -> Self {
        let progress = shared.register(start.next);
        Self {
            view: shared.view(),
            shared,
            progress,
            rows: PerLane::make(|lane| Row {
                directory: directory.join(lane.name()),
                next: *start.next.of(lane),
                last_ns: 0,
                open: None,
                done: None,
                records: Vec::new(),
                at: 0,
                index: 0,
                left: 0,
                stored: Vec::new(),
            }),
            number: start.number,
        }
    }

    /// Where it stands: everything before this has been handed out.
    #[must_use]
    pub fn position(&self) -> Position {
        Position {
            next: PerLane::make(|lane| self.rows.of(lane).next),
            number: self.number,
        }
    }

    /// Everything before this is delivered, and need not be kept for this receiver.
    pub fn delivered(&self, position: Position) {
        self.progress.set(position.next);
    }

    /// Goes back to a place where it was before.
    pub fn rewind(&mut self, position: Position) {
        for lane in Lane::ALL {
            let row = self.rows.of_mut(lane);
            row.next = *position.next.of(lane);
            row.open = None;
            row.done = None;
            row.left = 0;
        }
        self.number = position.number;
    }

    /// Records that have not been delivered yet.
    #[must_use]
    pub fn behind(&self) -> u64 {
        let next = self.shared.next();
        Lane::ALL
            .into_iter()
            .map(|lane| next.of(lane).saturating_sub(self.progress.next(lane)))
            .sum()
    }

    /// Waits until there may be more, but not longer than `time`.
    pub fn wait(&self, time: Duration) {
        let _ = self.shared.wait(self.view.version, time);
    }

    /// What comes next; nothing when all that is there has been handed out.
    ///
    /// # Errors
    /// When a segment cannot be opened. One that cannot be read on is a gap.
    pub fn read(&mut self) -> io::Result<Option<Item<'_>>> {
        if !self.is_anything_left()? {
            self.view = self.shared.view();
            if !self.is_anything_left()? {
                return Ok(self.missing_at_the_end().map(Item::Gap));
            }
        }
        let number = |row: &Row| row.peek().map(|record| record.meta.number);
        let (alerts, telemetry) = (number(&self.rows.alerts), number(&self.rows.telemetry));
        let lane = match (alerts, telemetry) {
            (Some(alert), Some(other)) if other < alert => Lane::Telemetry,
            (None, Some(_)) => Lane::Telemetry,
            _ => Lane::Alerts,
        };
        let row = self.rows.of_mut(lane);
        if let Some(gap) = row.gap(lane) {
            return Ok(Some(Item::Gap(gap)));
        }
        let Some(record) = row.take() else {
            return Ok(None);
        };
        self.number = record.meta.number.saturating_add(1);
        Ok(Some(Item::Record(lane, record)))
    }

    /// Sees to it that each lane that has a record has one at hand.
    fn is_anything_left(&mut self) -> io::Result<bool> {
        let mut any = false;
        for lane in Lane::ALL {
            let (row, segments) = (self.rows.of_mut(lane), self.view.segments.of(lane));
            while row.peek().is_none() && row.load(segments.iter(), &self.shared)? {}
            any |= row.left > 0;
        }
        Ok(any)
    }

    /// Records that were never kept, with none after them so far.
    fn missing_at_the_end(&mut self) -> Option<Gap> {
        for lane in Lane::ALL {
            let (row, end) = (self.rows.of_mut(lane), *self.view.next.of(lane));
            if row.next < end {
                let gap = Gap {
                    lane,
                    first_index: row.next,
                    count: end - row.next,
                    after_ns: row.last_ns,
                    before_ns: 0,
                };
                row.next = end;
                return Some(gap);
            }
        }
        None
    }
}

impl Row {
    /// The record at hand that is not handed out yet.
    fn peek(&self) -> Option<Record<'_>> {
        if self.left == 0 {
            return None;
        }
        let (record, _) = record::split(self.records.get(self.at..)?)?;
        Some(record)
    }

    /// Records missing before the one at hand; they are told of once.
    fn gap(&mut self, lane: Lane) -> Option<Gap> {
        if self.index <= self.next {
            return None;
        }
        let gap = Gap {
            lane,
            first_index: self.next,
            count: self.index - self.next,
            after_ns: self.last_ns,
            before_ns: self.peek()?.meta.wall_ns,
        };
        self.next = self.index;
        Some(gap)
    }

    /// Hands out the record at hand.
    fn take(&mut self) -> Option<Record<'_>> {
        let left = self.records.get(self.at..)?;
        let (record, rest) = record::split(left)?;
        self.at += left.len() - rest.len();
        self.left -= 1;
        self.index += 1;
        self.next = self.index;
        self.last_ns = record.meta.wall_ns;
        Some(record)
    }

    /// Gets the next block; whether it is worth trying again.
    fn load<'v>(
        &mut self,
        segments: impl DoubleEndedIterator<Item = &'v Segment> + Clone,
        shared: &Shared,
    ) -> io::Result<bool> {
        // A block that ends before it should.
        if self.left > 0 {
            self.left = 0;
            shared.counts.broken.fetch_add(1, Ordering::Relaxed);
        }
        let Some(segment) = self.segment(segments.clone()) else {
            return Ok(false);
        };
        if self
            .open
            .as_ref()
            .is_none_or(|open| open.first_index != segment.first_index)
        {
            match File::open(segment::path(&self.directory, segment.first_index)) {
                Ok(file) => {
                    self.open = Some(Open {
                        first_index: segment.first_index,
                        file,
                        offset: 0,
                    });
                }
                // Dropped since the view was taken.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.done = Some(segment.first_index);
                    return Ok(true);
                }
                Err(error) => return Err(error),
            }
        }
        let Some(open) = &mut self.open else {
            return Ok(false);
        };
        let mut blocks = Blocks::from(&open.file, open.offset, segment.bytes);
        let next = blocks.next(&mut self.stored);
        open.offset = blocks.offset;
        let is_broken = match next {
            Ok(Next::Block(header)) if header.next_index() <= self.next => return Ok(true),
            Ok(Next::Block(header)) => match header.unpack(&self.stored, &mut self.records) {
                Ok(()) => {
                    self.begin(header.first_index, header.count);
                    return Ok(true);
                }
                Err(_) => true,
            },
            Ok(Next::End) => false,
            Ok(Next::Torn | Next::Broken(_)) => true,
            Err(error) => {
                tracing::warn!(directory = %self.directory.display(), %error, "a segment of the spool cannot be read on");
                true
            }
        };
        let is_last = segments
            .clone()
            .next_back()
            .is_some_and(|last| last.first_index == segment.first_index);
        if is_broken {
            shared.counts.broken.fetch_add(1, Ordering::Relaxed);
        } else if is_last {
            return Ok(false);
        }
        self.done = Some(segment.first_index);
        self.open = None;
        Ok(true)
    }

    /// The segment with the record that comes next, or the first one after it.
    fn segment<'v>(&self, mut segments: impl Iterator<Item = &'v Segment>) -> Option<Segment> {
        segments
            .find(|segment| {
                segment.next_index > self.next
                    && self.done.is_none_or(|done| segment.first_index > done)
            })
            .copied()
    }

    /// Starts on a block, after what was handed out before.
    fn begin(&mut self, first_index: u64, count: u32) {
        (self.at, self.index, self.left) = (0, first_index, count);
        while self.index < self.next && self.left > 0 {
            let Some(left) = self.records.get(self.at..) else {
                return;
            };
            let Some((_, rest)) = record::split(left) else {
                return;
            };
            self.at += left.len() - rest.len();
            self.index += 1;
            self.left -= 1;
        }
    }
}
