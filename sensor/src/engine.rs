//! What becomes of every event, wherever it comes from: it is completed from the state of the
//! host, intruders are looked for in it, and it is written, with the alerts it decides right
//! after it. Fed by the pipeline with what the kernel tells and by a replay with what was
//! recorded; knows neither.

use std::io::Write;

use crate::detect::{Detector, Raised};
use crate::event::{Action, Event, EventId, Stamp};
use crate::export::writer::{Writer, Written};
use crate::track::Tracker;

/// Whether an event is written, and under which number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It is not.
    Suppressed,
    /// It is, and has the number that was next.
    Numbered,
    /// It is, and has the number that it had before.
    Recorded,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Of the attempt to write it, unless it was suppressed.
    pub written: Option<Written>,
    /// How many alerts it decided.
    pub alerts: u64,
    /// Nobody reads the output any more.
    pub closed: bool,
}

/// The rooms after decoding, joined.
pub struct Engine<W: Write> {
    /// The state of the host.
    pub tracker: Tracker,
    /// Looks for intruders.
    pub detector: Option<Detector>,
    /// The output.
    pub writer: Writer<W>,
    next_id: EventId,
}

impl<W: Write> Engine<W> {
    /// Joins them; `run` is in the ids of the events that are numbered here.
    pub const fn new(
        tracker: Tracker,
        detector: Option<Detector>,
        writer: Writer<W>,
        run: u32,
    ) -> Self {
        Self {
            tracker,
            detector,
            writer,
            next_id: EventId { run, sequence: 0 },
        }
    }

    /// The id of the next event that is numbered.
    pub const fn next_id(&self) -> EventId {
        self.next_id
    }

    /// Concludes from an event that [`Tracker::apply`] has completed, and writes it with what
    /// follows from it. `latency` is measured for each alert when it is ready.
    pub fn conclude(
        &mut self,
        event: &Event,
        delivery: Delivery,
        latency: impl Fn() -> u64,
    ) -> Passed {
        let raised = match &mut self.detector {
            Some(detector) => detector.observe(event, &self.tracker),
            None => Vec::new(),
        };
        let written = match delivery {
            Delivery::Suppressed => None,
            Delivery::Numbered => Some(self.write(event)),
            Delivery::Recorded => Some(self.writer.write(event)),
        };
        self.tracker.settle(event);
        let mut passed = Passed {
            written,
            alerts: raised.len() as u64,
            closed: written == Some(Written::Closed),
        };
        for raised in raised {
            self.alert(event.time, event.cpu, raised, latency());
        }
        // Alerts do not wait for others.
        passed.closed |= passed.alerts > 0 && self.writer.flush() == Written::Closed;
        passed
    }

    /// Writes what follows from events only some time after them; how many alerts.
    pub fn conclude_late(&mut self, latency: impl Fn(Stamp) -> u64) -> Passed {
        let raised = match &mut self.detector {
            Some(detector) => detector.late(&self.tracker),
            None => Vec::new(),
        };
        let mut passed = Passed {
            written: None,
            alerts: raised.len() as u64,
            closed: false,
        };
        for (time, cpu, raised) in raised {
            self.alert(time, cpu, raised, latency(time));
        }
        passed.closed = passed.alerts > 0 && self.writer.flush() == Written::Closed;
        passed
    }

    /// Writes the event that [`Engine::next_id`] was for.
    pub fn write(&mut self, event: &Event) -> Written {
        self.next_id = self.next_id.next();
        self.writer.write(event)
    }

    /// An alert, with the time of the event that decided it.
    fn alert(&mut self, time: Stamp, cpu: u32, raised: Raised, latency_ns: u64) {
        let mut alert = raised.alert;
        alert.latency_ns = latency_ns;
        let event = Event {
            id: self.next_id,
            cpu,
            time,
            process: Some(*raised.about),
            action: Action::Alert(Box::new(alert)),
        };
        self.write(&event);
    }
}
