//! Connections that bytes are written to: TCP, TLS over it, unix sockets. Says when the other side
//! has what was written, as far as its kernel tells.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::resolve::addresses;

/// How long it may take to be connected, for each address of a server.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the other side may take no bytes.
const STALL: Duration = Duration::from_secs(30);
/// Addresses of a server that are tried.
const ADDRESSES_MAX: usize = 4;

/// Where to.
#[derive(Clone, Debug)]
pub enum Target {
    /// A server.
    Tcp {
        /// Its name or address.
        host: String,
        /// Its port.
        port: u16,
        /// With TLS, and how.
        tls: Option<Arc<ClientConfig>>,
    },
    /// A socket on this host.
    Unix(PathBuf),
}

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// Bare.
    Tcp(TcpStream),
    /// With TLS.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// On this host.
    Unix(UnixStream),
}

impl Stream {
    /// Connects, and does the handshake.
    ///
    /// # Errors
    /// When nobody answers, or the other side is not who it should be.
    pub fn connect(target: &Target) -> io::Result<Self> {
        match target {
            Target::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_write_timeout(Some(STALL))?;
                Ok(Self::Unix(stream))
            }
            Target::Tcp { host, port, tls } => {
                let stream = tcp(host, *port)?;
                match tls {
                    None => Ok(Self::Tcp(stream)),
                    Some(config) => secured(stream, host, config),
                }
            }
        }
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// When the other side is gone, or takes nothing for too long.
    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
            Self::Tls(stream) => {
                let result = stream.write_all(bytes).and_then(|()| stream.flush());
                result.map_err(|error| reason(stream, error))
            }
        }
    }

    /// Waits until the other side's kernel has all that was written; the reader of a unix socket
    /// has read it then.
    ///
    /// # Errors
    /// When it is gone, or has not got on for too long.
    pub fn settle(&mut self) -> io::Result<()> {
        const FIRST: Duration = Duration::from_micros(50);
        const LONGEST: Duration = Duration::from_millis(5);
        let (mut nap, mut deadline) = (FIRST, Instant::now() + STALL);
        let mut left = unsent(self.fd())?;
        while left > 0 {
            self.check()?;
            if Instant::now() >= deadline {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the other side takes no more bytes",
                ));
            }
            thread::sleep(nap);
            nap = (nap * 2).min(LONGEST);
            let now = unsent(self.fd())?;
            if now < left {
                deadline = Instant::now() + STALL;
            }
            left = now;
        }
        self.check()
    }

    /// Whether the other side is still there, as far as is known.
    ///
    /// # Errors
    /// When it has closed the connection, or reset it.
    pub fn check(&mut self) -> io::Result<()> {
        let mut byte = 0_u8;
        // SAFETY: the buffer is one byte long, as said, and outlives the call.
        let length = unsafe {
            libc::recv(
                self.fd(),
                (&raw mut byte).cast(),
                1,
                libc::MSG_PEEK | libc::MSG_DONTWAIT,
            )
        };
        match length {
            0 => Err(self.farewell(io::ErrorKind::ConnectionAborted.into())),
            1.. => Ok(()),
            _ => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
                error => Err(self.farewell(error)),
            },
        }
    }

    /// Why the other side has gone, if it said.
    fn farewell(&mut self, error: io::Error) -> io::Error {
        match self {
            Self::Tls(stream) => reason(stream, error),
            _ => error,
        }
    }

    fn fd(&self) -> RawFd {
        match self {
            Self::Tcp(stream) => stream.as_raw_fd(),
            Self::Tls(stream) => stream.sock.as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
        }
    }
}

fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(
        io::ErrorKind::NotFound,
        format!("no address is known for {host}"),
    );
    for address in addresses(host).into_iter().take(ADDRESSES_MAX) {
        match TcpStream::connect_timeout(&SocketAddr::new(address, port), CONNECT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(STALL))?;
                stream.set_read_timeout(Some(STALL))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn secured(mut stream: TcpStream, host: &str, config: &Arc<ClientConfig>) -> io::Result<Stream> {
    let bare = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let name = ServerName::try_from(bare).map_err(io::Error::other)?;
    let mut connection =
        ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(Stream::Tls(Box::new(StreamOwned::new(connection, stream))))
}

/// With TLS 1.3 a server refuses our certificate only after the handshake: its alert says more
/// than the closed connection does.
fn reason(stream: &mut StreamOwned<ClientConnection, TcpStream>, error: io::Error) -> io::Error {
    if stream.sock.set_nonblocking(true).is_err() {
        return error;
    }
    match stream.read(&mut [0; 256]) {
        Err(said) if said.kind() == io::ErrorKind::InvalidData => said,
        _ => error,
    }
}

/// Bytes that the other side does not have yet.
fn unsent(fd: RawFd) -> io::Result<libc::c_int> {
    let mut left = 0;
    // SAFETY: TIOCOUTQ (SIOCOUTQ, tcp(7), unix(7)) writes one int, which is there to be written.
    match unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut left) } {
        0 => Ok(left),
        _ => Err(io::Error::last_os_error()),
    }
}
