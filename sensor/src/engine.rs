//! What becomes of every event, wherever it comes from: it is completed from the state of the
//! host, intruders are looked for in it, and it is written, with the alerts it decides right
//! after it. Who acts on alerts gets them before anything is written, because nobody waits for a
//! reader of events then. Fed by the pipeline with what the kernel tells and by a replay with what
//! was recorded; knows neither.

use std::io::Write;
use std::sync::Arc;

use crate::detect::hits::Hits;
use crate::detect::{Detector, Raised};
use crate::event::process::ProcessKey;
use crate::event::{Action, Event, EventId, Stamp};
use crate::export::writer::{Writer, Written};
use crate::respond::rehearsal::Rehearsal;
use crate::respond::responder::{Family, Handle};
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

/// Who acts on alerts.
pub enum Reaction {
    /// Nobody.
    None,
    /// The responder.
    Live(Handle),
    /// Nobody, but it is said what would be done.
    Rehearsed(Box<Rehearsal>),
}

/// The rooms after decoding, joined.
pub struct Engine<W: Write> {
    /// The state of the host.
    pub tracker: Tracker,
    /// Looks for intruders.
    pub detector: Option<Detector>,
    /// The output.
    pub writer: Writer<W>,
    /// Acts on alerts.
    pub reaction: Reaction,
    /// Counts alerts.
    pub hits: Arc<Hits>,
    next_id: EventId,
}

impl<W: Write> Engine<W> {
    /// Joins them; `run` is in the ids of the events that are numbered here.
    pub fn new(tracker: Tracker, detector: Option<Detector>, writer: Writer<W>, run: u32) -> Self {
        Self {
            tracker,
            detector,
            writer,
            reaction: Reaction::None,
            hits: Arc::default(),
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
        let first = match delivery {
            Delivery::Numbered => self.next_id.next(),
            Delivery::Suppressed | Delivery::Recorded => self.next_id,
        };
        let alerts = self.alerts(event.time, event.cpu, raised, first, latency);
        // What was done may be what a rule looks for; nothing is done about that, or it might
        // never end.
        let mut rehearsed = Vec::new();
        if !matches!(event.action, Action::Response(_)) {
            for alert in &alerts {
                rehearsed.extend(self.react(alert));
            }
        }
        let written = match delivery {
            Delivery::Suppressed => None,
            Delivery::Numbered => Some(self.write(event)),
            Delivery::Recorded => Some(self.writer.write(event)),
        };
        self.tracker.settle(event);
        let closed = self.deliver(&alerts, rehearsed);
        Passed {
            written,
            alerts: alerts.len() as u64,
            closed: closed || written == Some(Written::Closed),
        }
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
            let alerts = self.alerts(time, cpu, vec![raised], self.next_id, || latency(time));
            let rehearsed = alerts.iter().flat_map(|alert| self.react(alert)).collect();
            passed.closed |= self.deliver(&alerts, rehearsed);
        }
        passed
    }

    /// Writes the event that [`Engine::next_id`] was for.
    pub fn write(&mut self, event: &Event) -> Written {
        self.next_id = self.next_id.next();
        self.writer.write(event)
    }

    /// Alerts as events, numbered from `id` on, with the time of the event that decided them.
    fn alerts(
        &self,
        time: Stamp,
        cpu: u32,
        raised: Vec<Raised>,
        mut id: EventId,
        latency: impl Fn() -> u64,
    ) -> Vec<Event> {
        let mut alerts = Vec::with_capacity(raised.len());
        for Raised { mut alert, about } in raised {
            alert.latency_ns = latency();
            self.hits.count(&alert);
            alerts.push(Event {
                id,
                cpu,
                time,
                process: Some(*about),
                action: Action::Alert(Box::new(alert)),
            });
            id = id.next();
        }
        alerts
    }

    /// Hands an alert to who acts on it; what would be done, where that is only rehearsed.
    fn react(&mut self, alert: &Event) -> Vec<Event> {
        match &mut self.reaction {
            Reaction::None => Vec::new(),
            Reaction::Live(responder) => {
                let (tracker, detector) = (&self.tracker, &self.detector);
                responder.offer(alert, |family| {
                    members(family, alert, tracker, detector.as_ref())
                });
                Vec::new()
            }
            Reaction::Rehearsed(rehearsal) => rehearsal.rehearse(alert),
        }
    }

    /// Writes alerts and what would be done about them; whether nobody reads any more. Alerts do
    /// not wait for others.
    fn deliver(&mut self, alerts: &[Event], rehearsed: Vec<Event>) -> bool {
        for alert in alerts {
            self.write(alert);
        }
        for mut response in rehearsed {
            response.id = self.next_id;
            self.write(&response);
        }
        !alerts.is_empty() && self.writer.flush() == Written::Closed
    }
}

/// Processes of an alert's family that are still there.
fn members(
    family: Family,
    alert: &Event,
    tracker: &Tracker,
    detector: Option<&Detector>,
) -> Vec<ProcessKey> {
    let (Action::Alert(raised), Some(process)) = (&alert.action, &alert.process) else {
        return Vec::new();
    };
    match (family, detector, &raised.incident) {
        (Family::Tree, ..) => tracker.descendants(process.key),
        (Family::Incident, Some(detector), Some(incident)) => {
            let mut members = detector.members(incident);
            members.retain(|key| tracker.is_live(*key));
            members
        }
        _ => Vec::new(),
    }
}
