//! The side of the disk: a thread that appends blocks to segments, has the disk keep them, and lets
//! go of what everybody has, what is too old, and what there is no room for.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::iter;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::block::Open;
use super::cursor::{Cursor, Position};
use super::feed::{Batch, Feed};
use super::reader::Reader;
use super::segment::{self, Segment};
use super::shared::Shared;
use super::{Lane, PerLane, Settings, SpoolError, WhenFull};

/// Batches that may wait for the disk. Their bytes are limited as well (`feed.rs`).
const QUEUE_MAX: usize = 256;
/// How often it is looked for what can go.
const TIDY_EVERY: Duration = Duration::from_secs(1);
/// How often a disk that takes nothing is mentioned in the log.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// A spool in use: where readers come from, and what is waited for at the end.
#[derive(Debug)]
pub struct Spool {
    shared: Arc<Shared>,
    directory: PathBuf,
    recovered: Recovered,
    thread: JoinHandle<()>,
}

/// What an earlier run left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes that were not written to their end, and were cut off.
    pub torn: u64,
}

impl Spool {
    /// Opens it, makes good what an interrupted run left, and starts the thread.
    ///
    /// # Errors
    /// When it cannot be read or written, or another process uses it.
    pub fn open(settings: Settings) -> Result<(Self, Feed), SpoolError> {
        let directory = settings.directory.clone();
        let lock = lock(&directory)?;
        let cursors = directory.join(CURSORS);
        segment::make_directory(&cursors)?;
        let furthest = furthest(&cursors)?;

        let mut recovered = Recovered::default();
        let mut number = furthest.number;
        let mut next = furthest.next;
        let mut recover = |lane: Lane| {
            let (row, found) = Row::recover(lane, &settings)?;
            recovered.bytes += row.bytes();
            recovered.torn += found.torn;
            number = number.max(found.next_number);
            let next = next.of_mut(lane);
            *next = (*next).max(found.next_index);
            Ok::<_, SpoolError>(row)
        };
        let rows = PerLane {
            alerts: recover(Lane::Alerts)?,
            telemetry: recover(Lane::Telemetry)?,
        };

        let shared = Arc::new(Shared::default());
        shared.publish(|view| {
            view.segments = PerLane::make(|lane| rows.of(lane).segments.clone());
            view.next = next;
        });
        let waiting = Arc::new(AtomicUsize::new(0));
        let (queue, batches) = sync_channel(QUEUE_MAX);
        let feed = Feed::new(
            queue,
            Arc::clone(&waiting),
            Arc::clone(&shared),
            next,
            number,
        );
        let keeper = Keeper {
            settings,
            rows,
            shared: Arc::clone(&shared),
            waiting,
            complained: None,
            _lock: lock,
        };
        let thread = thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || keeper.run(&batches))
            .map_err(SpoolError::io("start the thread for", &directory))?;
        let spool = Self {
            shared,
            directory,
            recovered,
            thread,
        };
        Ok((spool, feed))
    }

    /// What an earlier run left.
    #[must_use]
    pub const fn recovered(&self) -> Recovered {
        self.recovered
    }

    /// What is there, and the account.
    #[must_use]
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// A reader for the receiver of this name, from where it got to; a new one starts with the
    /// oldest record. Names are letters, digits, `-`, `_` and `.`.
    ///
    /// # Errors
    /// When its cursor cannot be had.
    pub fn reader(&self, name: &str) -> Result<(Reader, Cursor), SpoolError> {
        let cursor = Cursor::open(&self.directory.join(CURSORS).join(name))?;
        let start = cursor.kept().unwrap_or_else(|| self.oldest());
        let reader = Reader::new(Arc::clone(&self.shared), &self.directory, start);
        Ok((reader, cursor))
    }

    /// Forgets how far receivers got that are no more.
    pub fn forget_all_but(&self, names: &[&str]) {
        for entry in fs::read_dir(self.directory.join(CURSORS))
            .into_iter()
            .flatten()
            .flatten()
        {
            let is_known = entry
                .file_name()
                .to_str()
                .is_some_and(|name| names.contains(&name));
            if !is_known && let Err(error) = fs::remove_file(entry.path()) {
                tracing::warn!(path = %entry.path().display(), %error, "the cursor of a receiver that is no more cannot be removed");
            }
        }
    }

    /// Where the oldest records are.
    fn oldest(&self) -> Position {
        let view = self.shared.view();
        Position {
            next: PerLane::make(|lane| {
                let first = view.segments.of(lane).front();
                first.map_or(*view.next.of(lane), |segment| segment.first_index)
            }),
            number: 0,
        }
    }

    /// Waits until everything is on disk; the feed must be gone.
    pub fn finish(self) {
        let _ = self.thread.join();
        self.shared.wake();
    }
}

/// Directory of the cursors.
const CURSORS: &str = "cursors";

/// Takes the spool for this process, as long as the file is open.
fn lock(directory: &Path) -> Result<File, SpoolError> {
    segment::make_directory(directory)?;
    let path = directory.join("lock");
    let file = File::create(&path).map_err(SpoolError::io("make", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(SpoolError::InUse(directory.to_owned())),
        Err(fs::TryLockError::Error(source)) => Err(SpoolError::Io {
            what: "lock",
            path,
            source,
        }),
    }
}

/// How far the foremost receiver got. After a power cut that can be further than what is on disk;
/// numbers that somebody has seen are not given again.
fn furthest(cursors: &Path) -> Result<Position, SpoolError> {
    let mut furthest = Position::default();
    let entries = fs::read_dir(cursors).map_err(SpoolError::io("read", cursors))?;
    for entry in entries.flatten() {
        if let Some(position) = Cursor::open(&entry.path())?.kept() {
            furthest.number = furthest.number.max(position.number);
            for lane in Lane::ALL {
                let most = furthest.next.of_mut(lane);
                *most = (*most).max(*position.next.of(lane));
            }
        }
    }
    Ok(furthest)
}

/// The segments of one lane.
#[derive(Debug)]
struct Row {
    directory: PathBuf,
    segments: VecDeque<Segment>,
    /// The last of them, while it is written to.
    active: Option<File>,
    /// Something is not on disk yet.
    is_dirty: bool,
}

impl Row {
    /// What is there of an earlier run. Its last segment is not written to any more.
    fn recover(lane: Lane, settings: &Settings) -> Result<(Self, segment::Survey), SpoolError> {
        let directory = settings.directory.join(lane.name());
        segment::make_directory(&directory)?;
        let indexes = segment::list(&directory).map_err(SpoolError::io("read", &directory))?;
        let mut segments = VecDeque::new();
        let mut last = segment::Survey::default();
        for (place, first_index) in indexes.iter().enumerate() {
            let path = segment::path(&directory, *first_index);
            let open = File::options().read(true).write(true).open(&path);
            let file = open.map_err(SpoolError::io("open", &path))?;
            let found = match indexes.get(place + 1) {
                None => segment::survey(&file, *first_index)
                    .and_then(|survey| file.set_len(survey.bytes).map(|()| survey))
                    .map_err(SpoolError::io("make good", &path))?,
                Some(next) => finished(&file, *next).map_err(SpoolError::io("look at", &path))?,
            };
            segments.push_back(Segment {
                first_index: *first_index,
                next_index: found.next_index,
                bytes: found.bytes,
                newest_ns: found.newest_ns,
                written: None,
            });
            last = found;
        }
        let row = Self {
            directory,
            segments,
            active: None,
            is_dirty: false,
        };
        Ok((row, last))
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Appends a packed block.
    fn append(&mut self, block: &Open, packed: &[u8], segment_bytes: u64) -> io::Result<()> {
        let is_full = self
            .segments
            .back()
            .is_some_and(|segment| segment.bytes >= segment_bytes);
        if self.active.is_none() || is_full {
            self.begin(block.first_index)?;
        }
        let (Some(file), Some(segment)) = (&self.active, self.segments.back_mut()) else {
            return Err(io::Error::other("there is no segment to write to"));
        };
        // At a place that is given: what a failed attempt left is written over.
        file.write_all_at(packed, segment.bytes)?;
        segment.bytes += packed.len() as u64;
        segment.next_index = block.first_index + u64::from(block.count);
        segment.newest_ns = segment.newest_ns.max(block.newest_ns);
        segment.written = Some(Instant::now());
        self.is_dirty = true;
        Ok(())
    }

    /// Begins another segment.
    fn begin(&mut self, first_index: u64) -> io::Result<()> {
        self.sync()?;
        let file = segment::create(&self.directory, first_index)?;
        // An empty one of this name may be there, from a run that wrote nothing to it.
        self.segments
            .retain(|segment| segment.first_index != first_index);
        self.segments.push_back(Segment {
            first_index,
            next_index: first_index,
            bytes: 0,
            newest_ns: 0,
            written: Some(Instant::now()),
        });
        self.active = Some(file);
        File::open(&self.directory)?.sync_all()
    }

    /// Has the disk keep what was written.
    fn sync(&mut self) -> io::Result<()> {
        if let (true, Some(file)) = (self.is_dirty, &self.active) {
            file.sync_data()?;
            self.is_dirty = false;
        }
        Ok(())
    }

    /// Removes the oldest segment, the one that is written to included.
    fn drop_oldest(&mut self) -> Option<Segment> {
        let oldest = self.segments.pop_front()?;
        if self.segments.is_empty() {
            self.active = None;
            self.is_dirty = false;
        }
        let path = segment::path(&self.directory, oldest.first_index);
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "a segment of the spool cannot be removed");
        }
        Some(oldest)
    }
}

/// What a segment says that was finished, because another one follows: it is not read.
fn finished(file: &File, next: u64) -> io::Result<segment::Survey> {
    let about = file.metadata()?;
    let modified = about.modified()?.duration_since(UNIX_EPOCH);
    Ok(segment::Survey {
        bytes: about.len(),
        next_index: next,
        newest_ns: modified.map_or(0, nanoseconds),
        ..segment::Survey::default()
    })
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The thread.
struct Keeper {
    settings: Settings,
    rows: PerLane<Row>,
    shared: Arc<Shared>,
    waiting: Arc<AtomicUsize>,
    complained: Option<Instant>,
    _lock: File,
}

impl Keeper {
    fn run(mut self, batches: &Receiver<Batch>) {
        let (mut synced, mut tidied) = (Instant::now(), Instant::now());
        loop {
            let nap = self.settings.sync_every.min(TIDY_EVERY);
            match batches.recv_timeout(nap) {
                Ok(batch) => self.take(batch, batches),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if synced.elapsed() >= self.settings.sync_every {
                synced = Instant::now();
                Lane::ALL.into_iter().for_each(|lane| self.sync(lane));
            }
            if tidied.elapsed() >= TIDY_EVERY {
                tidied = Instant::now();
                self.tidy();
            }
        }
        Lane::ALL.into_iter().for_each(|lane| self.sync(lane));
    }

    /// Writes this batch and those that came meanwhile; then alerts are waited for to be on disk,
    /// once for all of them.
    fn take(&mut self, first: Batch, batches: &Receiver<Batch>) {
        let mut has_alerts = false;
        for batch in iter::once(first).chain(batches.try_iter().take(QUEUE_MAX)) {
            has_alerts |= batch.blocks.iter().any(|(lane, _)| *lane == Lane::Alerts);
            self.write(&batch);
        }
        if has_alerts {
            self.sync(Lane::Alerts);
        }
    }

    fn write(&mut self, batch: &Batch) {
        let mut packed = Vec::new();
        for (lane, block) in &batch.blocks {
            packed.clear();
            block.pack(&mut packed);
            self.append(*lane, block, &packed);
        }
        self.waiting.fetch_sub(batch.bytes, Ordering::Relaxed);
        let rows = &self.rows;
        self.shared.publish(|view| {
            for lane in Lane::ALL {
                view.segments
                    .of_mut(lane)
                    .clone_from(&rows.of(lane).segments);
            }
            view.next = batch.next;
        });
    }

    fn append(&mut self, lane: Lane, block: &Open, packed: &[u8]) {
        let shared = Arc::clone(&self.shared);
        let counts = &shared.counts;
        let count = u64::from(block.count);
        let length = packed.len() as u64;
        if !self.make_room(lane, length) {
            counts.refused.of(lane).fetch_add(count, Ordering::Relaxed);
            return;
        }
        let segment_bytes = self.settings.segment_bytes;
        loop {
            let result = self.rows.of_mut(lane).append(block, packed, segment_bytes);
            let Err(error) = result else {
                counts.kept.of(lane).fetch_add(count, Ordering::Relaxed);
                counts.bytes.fetch_add(length, Ordering::Relaxed);
                return;
            };
            let is_full = matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            );
            if !(is_full && self.sacrifice(lane)) {
                counts.failed.of(lane).fetch_add(count, Ordering::Relaxed);
                self.complain(&error);
                return;
            }
        }
    }

    /// Sees to it that a lane has room for so many bytes more; whether it has.
    fn make_room(&mut self, lane: Lane, bytes: u64) -> bool {
        let limit = *self.settings.bytes_max.of(lane);
        while self.rows.of(lane).bytes() + bytes > limit {
            if self.settings.when_full == WhenFull::DropNewest {
                return false;
            }
            let Some(dropped) = self.rows.of_mut(lane).drop_oldest() else {
                return false;
            };
            let counts = &self.shared.counts.dropped_full;
            self.count_dropped(lane, dropped, counts);
        }
        true
    }

    /// The disk is full: lets go of old telemetry, so that there is room for what is new, and for
    /// alerts in any case. Of alerts nothing is let go: others may have filled the disk.
    fn sacrifice(&mut self, lane: Lane) -> bool {
        if lane == Lane::Telemetry && self.settings.when_full == WhenFull::DropNewest {
            return false;
        }
        let row = &mut self.rows.telemetry;
        // Its own segment would have to be begun anew, on the disk that is full.
        if lane == Lane::Telemetry && row.segments.len() < 2 {
            return false;
        }
        let Some(dropped) = row.drop_oldest() else {
            return false;
        };
        self.count_dropped(Lane::Telemetry, dropped, &self.shared.counts.dropped_full);
        true
    }

    fn sync(&mut self, lane: Lane) {
        let row = self.rows.of_mut(lane);
        if !row.is_dirty {
            return;
        }
        let started = Instant::now();
        let result = row.sync();
        let counts = &self.shared.counts;
        counts.syncs.fetch_add(1, Ordering::Relaxed);
        counts
            .sync_ns
            .fetch_add(nanoseconds(started.elapsed()), Ordering::Relaxed);
        if let Err(error) = result {
            self.complain(&error);
        }
    }

    /// Lets go of segments that everybody has, and of those that are too old.
    fn tidy(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let too_old =
            nanoseconds(now.unwrap_or_default()).saturating_sub(nanoseconds(self.settings.age_max));
        for lane in Lane::ALL {
            while let Some(oldest) = self.rows.of(lane).segments.front().copied() {
                let is_delivered = self
                    .shared
                    .slowest(lane)
                    .is_some_and(|next| next >= oldest.next_index);
                let is_active =
                    self.rows.of(lane).segments.len() == 1 && self.rows.of(lane).active.is_some();
                let age_max = self.settings.age_max;
                let is_old = oldest.newest_ns < too_old
                    && oldest.written.is_none_or(|at| at.elapsed() >= age_max);
                // The active one is written to again soon.
                if !is_old && (!is_delivered || is_active) {
                    break;
                }
                self.rows.of_mut(lane).drop_oldest();
                if is_old {
                    self.count_dropped(lane, oldest, &self.shared.counts.dropped_old);
                }
                let rows = &self.rows;
                self.shared.publish(|view| {
                    view.segments
                        .of_mut(lane)
                        .clone_from(&rows.of(lane).segments);
                });
            }
        }
    }

    /// Counts what somebody has yet to get.
    fn count_dropped(&self, lane: Lane, dropped: Segment, counts: &PerLane<AtomicU64>) {
        let reached = self
            .shared
            .slowest(lane)
            .unwrap_or(dropped.next_index)
            .max(dropped.first_index);
        let lost = dropped.next_index.saturating_sub(reached);
        counts.of(lane).fetch_add(lost, Ordering::Relaxed);
    }

    fn complain(&mut self, error: &io::Error) {
        if self
            .complained
            .is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY)
        {
            self.complained = Some(Instant::now());
            tracing::error!(directory = %self.settings.directory.display(), %error, "events cannot be kept for their receivers; they are counted, and receivers are told");
        }
    }
}
