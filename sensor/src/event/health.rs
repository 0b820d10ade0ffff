//! Events of the sensor about itself: that it started or stopped, how well it sees, and what
//! it lost. A loss is never silent.

use std::borrow::Cow;

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
}

impl Health {
    pub(super) const fn label(&self) -> Label {
        self.change.label()
    }

    pub(super) fn put<'a>(&'a self, fields: &mut Fields<'a>) {
        fields.put(Field::SensorHealthVerdict, self.verdict.name());
        fields.put(Field::SensorHealthDetail, self.detail.as_str());
        fields.put_some(Field::SensorAccount, self.account.as_deref());
    }

    pub(super) fn summary(&self) -> String {
        format!("{}: {}", self.verdict.name(), self.detail)
    }
}
