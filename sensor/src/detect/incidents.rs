//! Joins alerts that belong together: those about processes of one family, and those with the
//! same peer. Bounded; the oldest incidents are no longer joined to.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use super::Raised;
use super::decoys;
use super::finding::{Cause, Finding};
use super::story;
use crate::event::alert::{Alert, Rule};
use crate::event::process::ProcessKey;
use crate::event::{Action, Event, EventId};
use crate::track::Tracker;

/// Processes and peers that are part of an incident.
const MEMBERS_MAX: usize = 8_192;
/// Ancestors that make a process part of an incident.
const LINEAGE_MAX: usize = 8;

/// A map that forgets what was put in first.
#[derive(Debug)]
struct Members<K> {
    by_key: HashMap<K, Arc<str>>,
    order: VecDeque<K>,
}

impl<K> Default for Members<K> {
    fn default() -> Self {
        Self {
            by_key: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<K: Copy + Eq + Hash> Members<K> {
    fn get(&self, key: K) -> Option<&Arc<str>> {
        self.by_key.get(&key)
    }

    fn add(&mut self, key: K, incident: &Arc<str>) {
        if self.by_key.insert(key, Arc::clone(incident)).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > MEMBERS_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.by_key.remove(&oldest);
            }
        }
    }
}

/// The events that somebody who reads the alert can look up, each once.
fn delivered(mut evidence: Vec<EventId>) -> Vec<EventId> {
    evidence.sort_unstable();
    evidence.dedup();
    evidence.retain(|id| id.is_delivered());
    evidence
}

/// Whether what was found is about who called, and the process only had the port open.
fn is_of_visitor(cause: &Cause) -> bool {
    matches!(cause, Cause::Rule(rule) if *rule.id == *decoys::PORT.id)
}

/// All incidents.
#[derive(Debug, Default)]
pub struct Incidents {
    processes: Members<ProcessKey>,
    peers: Members<IpAddr>,
    rules: HashMap<&'static str, Arc<Rule>>,
}

impl Incidents {
    /// Makes an alert of a finding, as part of an incident.
    pub fn raise(&mut self, finding: Finding, repeats: u64, host: &Tracker) -> Raised {
        let key = finding.about.key;
        let peer = finding.peer.map(|peer| peer.endpoint.address);
        // A peer on this machine may be anybody.
        let peer = peer.filter(|address| !address.is_loopback());
        let incident = if is_of_visitor(&finding.cause) {
            self.of_visitor(peer, key, host)
        } else {
            let incident = self
                .find(key, peer, host)
                .unwrap_or_else(|| host.entity(key).into());
            self.processes.add(key, &incident);
            incident
        };
        if let Some(peer) = peer {
            self.peers.add(peer, &incident);
        }
        let rule = match finding.cause {
            Cause::Rule(rule) => rule,
            Cause::Behaviour(builtin) => {
                let rule = self
                    .rules
                    .entry(builtin.id)
                    .or_insert_with(|| builtin.rule());
                Arc::clone(rule)
            }
        };
        let alert = Alert {
            rule,
            severity: finding.severity,
            confidence: finding.confidence,
            message: finding.message,
            path: finding.path,
            ancestry: story::ancestry(key, host),
            peer: finding.peer,
            file: finding.file,
            content: finding.content,
            indicator: finding.indicator,
            evidence: delivered(finding.evidence),
            incident: Some(incident),
            repeats,
            latency_ns: 0,
        };
        Raised {
            alert,
            about: finding.about,
        }
    }

    /// The incident of somebody who touches what the sensor itself has open: it is only his, not
    /// the sensor's.
    fn of_visitor(&self, from: Option<IpAddr>, own: ProcessKey, host: &Tracker) -> Arc<str> {
        let known = from.and_then(|address| self.peers.get(address)).cloned();
        known.unwrap_or_else(|| {
            let from = from.map_or_else(|| "here".to_owned(), |address| address.to_string());
            format!("{}-{from}", host.entity(own)).into()
        })
    }

    /// A process belongs to the incident of another, if that is in one.
    pub fn join(&mut self, key: ProcessKey, of: ProcessKey) {
        if let Some(incident) = self.processes.get(of).cloned() {
            self.processes.add(key, &incident);
        }
    }

    /// Children of a process in an incident belong to it.
    pub fn learn(&mut self, event: &Event) {
        let (Action::Exec(_), Some(process)) = (&event.action, &event.process) else {
            return;
        };
        let of_parent = process
            .parent
            .as_ref()
            .and_then(|parent| self.processes.get(parent.key))
            .cloned();
        if let Some(incident) = of_parent {
            self.processes.add(process.key, &incident);
        }
    }

    /// The processes of an incident that are known.
    pub fn members(&self, incident: &str) -> Vec<ProcessKey> {
        let processes = self.processes.by_key.iter();
        processes
            .filter(|(_, of)| ***of == *incident)
            .map(|(key, _)| *key)
            .collect()
    }

    fn find(&self, key: ProcessKey, peer: Option<IpAddr>, host: &Tracker) -> Option<Arc<str>> {
        std::iter::once(key)
            .chain(host.ancestors(key).take(LINEAGE_MAX))
            .find_map(|member| self.processes.get(member))
            .or_else(|| self.peers.get(peer?))
            .cloned()
    }
}
