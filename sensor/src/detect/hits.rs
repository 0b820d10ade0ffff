//! Counts alerts by rule, and how long they took from the event that decided them. Alerts are made
//! elsewhere.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::event::alert::Alert;

/// Rules that are counted by themselves; others are counted together.
const RULES_MAX: usize = 4_096;
/// What these are counted as.
const OTHERS: &str = "others";
/// Upper ends of the classes of latency, in ms.
pub const LATENCY_MS: [u64; 10] = [1, 2, 5, 10, 20, 50, 100, 500, 2_000, 10_000];

/// The counts.
#[derive(Debug, Default)]
pub struct Hits {
    rules: Mutex<BTreeMap<String, Rule>>,
    /// One more than there are upper ends, for what is beyond.
    latency: [AtomicU64; LATENCY_MS.len() + 1],
    latency_ns: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Rule {
    severity: &'static str,
    alerts: u64,
}

/// Alerts of one rule.
#[derive(Clone, Debug, Serialize)]
pub struct Hit {
    /// Its id.
    pub rule: String,
    /// How bad the last alert was.
    pub severity: &'static str,
    /// How many alerts.
    pub alerts: u64,
}

/// How long alerts took.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// Alerts up to each of [`LATENCY_MS`], and beyond.
    pub classes: [u64; LATENCY_MS.len() + 1],
    /// All of them together, in ns.
    pub sum_ns: u64,
}

impl Hits {
    /// Counts an alert.
    pub fn count(&self, alert: &Alert) {
        let milliseconds = alert.latency_ns.div_ceil(1_000_000);
        let class = LATENCY_MS.partition_point(|end| *end < milliseconds);
        if let Some(count) = self.latency.get(class) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.latency_ns
            .fetch_add(alert.latency_ns, Ordering::Relaxed);
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let id: &str = &alert.rule.id;
        let id = if rules.len() < RULES_MAX || rules.contains_key(id) {
            id
        } else {
            OTHERS
        };
        let severity = alert.severity.name();
        match rules.get_mut(id) {
            Some(rule) => {
                rule.alerts += 1;
                rule.severity = severity;
            }
            None => {
                let first = Rule {
                    severity,
                    alerts: 1,
                };
                rules.insert(id.to_owned(), first);
            }
        }
    }

    /// By rule, in the order of their ids.
    #[must_use]
    pub fn rules(&self) -> Vec<Hit> {
        let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules
            .iter()
            .map(|(id, rule)| Hit {
                rule: id.clone(),
                severity: rule.severity,
                alerts: rule.alerts,
            })
            .collect()
    }

    /// How long they took.
    #[must_use]
    pub fn latency(&self) -> Latency {
        Latency {
            classes: self
                .latency
                .each_ref()
                .map(|count| count.load(Ordering::Relaxed)),
            sum_ns: self.latency_ns.load(Ordering::Relaxed),
        }
    }
}
