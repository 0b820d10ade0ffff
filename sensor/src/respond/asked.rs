//! What playbooks want to do and somebody has to agree to first. It waits for a bounded time, in
//! a bounded number, and nothing of it is done by itself.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::playbook::Playbook;
use super::playbook::decide::Step;
use super::responder::{Order, reason};

/// Request for all that waits.
pub const ASKED: &str = "asked";
/// Request that says yes to a number.
pub const APPROVE: &str = "approve";
/// Request that says no to a number.
pub const DENY: &str = "deny";
/// Questions waiting for an answer.
pub const ASKED_MAX: usize = 64;

/// Something that waits for a yes.
#[derive(Debug)]
pub struct Question {
    /// Its number, as `sensor approve` takes it.
    pub id: u32,
    /// When it is too late, in nanoseconds since boot.
    pub until_boot_ns: u64,
    /// The same in nanoseconds since the epoch.
    pub until_wall_ns: u64,
    /// The alert.
    pub order: Arc<Order>,
    /// Who wants it.
    pub playbook: Arc<Playbook>,
    /// What would be done.
    pub steps: Vec<Step>,
}

/// The same for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Its number.
    pub id: u32,
    /// Who wants it.
    pub playbook: Box<str>,
    /// What would be done, each as action and target.
    pub steps: Vec<String>,
    /// Why.
    pub reason: String,
    /// The alert.
    pub alert: String,
    /// When it is too late, in nanoseconds since the epoch.
    pub until_wall_ns: u64,
}

impl Question {
    fn summary(&self) -> Summary {
        let steps = self.steps.iter();
        Summary {
            id: self.id,
            playbook: self.playbook.name.clone(),
            steps: steps
                .map(|step| format!("{} {}", step.action.name(), step.target))
                .collect(),
            reason: reason(&self.order.event),
            alert: self.order.event.id.to_string(),
            until_wall_ns: self.until_wall_ns,
        }
    }
}

/// All that waits.
#[derive(Debug, Default)]
pub struct Asked {
    latest: u32,
    waiting: VecDeque<Question>,
}

impl Asked {
    /// The number of the next question; `None` when too many wait already.
    pub fn number(&mut self) -> Option<u32> {
        if self.waiting.len() >= ASKED_MAX {
            return None;
        }
        self.latest = self.latest.wrapping_add(1);
        Some(self.latest)
    }

    /// Asks.
    pub fn ask(&mut self, question: Question) {
        self.waiting.push_back(question);
    }

    /// Takes a question out, because it has been answered.
    pub fn answer(&mut self, id: u32) -> Option<Question> {
        let at = self.waiting.iter().position(|question| question.id == id)?;
        self.waiting.remove(at)
    }

    /// Takes out one for which it is too late.
    pub fn expired(&mut self, boot_ns: u64) -> Option<Question> {
        let mut waiting = self.waiting.iter();
        let at = waiting.position(|question| question.until_boot_ns <= boot_ns)?;
        self.waiting.remove(at)
    }

    /// All that waits, oldest first.
    #[must_use]
    pub fn summaries(&self) -> Vec<Summary> {
        self.waiting.iter().map(Question::summary).collect()
    }
}
