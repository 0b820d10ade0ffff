//! *Remote shell*: a process whose standard input is fed by a remote peer and whose output
//! reaches the same peer, directly or through any chain of relays.
//!
//! Sees: a socket on the process's own streams, however it came there; pipes, fifos, unix
//! sockets and pseudo-terminals with a relay behind them that has the socket (nc, socat, openssl,
//! telnet, an interpreter); two connections to one peer; whatever happens first, the connection
//! or the shell; shells under another name.
//! Misses: relays that hand bytes on through files, shared memory or another machine; a command
//! interpreter inside the process that has the socket (see `command_loop`, once it starts
//! commands); UDP sockets that are never connected and send nothing.
//! Looks alike: logins (sshd, containers), known by the service in the chain; build agents, which
//! hand scripts to shells through pipes (`errand`, of medium severity, because an implant that is
//! told what to do before it starts its shell does the same); inetd-style services, which run a
//! program or a script and no shell that reads commands; X clients.

use super::command_loop::is_nameless;
use super::finding::{Builtin, Finding};
use super::program::{Kind, Look};
use super::reported::Reported;
use super::story;
use super::suspects::{Suspect, Suspects};
use crate::event::alert::{Peer, Severity};
use crate::event::lineage::Lineage;
use crate::event::network::Direction;
use crate::event::process::ProcessKey;
use crate::event::{Action, Endpoint, Event, attack};
use crate::track::Tracker;
use crate::track::streams::{Connection, Link, Way};

/// Processes looked at when one that joins them changes.
const JOINED_MAX: usize = 24;

/// A shell called out to its master.
pub const REVERSE: Builtin = Builtin {
    id: "remote-shell.reverse",
    name: "Reverse shell",
    techniques: &["T1059.004", "T1095"],
    tactics: &[attack::EXECUTION, attack::COMMAND_AND_CONTROL],
};
/// A shell waited to be called.
pub const BIND: Builtin = Builtin {
    id: "remote-shell.bind",
    name: "Bind shell",
    techniques: &["T1059.004", "T1095"],
    tactics: &[attack::EXECUTION, attack::COMMAND_AND_CONTROL],
};
/// A program that is no shell runs on a connection that went out.
pub const COMMAND: Builtin = Builtin {
    id: "remote-shell.command",
    name: "Command run over a connection",
    techniques: &["T1059", "T1095"],
    tactics: &[attack::EXECUTION, attack::COMMAND_AND_CONTROL],
};

/// A program that was given work over a connection has a shell do it.
pub const ERRAND: Builtin = Builtin {
    id: "remote-shell.errand",
    name: "Shell works for a peer",
    techniques: &["T1059.004", "T1072"],
    tactics: &[attack::EXECUTION],
};

/// Commands come in and nothing goes back.
pub const ONE_WAY: Builtin = Builtin {
    id: "remote-shell.one-way",
    name: "Shell that obeys a peer and does not answer",
    techniques: &["T1059.004", "T1105"],
    tactics: &[attack::EXECUTION, attack::COMMAND_AND_CONTROL],
};

/// Finds remote shells.
#[derive(Debug, Default)]
pub struct RemoteShells {
    suspects: Suspects,
}

/// A way from a peer to a process, and the way back if there is one.
struct Tie<'h> {
    fed: Link,
    heard: Option<Link>,
    connection: &'h Connection,
    certain: bool,
}

impl Tie<'_> {
    fn length(&self) -> usize {
        self.fed.hops.len() + self.heard.as_ref().map_or(0, |heard| heard.hops.len())
    }
}

impl RemoteShells {
    /// For events that are not of this host.
    #[must_use]
    pub fn of_elsewhere() -> Self {
        Self {
            suspects: Suspects::of_elsewhere(),
        }
    }

    /// Processes forgotten for want of room.
    #[must_use]
    pub const fn forgotten(&self) -> u64 {
        self.suspects.forgotten()
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
        let key = process.key;
        match &event.action {
            Action::Exec(exec) => {
                let joined = self.suspects.executed(event, process, exec);
                if !joined {
                    return;
                }
                if let Some(runner) = self.suspects.runner_of(key) {
                    self.suspects.runs_commands(runner);
                    self.examine(runner, event, host, reported, found);
                }
                self.examine(key, event, host, reported, found);
                // It may be the relay that others waited for.
                self.examine_joined(key, event, host, reported, found);
            }
            Action::TcpConnect(_)
            | Action::TcpAccept(_)
            | Action::UdpConnect(_)
            | Action::UdpSend(_)
            | Action::UnixConnect(_)
            | Action::StreamOpen(_) => self.examine_joined(key, event, host, reported, found),
            Action::Exit(_) => self.suspects.ended(key),
            _ => {}
        }
    }

    fn examine_joined(
        &self,
        key: ProcessKey,
        event: &Event,
        host: &Tracker,
        reported: &mut Reported,
        found: &mut Vec<Finding>,
    ) {
        for other in host.streams().joined_to(key, JOINED_MAX) {
            if other != key {
                self.examine(other, event, host, reported, found);
            }
        }
    }

    fn examine(
        &self,
        key: ProcessKey,
        event: &Event,
        host: &Tracker,
        reported: &mut Reported,
        found: &mut Vec<Finding>,
    ) {
        let Some(suspect) = self.suspects.get(key) else {
            return;
        };
        let Some(tie) = tie(key, host).or_else(|| one_way(suspect, host)) else {
            return;
        };
        let remote = tie.connection.remote;
        let Some((rule, severity, confidence)) = judge(suspect, &tie, host) else {
            return;
        };
        if reported.has(key, remote, severity, host) {
            return;
        }
        found.push(finding(
            suspect, &tie, event, host, rule, severity, confidence,
        ));
        remember(key, &tie, severity, host, reported);
    }
}

/// Remembers whom to be silent about from now on.
fn remember(
    key: ProcessKey,
    tie: &Tie<'_>,
    severity: Severity,
    host: &Tracker,
    reported: &mut Reported,
) {
    let remote = tie.connection.remote;
    reported.add(key, remote, severity);
    // A program that starts one command after the other on its connection is reported once; so
    // is what relays for a shell, whatever else it seems to do.
    let runner = host
        .streams()
        .parent(key)
        .filter(|parent| host.streams().holds_connection(*parent, tie.fed.connection));
    let back = tie.heard.iter().flat_map(|heard| &heard.hops);
    let relays = tie.fed.hops.iter().chain(back).map(|hop| hop.relay);
    let opener = tie.connection.opener;
    for process in runner.into_iter().chain(relays).chain([opener]) {
        reported.add(process, remote, severity);
    }
}

/// The best way from a peer to a process and back, if there is one that is not a login.
fn tie(key: ProcessKey, host: &Tracker) -> Option<Tie<'_>> {
    let streams = host.streams();
    let fed = streams.links(key, Way::In);
    if fed.is_empty() {
        return None;
    }
    let heard = streams.links(key, Way::Out);
    let mut best: Option<Tie<'_>> = None;
    for input in &fed {
        let Some(connection) = streams.connections().get(input.connection) else {
            continue;
        };
        for output in &heard {
            let answers = streams
                .connections()
                .get(output.connection)
                .is_some_and(|other| is_same_peer(connection, other, input, output));
            if !answers || is_login(input, connection, host) || is_login(output, connection, host) {
                continue;
            }
            let certain = input.certain && output.certain;
            let length = input.hops.len() + output.hops.len();
            let better = best.as_ref().is_none_or(|best| {
                let best_length = best.length();
                (certain, best_length) > (best.certain, length)
            });
            if better {
                best = Some(Tie {
                    fed: input.clone(),
                    heard: Some(output.clone()),
                    connection,
                    certain,
                });
            }
        }
    }
    best
}

/// A connection that went out and feeds a shell that answers nobody, or somebody else.
fn one_way<'h>(suspect: &Suspect, host: &'h Tracker) -> Option<Tie<'h>> {
    if !suspect.reads_commands || suspect.kind == Kind::Other {
        return None;
    }
    let streams = host.streams();
    streams
        .links(suspect.process.key, Way::In)
        .into_iter()
        .filter(|link| link.certain)
        .find_map(|link| {
            let connection = streams.connections().get(link.connection)?;
            let out = connection.direction != Direction::Ingress;
            (out && !is_login(&link, connection, host)).then_some(Tie {
                fed: link,
                heard: None,
                connection,
                certain: true,
            })
        })
}

/// One connection, or two to the same place; on this machine itself, to the same port.
fn is_same_peer(a: &Connection, b: &Connection, input: &Link, output: &Link) -> bool {
    input.connection == output.connection
        || (a.direction == b.direction
            && a.remote.address == b.remote.address
            && (a.remote.port == b.remote.port || !a.remote.address.is_loopback()))
}

/// Whether somebody on the way, or who opened the connection, is there to let people log in.
fn is_login(link: &Link, connection: &Connection, host: &Tracker) -> bool {
    if is_display(connection.remote) {
        return true;
    }
    link.hops
        .iter()
        .map(|hop| hop.relay)
        .chain([connection.opener])
        .filter_map(|relay| host.program(relay))
        .any(|program| Look::at(program).is_login_service())
}

/// An X server that is on this machine, or forwarded to it: displays are ports from 6000 on.
const fn is_display(remote: Endpoint) -> bool {
    remote.address.is_loopback() && remote.port >= 6000 && remote.port < 6064
}

fn judge(suspect: &Suspect, tie: &Tie<'_>, host: &Tracker) -> Option<(Builtin, Severity, u8)> {
    let key = suspect.process.key;
    let inbound = tie.connection.direction == Direction::Ingress;
    if tie.heard.is_none() {
        return Some((ONE_WAY, obedience(suspect, tie, host), 75));
    }
    if suspect.reads_commands {
        if is_errand(suspect, tie, host) {
            let severity = if is_nameless(tie.connection, host) {
                Severity::High
            } else {
                Severity::Medium
            };
            return Some((ERRAND, severity, 60));
        }
        let rule = if inbound { BIND } else { REVERSE };
        let confidence = if tie.certain { 97 } else { 88 };
        return Some((rule, Severity::Critical, confidence));
    }
    // A relay of its own is a tunnel or a proxy and no shell.
    if host.streams().has_other_connection(key, tie.fed.connection) {
        return None;
    }
    // A program that nobody knows and that does what a shell does.
    let like_shell = suspect.runs_commands && suspect.kind == Kind::Other;
    if inbound {
        let opener = host.program(tie.connection.opener)?;
        let look = Look::at(opener);
        // What a super-server is given to start is not its own code, and judged when it starts.
        let odd = (look.carries_code() && !look.is_super_server()) || look.is_out_of_place();
        if like_shell && tie.fed.hops.is_empty() && !look.is_super_server() {
            return Some((BIND, Severity::High, 80));
        }
        return (tie.certain && odd).then_some((COMMAND, Severity::High, 80));
    }
    if like_shell && !suspect.of_system {
        return Some((REVERSE, Severity::High, 85));
    }
    if tie.certain {
        return Some((COMMAND, Severity::High, 85));
    }
    // Behind a pipe that nobody was seen to hold: a program like any other, unless it stands
    // where no program should.
    let odd = !suspect.of_system && suspect.kind == Kind::Other;
    let program = suspect.process.program.as_deref()?;
    (odd && Look::at(program).is_out_of_place()).then_some((COMMAND, Severity::Medium, 60))
}

/// Whether it looks like a build agent's shell: its pipes are in the hands of a program with a
/// place of its own, which nobody would use as a relay, and which had heard from the peer before
/// it started the shell. A shell that waits for an intruder is there before the first word.
fn is_errand(suspect: &Suspect, tie: &Tie<'_>, host: &Tracker) -> bool {
    let had_heard = suspect
        .carried
        .is_some_and(|carried| carried.inode == tie.fed.connection && carried.received > 0);
    let [hop] = &*tie.fed.hops else { return false };
    let is_settled = host.program(hop.relay).is_some_and(|program| {
        let look = Look::at(program);
        !look.carries_code() && !look.is_out_of_place() && !look.is_bare_relay()
    });
    had_heard && is_settled && !tie.certain && !suspect.is_interactive
}

/// How bad it is that a shell takes what comes out of a connection for commands: bad when it
/// has the socket, or a tool that knows nothing but sockets; people do it with what fetches files.
fn obedience(suspect: &Suspect, tie: &Tie<'_>, host: &Tracker) -> Severity {
    let lineage = suspect.process.lineage;
    if lineage.has(Lineage::WEB_SERVICE | Lineage::DATABASE) {
        return Severity::High;
    }
    let relays = tie
        .fed
        .hops
        .iter()
        .filter_map(|hop| host.program(hop.relay));
    let looks: Vec<_> = relays.map(|program| Look::at(program)).collect();
    let raw = |look: &Look<'_>| look.is_bare_relay() || look.is_out_of_place();
    if looks.is_empty() || looks.iter().any(raw) {
        Severity::High
    } else if looks.iter().any(Look::is_fetcher)
        && host.name_of(tie.connection.remote.address).is_some()
    {
        Severity::Low
    } else {
        Severity::Medium
    }
}

fn finding(
    suspect: &Suspect,
    tie: &Tie<'_>,
    event: &Event,
    host: &Tracker,
    rule: Builtin,
    severity: Severity,
    confidence: u8,
) -> Finding {
    let connection = tie.connection;
    let peer = story::peer(connection.remote, host);
    let name = suspect.process.name();
    let came = match connection.direction {
        Direction::Ingress => "which called in",
        Direction::Egress => "to which this host connected",
        Direction::Unknown => "whichever of the two began",
    };
    let does = if suspect.reads_commands || rule != COMMAND {
        "takes its commands from"
    } else {
        "runs with its input and output on"
    };
    let by = if connection.protocol == libc::IPPROTO_UDP as u8 {
        " over UDP"
    } else {
        ""
    };
    let mut evidence = vec![suspect.exec];
    evidence.extend(connection.event);
    evidence.push(event.id);
    Finding {
        cause: rule.into(),
        severity,
        confidence,
        message: format!("{name} {does} {peer}, {came}{by}"),
        path: Some(story::path(
            &suspect.process,
            &tie.fed,
            tie.heard.as_ref(),
            connection.remote,
            host,
        )),
        peer: Some(Peer {
            endpoint: connection.remote,
            direction: connection.direction,
        }),
        file: None,
        content: None,
        indicator: None,
        evidence,
        about: suspect.process.clone(),
    }
}
