//! What a file descriptor is: the objects that standard streams can be.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sensor_common::exec as raw;

use super::Endpoint;
use super::field::{Field, Fields};

/// Kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The descriptor is closed.
    Closed,
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// An anonymous pipe.
    Pipe,
    /// A named pipe.
    Fifo,
    /// A terminal.
    Tty,
    /// The master end of a pty.
    PtyMaster,
    /// `/dev/null`.
    Null,
    /// Another character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// An IPv4 or IPv6 socket.
    InetSocket,
    /// A unix socket.
    UnixSocket,
    /// Another socket.
    OtherSocket,
    /// An anonymous inode: eventfd, epoll and the like.
    Anonymous,
    /// A file in memory.
    Memfd,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Closed,
        Self::File,
        Self::Directory,
        Self::Pipe,
        Self::Fifo,
        Self::Tty,
        Self::PtyMaster,
        Self::Null,
        Self::CharacterDevice,
        Self::BlockDevice,
        Self::InetSocket,
        Self::UnixSocket,
        Self::OtherSocket,
        Self::Anonymous,
        Self::Memfd,
    ];

    /// From the number in a record; unknown numbers are taken for anonymous objects.
    #[must_use]
    pub const fn from_raw(kind: u8) -> Self {
        match kind {
            raw::OBJECT_CLOSED => Self::Closed,
            raw::OBJECT_FILE => Self::File,
            raw::OBJECT_DIRECTORY => Self::Directory,
            raw::OBJECT_PIPE => Self::Pipe,
            raw::OBJECT_FIFO => Self::Fifo,
            raw::OBJECT_TTY => Self::Tty,
            raw::OBJECT_PTY_MASTER => Self::PtyMaster,
            raw::OBJECT_NULL => Self::Null,
            raw::OBJECT_CHARACTER => Self::CharacterDevice,
            raw::OBJECT_BLOCK => Self::BlockDevice,
            raw::OBJECT_INET => Self::InetSocket,
            raw::OBJECT_UNIX => Self::UnixSocket,
            raw::OBJECT_SOCKET => Self::OtherSocket,
            raw::OBJECT_MEMFD => Self::Memfd,
            _ => Self::Anonymous,
        }
    }

    /// Word for it in fields.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::File => "file",
            Self::Directory => "directory",
            Self::Pipe => "pipe",
            Self::Fifo => "fifo",
            Self::Tty => "tty",
            Self::PtyMaster => "pty_master",
            Self::Null => "null",
            Self::CharacterDevice => "character_device",
            Self::BlockDevice => "block_device",
            Self::InetSocket => "inet_socket",
            Self::UnixSocket => "unix_socket",
            Self::OtherSocket => "socket",
            Self::Anonymous => "anonymous",
            Self::Memfd => "memfd",
        }
    }
}

/// The fields that describe a standard stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamFields {
    pub(super) words: Field,
    pub(super) kind: Field,
    pub(super) inode: Field,
    pub(super) device: Field,
    pub(super) terminal: Field,
    pub(super) unix_peer: Field,
    pub(super) local: Field,
    pub(super) local_port: Field,
    pub(super) peer: Field,
    pub(super) peer_port: Field,
    pub(super) protocol: Field,
}

/// Those of standard input, output and error.
pub(super) const STDIO: [StreamFields; 3] = [
    StreamFields {
        words: Field::SensorStdin,
        kind: Field::SensorStdinKind,
        inode: Field::SensorStdinInode,
        device: Field::SensorStdinDevice,
        terminal: Field::SensorStdinTerminal,
        unix_peer: Field::SensorStdinUnixPeer,
        local: Field::SensorStdinLocal,
        local_port: Field::SensorStdinLocalPort,
        peer: Field::SensorStdinPeer,
        peer_port: Field::SensorStdinPeerPort,
        protocol: Field::SensorStdinProtocol,
    },
    StreamFields {
        words: Field::SensorStdout,
        kind: Field::SensorStdoutKind,
        inode: Field::SensorStdoutInode,
        device: Field::SensorStdoutDevice,
        terminal: Field::SensorStdoutTerminal,
        unix_peer: Field::SensorStdoutUnixPeer,
        local: Field::SensorStdoutLocal,
        local_port: Field::SensorStdoutLocalPort,
        peer: Field::SensorStdoutPeer,
        peer_port: Field::SensorStdoutPeerPort,
        protocol: Field::SensorStdoutProtocol,
    },
    StreamFields {
        words: Field::SensorStderr,
        kind: Field::SensorStderrKind,
        inode: Field::SensorStderrInode,
        device: Field::SensorStderrDevice,
        terminal: Field::SensorStderrTerminal,
        unix_peer: Field::SensorStderrUnixPeer,
        local: Field::SensorStderrLocal,
        local_port: Field::SensorStderrLocalPort,
        peer: Field::SensorStderrPeer,
        peer_port: Field::SensorStderrPeerPort,
        protocol: Field::SensorStderrProtocol,
    },
];

/// The two ends of an inet socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InetSocket {
    /// This end.
    pub local: Endpoint,
    /// The other end; unspecified address and port 0 when not connected.
    pub remote: Endpoint,
    /// IP protocol number.
    pub protocol: u8,
    /// TCP state (`include/net/tcp_states.h`).
    pub state: u8,
}

/// An object behind a descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Inode number: identifies pipes and sockets.
    pub inode: u64,
    /// Device of the inode, `major << 20 | minor`.
    pub device: u32,
    /// For devices and terminals: the device it stands for, `major << 20 | minor`.
    pub stands_for: u32,
    /// `O_*` flags it was opened with.
    pub flags: u32,
    /// Its path, where it has one.
    pub path: Option<Box<str>>,
    /// For inet sockets, both ends.
    pub inet: Option<InetSocket>,
    /// For unix sockets, the inode of the peer's socket.
    pub peer_inode: Option<u64>,
}

impl Object {
    /// From a record.
    #[must_use]
    pub fn from_raw(raw: &raw::Object, path: Option<Box<str>>) -> Self {
        let kind = Kind::from_raw(raw.kind);
        let inet = (kind == Kind::InetSocket).then(|| InetSocket {
            local: Endpoint {
                address: address(raw.family, &raw.local_address),
                port: raw.local_port,
            },
            remote: Endpoint {
                address: address(raw.family, &raw.remote_address),
                port: raw.remote_port,
            },
            protocol: raw.protocol,
            state: raw.state,
        });
        Self {
            kind,
            inode: raw.inode,
            device: raw.dev,
            stands_for: raw.rdev,
            flags: raw.flags,
            path,
            inet,
            peer_inode: (raw.peer_inode != 0).then_some(raw.peer_inode),
        }
    }

    /// What is said of it as a standard stream: enough to tell what it joins.
    pub(super) fn put_stream<'a>(&'a self, fields: &mut Fields<'a>, names: &StreamFields) {
        fields.put(names.words, self.to_string());
        fields.put(names.kind, self.kind.name());
        if self.kind != Kind::Closed {
            fields.put(names.inode, self.inode);
        }
        match self.kind {
            Kind::Fifo => fields.put(names.device, device_name(self.device)),
            Kind::Tty | Kind::PtyMaster => {
                fields.put(names.terminal, device_name(self.stands_for));
            }
            Kind::UnixSocket => fields.put_some(names.unix_peer, self.peer_inode),
            _ => {}
        }
        if let Some(inet) = &self.inet {
            fields.put(names.local, inet.local.address);
            fields.put(names.local_port, u64::from(inet.local.port));
            fields.put(names.peer, inet.remote.address);
            fields.put(names.peer_port, u64::from(inet.remote.port));
            fields.put(names.protocol, u64::from(inet.protocol));
        }
    }

    /// Number of a Unix98 pty, for its slave (`/dev/pts/N`) as well as its master.
    #[must_use]
    pub fn pty_index(&self) -> Option<u32> {
        // Majors 128 to 143 hold 256 minors each: Documentation/admin-guide/devices.txt.
        let (major, minor) = (self.stands_for >> 20, self.stands_for & 0xf_ffff);
        match major {
            128..=135 => Some((major - 128) * 256 + minor),
            136..=143 => Some((major - 136) * 256 + minor),
            _ => None,
        }
    }
}

/// A device number as `major:minor`.
pub(super) fn device_name(device: u32) -> String {
    format!("{}:{}", device >> 20, device & 0xf_ffff)
}

/// An address of a record: IPv4 in the first four bytes, mapped addresses as IPv4.
#[must_use]
pub fn address(family: u8, bytes: &[u8; 16]) -> IpAddr {
    if i32::from(family) == libc::AF_INET {
        let [a, b, c, d, ..] = *bytes;
        return Ipv4Addr::new(a, b, c, d).into();
    }
    let address = Ipv6Addr::from(*bytes);
    address
        .to_ipv4_mapped()
        .map_or(IpAddr::V6(address), IpAddr::V4)
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(inet) = &self.inet {
            let protocol = match i32::from(inet.protocol) {
                libc::IPPROTO_TCP => "tcp",
                libc::IPPROTO_UDP => "udp",
                _ => "ip",
            };
            return write!(f, "{protocol}:{}->{}", inet.local, inet.remote);
        }
        match (self.kind, self.pty_index(), &self.path) {
            (Kind::Tty, Some(index), _) => write!(f, "/dev/pts/{index}"),
            (Kind::PtyMaster, Some(index), _) => write!(f, "ptmx:{index}"),
            (Kind::Tty, None, _) => write!(
                f,
                "tty:{}:{}",
                self.stands_for >> 20,
                self.stands_for & 0xf_ffff
            ),
            (Kind::Null, _, _) => f.write_str("/dev/null"),
            (Kind::Closed, _, _) => f.write_str("closed"),
            (Kind::UnixSocket, _, _) => match self.peer_inode {
                Some(peer) => write!(f, "unix:[{}]->[{peer}]", self.inode),
                None => write!(f, "unix:[{}]", self.inode),
            },
            (_, _, Some(path)) => f.write_str(path),
            (kind, _, None) => write!(f, "{}:[{}]", kind.name(), self.inode),
        }
    }
}
