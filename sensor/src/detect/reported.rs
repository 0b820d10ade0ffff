//! Who has been reported, with which peer: what a process and its descendants do for the same
//! peer after that is part of the same story, unless it is worse. Bounded, and shared by all
//! behaviours.

use std::collections::HashMap;

use crate::event::Endpoint;
use crate::event::alert::Severity;
use crate::event::process::ProcessKey;
use crate::track::Tracker;

/// Processes remembered.
const REPORTED_MAX: usize = 16_384;
/// Ancestors looked at for one that has been reported.
const LINEAGE_MAX: usize = 12;

/// Processes reported, with the peer, and how bad it was.
#[derive(Debug, Default)]
pub struct Reported(HashMap<(ProcessKey, Endpoint), Severity>);

/// A peer is an address, whatever ports it uses; on this machine itself, where everybody has the
/// same address, the port counts.
fn who(mut peer: Endpoint) -> Endpoint {
    if !peer.address.is_loopback() {
        peer.port = 0;
    }
    peer
}

impl Reported {
    /// Whether the process, or one it descends from, was reported with this peer as something
    /// at least as bad.
    #[must_use]
    pub fn has(&self, key: ProcessKey, peer: Endpoint, severity: Severity, host: &Tracker) -> bool {
        let peer = who(peer);
        let as_bad = |process| {
            self.0
                .get(&(process, peer))
                .is_some_and(|reported| *reported >= severity)
        };
        !self.0.is_empty()
            && std::iter::once(key)
                .chain(host.ancestors(key).take(LINEAGE_MAX))
                .any(as_bad)
    }

    /// It was.
    pub fn add(&mut self, key: ProcessKey, peer: Endpoint, severity: Severity) {
        if self.0.len() >= REPORTED_MAX {
            // Worst of all, somebody is reported twice.
            self.0.clear();
        }
        let worst = self.0.entry((key, who(peer))).or_insert(severity);
        *worst = severity.max(*worst);
    }

    /// Something was done about a process: what is done for the same peers from now on is to be
    /// told again, because it is to be answered again.
    pub fn forget(&mut self, key: ProcessKey) {
        let of = |(process, peer): &(ProcessKey, Endpoint)| (*process == key).then_some(*peer);
        let peers: Vec<_> = self.0.keys().filter_map(of).collect();
        if !peers.is_empty() {
            self.0.retain(|(_, peer), _| !peers.contains(peer));
        }
    }
}
