//! What a behaviour or a rule gives when it finds something; and how behaviours introduce
//! themselves.

use std::sync::Arc;

use crate::event::EventId;
use crate::event::alert::{Content, Indicator, Peer, Rule, Ruleset, Severity};
use crate::event::attack::{Tactic, Technique};
use crate::event::process::Process;

/// A behaviour that is built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Builtin {
    /// Stable id.
    pub id: &'static str,
    /// Title.
    pub name: &'static str,
    /// Techniques it tells of.
    pub techniques: &'static [&'static str],
    /// Tactics it tells of.
    pub tactics: &'static [Tactic],
}

impl Builtin {
    /// As the rule of an alert.
    #[must_use]
    pub fn rule(&self) -> Arc<Rule> {
        Arc::new(Rule {
            id: self.id.into(),
            name: self.name.into(),
            ruleset: Ruleset::Behaviour,
            authors: Box::default(),
            techniques: self
                .techniques
                .iter()
                .map(|id| Technique::new(*id))
                .collect(),
            tactics: self.tactics.into(),
        })
    }
}

/// What found something.
#[derive(Clone, Debug)]
pub enum Cause {
    /// A behaviour.
    Behaviour(Builtin),
    /// A rule that was loaded.
    Rule(Arc<Rule>),
}

impl From<Builtin> for Cause {
    fn from(builtin: Builtin) -> Self {
        Self::Behaviour(builtin)
    }
}

/// Something found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// By what.
    pub cause: Cause,
    /// How bad.
    pub severity: Severity,
    /// How sure, in percent.
    pub confidence: u8,
    /// One sentence. Not escaped.
    pub message: String,
    /// How data flows.
    pub path: Option<String>,
    /// The other side.
    pub peer: Option<Peer>,
    /// Script or file at the root of it.
    pub file: Option<Box<str>>,
    /// What was found in that file.
    pub content: Option<Box<Content>>,
    /// What a list says of it.
    pub indicator: Option<Box<Indicator>>,
    /// Events it rests on.
    pub evidence: Vec<EventId>,
    /// The process it is about.
    pub about: Box<Process>,
}
