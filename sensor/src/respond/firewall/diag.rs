//! Sockets as sock_diag(7) shows them, and their end (`SOCK_DESTROY`, 4.5 for TCP, 4.9 for UDP,
//! where the kernel is built with it), in the network namespace of the calling thread. Which
//! sockets are meant is not known here.

use std::io;
use std::net::{IpAddr, SocketAddr};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::netlink::{Netlink, attributes, fixed};
use super::target::Protocol;

/// `SOCK_DIAG_BY_FAMILY` (`include/uapi/linux/sock_diag.h`).
const BY_FAMILY: u16 = 20;
/// `SOCK_DESTROY`.
const DESTROY: u16 = 21;
/// `INET_DIAG_INFO` (`include/uapi/linux/inet_diag.h`): `struct tcp_info`.
const INFO: u16 = 2;
/// `TCP_LISTEN`, `TCP_TIME_WAIT`, `TCP_CLOSE` (`include/net/tcp_states.h`).
const LISTEN: u8 = 10;
const TIME_WAIT: u8 = 6;
const CLOSE: u8 = 7;

/// `struct inet_diag_sockid`: ports and addresses in network order.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
struct Id {
    local_port: [u8; 2],
    remote_port: [u8; 2],
    local: [u8; 16],
    remote: [u8; 16],
    interface: u32,
    cookie: [u32; 2],
}

/// `struct inet_diag_req_v2`.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Request {
    family: u8,
    protocol: u8,
    extensions: u8,
    padding: u8,
    states: u32,
    id: Id,
}

/// `struct inet_diag_msg`.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Message {
    family: u8,
    state: u8,
    timer: u8,
    retransmits: u8,
    id: Id,
    expires: u32,
    receive_queue: u32,
    send_queue: u32,
    user: u32,
    inode: u32,
}

/// A socket with two ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    /// TCP or UDP.
    pub(super) protocol: Protocol,
    /// This end.
    pub(super) local: SocketAddr,
    /// The other end; IPv4 is IPv4, whatever the socket's family.
    pub(super) remote: SocketAddr,
    /// Its inode; 0 when no file belongs to it any more.
    pub(super) inode: u32,
    /// What the peer has confirmed, if it is TCP.
    pub(super) progress: Option<Progress>,
    family: u8,
    id: Id,
}

/// How a TCP connection fares (`struct tcp_info`, `include/uapi/linux/tcp.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// Segments sent and not confirmed.
    pub(super) unacknowledged: u32,
    /// Milliseconds since the peer confirmed anything.
    pub(super) quiet_ms: u32,
    /// Milliseconds since data came.
    pub(super) silent_ms: u32,
}

/// All connections: TCP that is neither listening nor over, UDP that is connected.
pub(super) fn connections() -> io::Result<Vec<Socket>> {
    let mut found = Vec::new();
    let mut socket = Netlink::open(libc::NETLINK_SOCK_DIAG)?;
    for protocol in [Protocol::TCP, Protocol::UDP] {
        let states = match protocol {
            Protocol::TCP => !(1 << LISTEN | 1 << TIME_WAIT | 1 << CLOSE),
            // Of a datagram socket, connected is `TCP_ESTABLISHED`.
            _ => 1 << 1,
        };
        for family in [libc::AF_INET, libc::AF_INET6] {
            let request = request(family, protocol, states);
            let dumped = socket.dump(BY_FAMILY, request.as_bytes(), |body| {
                found.extend(connection(protocol, body));
            });
            // A kernel without this protocol's module, or without IPv6.
            match dumped {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
    }
    Ok(found)
}

/// Ports on which TCP is listened for.
pub(super) fn listening() -> io::Result<Vec<u16>> {
    let mut found = Vec::new();
    let mut socket = Netlink::open(libc::NETLINK_SOCK_DIAG)?;
    for family in [libc::AF_INET, libc::AF_INET6] {
        let request = request(family, Protocol::TCP, 1 << LISTEN);
        let dumped = socket.dump(BY_FAMILY, request.as_bytes(), |body| {
            if let Some((message, _)) = fixed::<Message>(body) {
                found.push(u16::from_be_bytes(message.id.local_port));
            }
        });
        // As above.
        match dumped {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result?,
        }
    }
    Ok(found)
}

/// Ends connections: whoever uses one gets `ECONNABORTED`. Gives those that the kernel did not
/// end.
pub(super) fn destroy(sockets: &[Socket]) -> io::Result<Vec<Socket>> {
    let mut left = Vec::new();
    let mut netlink = Netlink::open(libc::NETLINK_SOCK_DIAG)?;
    for socket in sockets {
        let request = Request {
            id: socket.id,
            ..request(libc::c_int::from(socket.family), socket.protocol, !0)
        };
        match netlink.ask(DESTROY, request.as_bytes()) {
            Ok(()) => {}
            // It ended by itself meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => left.push(socket.clone()),
        }
    }
    Ok(left)
}

fn request(family: libc::c_int, protocol: Protocol, states: u32) -> Request {
    Request {
        family: family as u8,
        protocol: protocol.number(),
        extensions: 1 << (INFO - 1),
        padding: 0,
        states,
        id: Id::default(),
    }
}

fn connection(protocol: Protocol, body: &[u8]) -> Option<Socket> {
    let (message, rest) = fixed::<Message>(body)?;
    let id = message.id;
    let end = |address: [u8; 16], port: [u8; 2]| {
        let [a, b, c, d, ..] = address;
        let address = match libc::c_int::from(message.family) {
            libc::AF_INET => IpAddr::from([a, b, c, d]),
            _ => IpAddr::from(address).to_canonical(),
        };
        SocketAddr::new(address, u16::from_be_bytes(port))
    };
    let info = attributes(rest).find(|(kind, _)| *kind == INFO);
    Some(Socket {
        protocol,
        local: end(id.local, id.local_port),
        remote: end(id.remote, id.remote_port),
        inode: message.inode,
        progress: info.and_then(|(_, info)| progress(info)),
        family: message.family,
        id,
    })
}

/// `tcpi_unacked`, `tcpi_last_data_recv` and `tcpi_last_ack_recv` of `struct tcp_info`: eight
/// bytes, then numbers of four bytes each, of which these are the fifth, twelfth and thirteenth.
fn progress(info: &[u8]) -> Option<Progress> {
    let number = |at: usize| {
        let (number, _) = fixed::<u32>(info.get(8 + 4 * at..)?)?;
        Some(number)
    };
    Some(Progress {
        unacknowledged: number(4)?,
        silent_ms: number(11)?,
        quiet_ms: number(12)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_is_seen_with_both_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let ends = (here.local_addr().unwrap(), here.peer_addr().unwrap());
        let found = connections().unwrap();
        let socket = found.iter().find(|one| (one.local, one.remote) == ends);
        let socket = socket.expect("not seen");
        assert_ne!(socket.inode, 0);
        assert!(socket.progress.is_some());
        assert!(listening().unwrap().contains(&ends.1.port()));
    }

    proptest! {
        #[test]
        fn arbitrary_answers_never_panic(bytes: Vec<u8>) {
            let _ = connection(Protocol::TCP, &bytes);
            let _ = progress(&bytes);
        }
    }
}
