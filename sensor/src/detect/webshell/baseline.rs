//! What web services usually do, learned while they are new: which commands they run, and where
//! they connect to. It outlives the sensor, and the services, which are known by their names.
//! Bounded: a service that does ever new things is not learned from any more.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::state::Memory;

/// How long a service is learned from after it was first seen, in nanoseconds.
const LEARNING_NS: u64 = 10 * 60 * 1_000_000_000;
/// Services remembered.
const SERVICES_MAX: usize = 1_024;
/// Habits remembered of one service.
const HABITS_MAX: usize = 1_024;
/// How often what was learned is handed over to be kept, in nanoseconds.
const KEPT_EVERY_NS: u64 = 60 * 1_000_000_000;
/// Of the form in which it is kept.
const VERSION: u32 = 1;

/// How usual something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// It was done before.
    Known,
    /// It is done for the first time, while we learn.
    Learned,
    /// It is done for the first time.
    New {
        /// For how long the service is known, in nanoseconds.
        known_ns: u64,
    },
}

/// Why what was kept cannot be used.
#[derive(Debug, Error)]
pub enum RecallError {
    /// It is something else.
    #[error("it is not what a sensor keeps: {0}")]
    Form(#[from] serde_json::Error),
    /// Of another version.
    #[error("it is of version {0}, and this sensor knows {VERSION}")]
    Version(u32),
}

/// What is usual.
#[derive(Debug, Default)]
pub struct Baseline {
    services: BTreeMap<Box<str>, Service>,
    memory: Option<Memory>,
    /// When it was handed over last, as the events count time.
    kept_ns: u64,
    changed: bool,
}

/// What is known of a service.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Service {
    /// When it was first seen, in nanoseconds since the epoch.
    since_ns: u64,
    /// What it does.
    habits: BTreeSet<Box<str>>,
}

/// As it is kept.
#[derive(Serialize, Deserialize)]
struct Kept<S> {
    version: u32,
    services: S,
}

impl Baseline {
    /// Goes on from what was kept, and has it kept from now on.
    ///
    /// # Errors
    /// When what was kept cannot be used; it begins anew then.
    pub fn remember(&mut self, memory: Memory) -> Result<(), RecallError> {
        let recalled = memory.recalled().map(recall);
        self.memory = Some(memory);
        if let Some(services) = recalled.transpose()? {
            self.services = services;
        }
        Ok(())
    }

    /// A service, first seen at a time, does something; is it usual? It is from now on. Times
    /// are in nanoseconds since the epoch.
    pub fn note(&mut self, service: &str, since_ns: u64, now_ns: u64, what: &str) -> Habit {
        if self.services.len() >= SERVICES_MAX && !self.services.contains_key(service) {
            self.services.clear();
        }
        let known = self
            .services
            .entry(service.into())
            .or_insert_with(|| Service {
                since_ns,
                ..Service::default()
            });
        if known.habits.contains(what) {
            return Habit::Known;
        }
        if known.habits.len() < HABITS_MAX {
            known.habits.insert(what.into());
            self.changed = true;
        }
        let known_ns = now_ns.saturating_sub(known.since_ns.min(since_ns));
        if self.changed && now_ns.saturating_sub(self.kept_ns) >= KEPT_EVERY_NS {
            self.kept_ns = now_ns;
            self.keep();
        }
        if known_ns < LEARNING_NS {
            Habit::Learned
        } else {
            Habit::New { known_ns }
        }
    }

    fn keep(&mut self) {
        let Some(memory) = &self.memory else { return };
        let kept = Kept {
            version: VERSION,
            services: &self.services,
        };
        self.changed = !serde_json::to_string(&kept).is_ok_and(|text| memory.keep(text));
    }
}

impl Drop for Baseline {
    fn drop(&mut self) {
        if self.changed {
            self.keep();
        }
    }
}

/// Reads what was kept, within the bounds.
fn recall(text: &str) -> Result<BTreeMap<Box<str>, Service>, RecallError> {
    let Kept { version, services } = serde_json::from_str(text)?;
    if version != VERSION {
        return Err(RecallError::Version(version));
    }
    let mut services: BTreeMap<Box<str>, Service> = services;
    while services.len() > SERVICES_MAX {
        services.pop_last();
    }
    for service in services.values_mut() {
        while service.habits.len() > HABITS_MAX {
            service.habits.pop_last();
        }
    }
    Ok(services)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state;

    const SERVICE: &str = "php8.2-fpm.service php-fpm8.2";
    /// Some day.
    const BEGIN: u64 = 1_700_000_000_000_000_000;
    const LATER: u64 = BEGIN + LEARNING_NS + 1;

    #[test]
    fn what_is_done_while_young_is_usual_and_what_is_new_later_is_new_once() {
        let mut baseline = Baseline::default();
        assert_eq!(
            baseline.note(SERVICE, BEGIN, BEGIN + 1, "gm"),
            Habit::Learned
        );
        assert_eq!(baseline.note(SERVICE, BEGIN, LATER, "gm"), Habit::Known);
        let new = Habit::New {
            known_ns: LEARNING_NS + 1,
        };
        assert_eq!(baseline.note(SERVICE, BEGIN, LATER, "tar"), new);
        assert_eq!(baseline.note(SERVICE, BEGIN, LATER, "tar"), Habit::Known);
    }

    #[test]
    fn services_do_not_learn_from_each_other() {
        let mut baseline = Baseline::default();
        baseline.note(SERVICE, BEGIN, BEGIN + 1, "gm");
        assert!(matches!(
            baseline.note("other", BEGIN, LATER, "gm"),
            Habit::New { .. }
        ));
    }

    #[test]
    fn what_was_learned_outlives_the_sensor_and_the_service() {
        let directory = tempfile::tempdir().unwrap();
        let keeper = state::Keeper::start(directory.path()).unwrap();
        let mut before = Baseline::default();
        before.remember(keeper.memory("baseline").unwrap()).unwrap();
        before.note(SERVICE, BEGIN, BEGIN, "gm");
        before.note(SERVICE, BEGIN, BEGIN + 1, "convert");
        drop(before);
        keeper.finish();

        let keeper = state::Keeper::start(directory.path()).unwrap();
        let mut after = Baseline::default();
        after.remember(keeper.memory("baseline").unwrap()).unwrap();
        // The service was started again a moment ago, and is known for longer.
        assert_eq!(after.note(SERVICE, LATER, LATER, "convert"), Habit::Known);
        assert!(matches!(
            after.note(SERVICE, LATER, LATER, "nc"),
            Habit::New { .. }
        ));
    }

    #[test]
    fn what_cannot_be_used_is_told_and_learned_anew() {
        assert!(matches!(recall("{"), Err(RecallError::Form(_))));
        let newer = r#"{"version":2,"services":{}}"#;
        assert!(matches!(recall(newer), Err(RecallError::Version(2))));
    }
}
