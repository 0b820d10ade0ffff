//! Puts what was found into words: peers, paths through relays, ancestries. Decides nothing.

use std::fmt::Write as _;

use crate::event::Endpoint;
use crate::event::process::{Process, ProcessKey};
use crate::track::Tracker;
use crate::track::streams::{Channel, Link};

/// Ancestors named in an alert.
const ANCESTORS_MAX: usize = 12;

/// A peer, with the name its address was found under.
#[must_use]
pub fn peer(endpoint: Endpoint, host: &Tracker) -> String {
    match host.name_of(endpoint.address) {
        Some(name) => format!("{endpoint} ({name})"),
        None => endpoint.to_string(),
    }
}

/// A process as `name[pid]`.
#[must_use]
pub fn process(key: ProcessKey, host: &Tracker) -> String {
    let name = host
        .program(key)
        .and_then(|program| program.name())
        .unwrap_or("?");
    format!("{name}[{}]", key.pid)
}

/// The process and its ancestors, nearest first.
#[must_use]
pub fn ancestry(key: ProcessKey, host: &Tracker) -> Vec<String> {
    std::iter::once(key)
        .chain(host.ancestors(key).take(ANCESTORS_MAX))
        .map(|key| process(key, host))
        .collect()
}

/// How data flows between a peer and a process: `203.0.113.7:4444 ⇄ openssl[812] ⇄ pipe:[99120]
/// ⇄ sh[811] ⇐ php-fpm8.2[640]`; when the two ways differ, one after the other.
#[must_use]
pub fn path(
    about: &Process,
    fed: &Link,
    heard: Option<&Link>,
    remote: Endpoint,
    host: &Tracker,
) -> String {
    let this = format!("{}[{}]", about.name(), about.key.pid);
    let relays = |link: &Link| link.hops.iter().map(|hop| hop.relay).collect::<Vec<_>>();
    let remote = remote.to_string();
    let mut text = match heard {
        Some(heard) if relays(fed) == relays(heard) => chain(fed, &remote, &this, " ⇄ ", host),
        Some(heard) => {
            let there = chain(fed, &remote, &this, " → ", host);
            format!("{there} and {}", back(heard, &remote, &this, host))
        }
        None => chain(fed, &remote, &this, " → ", host),
    };
    for ancestor in host.ancestors(about.key).take(3) {
        let _ = write!(text, " ⇐ {}", process(ancestor, host));
    }
    text
}

fn chain(link: &Link, remote: &str, this: &str, arrow: &str, host: &Tracker) -> String {
    let mut parts = vec![remote.to_owned()];
    for hop in link.hops.iter().rev() {
        parts.push(process(hop.relay, host));
        parts.push(channel(hop.channel));
    }
    parts.push(this.to_owned());
    parts.join(arrow)
}

fn back(link: &Link, remote: &str, this: &str, host: &Tracker) -> String {
    let mut parts = vec![this.to_owned()];
    for hop in &link.hops {
        parts.push(channel(hop.channel));
        parts.push(process(hop.relay, host));
    }
    parts.push(remote.to_owned());
    parts.join(" → ")
}

fn channel(channel: Channel) -> String {
    channel.to_string()
}
