//! *Content*: a rule on the content of a file matches (`yara.NAME`), or a file keeps the scanner
//! from saying whether any does (`content.not_scanned`).
//!
//! Looked at: scripts that anybody writes or renames into a web root; whatever a web service
//! writes there, whatever it is called; scripts that it writes elsewhere; what is executed from
//! outside the places of packages, from memory, or after it was deleted.
//! Sees: what its rules describe (`rules/yara/`, and those of the administrator).
//! Misses: code that is fetched or decrypted only when it runs, what is disguised in a way no rule
//! knows, what lies beyond the bytes that are looked at, short-lived programs in memory that are
//! gone before they can be opened, scripts handed to an interpreter.
//! Looks alike: administration tools that people put on web servers themselves.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use super::confidence;
use super::finding::{Builtin, Cause, Finding};
use super::late::Late;
use super::webshell::is_of_web;
use crate::content::scanner::{
    Answer, Counters, Job, Renewer, Scanner, Settings, Target, is_foreign,
};
use crate::content::{Found, Unscanned};
use crate::event::alert::{Content, Severity};
use crate::event::process::{Exec, Process};
use crate::event::{Action, Event, attack};
use crate::track::Tracker;
use crate::track::services::{given_content, is_script};

/// A file over which the scanner ended, or took too long.
pub const NOT_SCANNED: Builtin = Builtin {
    id: "content.not_scanned",
    name: "File that cannot be scanned",
    techniques: &["T1027"],
    tactics: &[attack::DEFENSE_EVASION],
};
/// Further rules named in a message.
const NAMED_MAX: usize = 4;

/// Has files scanned, and says what it means when rules match.
#[derive(Debug)]
pub struct Contents {
    scanner: Scanner,
    /// Of the sensor's own program, which has the rules in it.
    own_inode: Option<u64>,
}

impl Contents {
    /// Starts the scanner.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(settings: Settings) -> io::Result<Self> {
        Ok(Self {
            scanner: Scanner::start(settings)?,
            own_inode: fs::metadata("/proc/self/exe").ok().map(|own| own.ino()),
        })
    }

    /// What it counts.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        self.scanner.counters()
    }

    /// A way to hand over other rules.
    #[must_use]
    pub fn renewer(&self) -> Renewer {
        self.scanner.renewer()
    }

    /// Wakes this thread up when something was found.
    pub fn wakes_this_thread(&self) {
        self.scanner.wakes_this_thread();
    }

    /// Whether files are still being looked at.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.scanner.is_busy()
    }

    /// Has the file of an event looked at, if it is worth it.
    pub fn observe(&mut self, event: &Event, host: &Tracker) {
        let Some(process) = &event.process else {
            return;
        };
        let wanted = match &event.action {
            Action::Exec(exec) => self.executed(process, exec),
            _ => written(event, process, host),
        };
        let Some((target, path)) = wanted else { return };
        self.scanner.ask(Box::new(Job {
            target,
            path: path.into(),
            about: Box::new(process.clone()),
            event: event.id,
            time: event.time,
            cpu: event.cpu,
        }));
    }

    fn executed<'e>(&self, process: &Process, exec: &'e Exec) -> Option<(Target, &'e str)> {
        let file = &exec.executable;
        if !is_foreign(&exec.program, file) || self.own_inode == Some(file.inode) {
            return None;
        }
        let target = Target::Executed {
            pid: process.key.pid,
            file: file.clone(),
        };
        Some((
            target,
            exec.program.executable.as_deref().unwrap_or_default(),
        ))
    }

    /// What was found meanwhile.
    pub fn late(&mut self) -> Option<Late> {
        loop {
            let answer = self.scanner.answer()?;
            let (time, cpu) = (answer.job.time, answer.job.cpu);
            if let Some(finding) = finding(answer) {
                return Some(Late { time, cpu, finding });
            }
        }
    }
}

fn written<'e>(event: &'e Event, process: &Process, host: &Tracker) -> Option<(Target, &'e str)> {
    let (path, file) = given_content(event)?;
    if file.is_some_and(|file| file.size == 0 || file.mode & libc::S_IFMT != libc::S_IFREG) {
        return None;
    }
    let in_root = host.services().is_in_web_root(path);
    let is_script = is_script(path);
    // Most files are neither, which is decided without asking who wrote them.
    let is_wanted =
        (in_root && is_script) || ((in_root || is_script) && is_of_web(process.key, host));
    let target = Target::Written {
        pid: process.key.pid,
        file: file.cloned(),
    };
    is_wanted.then_some((target, path))
}

fn finding(answer: Answer) -> Option<Finding> {
    let job = *answer.job;
    let who = format!("{}[{}]", job.about.name(), job.about.key.pid);
    let did = match job.target {
        Target::Executed { .. } => format!("{who} runs {}", job.path),
        Target::Written { .. } | Target::Opened(_) => format!("{who} wrote {}", job.path),
    };
    let (cause, severity, sure, message, content) = match answer.outcome {
        Ok(found) => {
            let worst = found.rules.first()?;
            let severity = worst.card.severity();
            let sure = worst.card.confidence;
            let message = matched(&did, &found);
            let cause = Cause::Rule(worst.card.rule());
            (
                cause,
                severity,
                sure,
                message,
                Some(Box::new(content(found))),
            )
        }
        Err(why) => {
            let is_odd = matches!(why, Unscanned::Died | Unscanned::Hung | Unscanned::TimedOut);
            let message = format!("{did}, which was not scanned: {}", why.words());
            is_odd.then_some((NOT_SCANNED.into(), Severity::Low, None, message, None))?
        }
    };
    Some(Finding {
        cause,
        severity,
        confidence: sure.unwrap_or(confidence(severity)),
        message,
        path: None,
        peer: None,
        file: Some(job.path),
        content,
        indicator: None,
        evidence: vec![job.event],
        about: job.about,
    })
}

/// What was found, in a sentence.
fn matched(did: &str, found: &Found) -> String {
    let mut hits = found.rules.iter();
    let mut message = did.to_owned();
    if let Some(worst) = hits.next() {
        let card = &worst.card;
        let what = if card.description.is_empty() {
            format!("the rule {} matches", card.name)
        } else {
            let description = card.description.trim_end_matches('.');
            format!("the rule {} matches ({description})", card.name)
        };
        let _ = write!(message, "; in it {what}");
        if let Some((_, offset)) = &worst.place {
            let _ = write!(message, ", first at byte {offset}");
        }
    }
    let others: Vec<&str> = hits.take(NAMED_MAX).map(|hit| &*hit.card.name).collect();
    if !others.is_empty() {
        let _ = write!(message, "; so do {}", others.join(", "));
    }
    if found.scanned < found.size {
        let _ = write!(
            message,
            "; only the first {} of {} bytes were looked at",
            found.scanned, found.size
        );
    }
    message
}

fn content(found: Found) -> Content {
    Content {
        rules: found
            .rules
            .iter()
            .map(|hit| hit.card.name.as_str().into())
            .collect(),
        sha256: found.sha256,
        size: found.size,
        scanned: found.scanned,
    }
}
