//! Drills: harmless attacks on this machine's own loopback, each the way an intruder would do
//! it, to prove that the sensor sees them here. A drill has two sides: the implant, a process of
//! its own that runs `act`, and its master, who says a few words through it ([`master`]).
//! Nothing leaves the machine and nothing is left behind.

pub mod alone;
pub mod decoys;
pub mod implant;
pub mod master;
pub(crate) mod net;
pub mod persistent;

pub use net::{own_network, take_address};

/// One drill.
#[derive(Clone, Copy, Debug)]
pub struct Drill {
    /// What it is called.
    pub name: &'static str,
    /// What the implant does.
    pub what: &'static str,
    /// The rule that must raise an alert; all whose ids begin so.
    pub rule: &'static str,
    /// How the master reaches the implant.
    pub line: Line,
    /// How often it says something.
    pub rounds: u32,
    /// The implant is a copy of this program in a directory for temporary files, where
    /// intruders put theirs.
    pub planted: bool,
    /// The implant's part.
    pub act: fn(u16) -> std::io::Result<()>,
}

/// How master and implant talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// The implant calls out, over TCP.
    Out,
    /// The master calls in, over TCP.
    In,
    /// The implant calls out, over UDP.
    Datagrams,
    /// They do not: the implant does what it does by itself.
    Silent,
}

const SHELL: &str = "remote-shell.";

/// All drills.
pub const DRILLS: &[Drill] = &[
    Drill {
        name: "duplicated-socket",
        what: "a shell has the socket as input and output, put there with dup2",
        rule: SHELL,
        line: Line::Out,
        rounds: 1,
        planted: false,
        act: implant::duplicated_socket,
    },
    Drill {
        name: "socket-at-zero",
        what: "a shell has a socket that came to be its standard input by itself",
        rule: SHELL,
        line: Line::Out,
        rounds: 1,
        planted: false,
        act: implant::socket_at_zero,
    },
    Drill {
        name: "fcntl",
        what: "a shell has the socket as input and output, put there with fcntl(F_DUPFD)",
        rule: SHELL,
        line: Line::Out,
        rounds: 1,
        planted: false,
        act: implant::fcntl,
    },
    Drill {
        name: "renamed-shell",
        what: "a copy of the shell under another name has the socket as input and output",
        rule: SHELL,
        line: Line::Out,
        rounds: 1,
        planted: false,
        act: implant::renamed_shell,
    },
    Drill {
        name: "pipe-relay",
        what: "a shell has pipes; the process that started it hands bytes on to the socket",
        rule: SHELL,
        line: Line::Out,
        rounds: 1,
        planted: false,
        act: implant::pipe_relay,
    },
    Drill {
        name: "separate-relay",
        what: "a shell has pipes, and so has a relay beside it that has the socket (openssl, nc)",
        rule: SHELL,
        line: Line::Out,
        rounds: 1,
        planted: false,
        act: implant::separate_relay,
    },
    Drill {
        name: "late-connection",
        what: "the same, but the relay connects long after the shell has started",
        rule: SHELL,
        line: Line::Out,
        rounds: 1,
        planted: false,
        act: implant::late_connection,
    },
    Drill {
        name: "fifo-relay",
        what: "a shell and a relay are joined by a pipe one way and a fifo the other",
        rule: SHELL,
        line: Line::Out,
        rounds: 1,
        planted: false,
        act: implant::fifo_relay,
    },
    Drill {
        name: "unix-relay",
        what: "a shell has a unix socket; who has its other end has the connection",
        rule: SHELL,
        line: Line::Out,
        rounds: 1,
        planted: false,
        act: implant::unix_relay,
    },
    Drill {
        name: "terminal-relay",
        what: "a shell has a terminal; who has its master has the socket (socat, pty.spawn)",
        rule: SHELL,
        line: Line::Out,
        rounds: 1,
        planted: false,
        act: implant::terminal_relay,
    },
    Drill {
        name: "bind-shell",
        what: "a process listens and gives the connection to a shell",
        rule: SHELL,
        line: Line::In,
        rounds: 1,
        planted: false,
        act: implant::bind_shell,
    },
    Drill {
        name: "datagrams",
        what: "a shell has a UDP socket as input and output",
        rule: SHELL,
        line: Line::Datagrams,
        rounds: 1,
        planted: false,
        act: implant::datagrams,
    },
    Drill {
        name: "command-loop",
        what: "a process runs each command it receives in a child; no shell has any socket",
        rule: SHELL,
        line: Line::Out,
        rounds: 4,
        planted: true,
        act: implant::command_loop,
    },
    Drill {
        name: "decoded-commands",
        what: "a shell takes its commands from a program that decodes them",
        rule: "decoded.run",
        line: Line::Silent,
        rounds: 0,
        planted: false,
        act: alone::decoded_commands,
    },
    Drill {
        name: "foreign-memory",
        what: "a process opens the memory of one that it did not start",
        rule: "injection",
        line: Line::Silent,
        rounds: 0,
        planted: false,
        act: alone::foreign_memory,
    },
    Drill {
        name: "port-scan",
        what: "a process tries one port of this machine after the other",
        rule: "scan",
        line: Line::Silent,
        rounds: 0,
        planted: false,
        act: alone::port_scan,
    },
    Drill {
        name: "dns-channel",
        what: "a process asks for many long names below one domain",
        rule: "dns-channel",
        line: Line::Silent,
        rounds: 0,
        planted: false,
        act: alone::dns_channel,
    },
    Drill {
        name: "decoy-file",
        what: "a process reads a file that was laid out as a decoy",
        rule: "decoy-file",
        line: Line::Silent,
        rounds: 0,
        planted: false,
        act: decoys::read,
    },
    Drill {
        name: "decoy-port",
        what: "a process calls a port that was opened as a decoy",
        rule: decoys::PORT_RULE,
        line: Line::Silent,
        rounds: 0,
        planted: false,
        act: decoys::call,
    },
];

/// The drill of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Drill> {
    DRILLS.iter().find(|drill| drill.name == name)
}
