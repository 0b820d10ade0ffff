//! Files that wait to be scanned, in the order in which they were handed over and are answered.
//! The same file is let wait a few times only: who executes something over and over must not keep
//! everything else from being looked at.

use std::collections::{HashMap, VecDeque};

use super::target::Target;

/// How often the same state of a file waits. More than once, because it may be reached through one
/// of its processes only, which may end before it is its turn.
const SAME_MAX: u8 = 4;

/// A state of a file, as an event told it: inode, device, time of its last change in nanoseconds
/// since the epoch, size in bytes.
type State = (u64, u32, u64, u64);

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    order: VecDeque<Option<State>>,
    same: HashMap<State, u8>,
}

impl Waiting {
    /// How many.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether this file waits often enough.
    pub(super) fn has_enough_of(&self, target: &Target) -> bool {
        state(target)
            .and_then(|state| self.same.get(&state))
            .is_some_and(|times| *times >= SAME_MAX)
    }

    /// One more, the last.
    pub(super) fn push(&mut self, target: &Target) {
        let state = state(target);
        if let Some(state) = state {
            *self.same.entry(state).or_default() += 1;
        }
        self.order.push_back(state);
    }

    /// The first was answered.
    pub(super) fn pop(&mut self) {
        let Some(state) = self.order.pop_front().flatten() else {
            return;
        };
        if let Some(times) = self.same.get_mut(&state) {
            *times -= 1;
            if *times == 0 {
                self.same.remove(&state);
            }
        }
    }
}

/// The state of a file, where an event told it.
fn state(target: &Target) -> Option<State> {
    let file = match target {
        Target::Executed { file, .. } => file,
        Target::Written { file, .. } => file.as_ref()?,
        Target::Opened(_) => return None,
    };
    Some((file.inode, file.device, file.ctime_ns, file.size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::made_up;

    fn executed(inode: u64) -> Target {
        let mut file = made_up::file(0);
        file.inode = inode;
        Target::Executed { pid: 1, file }
    }

    #[test]
    fn one_file_does_not_fill_the_queue_and_may_wait_again_once_it_was_looked_at() {
        let mut waiting = Waiting::default();
        for _ in 0..SAME_MAX {
            assert!(!waiting.has_enough_of(&executed(1)));
            waiting.push(&executed(1));
        }
        waiting.push(&executed(2));
        assert!(waiting.has_enough_of(&executed(1)));
        assert!(!waiting.has_enough_of(&executed(2)));
        waiting.pop();
        assert!(!waiting.has_enough_of(&executed(1)));
        for _ in 0..SAME_MAX {
            waiting.pop();
        }
        assert_eq!((waiting.len(), waiting.same.len()), (0, 0));
    }
}
