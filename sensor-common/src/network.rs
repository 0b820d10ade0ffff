//! Records of the network family: who connected, accepted, listened, bound, resolved what.
//! No process records, and no decisions on what a connection means.

use crate::record::{Header, Subject};

record! {
    /// Both ends of an inet socket. A socket of family `AF_INET6` that talks IPv4 has
    /// v4-mapped addresses (`::ffff:a.b.c.d`); they are passed on as the kernel keeps them.
    #[derive(Default)]
    pub struct Flow {
        /// Address family (`AF_INET` or `AF_INET6`) of the addresses below.
        pub family: u8,
        /// IP protocol (`IPPROTO_*`).
        pub protocol: u8,
        /// Socket type (`SOCK_*`).
        pub socket_type: u16,
        /// Local port, host order, 0 when none has been chosen yet.
        pub local_port: u16,
        /// Remote port, host order, 0 when there is none.
        pub remote_port: u16,
        /// Inode of the network namespace the socket lives in, which can be another one than
        /// its process's.
        pub net_ns: u32,
        /// Padding.
        pub reserved: u32,
        /// Inode of the socket, as in `/proc/PID/fd`; 0 when no descriptor stands for it (any
        /// more, or yet).
        pub inode: u64,
        /// Local address; IPv4 in the first four bytes, network order.
        pub local_address: [u8; 16],
        /// Remote address; IPv4 in the first four bytes, network order.
        pub remote_address: [u8; 16],
    }
}

record! {
    /// Something about a socket that its two ends say all about:
    /// [`crate::kind::TCP_ACCEPT`] (the local port is the one listened on),
    /// [`crate::kind::BIND`] (no remote end), [`crate::kind::UDP_SEND`] (the remote end is
    /// where the datagram goes).
    pub struct Socket {
        /// Header.
        pub header: Header,
        /// The process.
        pub subject: Subject,
        /// The socket.
        pub flow: Flow,
    }
}

record! {
    /// A socket was connected, or could not be: [`crate::kind::TCP_CONNECT`] when the outcome
    /// is known, [`crate::kind::UDP_CONNECT`] at once.
    pub struct Connect {
        /// Header. Its time is that of the outcome.
        pub header: Header,
        /// The process that called `connect`.
        pub subject: Subject,
        /// The socket. When it failed before a route was known, the local end may be empty.
        pub flow: Flow,
        /// When it was tried, nanoseconds since boot.
        pub started_boot_ns: u64,
        /// 0 for a connection, else the errno that says why there is none.
        pub error: u32,
        /// Bits of `CONNECT_*`.
        pub flags: u32,
    }
}

/// Connect flag: the process gave up (closed the socket) before there was an answer.
pub const CONNECT_ABANDONED: u32 = 1;

record! {
    /// [`crate::kind::TCP_LISTEN`]: a TCP socket listens.
    pub struct Listen {
        /// Header.
        pub header: Header,
        /// The process.
        pub subject: Subject,
        /// The socket; no remote end.
        pub flow: Flow,
        /// Connections that may wait to be accepted, as the kernel limits it.
        pub backlog: u32,
        /// Padding.
        pub reserved: u32,
    }
}

record! {
    /// [`crate::kind::TCP_CLOSE`]: a TCP connection ended.
    pub struct Close {
        /// Header; with [`crate::record::HEADER_OWNER_UNKNOWN`] when the connection is older
        /// than the sensor, or was never accepted.
        pub header: Header,
        /// The process that connected or accepted.
        pub subject: Subject,
        /// The socket. Its inode is 0 when the process has let go of it before.
        pub flow: Flow,
        /// When it was established or accepted, nanoseconds since boot; 0 when unknown.
        pub opened_boot_ns: u64,
        /// Payload bytes sent, each counted once, acknowledged or not.
        pub sent_bytes: u64,
        /// Payload bytes received in order.
        pub received_bytes: u64,
        /// 0 for an orderly end, else the errno the connection died of (reset, timed out, …).
        pub error: u32,
        /// Bits of `CLOSE_*`.
        pub flags: u32,
    }
}

/// Close flag: the process had accepted the connection.
pub const CLOSE_INBOUND: u32 = 1;
/// Close flag: the process had opened the connection.
pub const CLOSE_OUTBOUND: u32 = 2;

record! {
    /// [`crate::kind::RAW_SOCKET`]: a raw inet socket or a packet socket was made.
    pub struct RawSocket {
        /// Header.
        pub header: Header,
        /// The process.
        pub subject: Subject,
        /// Address family: `AF_INET`, `AF_INET6` or `AF_PACKET`.
        pub family: u16,
        /// Socket type (`SOCK_*`).
        pub socket_type: u16,
        /// As passed to `socket`: an IP protocol, or for `AF_PACKET` an Ethernet protocol in
        /// network order.
        pub protocol: u32,
        /// Inode of the socket.
        pub inode: u64,
    }
}

record! {
    /// [`crate::kind::UNIX_CONNECT`]: a unix socket was connected. The peer's address stands
    /// in [`crate::tail::PATH`], or in [`crate::tail::NAME`] when it is abstract (without the
    /// leading NUL); neither when the peer has none.
    pub struct UnixConnect {
        /// Header.
        pub header: Header,
        /// The process.
        pub subject: Subject,
        /// Inode of the socket.
        pub inode: u64,
        /// Inode of the peer's socket; 0 as long as the connection waits to be accepted.
        pub peer_inode: u64,
        /// Process id of who called `listen`, in the initial pid namespace; 0 for datagrams.
        pub peer_pid: u32,
        /// Socket type (`SOCK_*`).
        pub socket_type: u16,
        /// Padding.
        pub reserved: u16,
    }
}

record! {
    /// [`crate::kind::DNS`]: a DNS message, of which [`crate::tail::PAYLOAD`] has the first
    /// [`crate::limits::DNS_MAX`] bytes.
    pub struct Dns {
        /// Header; with [`crate::record::HEADER_OWNER_UNKNOWN`] when nobody was seen asking.
        pub header: Header,
        /// The process that sends or receives.
        pub subject: Subject,
        /// The socket, with both ends of this message.
        pub flow: Flow,
        /// Length of the whole message in bytes.
        pub message_bytes: u32,
        /// One of `DNS_*`.
        pub direction: u32,
    }
}

/// Direction of a DNS message: sent by the process.
pub const DNS_SENT: u32 = 1;
/// Direction of a DNS message: received by the process.
pub const DNS_RECEIVED: u32 = 2;

/// How many ports [`crate::kind::DNS`] is looked for on; unused places are 0.
pub const DNS_PORTS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{offset_of, size_of};

    #[test]
    fn the_layout_is_the_one_of_this_version() {
        const HEAD: usize = 24 + 120;
        assert_eq!(size_of::<Flow>(), 56);
        assert_eq!(offset_of!(Flow, inode), 16);
        assert_eq!(offset_of!(Flow, remote_address), 40);
        assert_eq!(size_of::<Socket>(), HEAD + 56);
        assert_eq!(size_of::<Connect>(), HEAD + 56 + 16);
        assert_eq!(offset_of!(Connect, error), HEAD + 56 + 8);
        assert_eq!(size_of::<Listen>(), HEAD + 56 + 8);
        assert_eq!(size_of::<Close>(), HEAD + 56 + 32);
        assert_eq!(size_of::<RawSocket>(), HEAD + 16);
        assert_eq!(size_of::<UnixConnect>(), HEAD + 24);
        assert_eq!(size_of::<Dns>(), HEAD + 56 + 8);
    }
}
