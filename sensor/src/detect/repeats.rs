//! Says each thing once in a while: what a rule finds again and again in the same program is
//! counted and not repeated, unless something was done about it. Bounded; the oldest is forgotten
//! first.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::finding::{Cause, Finding};
use crate::event::process::ProcessKey;

/// How long nothing is said again, in nanoseconds.
const SILENCE_NS: u64 = 10 * 60 * 1_000_000_000;
/// Findings remembered.
const REMEMBERED_MAX: usize = 8_192;

/// When something was last said, and how often it happened since.
#[derive(Clone, Copy, Debug)]
struct Said {
    boot_ns: u64,
    since: u64,
    about: ProcessKey,
    /// Something was done about it since.
    answered: bool,
}

/// What was said.
#[derive(Debug, Default)]
pub struct Repeats {
    said: HashMap<u64, Said>,
    order: VecDeque<u64>,
}

impl Repeats {
    /// How often it happened unsaid before, if it is to be said now.
    pub fn say(&mut self, finding: &Finding, boot_ns: u64) -> Option<u64> {
        let Cause::Rule(rule) = &finding.cause else {
            // Behaviours know themselves what they have said.
            return Some(0);
        };
        let key = key(&rule.id, finding);
        let Some(said) = self.said.get_mut(&key) else {
            self.remember(key, boot_ns, finding.about.key);
            return Some(0);
        };
        if !said.answered && boot_ns.saturating_sub(said.boot_ns) < SILENCE_NS {
            said.since += 1;
            return None;
        }
        let unsaid = said.since;
        *said = Said {
            boot_ns,
            since: 0,
            about: finding.about.key,
            answered: false,
        };
        Some(unsaid)
    }

    /// Something was done about a process of which something was said: it is said again when it
    /// happens again, because it is to be answered again.
    pub fn forget(&mut self, about: ProcessKey) {
        for said in self.said.values_mut().filter(|said| said.about == about) {
            said.answered = true;
        }
    }

    fn remember(&mut self, key: u64, boot_ns: u64, about: ProcessKey) {
        if self.said.len() >= REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.said.remove(&oldest);
        }
        self.order.push_back(key);
        let said = Said {
            boot_ns,
            since: 0,
            about,
            answered: false,
        };
        self.said.insert(key, said);
    }
}

/// The same rule, about the same program of the same user, started by the same program, with the
/// same directory, peer and indicator.
fn key(rule: &str, finding: &Finding) -> u64 {
    let about = &finding.about;
    let mut hasher = DefaultHasher::new();
    rule.hash(&mut hasher);
    about.name().hash(&mut hasher);
    about.ids.euid.hash(&mut hasher);
    about.home.container.hash(&mut hasher);
    // Containers that nobody knows the runtime of.
    about.namespaces.pid.hash(&mut hasher);
    let parent = about.parent.as_ref();
    parent
        .and_then(|parent| parent.program.name())
        .hash(&mut hasher);
    // Many files of one directory are one thing.
    let directory = finding
        .file
        .as_deref()
        .and_then(|path| path.rsplit_once('/'));
    directory.map(|(directory, _)| directory).hash(&mut hasher);
    let peer = finding.peer.map(|peer| peer.endpoint.address);
    peer.hash(&mut hasher);
    let indicator = finding.indicator.as_ref();
    indicator
        .map(|indicator| &indicator.value)
        .hash(&mut hasher);
    hasher.finish()
}
