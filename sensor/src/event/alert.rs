//! Alerts: what detection concludes from events. An alert is an event like any other, with an
//! id and a time of its own; its process is the one it is about, its time that of the event
//! that decided it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::attack::{Tactic, Technique};
use super::field::{Field, Fields, Value};
use super::network::Direction;
use super::{Endpoint, EventId, Label};

/// Label of [`Alert`].
pub const ALERT: Label = Label {
    name: "alert",
    action: "alert",
    category: &["intrusion_detection"],
    kind: &["info"],
};

/// How bad it is if it is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing when something else happened.
    Informational,
    /// Now and then also on a healthy host.
    Low,
    /// To be looked at.
    Medium,
    /// Rarely anything but an intrusion.
    High,
    /// An intruder is at work.
    Critical,
}

impl Severity {
    /// Word for it, as Sigma's `level`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// From Sigma's `level`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::Informational,
            Self::Low,
            Self::Medium,
            Self::High,
            Self::Critical,
        ]
        .into_iter()
        .find(|severity| severity.name() == name)
    }

    /// Its place among them, from 1 (informational) to 5 (critical).
    #[must_use]
    pub const fn rank(self) -> u8 {
        self as u8 + 1
    }

    /// Number for `event.severity`, 0 to 100, on the scale that Elastic's rules use.
    #[must_use]
    pub const fn number(self) -> u64 {
        match self {
            Self::Informational => 1,
            Self::Low => 21,
            Self::Medium => 47,
            Self::High => 73,
            Self::Critical => 99,
        }
    }
}

/// Where a rule comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruleset {
    /// Built in, on the state of the host.
    Behaviour,
    /// A Sigma rule.
    Sigma,
    /// A YARA rule, on the content of a file.
    Yara,
}

impl Ruleset {
    /// Word for it in fields.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Behaviour => "behaviour",
            Self::Sigma => "sigma",
            Self::Yara => "yara",
        }
    }
}

/// What every alert of one kind has in common.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Unique and stable: `remote-shell`, or a Sigma rule's id.
    pub id: Box<str>,
    /// Title.
    pub name: Box<str>,
    /// Where it comes from.
    pub ruleset: Ruleset,
    /// Who wrote it; some licences ask for it to be shown.
    pub authors: Box<[Box<str>]>,
    /// Techniques it tells of.
    pub techniques: Box<[Technique]>,
    /// Tactics it tells of.
    pub tactics: Box<[Tactic]>,
}

/// The other side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub endpoint: Endpoint,
    /// Which way the connection was opened.
    pub direction: Direction,
}

/// What was found in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Names of the rules that match, worst first.
    pub rules: Box<[Box<str>]>,
    /// Hash of the whole file.
    pub sha256: Option<Box<str>>,
    /// Its size in bytes.
    pub size: u64,
    /// Bytes that were looked at, from the beginning.
    pub scanned: u64,
}

/// What a list of hostile things says of something that was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indicator {
    /// ECS `threat.indicator.type`: `ipv4-addr`, `ipv6-addr`, `domain-name`, `file`.
    pub kind: &'static str,
    /// As the list has it: an address, network, name or hash.
    pub value: Box<str>,
    /// The address it is, when it is a single one.
    pub address: Option<IpAddr>,
    /// Name of the list.
    pub list: Arc<str>,
    /// What the list calls the threat; empty when it does not say.
    pub title: Arc<str>,
    /// Its id in the list; empty when it has none.
    pub id: Box<str>,
    /// How sure the list is, in percent.
    pub confidence: u8,
    /// Until when it holds, in nanoseconds since the epoch.
    pub until_wall_ns: u64,
}

impl Indicator {
    fn put<'a>(&'a self, fields: &mut Fields<'a>) {
        let some = |text: &'a str| Some(text).filter(|text| !text.is_empty());
        // On the scale that STIX 2.1 (appendix A) makes of numbers.
        let confidence = match self.confidence {
            0 => "None",
            1..=29 => "Low",
            30..=69 => "Medium",
            _ => "High",
        };
        fields.put(Field::ThreatFeedName, &*self.list);
        fields.put(Field::ThreatIndicatorType, self.kind);
        fields.put(Field::ThreatIndicatorName, &*self.value);
        fields.put_some(Field::ThreatIndicatorIp, self.address);
        fields.put_some(Field::ThreatIndicatorDescription, some(&self.title));
        fields.put_list(Field::ThreatIndicatorId, some(&self.id));
        fields.put(Field::ThreatIndicatorConfidence, confidence);
        fields.put(Field::SensorIndicatorConfidence, u64::from(self.confidence));
        fields.put(Field::SensorIndicatorUntil, Value::Time(self.until_wall_ns));
    }
}

impl fmt::Display for Indicator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} by {}, {} % sure",
            self.value, self.list, self.confidence
        )?;
        if self.title.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", self.title)
    }
}

/// Something that needs attention.
#[derive(Clone, Debug)]
pub struct Alert {
    /// What kind of thing.
    pub rule: Arc<Rule>,
    /// How bad.
    pub severity: Severity,
    /// How sure, in percent.
    pub confidence: u8,
    /// One sentence in plain words. Not escaped.
    pub message: String,
    /// How data flows between the peer and the process, and what started it.
    pub path: Option<String>,
    /// The process and its ancestors, nearest first, as `name[pid]`.
    pub ancestry: Vec<String>,
    /// The other side, when there is one.
    pub peer: Option<Peer>,
    /// Script or file at the root of it.
    pub file: Option<Box<str>>,
    /// What was found in that file.
    pub content: Option<Box<Content>>,
    /// What a list says of it.
    pub indicator: Option<Box<Indicator>>,
    /// Events it rests on.
    pub evidence: Vec<EventId>,
    /// Alerts of one intrusion share this.
    pub incident: Option<Arc<str>>,
    /// How many times it was seen again since it was last reported.
    pub repeats: u64,
    /// From the event that decided it to the alert, in nanoseconds.
    pub latency_ns: u64,
}

impl Alert {
    pub(super) fn put<'a>(&'a self, fields: &mut Fields<'a>) {
        let rule = &*self.rule;
        fields.put(Field::EventSeverity, self.severity.number());
        fields.put(Field::Message, self.message.as_str());
        fields.put(Field::RuleId, &*rule.id);
        fields.put(Field::RuleName, &*rule.name);
        fields.put(Field::RuleRuleset, rule.ruleset.name());
        fields.put_list(Field::RuleAuthor, rule.authors.iter().map(|name| &**name));
        self.put_attack(fields);
        fields.put(Field::SensorAlertSeverity, self.severity.name());
        fields.put(Field::SensorAlertConfidence, u64::from(self.confidence));
        fields.put_some(Field::SensorAlertPath, self.path.as_deref());
        fields.put_list(
            Field::SensorAlertAncestry,
            self.ancestry.iter().map(String::as_str),
        );
        fields.put_list(
            Field::SensorAlertEvidence,
            self.evidence.iter().map(EventId::to_string),
        );
        fields.put_some(Field::SensorAlertIncident, self.incident.as_deref());
        fields.put(Field::SensorAlertRepeats, self.repeats);
        fields.put(Field::SensorAlertLatency, self.latency_ns);
        fields.put_some(Field::FilePath, self.file.as_deref());
        if let Some(content) = &self.content {
            fields.put_some(Field::FileHashSha256, content.sha256.as_deref());
            fields.put(Field::FileSize, content.size);
            fields.put_list(
                Field::SensorContentRules,
                content.rules.iter().map(|name| &**name),
            );
            fields.put(Field::SensorContentScanned, content.scanned);
        }
        if let Some(indicator) = &self.indicator {
            indicator.put(fields);
        }
        self.put_peer(fields);
    }

    fn put_attack<'a>(&'a self, fields: &mut Fields<'a>) {
        let rule = &*self.rule;
        if !rule.techniques.is_empty() || !rule.tactics.is_empty() {
            fields.put(Field::ThreatFramework, "MITRE ATT&CK");
        }
        fields.put_list(
            Field::ThreatTacticId,
            rule.tactics.iter().map(|tactic| tactic.id),
        );
        fields.put_list(
            Field::ThreatTacticName,
            rule.tactics.iter().map(|tactic| tactic.name),
        );
        let [whole, part] = [false, true].map(|sub| {
            let of_kind = move |technique: &&Technique| technique.is_sub_technique() == sub;
            rule.techniques.iter().filter(of_kind)
        });
        let id = |technique: &'a Technique| &*technique.id;
        let name = |technique: &'a Technique| technique.name;
        // A part stands under the technique it is a part of (ECS, threat.technique.id).
        let mut parents: Vec<&str> = whole.clone().map(id).collect();
        for technique in part.clone() {
            let parent = technique.id.split('.').next().unwrap_or_default();
            if !parents.contains(&parent) {
                parents.push(parent);
            }
        }
        fields.put_list(Field::ThreatTechniqueId, parents);
        fields.put_list(Field::ThreatTechniqueName, whole.filter_map(name));
        fields.put_list(Field::ThreatSubtechniqueId, part.clone().map(id));
        fields.put_list(Field::ThreatSubtechniqueName, part.filter_map(name));
    }

    fn put_peer(&self, fields: &mut Fields<'_>) {
        let Some(peer) = &self.peer else { return };
        let (address, port) = match peer.direction {
            Direction::Ingress => (Field::SourceIp, Field::SourcePort),
            Direction::Egress | Direction::Unknown => {
                (Field::DestinationIp, Field::DestinationPort)
            }
        };
        fields.put(address, peer.endpoint.address);
        fields.put(port, u64::from(peer.endpoint.port));
        fields.put(Field::NetworkDirection, peer.direction.name());
    }

    pub(super) fn summary(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity.name(), self.message)?;
        if let Some(path) = &self.path {
            write!(f, "; {path}")?;
        }
        for technique in &self.rule.techniques {
            write!(f, " [{}]", technique.id)?;
        }
        Ok(())
    }
}
