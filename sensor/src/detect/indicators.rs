//! *Threat intelligence*: something that a list calls hostile was met: an address or network in a
//! connection or datagram, a name in a DNS message (with all that is below it), or the hash of a
//! program that was run.
//!
//! Sees: what is on the lists while it is valid there, also when the connection fails or a
//! firewall forbids it.
//! Misses: what no list knows; names asked for over TLS; hashes other than SHA-256, and of files
//! that are only written.
//! Looks alike: scanners that knock at every public address (so who calls in counts less than who
//! is called); a name server's questions for its clients; hosts that serve one bad page among
//! many good ones (which is why hosts of pages count little); addresses that have new tenants.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use super::finding::{Builtin, Cause, Finding};
use super::late::Late;
use super::story;
use crate::event::alert::{Indicator, Peer, Rule, Severity};
use crate::event::attack::{self, Technique};
use crate::event::network::dns::Dns;
use crate::event::network::{Connect, Direction, Outcome};
use crate::event::process::{Exec, Process, Program};
use crate::event::{Action, Endpoint, Event, EventId, Stamp};
use crate::intelligence::shared::Reader;
use crate::intelligence::store::Match;
use crate::intelligence::subject::{FileHash, Subject};
use crate::track::Tracker;

/// The rule, when a list tells nothing of the attack.
pub const RULE: Builtin = Builtin {
    id: "threat-intelligence",
    name: "Something that a list calls hostile",
    techniques: &["T1071"],
    tactics: &[attack::COMMAND_AND_CONTROL],
};
/// Programs whose hash is waited for.
const UNHASHED_MAX: usize = 1_024;
/// How long, in nanoseconds.
const UNHASHED_NS: u64 = 60 * 1_000_000_000;
/// What lists tell of attacks that is remembered as rules.
const RULES_MAX: usize = 1_024;
/// From so sure on it is bad, and below the other not worth waking anybody, in percent.
const SURE: u8 = 75;
const UNSURE: u8 = 40;
/// Canonical name (RFC 1035, 3.2.2).
const CNAME: u16 = 5;

/// A program of which the hash is not known yet.
#[derive(Debug)]
struct Unhashed {
    program: Arc<Program>,
    about: Box<Process>,
    event: EventId,
    time: Stamp,
    cpu: u32,
}

/// Looks for what is listed.
#[derive(Debug)]
pub struct Indicators {
    lists: Reader,
    unhashed: VecDeque<Unhashed>,
    /// When the latest event was.
    latest_boot_ns: u64,
    rules: HashMap<Told, Arc<Rule>>,
}

/// What was met, and where.
struct Met<'e> {
    about: &'e Process,
    event: EventId,
    peer: Option<Peer>,
    file: Option<Box<str>>,
    severity_step: bool,
    did: String,
}

impl Indicators {
    /// On these lists.
    #[must_use]
    pub fn of(lists: Reader) -> Self {
        Self {
            lists,
            unhashed: VecDeque::new(),
            latest_boot_ns: 0,
            rules: HashMap::new(),
        }
    }

    /// Looks at an event, which the host's state already knows of.
    pub fn observe(&mut self, event: &Event, host: &Tracker, found: &mut Vec<Finding>) {
        self.latest_boot_ns = event.time.boot_ns;
        let Some(process) = &event.process else {
            return;
        };
        match &event.action {
            Action::TcpConnect(connect) | Action::UdpConnect(connect) => {
                let did = || tried(process, connect, host);
                self.peer(
                    event,
                    process,
                    connect.flow.remote,
                    Direction::Egress,
                    did,
                    found,
                );
            }
            Action::UdpSend(send) => {
                let remote = send.0.remote;
                let did = || format!("{} sent to {}", process.name(), story::peer(remote, host));
                self.peer(event, process, remote, Direction::Egress, did, found);
            }
            Action::TcpAccept(accept) => {
                let (local, remote) = (accept.0.local, accept.0.remote);
                let did = || {
                    let peer = story::peer(remote, host);
                    format!(
                        "{} was called by {peer} at port {}",
                        process.name(),
                        local.port
                    )
                };
                self.peer(event, process, remote, Direction::Ingress, did, found);
            }
            Action::Dns(dns) => self.dns(event, process, dns, found),
            Action::Exec(exec) => self.executed(event, process, exec, found),
            _ => {}
        }
    }

    /// What followed from an event only when a hash was known. In the order of the events.
    pub fn late(&mut self) -> Option<Late> {
        loop {
            let first = self.unhashed.front()?;
            let is_known = first.program.sha256.get().is_some();
            let age = self.latest_boot_ns.saturating_sub(first.time.boot_ns);
            let is_old = age > UNHASHED_NS;
            if !is_known && !is_old {
                return None;
            }
            let run = self.unhashed.pop_front()?;
            if let Some(finding) = self.program(&run.about, run.event, &run.program) {
                let (time, cpu) = (run.time, run.cpu);
                return Some(Late { time, cpu, finding });
            }
        }
    }

    fn peer(
        &mut self,
        event: &Event,
        process: &Process,
        remote: Endpoint,
        direction: Direction,
        did: impl Fn() -> String,
        found: &mut Vec<Finding>,
    ) {
        let Some(listed) = self.address(remote.address, event) else {
            return;
        };
        let peer = Peer {
            endpoint: remote,
            direction,
        };
        found.push(self.finding(
            listed,
            Met {
                about: process,
                event: event.id,
                peer: Some(peer),
                file: None,
                severity_step: direction == Direction::Ingress,
                did: did(),
            },
        ));
    }

    fn dns(&mut self, event: &Event, process: &Process, dns: &Dns, found: &mut Vec<Finding>) {
        let Ok(message) = &dns.message else { return };
        let questions = message.questions.iter().map(|question| &*question.name);
        let aliases = message
            .answers
            .iter()
            .filter(|answer| answer.rtype == CNAME);
        let names = questions.chain(aliases.map(|answer| &*answer.data));
        let now = seconds(event);
        let mut listed: Vec<Listed> = Vec::new();
        let store = self.lists.store();
        for name in names {
            listed.extend(store.domain(name, now).map(Listed::of));
        }
        for address in message.addresses() {
            listed.extend(store.address(address, now).map(Listed::of));
        }
        listed.dedup_by(|a, b| a.indicator.value == b.indicator.value);
        let Some(question) = message.questions.first() else {
            return;
        };
        for one in listed {
            let name = process.name();
            let did = if message.is_response {
                format!("{name} got an answer for {}", question.name)
            } else {
                format!("{name} asked for {}", question.name)
            };
            found.push(self.finding(
                one,
                Met {
                    about: process,
                    event: event.id,
                    peer: None,
                    file: None,
                    severity_step: false,
                    did,
                },
            ));
        }
    }

    fn executed(
        &mut self,
        event: &Event,
        process: &Process,
        exec: &Exec,
        found: &mut Vec<Finding>,
    ) {
        if !self.lists.store().has_files() {
            return;
        }
        if exec.program.sha256.get().is_some() {
            found.extend(self.program(process, event.id, &exec.program));
            return;
        }
        if self.unhashed.len() >= UNHASHED_MAX {
            self.unhashed.pop_front();
        }
        self.unhashed.push_back(Unhashed {
            program: Arc::clone(&exec.program),
            about: Box::new(process.clone()),
            event: event.id,
            time: event.time,
            cpu: event.cpu,
        });
    }

    fn program(&mut self, about: &Process, event: EventId, program: &Program) -> Option<Finding> {
        let hash = FileHash::parse(program.sha256.get()?)?;
        let now = crate::intelligence::now();
        let listed = Listed::of(self.lists.store().file(hash, now)?);
        let path = program.executable.clone();
        let did = format!(
            "{} runs {}",
            about.name(),
            path.as_deref().unwrap_or("a file")
        );
        Some(self.finding(
            listed,
            Met {
                about,
                event,
                peer: None,
                file: path,
                severity_step: false,
                did,
            },
        ))
    }

    fn address(&mut self, address: IpAddr, event: &Event) -> Option<Listed> {
        let now = seconds(event);
        self.lists.store().address(address, now).map(Listed::of)
    }

    fn finding(&mut self, listed: Listed, met: Met<'_>) -> Finding {
        let indicator = listed.indicator;
        let severity = match (indicator.confidence, met.severity_step) {
            (SURE.., false) => Severity::High,
            (SURE.., true) | (UNSURE..SURE, false) => Severity::Medium,
            _ => Severity::Low,
        };
        Finding {
            message: format!("{}, which {}", met.did, words(&indicator)),
            severity,
            confidence: indicator.confidence,
            cause: Cause::Rule(self.rule(listed.told)),
            path: None,
            peer: met.peer,
            file: met.file,
            content: None,
            indicator: Some(Box::new(indicator)),
            evidence: vec![met.event],
            about: Box::new(met.about.clone()),
        }
    }

    /// The rule with what a list tells of the attack.
    fn rule(&mut self, told: Told) -> Arc<Rule> {
        if self.rules.len() >= RULES_MAX {
            self.rules.clear();
        }
        let rule = self.rules.entry(told).or_insert_with_key(|told| {
            let mut rule = (*RULE.rule()).clone();
            let says_something = told.technique.is_some() || told.tactic.is_some();
            // A program on a list may be anything; only the list can say what.
            if says_something || told.is_file {
                let technique = told.technique.as_ref();
                let technique = technique.map(|id| Technique::new(id.to_string()));
                rule.techniques = technique.into_iter().collect();
                rule.tactics = told.tactic.and_then(attack::tactic).into_iter().collect();
            }
            Arc::new(rule)
        });
        Arc::clone(rule)
    }
}

/// What a list tells of the attack that something belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Told {
    technique: Option<Box<str>>,
    tactic: Option<&'static str>,
    is_file: bool,
}

/// ECS `threat.indicator.type` of a file.
const FILE: &str = "file";

/// An indicator that was met, cut loose from its store.
struct Listed {
    indicator: Indicator,
    told: Told,
}

impl Listed {
    fn of(found: Match<'_>) -> Self {
        let note = found.note;
        let (kind, address) = match &found.indicator {
            Subject::Network(network) => {
                let kind = match network.address() {
                    IpAddr::V4(_) => "ipv4-addr",
                    IpAddr::V6(_) => "ipv6-addr",
                };
                (kind, network.is_host().then(|| network.address()))
            }
            Subject::Domain(_) | Subject::Host(_) => ("domain-name", None),
            Subject::File(_) => (FILE, None),
        };
        Self {
            indicator: Indicator {
                kind,
                value: found.indicator.to_string().into(),
                address,
                list: Arc::clone(&note.list),
                title: Arc::clone(&note.title),
                id: note.id.clone(),
                confidence: note.confidence,
                until_wall_ns: note.until.saturating_mul(1_000_000_000),
            },
            told: Told {
                technique: note.technique.clone(),
                tactic: note.tactic.map(|tactic| tactic.name),
                is_file: kind == FILE,
            },
        }
    }
}

const fn seconds(event: &Event) -> u64 {
    event.time.wall_ns / 1_000_000_000
}

fn tried(process: &Process, connect: &Connect, host: &Tracker) -> String {
    let peer = story::peer(connect.flow.remote, host);
    let name = process.name();
    match connect.outcome {
        Outcome::Success => format!("{name} is connected to {peer}"),
        _ if connect.denied() => format!("{name} was kept from connecting to {peer}"),
        _ => format!("{name} tried to connect to {peer}"),
    }
}

fn words(indicator: &Indicator) -> String {
    let days = indicator
        .until_wall_ns
        .saturating_sub(crate::intelligence::now() * 1_000_000_000)
        / (86_400 * 1_000_000_000);
    let title = match &*indicator.title {
        "" => String::new(),
        title => format!(" as {title:?}"),
    };
    let valid = match days {
        0 => "for less than a day".to_owned(),
        1 => "for a day".to_owned(),
        days => format!("for {days} days"),
    };
    format!(
        "the list {} names{title} ({}, {} % sure, valid {valid} more)",
        indicator.list, indicator.value, indicator.confidence
    )
}

#[cfg(test)]
mod tests;
