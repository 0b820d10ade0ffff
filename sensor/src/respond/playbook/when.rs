//! Conditions of a playbook: which alerts it is for. Pure: an alert and the process it is about
//! are all that is looked at.

use crate::event::alert::{Alert, Severity};
use crate::event::attack::Tactic;
use crate::event::network::Direction;
use crate::event::process::Process;

use super::pattern::Pattern;
use crate::respond::firewall::network::Network;

/// Which alerts have a peer that a playbook is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerIs {
    /// Those with any.
    Any,
    /// Those with one that called this host.
    Inbound,
    /// Those with one that this host called.
    Outbound,
}

impl PeerIs {
    /// The words for them in the configuration.
    pub const NAMES: &[&str] = &["any", "inbound", "outbound"];

    /// From the word for it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "any" => Some(Self::Any),
            "inbound" => Some(Self::Inbound),
            "outbound" => Some(Self::Outbound),
            _ => None,
        }
    }

    fn holds(self, alert: &Alert) -> bool {
        match (self, alert.peer.map(|peer| peer.direction)) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::Inbound, Some(direction)) => direction == Direction::Ingress,
            (Self::Outbound, Some(direction)) => direction == Direction::Egress,
        }
    }
}

/// What has to hold, all of it; of each list, one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// At least this bad.
    pub min_severity: Option<Severity>,
    /// At least this sure, in percent.
    pub min_confidence: Option<u8>,
    /// Ids of rules.
    pub rules: Box<[Pattern]>,
    /// ATT&CK techniques; one stands for its parts as well.
    pub techniques: Box<[Box<str>]>,
    /// ATT&CK tactics.
    pub tactics: Box<[Tactic]>,
    /// Services (systemd units) that the process belongs to.
    pub services: Box<[Pattern]>,
    /// Effective users of the process, by name or number.
    pub users: Box<[Pattern]>,
    /// Ids of the container that the process is in.
    pub containers: Box<[Pattern]>,
    /// Paths of the program that the process runs.
    pub executables: Box<[Pattern]>,
    /// The other side.
    pub peer: Option<PeerIs>,
    /// Networks that the other side is in.
    pub peers: Box<[Network]>,
}

impl When {
    /// Whether nothing at all is asked for, so that every alert is meant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an alert about this process is meant.
    #[must_use]
    pub fn holds(&self, alert: &Alert, about: Option<&Process>) -> bool {
        let Self {
            min_severity,
            min_confidence,
            rules,
            techniques,
            tactics,
            services,
            users,
            containers,
            executables,
            peer,
            peers,
        } = self;
        let home = about.map(|process| &process.home);
        min_severity.is_none_or(|least| alert.severity >= least)
            && min_confidence.is_none_or(|least| alert.confidence >= least)
            && any(rules, Some(&alert.rule.id))
            && is_listed(techniques, |wanted| has_technique(alert, wanted))
            && is_listed(tactics, |wanted| alert.rule.tactics.contains(wanted))
            && any(services, home.and_then(|home| home.service.as_deref()))
            && is_listed(users, |wanted| {
                about.is_some_and(|process| is_user(process, wanted))
            })
            && any(containers, home.and_then(|home| home.container.as_deref()))
            && any(executables, about.and_then(executable))
            && peer.is_none_or(|peer| peer.holds(alert))
            && is_listed(peers, |network| {
                alert
                    .peer
                    .is_some_and(|peer| network.contains(peer.endpoint.address))
            })
    }
}

/// Whether an element of a list fits, if there is a list.
fn is_listed<T>(list: &[T], fits: impl Fn(&T) -> bool) -> bool {
    list.is_empty() || list.iter().any(fits)
}

fn any(patterns: &[Pattern], text: Option<&str>) -> bool {
    is_listed(patterns, |pattern| {
        text.is_some_and(|text| pattern.matches(text))
    })
}

fn has_technique(alert: &Alert, wanted: &str) -> bool {
    alert.rule.techniques.iter().any(|technique| {
        technique
            .id
            .strip_prefix(wanted)
            .is_some_and(|part| part.is_empty() || part.starts_with('.'))
    })
}

fn is_user(process: &Process, wanted: &Pattern) -> bool {
    wanted.matches(&process.ids.euid.to_string())
        || process
            .names
            .user
            .as_deref()
            .is_some_and(|name| wanted.matches(name))
}

/// Path of the program that a process runs.
pub(super) fn executable(process: &Process) -> Option<&str> {
    process.program.as_deref()?.executable.as_deref()
}
