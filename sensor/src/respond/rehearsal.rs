//! What playbooks would have done about recorded alerts: decided as if it were then, and nothing is
//! done. Addresses and processes are those of the recording, so it is not looked whether they
//! would have been protected.

use super::playbook::decide::{Decider, Verdict};
use super::playbook::limits::{DAY, Moment};
use super::playbook::{Mode, Set};
use super::responder::reason;
use crate::event::response::{Origin, Outcome, Response};
use crate::event::{Action, Event};

/// Nanoseconds in a minute.
const MINUTE_NS: u64 = 60 * 1_000_000_000;

/// Playbooks that only say what they would do.
#[derive(Debug)]
pub struct Rehearsal {
    set: Set,
    decider: Decider,
    /// Offset of local time from UTC, in minutes; hours of playbooks are in local time.
    utc_offset: i64,
}

impl Rehearsal {
    /// Of these playbooks, all that are not off.
    #[must_use]
    pub fn new(set: Set, utc_offset_seconds: i64) -> Self {
        let set = Set {
            mode: set.mode.max(Mode::DryRun),
            ..set
        };
        Self {
            set,
            decider: Decider::default(),
            utc_offset: utc_offset_seconds / 60,
        }
    }

    /// What would be done about an alert, as events without a number.
    pub fn rehearse(&mut self, alert: &Event) -> Vec<Event> {
        let Action::Alert(raised) = &alert.action else {
            return Vec::new();
        };
        let minute = i64::try_from(alert.time.wall_ns / MINUTE_NS).unwrap_or(0) + self.utc_offset;
        let now = Moment {
            boot_ns: alert.time.boot_ns,
            minute: u16::try_from(minute.rem_euclid(i64::from(DAY))).unwrap_or(0),
        };
        let mut events = Vec::new();
        for decision in self.decider.decide(&self.set, alert, now) {
            for step in decision.steps {
                let by = &*decision.playbook.name;
                let verb = step.action.verb();
                let mut response = Response::new(verb, step.target, Origin::Playbook, by);
                response.reason = reason(alert).into();
                response.outcome = Outcome::DryRun;
                match step.verdict {
                    Verdict::Ask => response.detail = "after somebody has said yes".into(),
                    Verdict::Refuse(refusal) => {
                        response.outcome = Outcome::Refused;
                        response.detail = refusal.to_string().into();
                    }
                    Verdict::Do | Verdict::Rehearse => response.detail = step.action.name().into(),
                }
                response.follows(alert.id, raised.incident.as_deref());
                events.push(Event {
                    action: Action::Response(Box::new(response.bounded())),
                    ..alert.clone()
                });
            }
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::alert::Severity;
    use crate::respond::playbook::tests::{alert, set};

    #[test]
    fn a_rehearsal_says_what_an_enforced_playbook_would_have_done() {
        let set = set("when = { peer = 'any' }\nactions = ['block-peer', 'kill', 'quarantine']");
        let mut rehearsal = Rehearsal::new(set, 0);
        let events = rehearsal.rehearse(&alert(Severity::High, 7));
        let said: Vec<_> = events
            .iter()
            .map(|event| match &event.action {
                Action::Response(response) => (&*response.target, response.outcome),
                _ => panic!("{event:?}"),
            })
            .collect();
        assert_eq!(
            said,
            [
                ("203.0.113.7", Outcome::DryRun),
                ("pid 7", Outcome::DryRun),
                ("", Outcome::Refused),
            ]
        );
    }
}
