//! Recorded events, through the same state and detection as those of the kernel. Nothing here
//! depends on when or where it runs: times are those of the events, latencies are 0, and what
//! events do not tell is not looked up. So the same recording gives the same output, to the
//! byte, from the hosts that the recording names. No options and no words for people: those are in `cli/replay.rs`.
//!
//! What the recording does not tell is not known: standard streams and connections of processes
//! that were there before it, and events that were not recorded. Copies of shells under other
//! names are recognised by size once a shell has run; their content is gone.

use std::io::{self, BufRead, Read as _, Write};
use std::sync::Arc;

use thiserror::Error;

use crate::detect::{Detector, sigma};
use crate::engine::{Delivery, Engine, Reaction};
use crate::event::parse::{self, ParseError, Parsed};
use crate::event::{Action, Event};
use crate::export::writer::{Writer, Written};
use crate::identity::Identity;
use crate::probe::selection::Selection;
use crate::respond::rehearsal::Rehearsal;
use crate::track::Tracker;

/// Longest line read, in bytes; the longest that a sensor writes is far shorter.
const LINE_MAX: u64 = 4 * 1024 * 1024;
/// Processes known at most, ended ones included.
const PROCESSES_MAX: usize = 262_144;

/// What is wrong with a line.
#[derive(Debug, Error)]
pub enum Flaw {
    /// It is no event.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// It is too long to be one.
    #[error("this line is longer than {LINE_MAX} bytes; no event is")]
    Long,
}

/// What was in a recording and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events replayed.
    pub events: u64,
    /// Alerts that were recorded, which are concluded anew.
    pub recorded_alerts: u64,
    /// Alerts raised.
    pub alerts: u64,
    /// Lines that are no events.
    pub broken: u64,
    /// Events with fields that this version does not know.
    pub with_unknown_fields: u64,
    /// Events that the recording sensor says it lost.
    pub lost: u64,
}

/// A replay.
pub struct Replay<W: Write> {
    /// Made by the first event: what is numbered here must not have the ids of the recording.
    engine: Option<Engine<W>>,
    parts: Option<(Detector, Writer<W>)>,
    rehearsal: Option<Rehearsal>,
    selection: Selection,
    boot: Option<Box<str>>,
    counts: Counts,
}

/// Whether to go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Line,
    Stop,
}

impl<W: Write> Replay<W> {
    /// One that writes what is selected, and alerts, by these rules besides behaviour.
    pub fn new(rules: Box<sigma::Engine>, writer: Writer<W>, selection: Selection) -> Self {
        let mut detector = Detector::replaying();
        detector.set_rules(rules);
        Self {
            engine: None,
            parts: Some((detector, writer)),
            rehearsal: None,
            selection,
            boot: None,
            counts: Counts::default(),
        }
    }

    /// Says as well what these playbooks would have done.
    #[must_use]
    pub fn rehearsing(mut self, rehearsal: Rehearsal) -> Self {
        self.rehearsal = Some(rehearsal);
        self
    }

    /// Replays all lines; what is wrong with any is told to `complain` with its number, from 1.
    ///
    /// # Errors
    /// When the recording cannot be read.
    pub fn run(
        mut self,
        mut input: impl BufRead,
        mut complain: impl FnMut(u64, &Flaw),
    ) -> io::Result<Counts> {
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if (&mut input).take(LINE_MAX).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let whole = line.ends_with(b"\n") || (line.len() as u64) < LINE_MAX;
            let outcome = if whole {
                self.line(line.trim_ascii()).map_err(Flaw::Parse)
            } else {
                input.skip_until(b'\n')?;
                Err(Flaw::Long)
            };
            match outcome {
                Ok(Next::Line) => {}
                Ok(Next::Stop) => return Ok(self.counts),
                Err(flaw) => {
                    self.counts.broken += 1;
                    complain(number, &flaw);
                }
            }
        }
        if let Some(engine) = &mut self.engine {
            engine.writer.flush();
        }
        Ok(self.counts)
    }

    fn line(&mut self, line: &[u8]) -> Result<Next, ParseError> {
        if line.is_empty() {
            return Ok(Next::Line);
        }
        match parse::line(line)? {
            Parsed::Alert => {
                self.counts.recorded_alerts += 1;
                Ok(Next::Line)
            }
            Parsed::Event {
                event,
                origin,
                unknown_fields,
            } => {
                self.counts.with_unknown_fields += u64::from(unknown_fields > 0);
                Ok(self.event(*event, *origin))
            }
        }
    }

    fn event(&mut self, mut event: Event, origin: Identity) -> Next {
        self.counts.events += 1;
        if let Action::Lost(lost) = &event.action {
            self.counts.lost = self.counts.lost.saturating_add(lost.count);
        }
        self.begin(&event);
        let Some(engine) = &mut self.engine else {
            return Next::Stop;
        };
        if *engine.writer.origin != origin {
            engine.writer.origin = Arc::new(origin);
        }
        engine.tracker.apply(&mut event);
        let delivery = if self.selection.wants_named(event.action.label().name) {
            Delivery::Recorded
        } else {
            Delivery::Suppressed
        };
        let passed = engine.conclude(&event, delivery, || 0);
        self.counts.alerts += passed.alerts;
        if passed.closed || passed.written == Some(Written::Closed) {
            Next::Stop
        } else {
            Next::Line
        }
    }

    /// Makes the engine by the first event, and forgets all state at the first of another boot or
    /// machine: its processes have nothing to do with those before.
    fn begin(&mut self, event: &Event) {
        if let Some((detector, writer)) = self.parts.take() {
            let tracker = Tracker::replaying(PROCESSES_MAX);
            let mut engine = Engine::new(tracker, Some(detector), writer, !event.id.run);
            if let Some(rehearsal) = self.rehearsal.take() {
                engine.reaction = Reaction::Rehearsed(Box::new(rehearsal));
            }
            self.engine = Some(engine);
        }
        let Some(boot) = event.process.as_ref().and_then(|process| process.boot()) else {
            return;
        };
        let before = self.boot.as_deref();
        if before == Some(boot) {
            return;
        }
        if let (Some(engine), Some(_)) = (&mut self.engine, before) {
            engine.tracker = Tracker::replaying(PROCESSES_MAX);
            engine.detector = engine.detector.take().map(Detector::anew);
        }
        self.boot = Some(boot.into());
    }
}
