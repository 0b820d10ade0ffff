//! What the firewall has to do with a packet, said in plain words: the reference that the programs
//! are held against. Shares nothing with them but the layout of the maps.

use std::net::IpAddr;

use sensor_common::guard::{EGRESS, INGRESS, LOCAL_PORT, REMOTE_PORT, tally};

use crate::packet::{UDP, View};

/// An entry, as an operator would say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// It allows, and does not deny.
    pub allows: bool,
    pub network: IpAddr,
    pub prefix: u8,
    /// 0 for any.
    pub protocol: u8,
    /// 0 for any.
    pub port: u16,
    pub directions: u8,
    /// At which end the port has to be.
    pub flags: u8,
    pub life: Life,
}

/// How long something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Forever,
    /// Long enough.
    Ahead,
    /// No more.
    Over,
}

/// All that is in force.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub entries: Vec<Entry>,
    /// The host.
    pub isolated: Option<Life>,
    /// The control group that all sockets are in.
    pub group: Option<Life>,
    pub dry_run: bool,
}

/// Which way a packet goes, and whether a socket is asked.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// [`INGRESS`] or [`EGRESS`].
    pub direction: u8,
    pub knows_sockets: bool,
}

/// Whether a packet passes, and what is counted for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub passes: bool,
    pub reason: Option<u32>,
}

const PASS: Verdict = Verdict {
    passes: true,
    reason: None,
};

impl World {
    /// The verdict about what is known of a packet.
    pub fn judge(&self, view: &View, place: Place) -> Verdict {
        let group = place.knows_sockets && holds(self.group);
        let isolated = match place.direction {
            _ if group => Some(tally::GROUP),
            INGRESS if holds(self.isolated) => Some(tally::ISOLATED_IN),
            EGRESS if holds(self.isolated) => Some(tally::ISOLATED_OUT),
            _ => None,
        };
        let Some((source, destination)) = view.ends else {
            return match isolated {
                Some(reason) if view.is_malformed => self.drop(reason),
                _ => PASS,
            };
        };
        if matches!((source, view.icmp), (IpAddr::V6(_), Some(130..=137 | 143))) {
            return PASS;
        }
        let other = if place.direction == INGRESS {
            source
        } else {
            destination
        };
        if self.has(false, other, view, place.direction) {
            if self.has(true, other, view, place.direction) {
                return PASS;
            }
            return self.drop(match place.direction {
                INGRESS => tally::DENIED_IN,
                _ => tally::DENIED_OUT,
            });
        }
        match isolated {
            None => PASS,
            Some(_) if self.has(true, other, view, place.direction) => PASS,
            Some(_) if is_dhcp(source, view, place.direction) => PASS,
            Some(_) if place.direction == INGRESS && self.is_about_allowed(source, view) => PASS,
            Some(reason) => self.drop(reason),
        }
    }

    fn drop(&self, reason: u32) -> Verdict {
        if self.dry_run {
            return Verdict {
                passes: true,
                reason: Some(tally::DRY_RUN),
            };
        }
        Verdict {
            passes: false,
            reason: Some(reason),
        }
    }

    /// Whether some entry is about this.
    fn has(&self, allows: bool, other: IpAddr, view: &View, direction: u8) -> bool {
        self.entries.iter().any(|entry| {
            entry.allows == allows
                && entry.life != Life::Over
                && entry.directions & direction != 0
                && contains(entry.network, entry.prefix, other)
                && entry.serves(view, direction)
        })
    }

    /// An error of an allowed kind about a packet that was allowed out.
    fn is_about_allowed(&self, source: IpAddr, view: &View) -> bool {
        let is_error = match (source, view.icmp) {
            (IpAddr::V4(_), Some(kind)) => [3, 11, 12].contains(&kind),
            (IpAddr::V6(_), Some(kind)) => (1..=4).contains(&kind),
            _ => false,
        };
        let quoted = view.quoted.as_deref().filter(|_| is_error);
        quoted.is_some_and(|quoted| {
            let ends = quoted.ends;
            ends.is_some_and(|(_, destination)| self.has(true, destination, quoted, EGRESS))
        })
    }
}

impl Entry {
    fn serves(&self, view: &View, direction: u8) -> bool {
        if self.protocol == 0 {
            return true;
        }
        if view.protocol != Some(self.protocol) {
            return false;
        }
        let Some((source, destination)) = view.ports else {
            return self.port == 0;
        };
        let (local, remote) = match direction {
            INGRESS => (destination, source),
            _ => (source, destination),
        };
        self.port == 0
            || (self.port == local && self.flags & REMOTE_PORT == 0)
            || (self.port == remote && self.flags & LOCAL_PORT == 0)
    }
}

fn holds(life: Option<Life>) -> bool {
    matches!(life, Some(Life::Forever | Life::Ahead))
}

fn is_dhcp(source: IpAddr, view: &View, direction: u8) -> bool {
    let (client, server) = if source.is_ipv4() {
        (68, 67)
    } else {
        (546, 547)
    };
    let ports = match direction {
        INGRESS => (server, client),
        _ => (client, server),
    };
    view.protocol == Some(UDP) && view.ports == Some(ports)
}

fn contains(network: IpAddr, prefix: u8, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            (network.to_bits() ^ address.to_bits()) & mask == 0
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            (network.to_bits() ^ address.to_bits()) & mask == 0
        }
        _ => false,
    }
}
