//! What a process started, and what that started: found by going through `/proc` until nothing
//! new shows. The caller stops each one that is found before looking again, so that who starts
//! processes faster than they can be counted does not get away: one that is stopped starts none.

use std::collections::{HashMap, HashSet};
use std::io;

use super::proc::{self, Stat};
use super::{Deadline, PROCESSES_MAX};
use crate::event::process::ProcessKey;

/// Why the search ended before nothing new showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// There are too many.
    Many,
    /// It took too long.
    Time,
}

impl Unfinished {
    /// In words.
    pub fn describe(self) -> String {
        match self {
            Self::Many => {
                format!("there are more than {PROCESSES_MAX}, so some are left: do it again")
            }
            Self::Time => "new ones kept coming until the time was over: do it again".to_owned(),
        }
    }
}

/// Shows `visit` each of `roots`, and then what they started, each once; it says whether to go on
/// below that one.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn walk(
    roots: &[ProcessKey],
    tree: bool,
    deadline: Deadline,
    mut visit: impl FnMut(ProcessKey) -> bool,
) -> io::Result<Option<Unfinished>> {
    let mut seen = HashSet::new();
    let mut above = HashSet::new();
    let mut fresh: Vec<ProcessKey> = roots.to_vec();
    loop {
        for key in fresh.drain(..) {
            if seen.len() >= PROCESSES_MAX {
                return Ok(Some(Unfinished::Many));
            }
            if seen.insert(key) && visit(key) {
                above.insert(key);
            }
        }
        if !tree {
            return Ok(None);
        }
        fresh = below(&above, &proc::all()?);
        fresh.retain(|key| !seen.contains(key));
        if fresh.is_empty() {
            return Ok(None);
        }
        if deadline.is_over() {
            return Ok(Some(Unfinished::Time));
        }
    }
}

/// Children of those in `above`, parents first. A parent that was replaced by another process of
/// its pid has another start time, and is not above.
fn below(above: &HashSet<ProcessKey>, all: &[Stat]) -> Vec<ProcessKey> {
    let keys: HashMap<u32, ProcessKey> = all.iter().map(|stat| (stat.key.pid, stat.key)).collect();
    let is_child = |stat: &&Stat| {
        keys.get(&stat.ppid)
            .is_some_and(|parent| above.contains(parent))
    };
    all.iter().filter(is_child).map(|stat| stat.key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(pid: u32, start_ticks: u64, ppid: u32) -> Stat {
        Stat {
            key: ProcessKey { pid, start_ticks },
            ppid,
            state: 'S',
            flags: 0,
            comm: "x".into(),
        }
    }

    #[test]
    fn children_of_a_reused_pid_are_nobodys() {
        let above = HashSet::from([ProcessKey {
            pid: 10,
            start_ticks: 1,
        }]);
        let same = [stat(10, 1, 1), stat(11, 2, 10), stat(12, 3, 11)];
        assert_eq!(below(&above, &same), [same[1].key]);
        let other = [stat(10, 5, 1), stat(11, 6, 10)];
        assert!(below(&above, &other).is_empty());
    }
}
