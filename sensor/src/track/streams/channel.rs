//! The kinds of kernel object that join processes, and how a process holds one.

use std::fmt;

use crate::event::object::{Kind, Object};

/// A kernel object that carries bytes from one process to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// An anonymous pipe, by its inode.
    Pipe(u64),
    /// A named pipe.
    Fifo {
        /// Device it is on.
        device: u32,
        /// Its inode.
        inode: u64,
    },
    /// One end of a unix socket, by its inode; the peer is another channel.
    Unix(u64),
    /// A pseudo-terminal, by its number, as the programs on it hold it.
    Terminal(u32),
    /// The master of a pseudo-terminal.
    Master(u32),
    /// An inet socket, by its inode.
    Inet(u64),
}

impl Channel {
    /// What a standard stream or an opened file is, if it joins processes.
    #[must_use]
    pub fn of(object: &Object) -> Option<Self> {
        match object.kind {
            Kind::Pipe => Some(Self::Pipe(object.inode)),
            Kind::Fifo => Some(Self::Fifo {
                device: object.device,
                inode: object.inode,
            }),
            Kind::UnixSocket => Some(Self::Unix(object.inode)),
            Kind::Tty => object.pty_index().map(Self::Terminal),
            Kind::PtyMaster => object.pty_index().map(Self::Master),
            Kind::InetSocket => Some(Self::Inet(object.inode)),
            _ => None,
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pipe(inode) => write!(f, "pipe:[{inode}]"),
            Self::Fifo { inode, .. } => write!(f, "fifo:[{inode}]"),
            Self::Unix(inode) => write!(f, "unix:[{inode}]"),
            Self::Terminal(index) | Self::Master(index) => write!(f, "pts/{index}"),
            Self::Inet(inode) => write!(f, "socket:[{inode}]"),
        }
    }
}

/// How a process holds a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// What.
    pub channel: Channel,
    /// It can read from it; of standard streams, it is standard input.
    pub reads: bool,
    /// It can write to it; of standard streams, it is standard output or error.
    pub writes: bool,
    /// It is a standard stream.
    pub standard: bool,
}
