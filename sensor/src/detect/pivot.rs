//! *Way in kept open*: a program that no package brought holds a connection to the outside, and
//! while it does, connects to one address of the inside after the other: a reverse proxy or
//! tunnel, by which somebody outside works in the network (chisel, ligolo, a SOCKS of an implant).
//!
//! Sees: it by behaviour, whatever it is called, over TCP; and what goes to this machine's own
//! ports counts as inside.
//! Misses: tunnels that carry packets (a tun device is no event here), programs from packages
//! (`ssh -R` is a rule of its own), and those that fan out in a process of their own.
//! Looks alike: agents of service meshes and of remote support that come without a package.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::finding::{Builtin, Finding};
use super::program::Look;
use super::story;
use crate::event::alert::{Peer, Severity};
use crate::event::lineage::Lineage;
use crate::event::network::{Direction, Outcome};
use crate::event::process::{Process, ProcessKey};
use crate::event::{Action, Endpoint, Event, attack};
use crate::track::Tracker;
use crate::track::streams::Connection;

/// Processes observed at a time.
const PROCESSES_MAX: usize = 1_024;
/// Different places of the inside that make it one.
const PLACES: usize = 4;
/// Port of the domain name system.
const DNS: u16 = 53;

/// The rule.
pub const RULE: Builtin = Builtin {
    id: "pivot",
    name: "Network reached through a program with a connection to the outside",
    techniques: &["T1090.001", "T1572"],
    tactics: &[attack::COMMAND_AND_CONTROL, attack::LATERAL_MOVEMENT],
};

#[derive(Debug, Default)]
struct Reached {
    places: HashSet<Endpoint>,
    is_told: bool,
}

/// Finds them.
#[derive(Debug, Default)]
pub struct Pivots(HashMap<ProcessKey, Reached>);

impl Pivots {
    /// Looks at an event, which the host's state already knows of.
    pub fn observe(&mut self, event: &Event, host: &Tracker, found: &mut Vec<Finding>) {
        let Some(process) = &event.process else {
            return;
        };
        match &event.action {
            Action::TcpConnect(connect)
                if connect.outcome == Outcome::Success
                    && is_inside(connect.flow.remote.address)
                    && connect.flow.remote.port != DNS =>
            {
                found.extend(self.reached(event, process, connect.flow.remote, host));
            }
            Action::Exec(_) | Action::Exit(_) => drop(self.0.remove(&process.key)),
            _ => {}
        }
    }

    fn reached(
        &mut self,
        event: &Event,
        process: &Process,
        place: Endpoint,
        host: &Tracker,
    ) -> Option<Finding> {
        let look = Look::at(process.program.as_deref()?);
        let is_odd = look.is_out_of_place() || look.carries_code();
        let for_service = process.lineage.has(Lineage::WEB_SERVICE);
        if look.is_of_system() && !is_odd && !for_service {
            return None;
        }
        let outside = host
            .streams()
            .connections_of(process.key)
            .find(|connection| is_line_out(connection))?;
        if self.0.len() >= PROCESSES_MAX && !self.0.contains_key(&process.key) {
            // Worst of all, somebody has to begin anew.
            self.0.clear();
        }
        let reached = self.0.entry(process.key).or_default();
        if reached.is_told {
            return None;
        }
        reached.places.insert(place);
        if reached.places.len() < PLACES {
            return None;
        }
        reached.is_told = true;
        let severity = if is_odd {
            Severity::High
        } else {
            Severity::Medium
        };
        Some(finding(event, process, outside, severity, host))
    }
}

/// A connection that was opened to somewhere outside.
fn is_line_out(connection: &Connection) -> bool {
    connection.direction == Direction::Egress
        && !is_inside(connection.remote.address)
        && connection.remote.port != DNS
}

/// Addresses of private networks and of this machine (RFC 1918, RFC 4193, loopback).
fn is_inside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_loopback(),
        IpAddr::V6(address) => address.is_unique_local() || address.is_loopback(),
    }
}

fn finding(
    event: &Event,
    process: &Process,
    outside: &Connection,
    severity: Severity,
    host: &Tracker,
) -> Finding {
    let peer = story::peer(outside.remote, host);
    let name = process.name();
    Finding {
        cause: RULE.into(),
        severity,
        confidence: 65,
        message: format!(
            "{name} is connected to {peer} and meanwhile to {PLACES} places of the inside, as if \
             somebody worked through it"
        ),
        path: Some(format!(
            "{} ⇄ {name}[{}] ⇒ the inside",
            outside.remote, process.key.pid
        )),
        peer: Some(Peer {
            endpoint: outside.remote,
            direction: outside.direction,
        }),
        file: None,
        evidence: outside.event.into_iter().chain([event.id]).collect(),
        content: None,
        indicator: None,
        about: Box::new(process.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_networks_and_this_machine_are_the_inside() {
        for inside in [
            "10.1.2.3",
            "192.168.0.1",
            "172.16.9.9",
            "127.0.0.1",
            "fd00::1",
        ] {
            assert!(is_inside(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["203.0.113.7", "2001:db8::1", "8.8.8.8"] {
            assert!(!is_inside(outside.parse().unwrap()), "{outside}");
        }
    }
}
