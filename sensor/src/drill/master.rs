//! The master's side of a drill: waits for the implant or calls it, says a few harmless words,
//! and knows by the answer that they were obeyed.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::Line;

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer read.
const ANSWER_MAX: usize = 4_096;
/// What is said, and what the answer has to contain: a sum, so that an echo is no answer.
const QUESTION: &[u8] = b"echo drill $((6*7))\n";
const ANSWER: &[u8] = b"drill 42";
/// The last word.
const FAREWELL: &[u8] = b"exit\n";

/// The master, before there is an implant.
pub struct Master {
    line: Line,
    listener: Option<TcpListener>,
    socket: Option<UdpSocket>,
    port: u16,
}

impl Master {
    /// Gets ready.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn ready(line: Line) -> io::Result<Self> {
        let here = (Ipv4Addr::LOCALHOST, 0);
        let (mut listener, mut socket) = (None, None);
        let port = match line {
            Line::Out => {
                let bound = TcpListener::bind(here)?;
                let port = bound.local_addr()?.port();
                listener = Some(bound);
                port
            }
            Line::Datagrams => {
                let bound = UdpSocket::bind(here)?;
                bound.set_read_timeout(Some(PATIENCE))?;
                let port = bound.local_addr()?.port();
                socket = Some(bound);
                port
            }
            // Free now, and nobody else is in our network.
            Line::In => TcpListener::bind(here)?.local_addr()?.port(),
            Line::Silent => 0,
        };
        Ok(Self {
            line,
            listener,
            socket,
            port,
        })
    }

    /// Where the implant has to call, or to listen.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Talks to the implant; true when it did what it was told.
    ///
    /// # Errors
    /// When it never called, or hung up.
    pub fn talk(self, rounds: u32) -> io::Result<bool> {
        if self.line == Line::Silent {
            return Ok(true);
        }
        if let Some(socket) = self.socket {
            return over_datagrams(&socket);
        }
        let mut stream = match (self.line, self.listener) {
            (Line::Out, Some(listener)) => accept(&listener)?,
            _ => connect(self.port)?,
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut obeyed = true;
        for _ in 0..rounds {
            stream.write_all(QUESTION)?;
            obeyed &= hears(|buffer| stream.read(buffer))?;
        }
        stream.write_all(FAREWELL)?;
        Ok(obeyed)
    }
}

/// The next who calls, if somebody does in time.
pub(super) fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let stream = patiently(|| listener.accept())?.0;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let there = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    patiently(|| TcpStream::connect(there))
}

/// Tries again until it works or time is up.
fn patiently<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let begin = Instant::now();
    loop {
        match attempt() {
            Ok(done) => return Ok(done),
            Err(error) if begin.elapsed() > PATIENCE => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

fn over_datagrams(socket: &UdpSocket) -> io::Result<bool> {
    let mut hello = [0; 16];
    let (_, implant) = socket.recv_from(&mut hello)?;
    socket.connect(implant)?;
    socket.send(QUESTION)?;
    let obeyed = hears(|buffer| socket.recv(buffer))?;
    socket.send(FAREWELL)?;
    Ok(obeyed)
}

fn hears(mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<bool> {
    let mut heard = Vec::new();
    let mut buffer = [0; 512];
    while heard.len() < ANSWER_MAX {
        let count = read(&mut buffer)?;
        if count == 0 {
            return Ok(false);
        }
        heard.extend_from_slice(buffer.get(..count).unwrap_or_default());
        if heard.windows(ANSWER.len()).any(|part| part == ANSWER) {
            return Ok(true);
        }
    }
    Ok(false)
}
