//! One sink at work: reads the spool, chooses, formats, hands batches to the transport until they
//! have arrived, and remembers how far it got. Knows no protocol.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::batch::{Batch, Item};
use super::filter::Filter;
use super::options::{Bounds, Sink};
use super::status::Status;
use super::{Failure, Outcome, Transport};
use crate::event::field::{Field, Fields, Value};
use crate::event::health::LOST;
use crate::event::{origin, parse};
use crate::export::format::Format;
use crate::export::spool::cursor::{Cursor, Position};
use crate::export::spool::reader::{Gap, Item as Spooled, Reader};
use crate::identity::Identity;

/// First wait after a failure; each next one is twice as long.
const WAIT_FIRST: Duration = Duration::from_millis(250);
/// Attempts at the end, and how long it is waited in between: within [`super::FAREWELL`].
const LAST_ATTEMPTS: u32 = 12;
const LAST_WAIT: Duration = Duration::from_millis(250);
/// How long the spool is waited for at a time.
const NAP: Duration = Duration::from_millis(500);
/// How often the place in the spool is kept.
const KEEP_EVERY: Duration = Duration::from_millis(200);

pub(super) struct Runner {
    name: String,
    filter: Filter,
    format: Format,
    /// Where the events are from.
    origin: Arc<Identity>,
    bounds: Bounds,
    transport: Box<dyn Transport>,
    reader: Reader,
    cursor: Cursor,
    kept: Instant,
    /// Everything before this has arrived.
    done: Position,
    /// Batches that have arrived and may not have been read, oldest first: where each began, its
    /// bytes, and when it was sent. When the connection breaks, they are sent again.
    unread: VecDeque<(Position, usize, Instant)>,
    batch: Batch,
    status: Arc<Status>,
    stop: Arc<AtomicBool>,
    /// Attempts that are left once it is the end.
    last_attempts: u32,
}

impl Runner {
    pub(super) fn new(
        sink: Sink,
        origin: Arc<Identity>,
        reader: Reader,
        cursor: Cursor,
        status: Arc<Status>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        Self {
            transport: sink
                .to
                .transport(&sink, origin.host.name.as_deref().unwrap_or_default()),
            origin,
            name: sink.name,
            filter: sink.filter,
            format: sink.format,
            bounds: sink.bounds,
            batch: Batch::new(reader.position()),
            done: reader.position(),
            reader,
            cursor,
            kept: Instant::now(),
            unread: VecDeque::new(),
            status,
            stop,
            last_attempts: LAST_ATTEMPTS,
        }
    }

    /// Works until it is told to stop and has delivered what is there, or cannot.
    pub(super) fn run(mut self) {
        loop {
            let is_last = self.stop.load(Ordering::Acquire);
            match self.collect(is_last) {
                Ok(()) => {}
                Err(error) => {
                    self.fail(&format!("the spool cannot be read: {error}"));
                    self.rest(NAP);
                    if self.gives_up() {
                        break;
                    }
                    continue;
                }
            }
            let is_empty = self.batch.len() == 0;
            if !is_empty && !self.send() {
                break;
            }
            if is_last && is_empty {
                break;
            }
        }
        self.keep(true);
    }

    /// Fills the batch: until it is full, or old enough, or there is an alert and no more.
    fn collect(&mut self, is_last: bool) -> io::Result<()> {
        self.batch.begin(self.reader.position());
        loop {
            while self.batch.len() < self.bounds.events && self.batch.bytes() < self.bounds.bytes {
                if !self.read()? {
                    break;
                }
            }
            self.batch.after = self.reader.position();
            let is_full =
                self.batch.len() >= self.bounds.events || self.batch.bytes() >= self.bounds.bytes;
            let left = match self.batch.since {
                Some(since) => self.bounds.linger.saturating_sub(since.elapsed()),
                None => {
                    // What nobody wants here has arrived as well.
                    self.arrived(self.batch.start, self.batch.after, 0);
                    NAP
                }
            };
            if is_full || is_last || self.batch.is_urgent || left.is_zero() {
                return Ok(());
            }
            self.reader.wait(left.min(NAP));
            if self.batch.since.is_none() && self.stop.load(Ordering::Acquire) {
                return Ok(());
            }
        }
    }

    /// Takes one item from the spool; false when there is none.
    fn read(&mut self) -> io::Result<bool> {
        match self.reader.read()? {
            None => return Ok(false),
            Some(Spooled::Gap(gap)) => {
                self.status.missing.fetch_add(gap.count, Ordering::Relaxed);
                let line = told(self.format, &gap_fields(gap, &self.origin));
                self.batch.push(Item {
                    line: line.as_bytes(),
                    name: LOST.name,
                    wall_ns: gap.before_ns.max(gap.after_ns),
                    severity: 0,
                });
            }
            Some(Spooled::Record(_, record)) => {
                let meta = record.meta;
                if !self.filter.wants(meta) {
                    return Ok(true);
                }
                let formatted: String;
                let line = match self.format {
                    Format::KEPT => record.payload,
                    format => {
                        formatted = in_format(format, record.payload);
                        formatted.as_bytes()
                    }
                };
                self.batch.is_urgent |= meta.severity > 0;
                self.batch.push(Item {
                    line,
                    name: meta.name,
                    wall_ns: meta.wall_ns,
                    severity: meta.severity,
                });
            }
        }
        Ok(true)
    }

    /// Delivers the batch; false when it is time to end without that.
    fn send(&mut self) -> bool {
        let batch = std::mem::replace(&mut self.batch, Batch::new(self.reader.position()));
        let items = batch.items();
        let mut parts = VecDeque::from([items.clone()]);
        let mut wait = WAIT_FIRST;
        while let Some(part) = parts.pop_front() {
            match self.transport.deliver(&part) {
                Ok(outcome) => {
                    let rest = self.judge(&part, outcome, &mut parts);
                    if rest.is_empty() {
                        wait = WAIT_FIRST;
                        continue;
                    }
                    parts.push_front(rest);
                    self.fail("the receiver could not take all of them");
                }
                Err(Failure { why, wait: asked }) => {
                    self.fail(&why);
                    wait = wait.max(asked.unwrap_or_default());
                    if let Some((place, ..)) = self.unread.pop_front() {
                        // What was written last may not have been read: all of it again.
                        self.unread.clear();
                        self.reader.rewind(place);
                        self.rest(wait);
                        return !self.gives_up();
                    }
                    parts.push_front(part);
                }
            }
            self.rest(jittered(wait));
            if self.gives_up() {
                return false;
            }
            wait = (wait * 2).min(self.bounds.wait_max);
        }
        if let Some(last) = items.last() {
            self.status.last_ns.store(last.wall_ns, Ordering::Relaxed);
        }
        if self.status.recovered() {
            tracing::info!(sink = self.name, "events arrive again");
        }
        self.arrived(batch.start, batch.after, batch.bytes());
        self.slow_down(batch.len());
        true
    }

    /// Counts what has arrived and what never will; what is to be sent again.
    fn judge<'b>(
        &self,
        part: &[Item<'b>],
        outcome: Outcome,
        parts: &mut VecDeque<Vec<Item<'b>>>,
    ) -> Vec<Item<'b>> {
        if outcome.is_too_much && part.len() > 1 {
            let (first, second) = part.split_at(part.len() / 2);
            parts.push_front(second.to_vec());
            parts.push_front(first.to_vec());
            return Vec::new();
        }
        let mut refused = outcome.refused;
        if outcome.is_too_much {
            refused.push((0, "it does not take this event at all".to_owned()));
        }
        let count = refused.len() as u64;
        self.status.refused.fetch_add(count, Ordering::Relaxed);
        if let Some((_, why)) = refused.first() {
            tracing::error!(
                sink = self.name,
                count,
                why,
                "the receiver does not take some events, which are lost to it"
            );
        }
        let at = |place: usize| part.get(place).copied();
        let again: Vec<_> = outcome
            .again
            .iter()
            .filter_map(|place| at(*place))
            .collect();
        let arrived = (part.len() as u64).saturating_sub(count + again.len() as u64);
        self.status.delivered.fetch_add(arrived, Ordering::Relaxed);
        let bytes = |items: &mut dyn Iterator<Item = Item<'b>>| -> u64 {
            items.map(|item| item.line.len() as u64).sum()
        };
        let missing = bytes(&mut again.iter().copied())
            + bytes(&mut refused.iter().filter_map(|(place, _)| at(*place)));
        let arrived = bytes(&mut part.iter().copied()).saturating_sub(missing);
        self.status.bytes.fetch_add(arrived, Ordering::Relaxed);
        again
    }

    /// Everything from one place to another has arrived, or has been given up for good reason.
    fn arrived(&mut self, start: Position, after: Position, bytes: usize) {
        self.done = after;
        if let Some(window) = self.transport.unread() {
            if bytes > 0 {
                self.unread.push_back((start, bytes, Instant::now()));
            }
            let mut later: usize = self.unread.iter().map(|(_, bytes, _)| bytes).sum();
            while let Some((_, first, at)) = self.unread.front().copied() {
                later -= first;
                if later < window.bytes && at.elapsed() < window.time {
                    break;
                }
                self.unread.pop_front();
            }
        }
        self.keep(false);
    }

    /// Keeps the place from which a next start goes on.
    fn keep(&mut self, at_once: bool) {
        let place = self.unread.front().map_or(self.done, |(place, ..)| *place);
        self.reader.delivered(place);
        self.tell_behind();
        if !at_once && self.kept.elapsed() < KEEP_EVERY {
            return;
        }
        self.kept = Instant::now();
        if let Err(error) = self.cursor.keep(place) {
            self.fail(&format!("the place in the spool cannot be kept: {error}"));
        }
    }

    fn tell_behind(&self) {
        let behind = self.reader.behind();
        self.status.behind.store(behind, Ordering::Relaxed);
    }

    fn fail(&self, why: &str) {
        self.tell_behind();
        if self.status.failed(why) {
            tracing::warn!(sink = self.name, why, "events do not arrive; they are kept");
        }
    }

    /// Waits, at the end not for long.
    fn rest(&self, time: Duration) {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            if self.stop.load(Ordering::Acquire) {
                return thread::sleep(left.min(LAST_WAIT));
            }
            thread::park_timeout(left);
        }
    }

    /// Whether it is the end, and there were attempts enough since.
    fn gives_up(&mut self) -> bool {
        if !self.stop.load(Ordering::Acquire) {
            return false;
        }
        self.last_attempts = self.last_attempts.saturating_sub(1);
        self.last_attempts == 0
    }

    /// Keeps to the rate that was asked for.
    fn slow_down(&self, events: usize) {
        if let Some(rate) = self.bounds.rate {
            let events = u32::try_from(events).unwrap_or(u32::MAX);
            self.rest(Duration::from_secs(1) * events / rate.get());
        }
    }
}

fn jittered(wait: Duration) -> Duration {
    wait / 2 + crate::random::share(wait / 2)
}

/// A spooled line in another format. What cannot be read back is delivered as it is kept, rather
/// than not at all.
fn in_format(format: Format, line: &[u8]) -> String {
    match parse::fields(line) {
        Ok(fields) => told(format, &fields),
        Err(error) => {
            tracing::warn!(%error, "an event in the spool is not understood, and delivered as it is");
            String::from_utf8_lossy(line).into_owned()
        }
    }
}

fn told(format: Format, fields: &Fields<'_>) -> String {
    // No field can make it fail.
    format.line(fields).unwrap_or_default()
}

/// The event that says what is missing. Its id is the same however often it is sent, and that of
/// no other sensor.
fn gap_fields(gap: Gap, from_where: &Identity) -> Fields<'_> {
    let mut fields = Fields::default();
    origin::put(from_where, &mut fields);
    let (from, to) = (gap.after_ns, gap.before_ns.max(gap.after_ns));
    fields.put(Field::Timestamp, Value::Time(to));
    let lane = gap.lane.name();
    let sensor = from_where.agent.id.as_deref().unwrap_or_default();
    fields.put(
        Field::EventId,
        format!("{sensor}-spool-{lane}-{}-{}", gap.first_index, gap.count),
    );
    fields.put(Field::EventKind, "event");
    fields.put(Field::EventModule, "sensor");
    fields.put(Field::EventDataset, LOST.name);
    fields.put(Field::EventAction, LOST.action);
    fields.put_list(Field::EventCategory, LOST.category.iter().copied());
    fields.put_list(Field::EventType, LOST.kind.iter().copied());
    fields.put(Field::SensorLostKind, lane);
    fields.put(Field::SensorLostCount, gap.count);
    fields.put(
        Field::SensorLostReason,
        "they could not be kept until this receiver had them",
    );
    fields.put(Field::SensorLostFrom, Value::Time(from));
    fields.put(Field::SensorLostTo, Value::Time(to));
    fields.sort();
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ecs_check::assert_ecs;
    use crate::export::ocsf::check::assert_ocsf;
    use crate::export::spool::Lane;

    #[test]
    fn the_event_about_a_gap_is_one_in_every_format_and_can_be_read_back() {
        let mut origin = Identity::default();
        origin.agent.id = Some("a".into());
        let gap = Gap {
            lane: Lane::Telemetry,
            first_index: 7,
            count: 3,
            after_ns: 1_000_000_000,
            before_ns: 2_000_000_000,
        };
        let fields = gap_fields(gap, &origin);
        let line = told(Format::Ecs, &fields);
        assert_ecs(&serde_json::from_str(&line).unwrap());
        assert!(line.contains(r#""id":"a-spool-telemetry-7-3""#), "{line}");
        assert_eq!(parse::fields(line.as_bytes()).unwrap(), fields);
        for format in Format::ALL {
            assert!(!told(format, &fields).is_empty(), "{format:?}");
        }
        assert_ocsf(&serde_json::from_str(&told(Format::Ocsf, &fields)).unwrap());
    }
}
