//! One service: what is known of it, and of a request that one of its programs runs for. Who
//! belongs to it is not known here.

use std::sync::Arc;
use std::time::Instant;

use super::roots::Roots;
use super::trade;
use crate::event::process::{Exec, ProcessKey, Program};

/// Ports remembered of one service.
pub(super) const PORTS_MAX: usize = 32;

/// What a CGI program was told of the request it runs for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The script.
    pub script: Box<str>,
    /// The client's address.
    pub client: Option<std::net::IpAddr>,
    /// The client's port.
    pub port: u16,
    /// What was asked for.
    pub uri: Option<Box<str>>,
}

/// Who called a service last.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The process.
    pub key: ProcessKey,
    /// When, in nanoseconds since boot.
    pub boot_ns: u64,
}

/// A service.
#[derive(Debug)]
pub struct Service {
    /// Its first process, as far as known.
    pub master: ProcessKey,
    /// What it runs.
    pub program: Arc<Program>,
    /// When it was first seen, in nanoseconds since boot.
    pub since_boot_ns: u64,
    /// Where its pages are.
    pub roots: Roots,
    /// Who called it last, when that was a web service on this machine.
    pub caller: Option<Caller>,
    pub(super) ports: Vec<u16>,
    pub(super) is_called_by_web: bool,
    pub(super) is_web: bool,
    pub(super) roots_asked: Option<Instant>,
}

impl Service {
    /// What to call it.
    #[must_use]
    pub fn title(&self) -> String {
        trade::title(&self.program)
    }

    /// Finds out anew whether it is a web service; whether it is one whose roots are not known.
    pub(super) fn judge(&mut self) -> bool {
        self.is_web = trade::is_web(
            &self.program,
            trade::Clues {
                ports: &self.ports,
                is_called_by_web: self.is_called_by_web,
            },
        );
        self.is_web && self.roots_asked.is_none()
    }

    /// It listens on a port.
    pub(super) fn has_port(&self, port: u16) -> bool {
        self.ports.contains(&port)
    }

    /// One that nothing is known of yet.
    pub(super) fn new(master: ProcessKey, program: Arc<Program>, since_boot_ns: u64) -> Self {
        Self {
            master,
            program,
            since_boot_ns,
            roots: Roots::default(),
            caller: None,
            ports: Vec::new(),
            is_called_by_web: false,
            is_web: false,
            roots_asked: None,
        }
    }
}

/// The request a program was started for, if it is what a web server asked for and not something
/// that such a program started, which has the same environment.
pub(super) fn cgi(exec: &Exec) -> Option<Request> {
    let variable = |name: &str| {
        exec.environment
            .iter()
            .find_map(|variable| variable.strip_prefix(name)?.strip_prefix('='))
    };
    let script = variable("SCRIPT_FILENAME")?;
    let is_it = exec.filename.as_deref() == Some(script)
        || exec
            .program
            .name()
            .is_some_and(|name| name.starts_with("php-cgi"));
    is_it.then(|| Request {
        script: script.into(),
        client: variable("REMOTE_ADDR").and_then(|address| address.parse().ok()),
        port: variable("REMOTE_PORT")
            .and_then(|port| port.parse().ok())
            .unwrap_or(0),
        uri: variable("REQUEST_URI").map(Into::into),
    })
}
