//! Events of the sensor about itself: that it started or stopped, how well it sees, and what
//! it lost. A loss is never silent.

use std::borrow::Cow;
use std::time::Duration;

use super::field::{Field, Fields, Value};
use super::{Label, Stamp};

/// Label of [`Lost`].
pub const LOST: Label = Label {
    name: "sensor.lost",
    action: "events-lost",
    category: &["host"],
    kind: &["error"],
};

/// Kind of lost events of which only the program is known that would have told of them.
pub const UNKNOWN_KIND: &str = "unknown";

/// Events of one kind that were lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Name of their kind.
    pub kind: &'static str,
    /// How many.
    pub count: u64,
    /// Why.
    pub reason: Cow<'static, str>,
    /// They were lost after this.
    pub from: Stamp,
    /// And before this.
    pub to: Stamp,
}

impl Lost {
    pub(super) fn put<'a>(&'a self, fields: &mut Fields<'a>) {
        fields.put(Field::SensorLostKind, self.kind);
        fields.put(Field::SensorLostCount, self.count);
        fields.put(Field::SensorLostReason, self.reason.as_ref());
        fields.put(Field::SensorLostFrom, Value::Time(self.from.wall_ns));
        fields.put(Field::SensorLostTo, Value::Time(self.to.wall_ns));
    }

    pub(super) fn summary(&self) -> String {
        format!("{} {} events lost: {}", self.count, self.kind, self.reason)
    }
}

/// How well the sensor sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything it should see.
    Healthy,
    /// Some kinds of event, or some events, are missing.
    Degraded,
    /// Nothing.
    Blind,
}

impl Verdict {
    /// Word for it in fields.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Blind => "blind",
        }
    }
}

/// What happened to the sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It began to watch.
    Started,
    /// It stopped; the last event of a run.
    Stopped,
    /// Its verdict on itself changed.
    Changed,
}

impl Change {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Started, Self::Stopped, Self::Changed];

    pub(super) const fn label(self) -> Label {
        match self {
            Self::Started => Label {
                name: "sensor.started",
                action: "sensor-started",
                category: &["host"],
                kind: &["start"],
            },
            Self::Stopped => Label {
                name: "sensor.stopped",
                action: "sensor-stopped",
                category: &["host"],
                kind: &["end"],
            },
            Self::Changed => Label {
                name: "sensor.health",
                action: "sensor-health",
                category: &["host"],
                kind: &["change"],
            },
        }
    }
}

/// The sensor started, stopped, or changed how well it sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// What happened.
    pub change: Change,
    /// How well it sees now.
    pub verdict: Verdict,
    /// In words.
    pub detail: String,
    /// The account by kind as JSON text, for the last event of a run.
    pub account: Option<String>,
    /// The run before, for the first event of one.
    pub previous: Option<Previous>,
}

/// The run before this one. What happened between its end and the event that says this was
/// observed by nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Random number in the ids of its events.
    pub run: u32,
    /// When it was last known to get on, in nanoseconds since the epoch.
    pub until_wall_ns: u64,
    /// Whether it stopped, rather than being killed or going down with the host.
    pub in_order: bool,
}

impl Previous {
    /// What people are told who start the sensor at this time; nothing where all is as it should be.
    #[must_use]
    pub fn complaint(&self, now_wall_ns: u64) -> Option<String> {
        let unseen = Duration::from_nanos(now_wall_ns.saturating_sub(self.until_wall_ns));
        (!self.in_order).then(|| {
            format!(
                "the run before, {:08x}, did not stop in order: nothing was observed in the {} s before this",
                self.run,
                unseen.as_secs()
            )
        })
    }
}

impl Health {
    pub(super) const fn label(&self) -> Label {
        self.change.label()
    }

    pub(super) fn put<'a>(&'a self, fields: &mut Fields<'a>) {
        fields.put(Field::SensorHealthVerdict, self.verdict.name());
        fields.put(Field::SensorHealthDetail, self.detail.as_str());
        fields.put_some(Field::SensorAccount, self.account.as_deref());
        if let Some(previous) = self.previous {
            fields.put(Field::SensorPreviousInOrder, previous.in_order);
            fields.put(Field::SensorPreviousRun, format!("{:08x}", previous.run));
            fields.put(
                Field::SensorPreviousUntil,
                Value::Time(previous.until_wall_ns),
            );
        }
    }

    pub(super) fn summary(&self) -> String {
        format!("{}: {}", self.verdict.name(), self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_that_did_not_stop_in_order_is_complained_of() {
        let mut previous = Previous {
            run: 0xbeef,
            until_wall_ns: 5_000_000_000,
            in_order: false,
        };
        let complaint = previous.complaint(12_500_000_000).unwrap();
        assert!(complaint.contains("0000beef"), "{complaint}");
        assert!(complaint.contains("7 s"), "{complaint}");
        // The clock was set back.
        assert!(previous.complaint(0).unwrap().contains("0 s"));
        previous.in_order = true;
        assert_eq!(previous.complaint(12_500_000_000), None);
    }
}
