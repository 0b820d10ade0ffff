//! Responses: what was done about an intruder, by hand, by a playbook or by a timer. Also what
//! was refused or only rehearsed is one, so that the record of a case has no holes. How things
//! are done is not known here.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::field::{Field, Fields, Value};
use super::{EventId, Label};

macro_rules! verbs {
    ($($verb:ident $name:literal $category:literal $kind:literal $meaning:literal;)*) => {
        /// What is done.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Verb { $(#[doc = $meaning] $verb,)* }

        impl Verb {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$verb),*];

            /// The word for it, as the command of that name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$verb => $name),* }
            }

            /// How its events are labelled.
            #[must_use]
            pub const fn label(self) -> Label {
                match self {
                    $(Self::$verb => Label {
                        name: concat!("response.", $name),
                        action: concat!("response-", $name),
                        category: &[$category],
                        kind: &[$kind],
                    }),*
                }
            }
        }
    };
}

verbs! {
    Block "block" "network" "denied" "Traffic with an address or network is dropped.";
    Unblock "unblock" "network" "allowed" "A block is taken back.";
    Allow "allow" "network" "allowed" "Traffic with an address or network passes whatever else is said.";
    Disallow "disallow" "network" "info" "An exception is taken back.";
    Isolate "isolate" "network" "denied" "All traffic is dropped but what is allowed.";
    Confirm "confirm" "network" "info" "An isolation that would have ended by itself stays.";
    Release "release" "network" "allowed" "An isolation is taken back.";
    Kill "kill" "process" "end" "Processes are ended.";
    Freeze "freeze" "process" "change" "Processes are stopped where they are.";
    Thaw "thaw" "process" "change" "They go on.";
    Prevent "prevent" "process" "end" "A program is ended before its first instruction.";
    Quarantine "quarantine" "file" "deletion" "A file is put away where it does no harm.";
    Restore "restore" "file" "creation" "A file is put back where it was.";
    Run "run" "host" "info" "A program of the operator's is run.";
}

impl Verb {
    /// The verb of an event's `event.dataset`.
    #[must_use]
    pub fn from_dataset(name: &str) -> Option<Self> {
        let verbs = Self::ALL.iter().copied();
        verbs.into_iter().find(|verb| verb.label().name == name)
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It would have been done, but was only rehearsed.
    DryRun,
    /// It waits for somebody to say yes.
    Asked,
    /// It was not allowed: something protected, or a limit.
    Refused,
    /// It was tried, and did not work.
    Failed,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Done,
        Self::DryRun,
        Self::Asked,
        Self::Refused,
        Self::Failed,
    ];

    /// Word for it in fields.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::DryRun => "dry_run",
            Self::Asked => "asked",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    /// ECS `event.outcome`.
    const fn ecs(self) -> &'static str {
        match self {
            Self::Done => "success",
            Self::DryRun | Self::Asked => "unknown",
            Self::Refused | Self::Failed => "failure",
        }
    }
}

/// What made it happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Somebody at the command line.
    Operator,
    /// A playbook of the configuration.
    Playbook,
    /// A list of indicators.
    Intelligence,
    /// Its time was over.
    Timer,
}

impl Origin {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Operator,
        Self::Playbook,
        Self::Intelligence,
        Self::Timer,
    ];

    /// Word for it in fields.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Playbook => "playbook",
            Self::Intelligence => "intelligence",
            Self::Timer => "timer",
        }
    }
}

/// Longest target, in bytes: that of a path (`PATH_MAX`, `include/uapi/linux/limits.h`), which may
/// also stand in the command that takes it back.
const TARGET_MAX: usize = 4_096 + 64;
/// Longest of the other texts, in bytes.
const TEXT_MAX: usize = 1_024;

/// One thing done, refused or rehearsed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// What.
    pub verb: Verb,
    /// What became of it.
    pub outcome: Outcome,
    /// To what, as its command takes it: an address, `pid 4711`, a path, a control group, `host`.
    pub target: Box<str>,
    /// What made it happen.
    pub origin: Origin,
    /// Who: a user, a playbook, a list.
    pub by: Box<str>,
    /// Why, in the words of who wanted it.
    #[serde(default)]
    pub reason: Box<str>,
    /// What was done in particular, or why not. One sentence.
    #[serde(default)]
    pub detail: Box<str>,
    /// The other side of the connection that it was about.
    #[serde(default)]
    pub peer: Option<SocketAddr>,
    /// When it ends by itself, in nanoseconds since the epoch.
    #[serde(default)]
    pub until_wall_ns: Option<u64>,
    /// The command that takes it back.
    #[serde(default)]
    pub undo: Option<Box<str>>,
    /// The alert that led to it, as `event.id`.
    #[serde(default)]
    pub alert: Option<Box<str>>,
    /// The incident of that alert.
    #[serde(default)]
    pub incident: Option<Box<str>>,
    /// From the event that decided the alert to the end of this, in nanoseconds.
    #[serde(default)]
    pub latency_ns: Option<u64>,
}

impl Response {
    /// What somebody at the command line did; everything else is to be filled in.
    #[must_use]
    pub fn new(
        verb: Verb,
        target: impl Into<Box<str>>,
        origin: Origin,
        by: impl Into<Box<str>>,
    ) -> Self {
        Self {
            verb,
            outcome: Outcome::Done,
            target: target.into(),
            origin,
            by: by.into(),
            reason: Box::default(),
            detail: Box::default(),
            peer: None,
            until_wall_ns: None,
            undo: None,
            alert: None,
            incident: None,
            latency_ns: None,
        }
    }

    /// With its texts no longer than they may be.
    #[must_use]
    pub fn bounded(self) -> Self {
        let short = |text: Box<str>| within(text, TEXT_MAX);
        Self {
            target: within(self.target, TARGET_MAX),
            by: short(self.by),
            reason: short(self.reason),
            detail: short(self.detail),
            undo: self.undo.map(|undo| within(undo, TARGET_MAX)),
            alert: self.alert.map(short),
            incident: self.incident.map(short),
            ..self
        }
    }

    pub(super) const fn label(&self) -> Label {
        self.verb.label()
    }

    pub(super) fn put<'a>(&'a self, fields: &mut Fields<'a>) {
        fields.put(Field::EventOutcome, self.outcome.ecs());
        fields.put(Field::SensorResponseOutcome, self.outcome.name());
        fields.put(Field::SensorResponseTarget, &*self.target);
        fields.put(Field::SensorResponseOrigin, self.origin.name());
        fields.put(Field::SensorResponseBy, &*self.by);
        fields.put(Field::SensorResponseReason, &*self.reason);
        fields.put(Field::SensorResponseDetail, &*self.detail);
        fields.put_some(
            Field::SensorResponsePeer,
            self.peer.map(|peer| peer.to_string()),
        );
        if let Some(until) = self.until_wall_ns {
            fields.put(Field::SensorResponseUntil, Value::Time(until));
        }
        fields.put_some(Field::SensorResponseUndo, self.undo.as_deref());
        fields.put_some(Field::SensorResponseAlert, self.alert.as_deref());
        fields.put_some(Field::SensorAlertIncident, self.incident.as_deref());
        if let Some(latency) = self.latency_ns {
            fields.put(Field::SensorResponseLatency, latency);
        }
    }

    pub(super) fn summary(&self) -> String {
        self.to_string()
    }

    /// The alert that led to it.
    pub fn follows(&mut self, alert: EventId, incident: Option<&str>) {
        self.alert = Some(alert.to_string().into());
        self.incident = incident.map(Into::into);
    }
}

/// At most so many bytes of a text.
fn within(text: Box<str>, bytes: usize) -> Box<str> {
    if text.len() <= bytes {
        return text;
    }
    text.get(..text.floor_char_boundary(bytes))
        .unwrap_or_default()
        .into()
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Done => "",
            Outcome::DryRun => "would ",
            Outcome::Asked => "asks whether to ",
            Outcome::Refused => "refused to ",
            Outcome::Failed => "failed to ",
        };
        write!(f, "{outcome}{} {}", self.verb.name(), self.target)?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        write!(f, " (by {} {}", self.origin.name(), self.by)?;
        if !self.reason.is_empty() {
            write!(f, ", because: {}", self.reason)?;
        }
        f.write_str(")")?;
        match &self.undo {
            Some(undo) => write!(f, "; undo: {undo}"),
            None => Ok(()),
        }
    }
}
