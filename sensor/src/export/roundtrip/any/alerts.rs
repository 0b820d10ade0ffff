//! Arbitrary alerts: written like any other event, and read back by their fields alone.

use std::net::IpAddr;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::{endpoint, long, path, text};
use crate::event::EventId;
use crate::event::alert::{Alert, Content, Indicator, Peer, Rule, Ruleset, Severity};
use crate::event::attack::{TACTICS, Technique};
use crate::event::network::Direction;

pub(super) fn alert() -> BoxedStrategy<Alert> {
    let severities = vec![
        Severity::Informational,
        Severity::Low,
        Severity::Medium,
        Severity::High,
        Severity::Critical,
    ];
    let judgement = (rule(), select(severities), 0_u8..=100);
    let words = (
        text(),
        of(text()),
        vec(text(), 0..3),
        of(path()),
        of(text()),
    );
    let evidence = vec((any::<u32>(), any::<u64>()), 0..3);
    let found = (of(peer()), of(content()), of(indicator()));
    let counts = (evidence, long(), long());
    (judgement, words, found, counts)
        .prop_map(|((rule, severity, confidence), words, found, counts)| {
            let (message, path, ancestry, file, incident) = words;
            let (peer, content, indicator) = found;
            let (evidence, repeats, latency_ns) = counts;
            let id = |(run, sequence)| EventId { run, sequence };
            Alert {
                rule: Arc::new(rule),
                severity,
                confidence,
                message: message.into_string(),
                path: path.map(str::into_string),
                ancestry: ancestry.into_iter().map(str::into_string).collect(),
                peer,
                file,
                content: content.map(Box::new),
                indicator: indicator.map(Box::new),
                evidence: evidence.into_iter().map(id).collect(),
                incident: incident.map(Arc::from),
                repeats,
                latency_ns,
            }
        })
        .boxed()
}

fn rule() -> BoxedStrategy<Rule> {
    let rulesets = vec![Ruleset::Behaviour, Ruleset::Sigma, Ruleset::Yara];
    let ids = vec!["T1014", "T1059", "T1059.004", "T1003.008", "T9999.123"];
    let attack = (subsequence(ids, 0..4), subsequence(TACTICS, 0..4));
    (text(), text(), select(rulesets), vec(text(), 0..3), attack)
        .prop_map(|(id, name, ruleset, authors, (techniques, tactics))| Rule {
            id,
            name,
            ruleset,
            authors: authors.into(),
            techniques: techniques.into_iter().map(Technique::new).collect(),
            tactics: tactics.into(),
        })
        .boxed()
}

fn peer() -> impl Strategy<Value = Peer> {
    let directions = vec![Direction::Ingress, Direction::Egress, Direction::Unknown];
    (endpoint(), select(directions)).prop_map(|(endpoint, direction)| Peer {
        endpoint,
        direction,
    })
}

fn content() -> impl Strategy<Value = Content> {
    (vec(text(), 0..3), of("[0-9a-f]{64}"), long(), long()).prop_map(
        |(rules, sha256, size, scanned)| Content {
            rules: rules.into(),
            sha256: sha256.map(String::into_boxed_str),
            size,
            scanned,
        },
    )
}

fn indicator() -> BoxedStrategy<Indicator> {
    let kinds = vec!["ipv4-addr", "ipv6-addr", "domain-name", "file"];
    let words = (text(), text(), text(), text());
    let numbers = (of(any::<IpAddr>()), 0_u8..=100, any::<u64>());
    (select(kinds), words, numbers)
        .prop_map(|(kind, (value, list, title, id), numbers)| {
            let (address, confidence, until_wall_ns) = numbers;
            Indicator {
                kind,
                value,
                address,
                list: list.into(),
                title: title.into(),
                id,
                confidence,
                until_wall_ns,
            }
        })
        .boxed()
}
