//! *Command loop*: a process with a connection that receives a little, at once starts a command,
//! and sends; again and again. No shell ever has the socket.
//!
//! Sees: interpreters and programs that run each command in a child (`system`, `popen`,
//! `subprocess`, `proc_open`, `exec`), over TCP and TLS, called out or called in. The evidence is
//! the kernel's: at each exec, how much the connection of the process that forked it had
//! received and sent, and how long ago its last packet was.
//! Misses: UDP, which keeps no such counts; loops that hand commands to another process to run;
//! commands run without any exec; a loop that was never sent a command.
//! Looks alike: agents that are told over the network what to run (CI runners, configuration
//! management, monitoring), installers that download and run. They are files of packages, or
//! scripts with a path, and know their peers by name or have them in their own network; so the
//! verdict weighs where the program came from and whom it called.

use std::collections::HashMap;
use std::net::IpAddr;

use super::finding::{Builtin, Finding};
use super::program::{Kind, Look};
use super::reported::Reported;
use super::story;
use crate::event::alert::{Peer, Severity};
use crate::event::network::Direction;
use crate::event::process::{Carried, Exec, Process};
use crate::event::{Action, Event, EventId, attack};
use crate::track::Tracker;
use crate::track::streams::{Connection, Ends};

/// Connections observed at a time.
const LOOPS_MAX: usize = 4_096;
/// Most bytes a command may have come in; the first one may follow a TLS handshake.
const COMMAND_BYTES_MAX: u64 = 16 * 1024;
/// Longest time from the last packet to the exec, in nanoseconds.
const PROMPT_NS: u64 = 1_000_000_000;
/// Ancestors looked at for the process that has the connection.
const HOLDER_MAX: usize = 4;
/// Commands remembered as evidence.
const EVIDENCE_MAX: usize = 8;
/// What makes a loop worth an alert of high severity; see [`Weight`].
const ALERT_AT: u32 = 3;

/// The rule.
pub const RULE: Builtin = Builtin {
    id: "remote-shell.command-loop",
    name: "Commands run for a remote peer",
    techniques: &["T1059", "T1095"],
    tactics: &[attack::EXECUTION, attack::COMMAND_AND_CONTROL],
};

/// A command that was received and started, and not answered yet.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// What had been sent when it started.
    sent: u64,
}

#[derive(Debug)]
struct Loop {
    holder: Box<Process>,
    received: u64,
    pending: Option<Round>,
    rounds: u32,
    commands: Vec<String>,
    evidence: Vec<EventId>,
}

/// Finds command loops.
#[derive(Debug, Default)]
pub struct CommandLoops {
    loops: HashMap<Ends, Loop>,
    forgotten: u64,
}

impl CommandLoops {
    /// Connections forgotten for want of room.
    #[must_use]
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Looks at an event, which the host's state already knows of.
    pub fn observe(
        &mut self,
        event: &Event,
        host: &Tracker,
        reported: &mut Reported,
        found: &mut Vec<Finding>,
    ) {
        let Some(process) = &event.process else {
            return;
        };
        match &event.action {
            Action::Exec(exec) => {
                if let Some(carried) = &exec.carried {
                    self.executed(event, process, (exec, carried), host, reported, found);
                }
            }
            Action::TcpClose(close) => {
                let connection =
                    Connection::new(&close.flow, close.direction, process.key, 0, None);
                if let Some(mut ended) = self.loops.remove(&connection.ends()) {
                    ended.answered(close.sent);
                    found.extend(ended.verdict(&connection, event, host, reported));
                }
            }
            _ => {}
        }
    }

    fn executed(
        &mut self,
        event: &Event,
        process: &Process,
        (exec, carried): (&Exec, &Carried),
        host: &Tracker,
        reported: &mut Reported,
        found: &mut Vec<Finding>,
    ) {
        let Some(connection) = host.streams().connections().get(carried.inode) else {
            return;
        };
        let ends = connection.ends();
        if !self.loops.contains_key(&ends) {
            let Some(holder) = holder(process, carried.inode, host) else {
                return;
            };
            if self.loops.len() >= LOOPS_MAX {
                self.forgotten += 1;
                self.loops.clear();
            }
            self.loops.insert(ends, Loop::of(holder));
        }
        let Some(seen) = self.loops.get_mut(&ends) else {
            return;
        };
        seen.answered(carried.sent);
        seen.started(event.id, exec, carried);
        found.extend(seen.verdict(connection, event, host, reported));
    }
}

/// Whether somebody on the internet was called by address. Machines of one's own, build controllers
/// among them, often are; those of others have names, and certificates in them.
pub(super) fn is_nameless(connection: &Connection, host: &Tracker) -> bool {
    let is_own = match connection.remote.address.to_canonical() {
        IpAddr::V4(address) => {
            address.is_private() || address.is_loopback() || address.is_link_local()
        }
        IpAddr::V6(address) => {
            address.is_unique_local() || address.is_loopback() || address.is_unicast_link_local()
        }
    };
    connection.direction != Direction::Ingress
        && !is_own
        && host.name_of(connection.remote.address).is_none()
}

/// The nearest ancestor that has the connection, and runs the process for it.
fn holder(process: &Process, inode: u64, host: &Tracker) -> Option<Box<Process>> {
    let key = host
        .ancestors(process.key)
        .take(HOLDER_MAX)
        .find(|ancestor| host.streams().holds_connection(*ancestor, inode))?;
    let program = host.program(key)?;
    let look = Look::at(program);
    // Shells are a remote shell's business, and logins nobody's.
    if look.is_login_service() || (look.kind() == Kind::Shell && !look.is_out_of_place()) {
        return None;
    }
    // What is known of it is what it had in common with its child before the exec.
    let mut holder = Box::new(process.clone());
    holder.key = key;
    holder.tid = key.pid;
    holder.program = Some(std::sync::Arc::clone(program));
    holder.comm = program.name().unwrap_or_default().into();
    holder.parent = None;
    Some(holder)
}

impl Loop {
    fn of(holder: Box<Process>) -> Self {
        Self {
            holder,
            received: 0,
            pending: None,
            rounds: 0,
            commands: Vec::new(),
            evidence: Vec::new(),
        }
    }

    /// A command was started: was it just received?
    fn started(&mut self, id: EventId, exec: &Exec, carried: &Carried) {
        let news = carried.received.saturating_sub(self.received);
        self.received = carried.received;
        if news == 0 || news > COMMAND_BYTES_MAX || carried.idle_ns > PROMPT_NS {
            return;
        }
        self.pending = Some(Round { sent: carried.sent });
        if self.commands.len() < EVIDENCE_MAX {
            self.commands
                .push(exec.program.command_line().unwrap_or_default());
            self.evidence.push(id);
        }
    }

    /// By now this much was sent.
    fn answered(&mut self, sent: u64) {
        if self.pending.is_some_and(|round| sent > round.sent) {
            self.rounds += 1;
            self.pending = None;
        }
    }

    fn verdict(
        &mut self,
        connection: &Connection,
        event: &Event,
        host: &Tracker,
        reported: &mut Reported,
    ) -> Option<Finding> {
        let remote = connection.remote;
        if self.rounds == 0 {
            return None;
        }
        let weight = Weight::of(&self.holder, connection, host);
        let severity = weight.severity(self.rounds)?;
        if reported.has(self.holder.key, remote, severity, host) {
            return None;
        }
        reported.add(self.holder.key, remote, severity);
        let name = self.holder.name();
        let peer = story::peer(connection.remote, host);
        let way = if connection.direction == Direction::Ingress {
            "which called in"
        } else {
            "to which it connected"
        };
        let first = self.commands.first().map_or("", String::as_str);
        let mut evidence = self.evidence.clone();
        evidence.extend(connection.event);
        evidence.push(event.id);
        Some(Finding {
            cause: RULE.into(),
            severity,
            confidence: weight.confidence(self.rounds),
            message: format!(
                "{name} runs the commands that {peer} sends, {way}, and answers with their output; \
                 the first was: {first}"
            ),
            path: Some(format!(
                "{} ⇄ {name}[{}] ⇒ {first}",
                connection.remote, self.holder.key.pid
            )),
            peer: Some(Peer {
                endpoint: connection.remote,
                direction: connection.direction,
            }),
            file: self
                .holder
                .program
                .as_deref()
                .and_then(|program| Look::at(program).script())
                .map(Into::into),
            content: None,
            indicator: None,
            evidence,
            about: self.holder.clone(),
        })
    }
}

/// What speaks for and against a program that runs commands for a peer.
#[derive(Clone, Copy, Debug, Default)]
struct Weight {
    /// Its code is among its arguments, or it is where no program should be.
    odd: bool,
    /// A super-server that was given code to start. One answer is a service; a conversation is
    /// not.
    given: bool,
    /// It called out.
    outbound: bool,
    /// It called an address of which nobody had asked the name; see [`is_nameless`].
    nameless: bool,
    /// It is a file of the system and no interpreter.
    packaged: bool,
}

impl Weight {
    fn of(holder: &Process, connection: &Connection, host: &Tracker) -> Self {
        let look = holder.program.as_deref().map(Look::at);
        Self {
            odd: look.is_some_and(|look| {
                look.is_out_of_place() || (look.carries_code() && !look.is_super_server())
            }),
            given: look.is_some_and(|look| look.carries_code() && look.is_super_server()),
            outbound: connection.direction != Direction::Ingress,
            nameless: is_nameless(connection, host),
            packaged: look.is_some_and(|look| look.is_of_system() && look.kind() == Kind::Other),
        }
    }

    const fn points(self) -> u32 {
        3 * self.odd as u32 + self.outbound as u32 + self.nameless as u32
    }

    fn severity(self, rounds: u32) -> Option<Severity> {
        if self.odd || (self.given && rounds > 1) {
            return Some(Severity::High);
        }
        if self.packaged {
            return None;
        }
        let points = self.points() + (rounds / 2).min(2);
        match points {
            0..ALERT_AT => None,
            ALERT_AT => Some(Severity::Medium),
            _ => Some(Severity::High),
        }
    }

    fn confidence(self, rounds: u32) -> u8 {
        let percent = 50 + 8 * self.points() + 5 * rounds.min(4);
        u8::try_from(percent.min(95)).unwrap_or(95)
    }
}
