//! *Code put into another process*: a process attaches to, or writes to the memory of, one that
//! it did not start and has no business with.
//!
//! Sees: `ptrace` attaching and writing, `process_vm_writev`, and `/proc/PID/mem` opened for
//! writing. Memory of another user's process is the rule `memory_of_another_user_entered`.
//! Misses: reading (`process_vm_readv`, `/proc/PID/mem` for reading), which is no event here;
//! libraries put in place before the start.
//! Looks alike: debuggers, tracers and crash handlers; they are told by where packages put them,
//! by having started what they look at, or by being started by it.

use std::collections::{HashSet, VecDeque};

use super::finding::{Builtin, Finding};
use super::story;
use crate::event::alert::Severity;
use crate::event::file::AccessKind;
use crate::event::privilege::Target;
use crate::event::process::{Process, ProcessKey};
use crate::event::{Action, Event, attack};
use crate::track::Tracker;

/// Pairs of processes remembered as told.
const TOLD_MAX: usize = 4_096;
/// Programs made for it.
const DEBUGGERS: &[&str] = &[
    "gdb",
    "gdbserver",
    "lldb",
    "lldb-server",
    "strace",
    "ltrace",
    "perf",
    "criu",
    "dlv",
    "rr",
    "valgrind",
    "systemd-coredump",
    "bpftrace",
    "uftrace",
    "reptyr",
    "gcore",
    "crashpad_handler",
    "chrome_crashpad_handler",
    "apport",
    "abrt-hook-ccpp",
];

/// The rule.
pub const RULE: Builtin = Builtin {
    id: "injection",
    name: "Code put into another process",
    techniques: &["T1055", "T1055.008", "T1055.009"],
    tactics: &[attack::DEFENSE_EVASION, attack::PRIVILEGE_ESCALATION],
};

/// Who was told of having done it to whom.
#[derive(Debug, Default)]
pub struct Injections {
    told: HashSet<(ProcessKey, u32)>,
    order: VecDeque<(ProcessKey, u32)>,
}

impl Injections {
    /// Looks at an event, which the host's state already knows of.
    pub fn observe(&mut self, event: &Event, host: &Tracker, found: &mut Vec<Finding>) {
        let Some(process) = &event.process else {
            return;
        };
        let deed = match &event.action {
            Action::Ptrace(ptrace) => {
                entered(process, &ptrace.target, host).map(|pid| (pid, "traces", Severity::Medium))
            }
            Action::VmWrite(write) => entered(process, &write.target, host)
                .map(|pid| (pid, "writes to the memory of", Severity::High)),
            Action::FileAccess(access) if access.kind == AccessKind::Open && access.writes => {
                memory_of(&access.path)
                    .filter(|pid| *pid != process.ns_pid && *pid != process.key.pid)
                    .map(|pid| (pid, "opens for writing the memory of", Severity::High))
            }
            _ => return,
        };
        let Some((pid, does, severity)) = deed else {
            return;
        };
        if is_debugger(process) || !self.is_news(process.key, pid) {
            return;
        }
        let whom = match &event.action {
            Action::Ptrace(ptrace) => name(&ptrace.target, host),
            Action::VmWrite(write) => name(&write.target, host),
            _ => format!("process {pid}"),
        };
        found.push(Finding {
            cause: RULE.into(),
            severity,
            confidence: if severity == Severity::High { 80 } else { 60 },
            message: format!(
                "{} {does} {whom}, which it did not start, and is no debugger",
                process.name()
            ),
            path: Some(format!("{}[{}] ⇒ {whom}", process.name(), process.key.pid)),
            peer: None,
            file: None,
            evidence: vec![event.id],
            content: None,
            indicator: None,
            about: Box::new(process.clone()),
        });
    }

    fn is_news(&mut self, key: ProcessKey, pid: u32) -> bool {
        if !self.told.insert((key, pid)) {
            return false;
        }
        self.order.push_back((key, pid));
        while self.order.len() > TOLD_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.told.remove(&oldest);
            }
        }
        true
    }
}

/// The target's pid, unless one of the two comes from the other.
fn entered(process: &Process, target: &Target, host: &Tracker) -> Option<u32> {
    let key = target.key?;
    let comes_from = |who, of| host.ancestors(who).any(|ancestor| ancestor == of);
    let is_own = key == process.key
        || comes_from(key, process.key)
        || (comes_from(process.key, key) && is_of_same_place(process, target));
    (!is_own).then_some(key.pid)
}

/// A crash handler lies beside the program that started it.
fn is_of_same_place(process: &Process, target: &Target) -> bool {
    let place = |path: Option<&str>| {
        path.and_then(|path| path.rsplit_once('/'))
            .map(|it| it.0.to_owned())
    };
    let own = process
        .program
        .as_deref()
        .and_then(|program| program.executable.as_deref());
    let its = target
        .program
        .as_deref()
        .and_then(|program| program.executable.as_deref());
    place(own).is_some() && place(own) == place(its)
}

fn is_debugger(process: &Process) -> bool {
    let path = process
        .program
        .as_deref()
        .and_then(|program| program.executable.as_deref());
    path.is_some_and(|path| path.starts_with("/usr/") || path.starts_with("/opt/"))
        && DEBUGGERS.contains(&process.name())
}

/// The process of `/proc/PID/mem` and `/proc/PID/task/TID/mem`.
fn memory_of(path: &str) -> Option<u32> {
    let rest = path.strip_prefix("/proc/")?.strip_suffix("/mem")?;
    rest.split('/').next()?.parse().ok()
}

fn name(target: &Target, host: &Tracker) -> String {
    match target.key {
        Some(key) => story::process(key, host),
        None => format!("process {}", target.ns_pid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_known_by_its_path() {
        assert_eq!(memory_of("/proc/42/mem"), Some(42));
        assert_eq!(memory_of("/proc/42/task/43/mem"), Some(42));
        assert_eq!(memory_of("/proc/self/memory"), None);
        assert_eq!(memory_of("/tmp/proc/42/mem"), None);
    }

    #[test]
    fn each_pair_is_told_of_once() {
        let mut injections = Injections::default();
        let key = ProcessKey {
            pid: 1,
            start_ticks: 1,
        };
        assert!(injections.is_news(key, 2));
        assert!(!injections.is_news(key, 2));
        assert!(injections.is_news(key, 3));
    }
}
