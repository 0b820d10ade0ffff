//! Traffic on the field, one way at a time: whether what is sent arrives. Behind each probe a
//! sentinel is sent from an address that nobody blocks, over the same queue; when that has come,
//! what was sent before it has come as well, or never will.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::{Field, Side, at};

/// How long what has to come may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Ports of services, at whichever end.
pub const UDP_PORT: u16 = 7_000;
/// The same for TCP.
pub const TCP_PORT: u16 = 7_001;
/// Bytes of a datagram that goes in three fragments.
const LARGE: usize = 4_000;
/// Identifier in the ICMP messages of probes.
const ICMP_ID: [u8; 2] = *b"fw";

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To this host.
    In,
    /// From this host.
    Out,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// A datagram.
    Udp,
    /// A datagram, in fragments.
    Fragments,
    /// A datagram, on a VLAN.
    Vlan,
    /// An echo request.
    Icmp,
    /// Data on a connection that was there before.
    Established,
    /// A new connection.
    New,
}

/// A connection, by its two ends.
#[derive(Debug)]
pub struct Pair {
    /// The end on this host.
    pub here: TcpStream,
    /// The other end.
    pub there: TcpStream,
}

impl Field {
    /// A connection of this host with another, to a service there.
    ///
    /// # Errors
    /// When it does not come to be.
    pub fn connect(&self, foe: IpAddr) -> Result<Pair> {
        let listener = self.on(Side::There, || TcpListener::bind((foe, TCP_PORT)))?;
        let to = SocketAddr::new(foe, TCP_PORT);
        let here = self.on(Side::Here, || TcpStream::connect_timeout(&to, PATIENCE))?;
        let (there, _) = listener.accept()?;
        for stream in [&here, &there] {
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
        }
        Ok(Pair { here, there })
    }

    /// Whether what is sent between this host and another arrives. `expected` says whether it
    /// is worth waiting for.
    ///
    /// # Errors
    /// When it cannot even be tried.
    pub fn passes(&self, lane: Lane, way: Way, foe: IpAddr, expected: bool) -> Result<bool> {
        match lane {
            Lane::Udp => self.datagram(way, foe, 10, expected),
            Lane::Fragments => self.datagram(way, foe, LARGE, expected),
            Lane::Vlan => self.datagram(way, at::FOE_TAGGED, 10, expected),
            Lane::Icmp => self.echo(way, foe, expected),
            Lane::New => self.connection(way, foe, expected),
            Lane::Established => self.data(way, &self.connect(foe)?, expected),
        }
    }

    /// The two ends of a way: where what is sent comes from, and where it goes.
    fn ends(way: Way, foe: IpAddr) -> [(Side, IpAddr); 2] {
        let own = match foe {
            at::FOE_TAGGED => at::HERE_TAGGED,
            IpAddr::V4(_) => at::HERE,
            IpAddr::V6(_) => at::HERE6,
        };
        let (here, there) = ((Side::Here, own), (Side::There, foe));
        match way {
            Way::Out => [here, there],
            Way::In => [there, here],
        }
    }

    fn datagram(&self, way: Way, foe: IpAddr, length: usize, expected: bool) -> Result<bool> {
        let [(from, source), (to, destination)] = Self::ends(way, foe);
        let receiver = self.on(to, || UdpSocket::bind((destination, UDP_PORT)))?;
        let sender = self.on(from, || UdpSocket::bind((source, 0)))?;
        // What this host sends is refused at once, what it receives is only not there.
        let _ = sender.send_to(&vec![1; length], (destination, UDP_PORT));
        self.sentinel(way, foe)?;
        arrives(&receiver, expected, |buffer| buffer.len() == length)
    }

    fn echo(&self, way: Way, foe: IpAddr, expected: bool) -> Result<bool> {
        let [(from, source), (to, destination)] = Self::ends(way, foe);
        let receiver = self.on(to, || raw_socket(destination))?;
        let sender = self.on(from, || raw_socket(source))?;
        // RFC 792 and RFC 4443: echo request.
        let (kind, offset) = match foe {
            IpAddr::V4(_) => (8, 20),
            IpAddr::V6(_) => (128, 0),
        };
        let [high, low] = ICMP_ID;
        let mut message = [kind, 0, 0, 0, high, low, 0, 1];
        let [first, second] = checksum(&message).to_be_bytes();
        let [_, _, high, low, ..] = &mut message;
        (*high, *low) = (first, second);
        let _ = sender.send_to(&message, (destination, 0));
        self.sentinel(way, foe)?;
        arrives(&receiver, expected, |buffer| {
            buffer.get(offset) == Some(&kind)
                && buffer.get(offset + 4..offset + 6) == Some(&ICMP_ID[..])
        })
    }

    fn connection(&self, way: Way, foe: IpAddr, expected: bool) -> Result<bool> {
        let [(from, source), (to, destination)] = Self::ends(way, foe);
        let listener = self.on(to, || TcpListener::bind((destination, TCP_PORT)))?;
        listener.set_nonblocking(true)?;
        // The other end is done in the kernel; who connects need not wait for it.
        let connecting = self.on(from, || {
            start_connecting(source, SocketAddr::new(destination, TCP_PORT))
        });
        let done = connecting.and_then(|socket| {
            self.sentinel(way, foe)?;
            wait_for(expected, || Ok(listener.accept().is_ok().then_some(())))
                .map(|came| (came, socket))
        });
        match done {
            Ok((came, _socket)) => Ok(came),
            Err(error) if refused(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether data on a connection arrives.
    ///
    /// # Errors
    /// When it cannot even be tried.
    pub fn data(&self, way: Way, pair: &Pair, expected: bool) -> Result<bool> {
        let (mut from, mut to) = match way {
            Way::Out => (&pair.here, &pair.there),
            Way::In => (&pair.there, &pair.here),
        };
        let foe = pair.here.peer_addr().map_or(at::FOE, |peer| peer.ip());
        let _ = from.write(b"x");
        self.sentinel(way, foe)?;
        wait_for(expected, || {
            Ok(matches!(to.read(&mut [0; 8]), Ok(1..)).then_some(()))
        })
    }

    /// Sends something that arrives, and waits until it has.
    fn sentinel(&self, way: Way, foe: IpAddr) -> Result<()> {
        let peer = match foe {
            at::FOE_TAGGED => at::THERE_TAGGED,
            IpAddr::V4(_) => at::THERE,
            IpAddr::V6(_) => at::THERE6,
        };
        let [(from, source), (to, destination)] = Self::ends(way, foe);
        let other = |address| if address == foe { peer } else { address };
        let (source, destination) = (other(source), other(destination));
        let receiver = self.on(to, || UdpSocket::bind((destination, 0)))?;
        let sender = self.on(from, || UdpSocket::bind((source, 0)))?;
        receiver.set_read_timeout(Some(PATIENCE))?;
        sender.send_to(b"sentinel", receiver.local_addr()?)?;
        receiver
            .recv(&mut [0; 16])
            .context("the sentinel did not arrive")?;
        Ok(())
    }
}

/// Whether an error is the firewall's no.
fn refused(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.raw_os_error() == Some(libc::EPERM))
}

fn arrives(socket: &UdpSocket, expected: bool, is_it: impl Fn(&[u8]) -> bool) -> Result<bool> {
    socket.set_nonblocking(true)?;
    let mut buffer = vec![0; LARGE + 100];
    wait_for(expected, || {
        while let Ok(length) = socket.recv(&mut buffer) {
            if is_it(buffer.get(..length).unwrap_or_default()) {
                return Ok(Some(()));
            }
        }
        Ok(None)
    })
}

/// Looks once, or until it is there.
fn wait_for(expected: bool, mut look: impl FnMut() -> Result<Option<()>>) -> Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if look()?.is_some() {
            return Ok(true);
        }
        if !expected || Instant::now() > deadline {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A socket for ICMP messages as they are.
fn raw_socket(address: IpAddr) -> Result<UdpSocket> {
    let (family, protocol) = match address {
        IpAddr::V4(_) => (libc::AF_INET, libc::IPPROTO_ICMP),
        IpAddr::V6(_) => (libc::AF_INET6, libc::IPPROTO_ICMPV6),
    };
    let socket =
        crate::network::socket(family, libc::SOCK_RAW, protocol).context("no raw socket")?;
    bind(&socket, address)?;
    // Sending and receiving is the same for all that are not connected.
    Ok(UdpSocket::from(socket))
}

fn start_connecting(source: IpAddr, to: SocketAddr) -> Result<OwnedFd> {
    let family = if to.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let socket = crate::network::socket(family, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0)
        .context("no socket")?;
    bind(&socket, source)?;
    let (address, length) = sockaddr(to);
    // SAFETY: the address is as long as said and outlives the call.
    let result = unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length) };
    let error = std::io::Error::last_os_error();
    if result == 0 || error.raw_os_error() == Some(libc::EINPROGRESS) {
        return Ok(socket);
    }
    Err(error.into())
}

fn bind(socket: &impl AsRawFd, address: IpAddr) -> Result<()> {
    let (address, length) = sockaddr(SocketAddr::new(address, 0));
    // SAFETY: the address is as long as said and outlives the call.
    match unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error().into()),
    }
}

fn sockaddr(address: SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: zeros are valid.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let length = match address {
        SocketAddr::V4(four) => {
            // SAFETY: the storage has room for any address.
            let place = unsafe { &mut *(&raw mut storage).cast::<libc::sockaddr_in>() };
            place.sin_family = libc::AF_INET as libc::sa_family_t;
            place.sin_port = four.port().to_be();
            place.sin_addr.s_addr = u32::from_ne_bytes(four.ip().octets());
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(six) => {
            // SAFETY: as above.
            let place = unsafe { &mut *(&raw mut storage).cast::<libc::sockaddr_in6>() };
            place.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            place.sin6_port = six.port().to_be();
            place.sin6_addr.s6_addr = six.ip().octets();
            size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, length as libc::socklen_t)
}

/// RFC 1071; for ICMPv6 the kernel makes it anew.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high] => u32::from(*high) << 8,
        _ => 0,
    });
    let sum: u32 = words.sum();
    !((sum & 0xffff) + (sum >> 16)) as u16
}
