//! Syslog in datagrams: over UDP (RFC 5426), or to the socket of a local syslog or journal. Over UDP
//! nobody knows whether anything arrives; the local socket takes a datagram or says no.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use super::batch::Item;
use super::syslog::Header;
use super::{Failure, Outcome, Transport};
use crate::net::resolve;

/// Longest datagram over IPv4 (RFC 768: 65,535 less the headers).
const UDP_MAX: usize = 65_507;

/// How long a local socket may take no datagram.
const STALL: Duration = Duration::from_secs(30);

/// Where to.
#[derive(Clone, Debug)]
pub(super) enum To {
    /// A server: name or address, and port.
    Udp(String, u16),
    /// A socket on this host.
    Unix(PathBuf),
}

enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

/// Sends datagrams.
pub(super) struct Datagrams {
    to: To,
    header: Header,
    socket: Option<Socket>,
    bytes: Vec<u8>,
}

impl Datagrams {
    pub(super) const fn new(to: To, header: Header) -> Self {
        Self {
            to,
            header,
            socket: None,
            bytes: Vec::new(),
        }
    }

    fn open(&self) -> io::Result<Socket> {
        match &self.to {
            To::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.set_write_timeout(Some(STALL))?;
                socket.connect(path)?;
                Ok(Socket::Unix(socket))
            }
            To::Udp(host, port) => {
                let address = resolve::address(host)?;
                let here = match address {
                    std::net::IpAddr::V4(_) => "0.0.0.0:0",
                    std::net::IpAddr::V6(_) => "[::]:0",
                };
                let socket = UdpSocket::bind(here)?;
                socket.connect(SocketAddr::new(address, *port))?;
                Ok(Socket::Udp(socket))
            }
        }
    }

    fn send(&mut self) -> io::Result<()> {
        if self.socket.is_none() {
            self.socket = Some(self.open()?);
        }
        match &self.socket {
            Some(Socket::Udp(socket)) => socket.send(&self.bytes)?,
            Some(Socket::Unix(socket)) => socket.send(&self.bytes)?,
            None => 0,
        };
        Ok(())
    }
}

impl Transport for Datagrams {
    fn deliver(&mut self, items: &[Item<'_>]) -> Result<Outcome, Failure> {
        let mut outcome = Outcome::default();
        for (place, item) in items.iter().enumerate() {
            self.bytes.clear();
            self.header.message(item, &mut self.bytes);
            if matches!(self.to, To::Udp(..)) && self.bytes.len() > UDP_MAX {
                let why = format!("{} bytes do not fit a datagram", self.bytes.len());
                outcome.refused.push((place, why));
                continue;
            }
            match self.send() {
                Ok(()) => {}
                Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                    let why = format!("{} bytes do not fit a datagram", self.bytes.len());
                    outcome.refused.push((place, why));
                }
                Err(error) => {
                    self.socket = None;
                    if place == 0 {
                        return Err(error.into());
                    }
                    tracing::debug!(%error, "the rest is sent again");
                    outcome.again = (place..items.len()).collect();
                    return Ok(outcome);
                }
            }
        }
        Ok(outcome)
    }
}
