//! Can a rule fire at all here? Yes, or no and why: a log source we do not produce, a field
//! that such events never have, a value a field never takes, a kind of event that is not
//! observed.

use std::cmp::Ordering;
use std::fmt;

use rsigma_parser::LogSource;

use super::fields;
use super::is_possible;
use super::kind::{self, Kind};
use super::need::{Need, Reason};

/// Reasons shown.
const SHOWN_MAX: usize = 3;

/// Whether a rule can fire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// By events of these kinds.
    Fires(Vec<&'static str>),
    /// Never.
    Never(Why),
}

/// Why a rule can never fire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Why {
    /// In a class, for counting.
    pub class: Class,
    /// In words.
    pub words: String,
    /// Of the events that come closest.
    missing: Vec<Reason>,
    off: Vec<&'static str>,
}

impl Why {
    /// Keeps the reasons of those events that lack least; a record of another type lacks all.
    fn closer(&mut self, reasons: &[Reason]) {
        let lack = |reasons: &[Reason]| {
            if reasons.is_empty() || reasons.iter().any(Reason::is_of_type) {
                usize::MAX
            } else {
                reasons.len()
            }
        };
        match lack(reasons).cmp(&lack(&self.missing)) {
            Ordering::Less => self.missing = reasons.to_vec(),
            Ordering::Equal => {
                self.missing.extend_from_slice(reasons);
                self.missing.sort();
                self.missing.dedup();
            }
            Ordering::Greater => {}
        }
    }
}

/// Classes of reasons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// We produce nothing like it.
    #[default]
    LogSource,
    /// A field is never there.
    Field,
    /// A field never has the value.
    Value,
    /// The kind of event is not observed.
    NotObserved,
    /// What it correlates can never fire.
    Correlated,
}

impl Class {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::LogSource => "log source not produced",
            Self::Field => "field never present",
            Self::Value => "value never taken",
            Self::NotObserved => "events not observed",
            Self::Correlated => "correlated rules never fire",
        }
    }
}

impl Default for Verdict {
    fn default() -> Self {
        Self::Never(Why::default())
    }
}

impl Verdict {
    /// Whether it can fire.
    #[must_use]
    pub const fn fires(&self) -> bool {
        matches!(self, Self::Fires(_))
    }

    /// Takes account of one kind of event.
    pub(super) fn add(&mut self, kind: Kind, enabled: bool, need: &Need) {
        if is_possible(need) && enabled {
            match self {
                Self::Fires(kinds) if kinds.contains(&kind.name()) => {}
                Self::Fires(kinds) => kinds.push(kind.name()),
                Self::Never(_) => *self = Self::Fires(vec![kind.name()]),
            }
            return;
        }
        let Self::Never(why) = self else { return };
        match need {
            Need::Groups(_) => why.off.push(kind.name()),
            Need::Impossible(reasons) => why.closer(reasons),
        }
    }

    /// Puts the reasons into words, when all was taken account of.
    pub(super) fn conclude(&mut self, source: &LogSource) {
        let Self::Never(why) = self else { return };
        if kind::shapes(source).is_empty() {
            why.class = Class::LogSource;
            why.words = format!("no events of ours are a log of {}", kind::describe(source));
            return;
        }
        if !why.off.is_empty() {
            why.class = Class::NotObserved;
            why.words = format!("events not observed: {}", why.off.join(", "));
            return;
        }
        // A name nobody knows explains more than a value that is never taken.
        let mut absent: Vec<&str> = Vec::new();
        let mut values: Vec<String> = Vec::new();
        for reason in &why.missing {
            match reason {
                Reason::Absent(field) => absent.push(field),
                Reason::Never(field, asked) => values.push(format!("{field} is never {asked}")),
            }
        }
        absent.sort_by_key(|field| fields::is_known(field));
        let unknown = absent.iter().any(|field| !fields::is_known(field));
        if unknown || values.is_empty() {
            why.class = Class::Field;
            let quoted: Vec<String> = absent
                .iter()
                .take(SHOWN_MAX)
                .map(|field| format!("`{field}`"))
                .collect();
            why.words = format!("such events never have {}", quoted.join(", "));
        } else {
            why.class = Class::Value;
            values.sort();
            values.dedup();
            values.truncate(SHOWN_MAX);
            why.words = values.join("; ");
        }
    }

    /// For a correlation of rules that can or cannot fire.
    pub(super) fn correlated(kinds: Vec<&'static str>) -> Self {
        if kinds.is_empty() {
            return Self::Never(Why {
                class: Class::Correlated,
                words: "none of the rules it correlates can fire".to_owned(),
                ..Why::default()
            });
        }
        Self::Fires(kinds)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fires(kinds) => write!(f, "fires on {}", kinds.join(", ")),
            Self::Never(why) => write!(f, "never: {}", why.words),
        }
    }
}
