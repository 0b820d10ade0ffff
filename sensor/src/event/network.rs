//! Sockets: who connected, accepted, listened, bound, sent, and how it ended. DNS messages
//! have a file of their own. What a connection means is not decided here.

pub mod dns;

use std::net::IpAddr;

use super::field::{Field, Fields, Value};
use super::flags::{self, ERRNO};
use super::{Endpoint, Label, Stamp};

/// Label of a TCP connect.
pub const TCP_CONNECT: Label = Label {
    name: "network.connect",
    action: "connect",
    category: &["network"],
    kind: &["connection", "start"],
};
/// Label of a TCP connect that was forbidden.
pub const TCP_CONNECT_DENIED: Label = Label {
    kind: &["connection", "denied"],
    ..TCP_CONNECT
};
/// Label of an accepted TCP connection.
pub const TCP_ACCEPT: Label = Label {
    name: "network.accept",
    action: "accept",
    category: &["network"],
    kind: &["connection", "start"],
};
/// Label of [`Listen`].
pub const TCP_LISTEN: Label = Label {
    name: "network.listen",
    action: "listen",
    category: &["network"],
    kind: &["start"],
};
/// Label of a bind.
pub const BIND: Label = Label {
    name: "network.bind",
    action: "bind",
    category: &["network"],
    kind: &["info"],
};
/// Label of [`Close`].
pub const TCP_CLOSE: Label = Label {
    name: "network.close",
    action: "close",
    category: &["network"],
    kind: &["connection", "end"],
};
/// Label of a UDP connect.
pub const UDP_CONNECT: Label = Label {
    name: "network.udp_connect",
    action: "connect",
    category: &["network"],
    kind: &["connection", "start"],
};
/// Label of a first datagram to a peer.
pub const UDP_SEND: Label = Label {
    name: "network.udp_send",
    action: "send",
    category: &["network"],
    kind: &["connection", "start"],
};
/// Label of [`RawSocket`].
pub const RAW_SOCKET: Label = Label {
    name: "network.raw_socket",
    action: "socket",
    category: &["network"],
    kind: &["info"],
};
/// Label of [`UnixConnect`].
pub const UNIX_CONNECT: Label = Label {
    name: "network.unix_connect",
    action: "connect",
    category: &["network"],
    kind: &["connection", "start"],
};

/// Which way a connection was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// By the peer: accepted, received.
    Ingress,
    /// By the process: connected, sent.
    Egress,
    /// Nobody saw.
    Unknown,
}

impl Direction {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
            Self::Unknown => "unknown",
        }
    }
}

/// A socket and both its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// This end; port 0 while none is chosen.
    pub local: Endpoint,
    /// The other end; unspecified and port 0 when there is none.
    pub remote: Endpoint,
    /// IP protocol number.
    pub protocol: u8,
    /// Inode of the network namespace the socket lives in.
    pub net_ns: u32,
    /// Inode of the socket, as in `/proc/PID/fd`; `None` when no descriptor stands for it.
    pub inode: Option<u64>,
}

impl Flow {
    fn transport(&self) -> Option<&'static str> {
        match i32::from(self.protocol) {
            libc::IPPROTO_TCP => Some("tcp"),
            libc::IPPROTO_UDP => Some("udp"),
            _ => None,
        }
    }

    fn put_socket(&self, fields: &mut Fields<'_>) {
        fields.put_some(Field::NetworkTransport, self.transport());
        fields.put(Field::NetworkIanaNumber, self.protocol.to_string());
        let kind = match self.local.address {
            IpAddr::V4(_) => "ipv4",
            IpAddr::V6(_) => "ipv6",
        };
        fields.put(Field::NetworkType, kind);
        fields.put_some(Field::SensorNetworkInode, self.inode);
        fields.put(Field::SensorNetworkNamespace, self.net_ns);
    }

    /// Both ends, the one that began as the source.
    fn put(&self, direction: Direction, fields: &mut Fields<'_>) {
        let (source, destination) = match direction {
            Direction::Ingress => (self.remote, self.local),
            Direction::Egress | Direction::Unknown => (self.local, self.remote),
        };
        fields.put(Field::SourceIp, source.address);
        fields.put(Field::SourcePort, u64::from(source.port));
        fields.put(Field::DestinationIp, destination.address);
        fields.put(Field::DestinationPort, u64::from(destination.port));
        fields.put(Field::NetworkDirection, direction.name());
        self.put_socket(fields);
    }

    fn words(&self, direction: Direction) -> String {
        match direction {
            Direction::Ingress => format!("{} <- {}", self.local, self.remote),
            Direction::Egress => format!("{} -> {}", self.local, self.remote),
            Direction::Unknown => format!("{} - {}", self.local, self.remote),
        }
    }
}

/// A TCP connection was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accept(pub Flow);

impl Accept {
    pub(super) fn put(&self, fields: &mut Fields<'_>) {
        self.0.put(Direction::Ingress, fields);
        fields.put(Field::EventOutcome, "success");
    }

    pub(super) fn summary(&self) -> String {
        self.0.words(Direction::Ingress)
    }
}

/// A socket was bound to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind(pub Flow);

impl Bind {
    pub(super) fn put(&self, fields: &mut Fields<'_>) {
        fields.put(Field::SourceIp, self.0.local.address);
        fields.put(Field::SourcePort, u64::from(self.0.local.port));
        self.0.put_socket(fields);
    }

    pub(super) fn summary(&self) -> String {
        format!("{} {}", self.0.transport().unwrap_or("ip"), self.0.local)
    }
}

/// A process sent its first datagram to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Send(pub Flow);

impl Send {
    pub(super) fn put(&self, fields: &mut Fields<'_>) {
        self.0.put(Direction::Egress, fields);
    }

    pub(super) fn summary(&self) -> String {
        format!("udp {}", self.0.words(Direction::Egress))
    }
}

/// How a connect came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Connected.
    Success,
    /// Refused, unreachable, timed out, forbidden, …: the errno.
    Failure(u32),
    /// The process closed the socket before there was an answer.
    Abandoned,
}

/// A socket was connected, or could not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect {
    /// The socket.
    pub flow: Flow,
    /// When it was tried; `None` when that was before the sensor watched.
    pub started: Option<Stamp>,
    /// From then to the outcome, in nanoseconds.
    pub took_ns: u64,
    /// What came of it.
    pub outcome: Outcome,
}

impl Connect {
    /// Whether somebody forbade it.
    #[must_use]
    pub fn denied(&self) -> bool {
        matches!(self.outcome, Outcome::Failure(error)
            if [libc::EACCES, libc::EPERM].contains(&error.cast_signed()))
    }

    pub(super) fn put(&self, fields: &mut Fields<'_>) {
        self.flow.put(Direction::Egress, fields);
        if let Some(started) = self.started {
            fields.put(Field::EventStart, Value::Time(started.wall_ns));
            fields.put(Field::EventDuration, self.took_ns);
        }
        match self.outcome {
            Outcome::Success => fields.put(Field::EventOutcome, "success"),
            Outcome::Failure(error) => {
                fields.put(Field::EventOutcome, "failure");
                put_error(error, fields);
            }
            Outcome::Abandoned => fields.put(Field::EventOutcome, "unknown"),
        }
    }

    pub(super) fn summary(&self) -> String {
        let mut text = self.flow.words(Direction::Egress);
        if self.flow.transport() == Some("udp") {
            text.insert_str(0, "udp ");
        }
        match self.outcome {
            Outcome::Success => {}
            Outcome::Failure(error) => {
                text.push_str(&format!(" !{}", flags::name(error.into(), ERRNO)))
            }
            Outcome::Abandoned => text.push_str(" !abandoned"),
        }
        text
    }
}

fn put_error(error: u32, fields: &mut Fields<'_>) {
    fields.put(Field::ErrorCode, flags::name(error.into(), ERRNO));
}

/// A TCP socket listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The socket.
    pub flow: Flow,
    /// How many connections may wait to be accepted.
    pub backlog: u32,
}

impl Listen {
    pub(super) fn put(&self, fields: &mut Fields<'_>) {
        fields.put(Field::ServerIp, self.flow.local.address);
        fields.put(Field::ServerPort, u64::from(self.flow.local.port));
        fields.put(Field::SensorNetworkBacklog, self.backlog);
        self.flow.put_socket(fields);
    }

    pub(super) fn summary(&self) -> String {
        self.flow.local.to_string()
    }
}

/// A TCP connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    /// The socket.
    pub flow: Flow,
    /// Who had opened it.
    pub direction: Direction,
    /// When it was established or accepted; `None` when that was before the sensor watched, or
    /// it was never accepted.
    pub opened: Option<Stamp>,
    /// From then to its end, in nanoseconds.
    pub lasted_ns: u64,
    /// Payload bytes sent.
    pub sent: u64,
    /// Payload bytes received.
    pub received: u64,
    /// What it died of (reset, timed out, …), an errno; `None` for an orderly end.
    pub error: Option<u32>,
}

impl Close {
    pub(super) fn put(&self, fields: &mut Fields<'_>) {
        self.flow.put(self.direction, fields);
        let (source, destination) = match self.direction {
            Direction::Ingress => (self.received, self.sent),
            Direction::Egress | Direction::Unknown => (self.sent, self.received),
        };
        // A `long` of ECS has a sign.
        let long = |bytes: u64| bytes.min(i64::MAX.unsigned_abs());
        fields.put(Field::SourceBytes, long(source));
        fields.put(Field::DestinationBytes, long(destination));
        fields.put(
            Field::NetworkBytes,
            long(source.saturating_add(destination)),
        );
        if let Some(opened) = self.opened {
            fields.put(Field::EventStart, Value::Time(opened.wall_ns));
            fields.put(Field::EventDuration, self.lasted_ns);
        }
        if let Some(error) = self.error {
            put_error(error, fields);
        }
    }

    pub(super) fn summary(&self) -> String {
        let mut text = self.flow.words(self.direction);
        text.push_str(&format!(" sent {} received {}", self.sent, self.received));
        if self.opened.is_some() {
            text.push_str(&format!(" in {:.3} s", self.lasted_ns as f64 / 1e9));
        }
        if let Some(error) = self.error {
            text.push_str(&format!(" !{}", flags::name(error.into(), ERRNO)));
        }
        text
    }
}

/// A raw or packet socket was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawSocket {
    /// Address family (`AF_*`).
    pub family: u16,
    /// Socket type (`SOCK_*`).
    pub socket_type: u16,
    /// IP protocol, or Ethernet protocol in host order for `AF_PACKET`.
    pub protocol: u32,
    /// Inode of the socket.
    pub inode: u64,
}

impl RawSocket {
    fn family_name(&self) -> &'static str {
        match i32::from(self.family) {
            libc::AF_INET => "inet",
            libc::AF_INET6 => "inet6",
            libc::AF_PACKET => "packet",
            _ => "other",
        }
    }

    fn type_name(&self) -> &'static str {
        socket_type_name(self.socket_type)
    }

    pub(super) fn put(&self, fields: &mut Fields<'_>) {
        fields.put(Field::SensorSocketFamily, self.family_name());
        fields.put(Field::SensorSocketType, self.type_name());
        fields.put(Field::SensorSocketProtocol, self.protocol);
        fields.put(Field::SensorNetworkInode, self.inode);
    }

    pub(super) fn summary(&self) -> String {
        format!(
            "{} {} protocol {:#x}",
            self.family_name(),
            self.type_name(),
            self.protocol
        )
    }
}

/// `SOCK_*` of `include/linux/net.h`.
fn socket_type_name(number: u16) -> &'static str {
    match i32::from(number) {
        libc::SOCK_STREAM => "stream",
        libc::SOCK_DGRAM => "dgram",
        libc::SOCK_RAW => "raw",
        libc::SOCK_SEQPACKET => "seqpacket",
        10 => "packet",
        _ => "other",
    }
}

/// Name of a unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnixName {
    /// A path in the file system, absolute.
    Path(Box<str>),
    /// In the abstract namespace.
    Abstract(Box<str>),
    /// It has none.
    Unnamed,
}

/// A unix socket was connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixConnect {
    /// Name of the peer.
    pub peer: UnixName,
    /// Socket type (`SOCK_*`).
    pub socket_type: u16,
    /// Inode of the socket.
    pub inode: u64,
    /// Inode of the peer's socket; `None` while the connection waits to be accepted.
    pub peer_inode: Option<u64>,
    /// Who had called `listen`; `None` for datagrams.
    pub peer_pid: Option<u32>,
}

impl UnixConnect {
    pub(super) fn put<'a>(&'a self, fields: &mut Fields<'a>) {
        match &self.peer {
            UnixName::Path(path) => fields.put(Field::SensorUnixPath, &**path),
            UnixName::Abstract(name) => fields.put(Field::SensorUnixAbstractName, &**name),
            UnixName::Unnamed => {}
        }
        fields.put(Field::SensorSocketFamily, "unix");
        fields.put(Field::SensorSocketType, socket_type_name(self.socket_type));
        fields.put(Field::SensorNetworkInode, self.inode);
        fields.put_some(Field::SensorUnixPeerInode, self.peer_inode);
        fields.put_some(Field::SensorUnixPeerPid, self.peer_pid);
    }

    pub(super) fn summary(&self) -> String {
        let name = match &self.peer {
            UnixName::Path(path) => path.to_string(),
            UnixName::Abstract(name) => format!("@{name}"),
            UnixName::Unnamed => "(unnamed)".to_owned(),
        };
        match self.peer_pid {
            Some(pid) => format!("unix:{name} of pid {pid}"),
            None => format!("unix:{name}"),
        }
    }
}

#[cfg(test)]
mod tests;
