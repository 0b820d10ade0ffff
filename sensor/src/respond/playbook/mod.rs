//! Playbooks: what is done by itself when an alert is raised, within limits. From the alert, the
//! time and what was done before follows what is to be done now, and nothing else goes into that:
//! no clock is looked at here, and nothing is carried out.

pub mod decide;
pub mod limits;
pub mod pattern;
pub mod when;
pub mod written;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::response::Verb;
use crate::event::{Action as Happening, Event};

use limits::Limits;
use when::When;

/// How far a playbook may go, least first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// It is not there.
    Off,
    /// It says what it would do.
    #[default]
    DryRun,
    /// It does it.
    Enforce,
}

impl Mode {
    /// The words for them in the configuration.
    pub const NAMES: &[&str] = &["off", "dry-run", "enforce"];

    /// From the word for it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "off" => Some(Self::Off),
            "dry-run" => Some(Self::DryRun),
            "enforce" => Some(Self::Enforce),
            _ => None,
        }
    }

    /// The word for it in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::DryRun => "dry-run",
            Self::Enforce => "enforce",
        }
    }
}

/// Something that a playbook does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Traffic with the alert's peer is dropped.
    BlockPeer,
    /// All traffic of the host is dropped but what is allowed.
    Isolate,
    /// The process is ended.
    Kill,
    /// It and all that descends from it are.
    KillTree,
    /// All processes of the incident are.
    KillIncident,
    /// The process and all that descends from it are stopped.
    Freeze,
    /// The alert's file is put away.
    Quarantine,
    /// A program of the operator's is run.
    Run(Arc<Run>),
}

impl Action {
    /// The words for them in the configuration, in the order in which they are done: first what
    /// stops an intruder fastest, and processes before files, so that nobody puts a file back.
    pub const NAMES: &[&str] = &[
        "block-peer",
        "isolate",
        "kill",
        "kill-tree",
        "kill-incident",
        "freeze",
        "quarantine",
    ];

    /// From the word for it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "block-peer" => Some(Self::BlockPeer),
            "isolate" => Some(Self::Isolate),
            "kill" => Some(Self::Kill),
            "kill-tree" => Some(Self::KillTree),
            "kill-incident" => Some(Self::KillIncident),
            "freeze" => Some(Self::Freeze),
            "quarantine" => Some(Self::Quarantine),
            _ => None,
        }
    }

    /// The word for it in the configuration.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::BlockPeer => "block-peer",
            Self::Isolate => "isolate",
            Self::Kill => "kill",
            Self::KillTree => "kill-tree",
            Self::KillIncident => "kill-incident",
            Self::Freeze => "freeze",
            Self::Quarantine => "quarantine",
            Self::Run(_) => "run",
        }
    }

    /// When its turn is.
    fn turn(&self) -> usize {
        let names = Self::NAMES.iter();
        names.take_while(|name| **name != self.name()).count()
    }

    /// What its events are called.
    #[must_use]
    pub const fn verb(&self) -> Verb {
        match self {
            Self::BlockPeer => Verb::Block,
            Self::Isolate => Verb::Isolate,
            Self::Kill | Self::KillTree | Self::KillIncident => Verb::Kill,
            Self::Freeze => Verb::Freeze,
            Self::Quarantine => Verb::Quarantine,
            Self::Run(_) => Verb::Run,
        }
    }

    /// To what it is done because of an alert; or what the alert lacks.
    ///
    /// # Errors
    /// Why it cannot be done to anything.
    pub fn target(&self, event: &Event) -> Result<Box<str>, &'static str> {
        let Happening::Alert(alert) = &event.action else {
            return Err("this is no alert");
        };
        match self {
            Self::BlockPeer => alert
                .peer
                .map(|peer| peer.endpoint.address.to_string().into())
                .ok_or("the alert names no peer"),
            Self::Isolate => Ok("host".into()),
            Self::Kill | Self::KillTree | Self::Freeze => event
                .process
                .as_ref()
                .map(|process| format!("pid {}", process.key.pid).into())
                .ok_or("the alert names no process"),
            Self::KillIncident => alert
                .incident
                .as_deref()
                .map(|incident| format!("incident {incident}").into())
                .ok_or("the alert belongs to no incident"),
            Self::Quarantine => alert.file.clone().ok_or("the alert names no file"),
            Self::Run(run) => Ok(run.program.clone()),
        }
    }
}

/// A program that is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its path.
    pub program: Box<str>,
    /// Its arguments.
    pub arguments: Box<[Argument]>,
    /// How long it may take before it is killed.
    pub timeout: Duration,
    /// The user it runs as.
    pub user: Box<str>,
}

/// An argument of a program that is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// As it is written.
    Text(Box<str>),
    /// Something of the alert.
    Of(Placeholder),
}

macro_rules! placeholders {
    ($($name:ident $word:literal $meaning:literal;)*) => {
        /// Something of an alert that stands for a whole argument. None begins with a dash, so
        /// that none is taken for an option.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Placeholder { $(#[doc = $meaning] $name,)* }

        impl Placeholder {
            /// The words for them in the configuration.
            pub const NAMES: &[&str] = &[$($word),*];

            /// From the word for it.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($word => Some(Self::$name),)* _ => None }
            }
        }
    };
}

placeholders! {
    Pid "{pid}" "Pid of the process.";
    Executable "{executable}" "Path of the program that it runs.";
    Container "{container}" "Id of its container.";
    Peer "{peer}" "Address of the peer.";
    File "{file}" "Path of the file.";
    Rule "{rule}" "Id of the rule.";
    Severity "{severity}" "How bad it is.";
    Alert "{alert}" "Id of the alert.";
    Incident "{incident}" "Id of the incident.";
}

impl Placeholder {
    /// What stands in its place; empty when the alert does not say.
    #[must_use]
    pub fn value(self, event: &Event) -> String {
        let Happening::Alert(alert) = &event.action else {
            return String::new();
        };
        let process = event.process.as_ref();
        let text = match self {
            Self::Pid => process.map(|process| process.key.pid.to_string()),
            Self::Executable => process.and_then(when::executable).map(str::to_owned),
            Self::Container => {
                process.and_then(|process| Some(process.home.container.as_deref()?.to_owned()))
            }
            Self::Peer => alert.peer.map(|peer| peer.endpoint.address.to_string()),
            Self::File => alert.file.as_deref().map(str::to_owned),
            Self::Rule => Some(alert.rule.id.to_string()),
            Self::Severity => Some(alert.severity.name().to_owned()),
            Self::Alert => Some(event.id.to_string()),
            Self::Incident => alert.incident.as_deref().map(str::to_owned),
        };
        text.filter(|text| !text.starts_with('-') && !text.contains('\0'))
            .unwrap_or_default()
    }
}

/// What is done about some alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Playbook {
    /// What it is called.
    pub name: Box<str>,
    /// How far it may go.
    pub mode: Mode,
    /// Which alerts it is for.
    pub when: When,
    /// Unless this holds as well.
    pub unless: Option<When>,
    /// What is done, in this order.
    pub actions: Box<[Action]>,
    /// How long a block or an isolation lasts; for good when absent.
    pub ttl: Option<Duration>,
    /// How often, and when.
    pub limits: Limits,
}

impl Playbook {
    /// Whether it is for an alert.
    #[must_use]
    pub fn is_for(&self, event: &Event) -> bool {
        let Happening::Alert(alert) = &event.action else {
            return false;
        };
        let holds = |when: &When| when.holds(alert, event.process.as_ref());
        self.mode > Mode::Off && holds(&self.when) && !self.unless.as_ref().is_some_and(holds)
    }
}

/// A playbook for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Its name.
    pub name: Box<str>,
    /// How far it goes, the switch for all considered.
    pub mode: Box<str>,
    /// What it does, in this order.
    pub actions: Vec<Box<str>>,
    /// How long a block or an isolation lasts, in seconds; without end when absent.
    pub ttl_seconds: Option<u64>,
    /// On how many alerts an hour it acts at most.
    pub per_hour: u32,
    /// How long the same is not done to the same, in seconds.
    pub cool_down_seconds: u64,
    /// At which hours it acts; at all when absent.
    pub hours: Option<String>,
    /// Whether somebody has to say yes.
    pub ask: bool,
}

/// All playbooks that are in force together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// How far any of them may go.
    pub mode: Mode,
    /// They.
    pub playbooks: Box<[Arc<Playbook>]>,
}

impl Set {
    /// Those for an alert.
    pub fn those_for<'s>(&'s self, event: &'s Event) -> impl Iterator<Item = &'s Arc<Playbook>> {
        let playbooks = self.playbooks.iter();
        playbooks.filter(move |playbook| self.mode > Mode::Off && playbook.is_for(event))
    }

    /// How far one of them may go.
    #[must_use]
    pub fn mode_of(&self, playbook: &Playbook) -> Mode {
        self.mode.min(playbook.mode)
    }

    /// All of them for people.
    #[must_use]
    pub fn listings(&self) -> Vec<Listing> {
        let playbooks = self.playbooks.iter();
        playbooks.map(|playbook| self.listing(playbook)).collect()
    }

    fn listing(&self, playbook: &Playbook) -> Listing {
        let Limits {
            per_hour,
            cool_down,
            hours,
            ask,
        } = playbook.limits;
        let actions = playbook.actions.iter();
        Listing {
            name: playbook.name.clone(),
            mode: self.mode_of(playbook).name().into(),
            actions: actions
                .map(|action| match action {
                    Action::Run(run) => format!("run {}", run.program).into(),
                    action => action.name().into(),
                })
                .collect(),
            ttl_seconds: playbook.ttl.map(|ttl| ttl.as_secs()),
            per_hour,
            cool_down_seconds: cool_down.as_secs(),
            hours: hours.map(|hours| hours.to_string()),
            ask: ask.is_some(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
