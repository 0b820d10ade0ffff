//! *Looking for ways on*: a process, or what one process starts one after the other, tries to
//! connect to many ports of a machine or to one port of many machines, and mostly fails.
//!
//! Sees: scanners of any name that connect (nmap without raw sockets, nc, shell loops over
//! /dev/tcp, scripts), on this machine's own ports as well.
//! Misses: scans by raw packets (see the rule `network_listened_to`), slow ones, and those that
//! mostly succeed.
//! Looks alike: monitoring and service discovery, which know whom they ask and mostly succeed;
//! peers of file sharing and mail servers, which fail now and then at many addresses but at one
//! port each — so addresses alone must be many more than ports.

use std::collections::{HashMap, HashSet};

use super::finding::{Builtin, Finding};
use super::story;
use crate::event::alert::{Peer, Severity};
use crate::event::lineage::Lineage;
use crate::event::network::{Connect, Direction, Outcome};
use crate::event::process::{Process, ProcessKey};
use crate::event::{Action, Endpoint, Event, EventId, attack};
use crate::track::Tracker;

/// Processes observed at a time.
const SCANNERS_MAX: usize = 2_048;
/// Endpoints remembered of each.
const ENDPOINTS_MAX: usize = 64;
/// All must happen within this, in nanoseconds.
const WINDOW_NS: u64 = 60 * 1_000_000_000;
/// So many ports of one machine that do not answer are a scan.
const PORTS: usize = 15;
/// So many machines at one port that do not answer are a scan.
const HOSTS: usize = 30;

/// The rule.
pub const RULE: Builtin = Builtin {
    id: "scan",
    name: "Ports or machines scanned from here",
    techniques: &["T1046"],
    tactics: &[attack::DISCOVERY],
};

/// What somebody tried lately.
#[derive(Debug, Default)]
struct Tries {
    since_boot_ns: u64,
    failed: HashSet<Endpoint>,
    succeeded: u32,
    first: Option<EventId>,
    is_told: bool,
}

/// Finds scans.
#[derive(Debug, Default)]
pub struct Scans {
    by_process: HashMap<ProcessKey, Tries>,
}

impl Scans {
    /// Looks at an event, which the host's state already knows of.
    pub fn observe(&mut self, event: &Event, host: &Tracker, found: &mut Vec<Finding>) {
        let (Some(process), Action::TcpConnect(connect)) = (&event.process, &event.action) else {
            return;
        };
        let mut is_told = false;
        // Loops in a shell start a program for each try.
        let parent = host.ancestors(process.key).next();
        for key in [Some(process.key), parent].into_iter().flatten() {
            if let Some(what) = self.tried(key, connect, event)
                && !is_told
            {
                is_told = true;
                let first = self.by_process.get(&key).and_then(|tries| tries.first);
                found.push(finding(event, process, connect, what, first, host));
            }
        }
    }

    /// One more try of somebody; what it makes, if it makes a scan.
    fn tried(&mut self, key: ProcessKey, connect: &Connect, event: &Event) -> Option<What> {
        let now = event.time.boot_ns;
        if self.by_process.len() >= SCANNERS_MAX && !self.by_process.contains_key(&key) {
            self.by_process
                .retain(|_, tries| now.saturating_sub(tries.since_boot_ns) < WINDOW_NS);
            if self.by_process.len() >= SCANNERS_MAX {
                // Worst of all, somebody has to begin anew.
                self.by_process.clear();
            }
        }
        let tries = self.by_process.entry(key).or_default();
        if now.saturating_sub(tries.since_boot_ns) >= WINDOW_NS {
            *tries = Tries {
                since_boot_ns: now,
                is_told: tries.is_told,
                ..Tries::default()
            };
        }
        if connect.outcome == Outcome::Success {
            tries.succeeded = tries.succeeded.saturating_add(1);
            return None;
        }
        tries.first = tries.first.or(Some(event.id));
        if tries.failed.len() < ENDPOINTS_MAX {
            tries.failed.insert(connect.flow.remote);
        }
        let what = tries.what(connect.flow.remote).filter(|_| !tries.is_told)?;
        tries.is_told = true;
        Some(what)
    }
}

/// What was scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Ports(usize),
    Hosts(usize),
}

impl Tries {
    fn what(&self, last: Endpoint) -> Option<What> {
        if self.failed.len() < PORTS || self.succeeded as usize > self.failed.len() {
            return None;
        }
        let ports = self
            .failed
            .iter()
            .filter(|end| end.address == last.address)
            .count();
        let hosts = self
            .failed
            .iter()
            .filter(|end| end.port == last.port)
            .count();
        if ports >= PORTS {
            return Some(What::Ports(ports));
        }
        (hosts >= HOSTS).then_some(What::Hosts(hosts))
    }
}

fn finding(
    event: &Event,
    process: &Process,
    connect: &Connect,
    what: What,
    first: Option<EventId>,
    host: &Tracker,
) -> Finding {
    let remote = connect.flow.remote;
    let name = process.name();
    let message = match what {
        What::Ports(count) => {
            let whom = story::peer(remote, host);
            let whom = whom
                .rsplit_once(':')
                .map_or(whom.as_str(), |(address, _)| address);
            format!("{name} tried {count} ports of {whom} in vain")
        }
        What::Hosts(count) => {
            format!(
                "{name} tried port {} of {count} machines in vain",
                remote.port
            )
        }
    };
    let for_service = process
        .lineage
        .has(Lineage::WEB_SERVICE | Lineage::DATABASE);
    Finding {
        cause: RULE.into(),
        severity: if for_service {
            Severity::High
        } else {
            Severity::Medium
        },
        confidence: 70,
        message,
        path: None,
        peer: Some(Peer {
            endpoint: remote,
            direction: Direction::Egress,
        }),
        file: None,
        evidence: first.into_iter().chain([event.id]).collect(),
        content: None,
        indicator: None,
        about: Box::new(process.clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn end(host: u8, port: u16) -> Endpoint {
        Endpoint {
            address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)),
            port,
        }
    }

    fn tried(ends: impl Iterator<Item = Endpoint>, succeeded: u32) -> Tries {
        Tries {
            failed: ends.collect(),
            succeeded,
            ..Tries::default()
        }
    }

    #[test]
    fn many_ports_of_one_machine_are_a_scan() {
        let tries = tried((1..=15).map(|port| end(1, port)), 0);
        assert_eq!(tries.what(end(1, 1)), Some(What::Ports(15)));
        let few = tried((1..15).map(|port| end(1, port)), 0);
        assert_eq!(few.what(end(1, 1)), None);
    }

    #[test]
    fn some_machines_that_are_down_are_no_scan_and_many_are() {
        let down = tried((1..=20).map(|host| end(host, 443)), 0);
        assert_eq!(down.what(end(1, 443)), None);
        let scan = tried((1..=40).map(|host| end(host, 22)), 3);
        assert_eq!(scan.what(end(1, 22)), Some(What::Hosts(40)));
    }

    #[test]
    fn who_mostly_succeeds_does_not_scan() {
        let tries = tried((1..=20).map(|port| end(1, port)), 100);
        assert_eq!(tries.what(end(1, 1)), None);
    }
}
