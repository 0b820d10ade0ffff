//! Decides what is done about an alert: which playbooks it concerns, how far each may go, and what
//! its limits say. The outcome depends on the alert, the set, the moment and what was decided
//! before, and on nothing else.

use std::collections::HashMap;
use std::sync::Arc;

use super::limits::{Counters, Moment, Refusal};
use super::{Action, Mode, Playbook, Set};
use crate::event::Event;

/// What is to become of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Do,
    /// It is only said what would be done.
    Rehearse,
    /// It is done when somebody says yes.
    Ask,
    /// It is not done.
    Refuse(Refusal),
}

/// What is to be done, or not, and to what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What.
    pub action: Action,
    /// To what, for people.
    pub target: Box<str>,
    /// Whether.
    pub verdict: Verdict,
}

/// What one playbook makes of an alert.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The playbook.
    pub playbook: Arc<Playbook>,
    /// One step for each of its actions, in their order.
    pub steps: Vec<Step>,
}

/// Decides, and remembers for how often.
#[derive(Debug, Default)]
pub struct Decider {
    counters: HashMap<Box<str>, Counters>,
}

impl Decider {
    /// Forgets what playbooks did that are no longer there; those of the same name stay limited by
    /// what they did before.
    pub fn renew(&mut self, set: &Set) {
        self.counters.retain(|name, _| {
            let playbooks = set.playbooks.iter();
            playbooks.clone().any(|playbook| playbook.name == *name)
        });
    }

    /// What the playbooks of a set make of an alert.
    pub fn decide(&mut self, set: &Set, event: &Event, now: Moment) -> Vec<Decision> {
        set.those_for(event)
            .map(|playbook| Decision {
                playbook: Arc::clone(playbook),
                steps: self.steps(playbook, set.mode_of(playbook), event, now),
            })
            .collect()
    }

    fn steps(&mut self, playbook: &Playbook, mode: Mode, event: &Event, now: Moment) -> Vec<Step> {
        let counters = self.counters.entry(playbook.name.clone()).or_default();
        let may_act = counters.may_act(&playbook.limits, now);
        let agreed = match mode {
            Mode::Enforce if playbook.limits.ask.is_some() => Verdict::Ask,
            Mode::Enforce => Verdict::Do,
            Mode::DryRun | Mode::Off => Verdict::Rehearse,
        };
        let steps: Vec<_> = playbook
            .actions
            .iter()
            .map(|action| {
                let (target, may) = match (action.target(event), &may_act) {
                    (Err(lacking), _) => (Box::default(), Err(Refusal::NoTarget(lacking))),
                    (Ok(target), Err(refusal)) => (target, Err(refusal.clone())),
                    (Ok(target), Ok(())) => {
                        let may = counters.may_do(action.name(), &target, &playbook.limits, now);
                        (target, may)
                    }
                };
                Step {
                    action: action.clone(),
                    target,
                    verdict: may.map_or_else(Verdict::Refuse, |()| agreed.clone()),
                }
            })
            .collect();
        if steps.iter().any(|step| step.verdict == agreed) {
            counters.acts(now);
        }
        steps
    }
}
