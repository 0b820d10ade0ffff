//! *Data in questions for names*: one program asks for many different long names below one
//! domain, which carry data out, and asks for answers that carry data in.
//!
//! Sees: dnscat2, iodine and scripts that do the like, by how many different long names there
//! are below one domain within a minute, whatever the type asked for.
//! Misses: slow channels; those over TLS or HTTPS; names that reach us through a resolver on this
//! machine only, which is never suspected itself.
//! Looks alike: look-ups of block lists and of file reputation, which put hashes into names; few
//! programs do that, and the message names the domain.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hasher as _};

use super::finding::{Builtin, Finding};
use crate::event::alert::{Peer, Severity};
use crate::event::lineage::Lineage;
use crate::event::network::Direction;
use crate::event::network::dns::Dns;
use crate::event::process::Process;
use crate::event::{Action, Event, attack};
use crate::track::Tracker;

/// Domains observed at a time, for all programs.
const DOMAINS_MAX: usize = 4_096;
/// Names remembered of each.
const NAMES_MAX: usize = 256;
/// All must happen within this, in nanoseconds.
const WINDOW_NS: u64 = 60 * 1_000_000_000;
/// What stands before the domain is long from here on, in bytes.
const LONG: usize = 24;
/// So many different long names are a channel.
const NAMES: usize = 40;
/// Or so many, when what is asked for can carry data back.
const NAMES_TELLING: usize = 15;
/// Types that carry data and that programs seldom ask for: NULL, TXT, PRIVATE.
const CARRIERS: [u16; 3] = [10, 16, 65399];
/// They ask for others.
const RESOLVERS: &[&str] = &[
    "systemd-resolved",
    "unbound",
    "named",
    "dnsmasq",
    "coredns",
    "pdns_recursor",
    "kresd",
    "nscd",
    "dnscrypt-proxy",
    "stubby",
    "rspamd",
    "spamd",
    "policyd-spf",
];

/// The rule.
pub const RULE: Builtin = Builtin {
    id: "dns-channel",
    name: "Data carried in questions for names",
    techniques: &["T1071.004", "T1048.003", "T1572"],
    tactics: &[attack::COMMAND_AND_CONTROL, attack::EXFILTRATION],
};

#[derive(Debug, Default)]
struct Asked {
    since_boot_ns: u64,
    names: HashSet<u64>,
    carriers: u32,
    bytes: usize,
    is_told: bool,
}

/// Finds them.
#[derive(Debug, Default)]
pub struct Channels(HashMap<u64, Asked>);

impl Channels {
    /// Looks at an event.
    pub fn observe(&mut self, event: &Event, host: &Tracker, found: &mut Vec<Finding>) {
        let (Some(process), Action::Dns(dns)) = (&event.process, &event.action) else {
            return;
        };
        let Ok(message) = &dns.message else { return };
        let Some(question) = message.questions.first().filter(|_| !message.is_response) else {
            return;
        };
        let Some((rest, domain)) = split(&question.name) else {
            return;
        };
        let is_resolver = RESOLVERS.contains(&process.name());
        if rest.len() < LONG || is_resolver || dns.direction == Direction::Ingress {
            return;
        }
        let now = event.time.boot_ns;
        let is_carrier = CARRIERS.contains(&question.qtype);
        // A client may start a process for each question.
        let who = host.ancestors(process.key).next().unwrap_or(process.key);
        for key in [hash(&(process.key, domain)), hash(&(who, domain))] {
            let asked = self.asked(key, now);
            asked.add(rest, is_carrier);
            if let Some(severity) = asked.verdict() {
                asked.is_told = true;
                let count = asked.names.len();
                found.push(finding(event, process, dns, (domain, count), severity));
                break;
            }
        }
    }

    fn asked(&mut self, key: u64, now: u64) -> &mut Asked {
        if self.0.len() >= DOMAINS_MAX && !self.0.contains_key(&key) {
            self.0
                .retain(|_, asked| now.saturating_sub(asked.since_boot_ns) < WINDOW_NS);
            if self.0.len() >= DOMAINS_MAX {
                // Worst of all, somebody has to begin anew.
                self.0.clear();
            }
        }
        let asked = self.0.entry(key).or_default();
        if now.saturating_sub(asked.since_boot_ns) >= WINDOW_NS {
            *asked = Asked {
                since_boot_ns: now,
                is_told: asked.is_told,
                ..Asked::default()
            };
        }
        asked
    }
}

impl Asked {
    fn add(&mut self, rest: &str, is_carrier: bool) {
        if self.names.len() < NAMES_MAX && self.names.insert(hash(&rest)) {
            self.carriers += u32::from(is_carrier);
            self.bytes += rest.len();
        }
    }

    fn verdict(&self) -> Option<Severity> {
        let count = self.names.len();
        let tells = self.carriers as usize * 2 >= count;
        match (self.is_told, tells) {
            (false, true) if count >= NAMES_TELLING => Some(Severity::High),
            (false, false) if count >= NAMES => Some(Severity::Medium),
            _ => None,
        }
    }
}

/// What stands before the domain that somebody registered, and that domain. It is taken to be of
/// two labels, or three when the second is short, as in `co.uk`.
fn split(name: &str) -> Option<(&str, &str)> {
    let dots: Vec<usize> = name.rmatch_indices('.').take(3).map(|(at, _)| at).collect();
    let [last, second, rest @ ..] = &dots[..] else {
        return None;
    };
    let is_short = last - second <= 4;
    let at = match rest {
        [third] if is_short => third,
        _ => second,
    };
    Some((name.get(..*at)?, name.get(at + 1..)?))
}

fn hash(of: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

fn finding(
    event: &Event,
    process: &Process,
    dns: &Dns,
    (domain, count): (&str, usize),
    severity: Severity,
) -> Finding {
    let for_service = process.lineage.has(Lineage::WEB_SERVICE);
    Finding {
        cause: RULE.into(),
        severity: if for_service {
            Severity::High
        } else {
            severity
        },
        confidence: if severity == Severity::High { 75 } else { 55 },
        message: format!(
            "{} asked for {count} different long names below {domain} within a minute",
            process.name()
        ),
        path: None,
        peer: Some(Peer {
            endpoint: dns.flow.remote,
            direction: Direction::Egress,
        }),
        file: None,
        evidence: vec![event.id],
        content: None,
        indicator: None,
        about: Box::new(process.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_is_what_somebody_registered() {
        assert_eq!(split("a.b.example.org"), Some(("a.b", "example.org")));
        assert_eq!(split("a.example.co.uk"), Some(("a", "example.co.uk")));
        assert_eq!(split("example.org"), None);
        assert_eq!(split("org"), None);
    }

    #[test]
    fn many_different_long_names_are_a_channel_and_the_same_one_is_not() {
        let mut asked = Asked::default();
        for _ in 0..100 {
            asked.add("the-same-long-name-again-and-again", false);
        }
        assert_eq!(asked.verdict(), None);
        for number in 0..NAMES {
            asked.add(&format!("0123456789abcdef0123456789abcdef{number}"), false);
        }
        assert_eq!(asked.verdict(), Some(Severity::Medium));
    }

    #[test]
    fn fewer_are_enough_when_answers_can_carry_data() {
        let mut asked = Asked::default();
        for number in 0..NAMES_TELLING {
            asked.add(&format!("0123456789abcdef0123456789abcdef{number}"), true);
        }
        assert_eq!(asked.verdict(), Some(Severity::High));
        asked.is_told = true;
        assert_eq!(asked.verdict(), None);
    }
}
