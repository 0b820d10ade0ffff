//! *Webshell*: a web service is made to do what its pages do not do. Three behaviours, judged by
//! who does it (`track/services.rs`), never by the name of a file alone:
//!
//! *Command* (`webshell.command`): a worker runs a command, directly or some steps down. High
//! when only a stranger would run it, or when the script behind it was put there by a web service;
//! medium when it looks around, or when the service never ran it before.
//! *Dropped* (`webshell.dropped`): a worker, or what it started, writes a script into a web root.
//! *Connects* (`webshell.connects`): a worker connects to where it never did.
//!
//! Sees: PHP under FastCGI and as a module, CGI, Java, Python, Node, Ruby: whatever listens on a
//! web port or is called by what does. Names script, writer, client as far as they can be known
//! (`culprit.rs`).
//! Misses: shells that do everything inside the interpreter (read files, query databases) and
//! never run a command, write a script or connect; commands that the service ran while it was
//! learned, unless damning; the culprit where scripts are cached from before the sensor and
//! the worker does not stand in the script's directory (Java, Python, Node).
//! Looks alike: updates of content management systems (many scripts at once: the first few are
//! reported), template caches (lower), administration panels, CI servers, monitoring through CGI.

pub mod baseline;
mod command;
mod culprit;
mod told;

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

use super::finding::{Builtin, Finding};
use crate::event::alert::Severity;
use crate::event::network::{Connect, Outcome};
use crate::event::process::{Exec, Process, ProcessKey};
use crate::event::{Action, Event, Stamp, attack};
use crate::state::Memory;
use crate::track::Tracker;
use crate::track::services::{Service, given_content, is_script};
use baseline::{Baseline, Habit, RecallError};
use command::Deed;
use culprit::of_web;
use told::Told;

/// A worker runs a command.
pub const COMMAND: Builtin = Builtin {
    id: "webshell.command",
    name: "Command run by a web service",
    techniques: &["T1505.003", "T1059"],
    tactics: &[attack::PERSISTENCE, attack::EXECUTION],
};
/// A worker writes a script.
pub const DROPPED: Builtin = Builtin {
    id: "webshell.dropped",
    name: "Script written to a web root by a web service",
    techniques: &["T1505.003", "T1105"],
    tactics: &[attack::PERSISTENCE, attack::COMMAND_AND_CONTROL],
};
/// A worker connects to a new place.
pub const CONNECTS: Builtin = Builtin {
    id: "webshell.connects",
    name: "Web service connects to a new place",
    techniques: &["T1505.003", "T1071"],
    tactics: &[attack::COMMAND_AND_CONTROL],
};

/// Alerts remembered, so that they are not repeated.
const TOLD_MAX: usize = 4_096;
/// Scripts remembered that a service wrote.
const DROPPED_MAX: usize = 1_024;
/// How sure it must be, in percent, that a script is behind a command for its past to count.
const SURE_ENOUGH: u8 = 70;
/// For how long they are not, in nanoseconds.
const TOLD_NS: u64 = 10 * 60 * 1_000_000_000;
/// Services whose latest doings are remembered.
const LATELY_MAX: usize = 1_024;
/// How long what a service did counts for what it does next, in nanoseconds.
const LATELY_NS: u64 = 2 * 60 * 1_000_000_000;
/// Scripts written in that time that are reported; more are an update.
const DROPS_MAX: usize = 5;
/// Different programs that look around, in one command and in that time, to be worth an alert.
const LOOKING_AT_ONCE: usize = 2;
const LOOKING_LATELY: usize = 3;
/// Programs and times remembered of one service.
const DOINGS_MAX: usize = 64;
/// Directories where frameworks keep what they make of templates.
const CACHES: &[&str] = &[
    "/cache/",
    "/caches/",
    "/tmp/",
    "/temp/",
    "/templates_c/",
    "/compiled/",
    "/compile/",
    "/work/",
    "/storage/framework/views/",
    "/smarty/",
    "/twig/",
    "/generated/",
    "/opcache/",
    "/.next/",
];
/// Ports that pages connect to every day: databases, caches, mail, other pages.
const USUAL_PORTS: &[u16] = &[
    25, 80, 110, 143, 389, 443, 465, 587, 636, 993, 1433, 1521, 3306, 5432, 5672, 6379, 8080, 8443,
    9200, 11211, 27017,
];

/// Finds webshells.
#[derive(Debug, Default)]
pub struct Webshells {
    baseline: Baseline,
    told: HashMap<(ProcessKey, Box<str>), Last>,
    lately: HashMap<ProcessKey, Lately>,
    /// Scripts that services wrote, and were alerted of: by whom, when.
    dropped: HashMap<Box<str>, (ProcessKey, u64)>,
    /// Processes that belong to the story of another.
    same_story: Vec<(ProcessKey, ProcessKey)>,
}

/// An alert that was told.
#[derive(Clone, Copy, Debug)]
struct Last {
    severity: Severity,
    at: u64,
    about: ProcessKey,
}

/// What a service did lately.
#[derive(Debug, Default)]
struct Lately {
    looked: VecDeque<(&'static str, u64)>,
    drops: VecDeque<u64>,
    /// When there was an alert of medium severity or more.
    alarmed: Option<u64>,
}

/// Whether a process is of a web service, or was started by one.
#[must_use]
pub fn is_of_web(key: ProcessKey, host: &Tracker) -> bool {
    host.services().web_worker(key).is_some() || of_web(key, host).is_some()
}

/// How a command is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    severity: Severity,
    confidence: u8,
    why: Cow<'static, str>,
}

impl Webshells {
    /// Processes found to belong to the story of another since this was asked last.
    pub fn same_story(&mut self) -> impl Iterator<Item = (ProcessKey, ProcessKey)> {
        self.same_story.drain(..)
    }

    /// Looks at an event, which the host's state already knows of.
    pub fn observe(&mut self, event: &Event, host: &Tracker, found: &mut Vec<Finding>) {
        let Some(process) = &event.process else {
            return;
        };
        match &event.action {
            Action::Exec(exec) => found.extend(self.executed(event, process, exec, host)),
            Action::TcpConnect(connect) => {
                found.extend(self.connected(event, process, connect, host));
            }
            Action::FileAccess(_) | Action::FileChange(_) => {
                found.extend(self.wrote(event, process, host));
            }
            _ => {}
        }
    }

    fn executed(
        &mut self,
        event: &Event,
        process: &Process,
        exec: &Exec,
        host: &Tracker,
    ) -> Option<Finding> {
        // A CGI program is the page itself.
        if host.services().web_worker(process.key).is_some() {
            return None;
        }
        let (worker, steps) = of_web(process.key, host)?;
        if is_helper(exec) {
            return None;
        }
        let (service, now) = (worker.service, event.time.boot_ns);
        let deed = command::judge(&exec.program);
        let habit = if steps == 1 {
            self.usual(worker.service, event, host, &deed.shape())
        } else {
            Habit::Known
        };
        let lately = self.lately(service.master);
        let looked = lately.looks(&deed, now);
        let script = culprit::script(&worker, process, exec, event, host);
        let is_dropped = script.as_ref().is_some_and(|script| {
            script.certainty >= SURE_ENOUGH && self.dropped.contains_key(&script.path)
        });
        let verdict = judge(&deed, habit, looked, is_dropped)?;
        if let Some(writer) = script.as_ref().and_then(|script| script.writer) {
            self.same_story.push((process.key, writer));
        }
        let about: Box<str> = script
            .as_ref()
            .map_or_else(|| "".into(), |script| script.path.clone());
        let told = (service.master, about);
        if !self.is_news(told, verdict.severity, now, process.key) {
            return None;
        }
        self.lately(service.master).alarmed = Some(now);
        let client = culprit::client(&worker, now, host);
        Some(
            Told {
                event,
                process,
                worker: &worker,
                client,
                host,
            }
            .command(exec, script, verdict),
        )
    }

    fn wrote(&mut self, event: &Event, process: &Process, host: &Tracker) -> Option<Finding> {
        let (path, file) = given_content(event)?;
        if !is_script(path) || file.is_some_and(|file| file.size == 0) {
            return None;
        }
        let services = host.services();
        let worker = services.web_worker(process.key);
        let worker = worker.or_else(|| Some(of_web(process.key, host)?.0))?;
        if !worker.service.roots.have(path) {
            return None;
        }
        let (master, now) = (worker.service.master, event.time.boot_ns);
        let lately = self.lately(master);
        forget(&mut lately.drops, now, |at| *at);
        lately.drops.push_back(now);
        if lately.drops.len() > DROPS_MAX {
            // So many are an update, and so were those before.
            self.dropped.retain(|_, (service, at)| {
                *service != master || now.saturating_sub(*at) >= LATELY_NS
            });
            return None;
        }
        let is_cached = CACHES.iter().any(|cache| path.contains(cache));
        let severity = if is_cached {
            Severity::Low
        } else {
            Severity::Medium
        };
        let told = (master, format!("wrote {path}").into());
        if !self.is_news(told, severity, now, process.key) {
            return None;
        }
        if !is_cached {
            self.lately(master).alarmed = Some(now);
            self.remember_drop(path, master, now);
        }
        let client = culprit::client(&worker, now, host);
        Some(
            Told {
                event,
                process,
                worker: &worker,
                client,
                host,
            }
            .drop(path, severity, is_cached),
        )
    }

    fn connected(
        &mut self,
        event: &Event,
        process: &Process,
        connect: &Connect,
        host: &Tracker,
    ) -> Option<Finding> {
        let worker = host.services().web_worker(process.key)?;
        let remote = connect.flow.remote;
        if remote.address.is_loopback()
            || remote.port == 53
            || connect.outcome == Outcome::Abandoned
        {
            return None;
        }
        let (service, now) = (worker.service, event.time.boot_ns);
        let place = host.name_of(remote.address);
        let place = place.map_or_else(|| remote.address.to_string(), str::to_owned);
        let what = format!("→ {place}:{}", remote.port);
        let habit = self.usual(service, event, host, &what);
        let alarmed = self.lately(service.master).alarmed;
        let is_alarmed = alarmed.is_some_and(|at| now.saturating_sub(at) < LATELY_NS);
        let is_usual = USUAL_PORTS.contains(&remote.port);
        let severity = match (habit, is_alarmed, is_usual) {
            (Habit::Known, _, _) | (Habit::Learned, false, _) => return None,
            (_, true, _) => Severity::Medium,
            (Habit::New { .. }, false, false) => Severity::Medium,
            (Habit::New { .. }, false, true) => Severity::Low,
        };
        let client = culprit::client(&worker, now, host);
        Some(
            Told {
                event,
                process,
                worker: &worker,
                client,
                host,
            }
            .connection(connect, severity),
        )
    }

    /// Goes on from what earlier runs learned, and has it kept from now on.
    ///
    /// # Errors
    /// When what was kept cannot be used; learning begins anew then.
    pub fn remember(&mut self, memory: Memory) -> Result<(), RecallError> {
        self.baseline.remember(memory)
    }

    /// How usual it is for a service to do this.
    fn usual(&mut self, service: &Service, event: &Event, host: &Tracker, what: &str) -> Habit {
        let Stamp { boot_ns, wall_ns } = event.time;
        let age = boot_ns.saturating_sub(service.since_boot_ns);
        let name = lasting_name(service, host);
        self.baseline
            .note(&name, wall_ns.saturating_sub(age), wall_ns, what)
    }

    fn remember_drop(&mut self, path: &str, service: ProcessKey, now: u64) {
        if self.dropped.len() >= DROPPED_MAX {
            let oldest = self.dropped.iter().min_by_key(|(_, (_, at))| *at);
            if let Some(path) = oldest.map(|(path, _)| path.clone()) {
                self.dropped.remove(&path);
            }
        }
        self.dropped.insert(path.into(), (service, now));
    }

    fn lately(&mut self, service: ProcessKey) -> &mut Lately {
        if self.lately.len() >= LATELY_MAX && !self.lately.contains_key(&service) {
            self.lately.clear();
        }
        self.lately.entry(service).or_default()
    }

    /// Whether it was not told lately, or is worse than it was. If not, whoever does it again
    /// belongs to the same story.
    fn is_news(
        &mut self,
        what: (ProcessKey, Box<str>),
        severity: Severity,
        at: u64,
        about: ProcessKey,
    ) -> bool {
        if let Some(last) = self.told.get(&what)
            && last.severity >= severity
            && at.saturating_sub(last.at) < TOLD_NS
        {
            self.same_story.push((about, last.about));
            return false;
        }
        if self.told.len() >= TOLD_MAX {
            // Worst of all, something is told twice.
            self.told.clear();
        }
        let last = Last {
            severity,
            at,
            about,
        };
        self.told.insert(what, last);
        true
    }
}

impl Lately {
    /// Takes a command in; how many programs looked around by now.
    fn looks(&mut self, deed: &Deed, now: u64) -> usize {
        forget(&mut self.looked, now, |(_, at)| *at);
        for name in &deed.looking {
            if self.looked.iter().all(|(known, _)| known != name) {
                self.looked.push_back((name, now));
            }
        }
        self.looked.len()
    }
}

/// What a service is called that stays when it is started again: its unit, or that it is in a
/// container, and what it runs.
fn lasting_name(service: &Service, host: &Tracker) -> String {
    let title = service.title();
    let home = host.home(service.master);
    match home.and_then(|home| home.service.as_deref()) {
        Some(unit) => format!("{unit} {title}"),
        None if home.is_some_and(|home| home.container.is_some()) => format!("container {title}"),
        None => title,
    }
}

/// What Java starts between itself and every command.
fn is_helper(exec: &Exec) -> bool {
    let path = exec.program.executable.as_deref().unwrap_or_default();
    path.starts_with("/usr/") && path.ends_with("/lib/jspawnhelper")
}

/// Takes out what is too old, and what is too much.
fn forget<T>(list: &mut VecDeque<T>, now: u64, at: impl Fn(&T) -> u64) {
    list.retain(|entry| now.saturating_sub(at(entry)) < LATELY_NS);
    while list.len() >= DOINGS_MAX {
        list.pop_front();
    }
}

fn judge(deed: &Deed, habit: Habit, looked: usize, is_dropped: bool) -> Option<Verdict> {
    let verdict = |severity, confidence, why: &'static str| {
        Some(Verdict {
            severity,
            confidence,
            why: why.into(),
        })
    };
    match (deed.damning, is_dropped) {
        (Some(why), true) => return verdict(Severity::Critical, 97, why),
        (Some(why), false) => return verdict(Severity::High, 85, why),
        (None, true) if habit != Habit::Known => {
            return verdict(
                Severity::High,
                85,
                "was run by a script that a web service wrote",
            );
        }
        (None, _) => {}
    }
    let at_once = deed.looking.len();
    if at_once >= LOOKING_AT_ONCE || (at_once > 0 && looked >= LOOKING_LATELY) {
        return verdict(Severity::Medium, 60, "looks around on the machine");
    }
    match habit {
        Habit::New { known_ns } => Some(Verdict {
            severity: Severity::Medium,
            confidence: 50,
            why: format!(
                "it has not run in the {} it is known",
                culprit::span(known_ns / 1_000_000_000)
            )
            .into(),
        }),
        Habit::Known | Habit::Learned => None,
    }
}

#[cfg(test)]
mod tests;
