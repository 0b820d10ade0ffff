//! Puts what a web service did into findings: which service, which worker, through which script,
//! for which client. Decides nothing.

use std::fmt::Write as _;

use super::culprit::{Client, Script};
use super::{COMMAND, CONNECTS, DROPPED, Verdict};
use crate::detect::finding::{Builtin, Finding};
use crate::detect::story;
use crate::event::alert::{Peer, Severity};
use crate::event::network::{Connect, Direction};
use crate::event::process::{Exec, Process};
use crate::event::{Event, EventId};
use crate::track::Tracker;
use crate::track::services::{Worker, is_settings};

/// Longest command line shown.
const SHOWN_MAX: usize = 200;

/// What is known when something is told.
pub struct Told<'e> {
    /// What happened.
    pub event: &'e Event,
    /// Who did it.
    pub process: &'e Process,
    /// For whom.
    pub worker: &'e Worker<'e>,
    /// Who may have asked for it.
    pub client: Option<Client>,
    /// All else.
    pub host: &'e Tracker,
}

impl Told<'_> {
    /// A command was run.
    #[must_use]
    pub fn command(&self, exec: &Exec, script: Option<Script>, verdict: Verdict) -> Finding {
        let line = exec.program.command_line().unwrap_or_default();
        let line: String = line.chars().take(SHOWN_MAX).collect();
        let mut message = format!("{} ran {line}, which {}", self.service(), verdict.why);
        self.say_client(&mut message);
        match &script {
            Some(script) => {
                let sure = match script.certainty {
                    90.. => "through",
                    60.. => "most likely through",
                    _ => "perhaps through",
                };
                let _ = write!(message, "; {sure} {}", script.path);
                if let Some(origin) = &script.origin {
                    let _ = write!(message, ", {origin}");
                }
            }
            None => {
                if let Some(place) = &exec.working_directory {
                    let _ = write!(message, "; from {place}");
                }
            }
        }
        let mut evidence = script
            .as_ref()
            .map(|script| script.evidence.clone())
            .unwrap_or_default();
        let shown = script.as_ref().map_or("?", |script| &script.path);
        let path = format!(
            "{} ⇒ {shown} ⇒ {}[{}] {line}",
            self.way(),
            self.process.name(),
            self.process.key.pid
        );
        evidence.insert(0, self.event.id);
        let file = script.map(|script| script.path);
        self.finding(
            (COMMAND, verdict.severity, verdict.confidence),
            message,
            path,
            file,
            evidence,
        )
    }

    /// A script was written.
    #[must_use]
    pub fn drop(&self, path: &str, severity: Severity, is_cached: bool) -> Finding {
        let what = if is_settings(path) {
            "the file that says what is run"
        } else {
            "the script"
        };
        let mut message = format!("{} wrote {what} {path}", self.service());
        self.say_client(&mut message);
        if is_cached {
            message.push_str("; it is where templates are cached");
        }
        let way = format!("{} ⇒ {path}", self.way());
        let confidence = if is_cached { 20 } else { 60 };
        self.finding(
            (DROPPED, severity, confidence),
            message,
            way,
            Some(path.into()),
            vec![self.event.id],
        )
    }

    /// A connection was opened.
    #[must_use]
    pub fn connection(&self, connect: &Connect, severity: Severity) -> Finding {
        let remote = connect.flow.remote;
        let peer = story::peer(remote, self.host);
        let message = format!(
            "{} connected to {peer}, where it never did before",
            self.service()
        );
        let way = format!("{} ⇒ {remote}", self.way());
        let mut finding = self.finding(
            (CONNECTS, severity, 40),
            message,
            way,
            None,
            vec![self.event.id],
        );
        finding.peer = Some(Peer {
            endpoint: remote,
            direction: Direction::Egress,
        });
        finding
    }

    /// The service and its worker in words.
    fn service(&self) -> String {
        let pid = self.worker.key.pid;
        let title = self.worker.service.title();
        if self.worker.key == self.worker.service.master {
            format!("the web service {title}[{pid}]")
        } else {
            format!("{title}[{pid}], a worker of the web service,")
        }
    }

    fn say_client(&self, message: &mut String) {
        if let Some(client) = self.client {
            let sure = if client.is_certain {
                ""
            } else {
                ", the latest of several"
            };
            let _ = write!(
                message,
                "; client {}{sure}",
                story::peer(client.endpoint, self.host)
            );
        }
    }

    /// The client and the worker.
    fn way(&self) -> String {
        let worker = story::process(self.worker.key, self.host);
        match self.client {
            Some(client) => format!("{} ⇒ {worker}", client.endpoint),
            None => worker,
        }
    }

    fn finding(
        &self,
        (rule, severity, confidence): (Builtin, Severity, u8),
        message: String,
        path: String,
        file: Option<Box<str>>,
        evidence: Vec<EventId>,
    ) -> Finding {
        Finding {
            cause: rule.into(),
            severity,
            confidence,
            message,
            path: Some(path),
            peer: self.client.map(|client| Peer {
                endpoint: client.endpoint,
                direction: Direction::Ingress,
            }),
            file,
            content: None,
            indicator: None,
            evidence,
            about: Box::new(self.process.clone()),
        }
    }
}
