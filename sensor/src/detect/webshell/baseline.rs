//! What web services usually do, learned while they are new: which commands they run, and where
//! they connect to. Bounded: a service that does ever new things is not learned from any more.

use std::collections::{HashMap, HashSet};

use crate::event::process::ProcessKey;

/// How long a service is learned from after it was first seen, in nanoseconds.
const LEARNING_NS: u64 = 10 * 60 * 1_000_000_000;
/// Services remembered.
const SERVICES_MAX: usize = 1_024;
/// Habits remembered of one service.
const HABITS_MAX: usize = 1_024;

/// How usual something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// It was done before.
    Known,
    /// It is done for the first time, while we learn.
    Learned,
    /// It is done for the first time.
    New,
}

/// What is usual.
#[derive(Debug, Default)]
pub struct Baseline {
    services: HashMap<ProcessKey, HashSet<String>>,
}

impl Baseline {
    /// A service does something; is it usual? It is from now on.
    pub fn note(&mut self, service: ProcessKey, since_ns: u64, now_ns: u64, what: &str) -> Habit {
        if self.services.len() >= SERVICES_MAX && !self.services.contains_key(&service) {
            self.services.clear();
        }
        let habits = self.services.entry(service).or_default();
        if habits.contains(what) {
            return Habit::Known;
        }
        if habits.len() < HABITS_MAX {
            habits.insert(what.to_owned());
        }
        if now_ns.saturating_sub(since_ns) < LEARNING_NS {
            Habit::Learned
        } else {
            Habit::New
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: ProcessKey = ProcessKey {
        pid: 7,
        start_ticks: 1,
    };

    #[test]
    fn what_is_done_while_young_is_usual_and_what_is_new_later_is_new_once() {
        let mut baseline = Baseline::default();
        assert_eq!(baseline.note(SERVICE, 0, 1, "gm"), Habit::Learned);
        let later = LEARNING_NS + 1;
        assert_eq!(baseline.note(SERVICE, 0, later, "gm"), Habit::Known);
        assert_eq!(baseline.note(SERVICE, 0, later, "tar"), Habit::New);
        assert_eq!(baseline.note(SERVICE, 0, later, "tar"), Habit::Known);
    }

    #[test]
    fn services_do_not_learn_from_each_other() {
        let mut baseline = Baseline::default();
        baseline.note(SERVICE, 0, 1, "gm");
        let other = ProcessKey { pid: 8, ..SERVICE };
        assert_eq!(baseline.note(other, 0, LEARNING_NS, "gm"), Habit::New);
    }
}
