//! *A program was kept from starting*: a rule of the configuration about programs that are not to
//! start applied to one. Who wrote the rule knows what it means; that somebody tried is the alert.
//!
//! Sees: what the kernel programs say, also of rules that are rehearsed or that spared a program.
//! Misses: what no rule is about.
//! Looks alike: whatever the rule did not think of; a rehearsal shows that.

use super::finding::{Builtin, Finding};
use crate::event::alert::{Peer, Severity};
use crate::event::network::Direction;
use crate::event::response::{Outcome, Verb};
use crate::event::{Action, Endpoint, Event, attack};

/// The rule.
pub const RULE: Builtin = Builtin {
    id: "prevented-program",
    name: "Program kept from starting",
    techniques: &["T1059"],
    tactics: &[attack::EXECUTION],
};

/// Looks at an event.
pub fn observe(event: &Event, found: &mut Vec<Finding>) {
    let (Action::Response(response), Some(process)) = (&event.action, &event.process) else {
        return;
    };
    if response.verb != Verb::Prevent {
        return;
    }
    let severity = match response.outcome {
        Outcome::Done | Outcome::Failed => Severity::High,
        Outcome::DryRun | Outcome::Asked | Outcome::Refused => Severity::Medium,
    };
    found.push(Finding {
        cause: RULE.into(),
        severity,
        confidence: super::confidence(severity),
        message: format!(
            "{} falls under the rule {:?}: {}",
            response.target, response.by, response.detail
        ),
        path: None,
        peer: response.peer.map(|peer| Peer {
            endpoint: Endpoint {
                address: peer.ip(),
                port: peer.port(),
            },
            direction: Direction::Unknown,
        }),
        file: Some(response.target.clone()),
        content: None,
        indicator: None,
        evidence: vec![event.id],
        about: Box::new(process.clone()),
    });
}
