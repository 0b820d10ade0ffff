//! Who has been reported, with which peer: what a process and its descendants do for the same
//! peer after that is part of the same story. Bounded, and shared by all behaviours.

use std::collections::HashSet;
use std::net::IpAddr;

use crate::event::process::ProcessKey;
use crate::track::Tracker;

/// Processes remembered.
const REPORTED_MAX: usize = 16_384;
/// Ancestors looked at for one that has been reported.
const LINEAGE_MAX: usize = 12;

/// Processes reported, with the address of the peer.
#[derive(Debug, Default)]
pub struct Reported(HashSet<(ProcessKey, IpAddr)>);

impl Reported {
    /// Whether the process, or one it descends from, was reported with this peer.
    #[must_use]
    pub fn has(&self, key: ProcessKey, peer: IpAddr, host: &Tracker) -> bool {
        !self.0.is_empty()
            && std::iter::once(key)
                .chain(host.ancestors(key).take(LINEAGE_MAX))
                .any(|process| self.0.contains(&(process, peer)))
    }

    /// It was.
    pub fn add(&mut self, key: ProcessKey, peer: IpAddr) {
        if self.0.len() >= REPORTED_MAX {
            // Worst of all, somebody is reported twice.
            self.0.clear();
        }
        self.0.insert((key, peer));
    }
}
