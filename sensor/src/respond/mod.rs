//! Acting on intruders: cutting them off, ending what they run, putting away what they left.
//! Every operation is a function that says what became of it as a [`Response`], also when it was
//! refused or only rehearsed, and is used alike by the command line and by playbooks. What an
//! alert means is not known here.

pub mod asked;
pub mod clock;
pub mod firewall;
pub mod hands;
pub mod journal;
pub mod lists;
pub mod outbox;
pub mod playbook;
pub mod process;
pub mod quarantine;
pub mod rehearsal;
pub mod responder;
mod run;

use crate::event::response::{Origin, Response, Verb};

/// On whose behalf something is done, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// What made it happen.
    pub origin: Origin,
    /// Who: a user, a playbook, a list.
    pub by: Box<str>,
    /// Why, in the words of who wants it; may be empty.
    pub reason: Box<str>,
}

impl Cause {
    /// A response that was not given yet: done, unless it turns out otherwise.
    #[must_use]
    pub fn response(&self, verb: Verb, target: impl Into<Box<str>>) -> Response {
        Response {
            reason: self.reason.clone(),
            ..Response::new(verb, target, self.origin, self.by.clone())
        }
    }
}
