//! The other side of a payload: listens for it, or connects to it, and hands over whatever
//! connections there are. What is said over them is not decided here.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use super::corpus::{Kind, Payload};
use super::network::Network;
use super::tls;

/// Where payloads connect to, or listen.
pub(super) const PORT: u16 = 4444;
pub(super) const PORT2: u16 = 4445;
pub(super) const HTTP_PORT: u16 = 8080;

/// How often somebody who waits looks whether it is over.
const TICK: Duration = Duration::from_millis(20);

/// What a payload expects of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mode {
    wire: Wire,
    serves_http: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Tcp,
    Udp,
    Tls,
}

impl Mode {
    /// As the list says it.
    pub(super) fn of(payload: &Payload) -> Result<Self> {
        let mut mode = Self {
            wire: Wire::Tcp,
            serves_http: false,
        };
        let words = payload.listener.split(['-', '+', ',', ' ']);
        for word in words.chain([payload.transport.as_str()]) {
            match word {
                // However many connections there are, all are taken.
                "tcp" | "tcp4" | "tcp6" | "double" => {}
                "udp" | "udp4" | "udp6" => mode.wire = Wire::Udp,
                "tls" | "ssl" => mode.wire = Wire::Tls,
                "http" => mode.serves_http = true,
                other => bail!("a listener of the kind `{other}` is not known to this harness"),
            }
        }
        Ok(mode)
    }
}

/// What comes from the other side.
pub(super) enum Heard {
    /// A connection, to be written to.
    Connected(Box<dyn Write + Send>),
    Bytes(Vec<u8>),
}

/// Listens until it is dropped.
pub(super) struct Listener {
    heard: Receiver<Heard>,
    over: Arc<AtomicBool>,
}

impl Listener {
    pub(super) fn heard(&self) -> &Receiver<Heard> {
        &self.heard
    }

    /// Begins to listen or to connect, and serves the script if one is asked for.
    pub(super) fn start(
        mode: Mode,
        kind: Kind,
        network: &Network,
        script: String,
        scratch: PathBuf,
    ) -> Result<Self> {
        let (sender, heard) = channel();
        let over = Arc::new(AtomicBool::new(false));
        let post = Post {
            sender,
            over: Arc::clone(&over),
            tls: tls::Side::new(kind, scratch)?,
        };
        let server = network.server_address();
        network.peer().within(move || {
            if mode.serves_http {
                serve(listen(HTTP_PORT)?, script, Arc::clone(&post.over));
            }
            match (mode.wire, kind) {
                (Wire::Udp, Kind::Reverse) => post.receive(any(PORT, UdpSocket::bind)?),
                (Wire::Udp, Kind::Bind) => post.send_to(server),
                (wire, Kind::Reverse) => {
                    for port in [PORT, PORT2] {
                        post.accept(listen(port)?, wire);
                    }
                    Ok(())
                }
                (wire, Kind::Bind) => {
                    post.connect(server, wire);
                    Ok(())
                }
            }
        })?;
        Ok(Self { heard, over })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Where those who listen put what they hear.
#[derive(Clone)]
struct Post {
    sender: Sender<Heard>,
    over: Arc<AtomicBool>,
    tls: tls::Side,
}

impl Post {
    fn accept(&self, listener: TcpListener, wire: Wire) {
        let post = self.clone();
        thread::spawn(move || {
            while let Some(stream) = next(&listener, &post.over) {
                let taken = post.clone().take(stream, wire);
                if let Err(error) = taken
                    && !post.over.load(Ordering::Relaxed)
                {
                    println!("payloads: a connection was dropped: {error:#}");
                }
            }
        });
    }

    /// Connects as soon as somebody listens. It stays in the namespace of the thread that calls.
    fn connect(&self, server: IpAddr, wire: Wire) {
        let post = self.clone();
        thread::spawn(move || {
            while !post.over.load(Ordering::Relaxed) {
                let to = SocketAddr::new(server, PORT);
                if let Ok(stream) = TcpStream::connect_timeout(&to, Duration::from_secs(1)) {
                    return post.take(stream, wire);
                }
                thread::sleep(TICK);
            }
            Ok(())
        });
    }

    fn take(self, stream: TcpStream, wire: Wire) -> Result<()> {
        stream.set_nodelay(true)?;
        if wire == Wire::Tls {
            let (input, output) = self.tls.wrap(stream, &self.over)?;
            return self.keep(input, output);
        }
        stream.set_read_timeout(Some(TICK))?;
        self.keep(stream.try_clone()?, stream)
    }

    fn say(&self, heard: Heard) -> Result<()> {
        let sent = self.sender.send(heard);
        sent.map_err(|_| anyhow!("nobody listens any more"))
    }

    /// Hands the connection over and then everything that comes from it.
    fn keep(
        self,
        input: impl Write + Send + 'static,
        mut output: impl Read + Send + 'static,
    ) -> Result<()> {
        self.say(Heard::Connected(Box::new(input)))?;
        thread::spawn(move || {
            let mut bytes = vec![0; 4096];
            while !self.over.load(Ordering::Relaxed) {
                match output.read(&mut bytes) {
                    Ok(0) => return,
                    Ok(length) => {
                        let heard = bytes.get(..length).unwrap_or_default().to_vec();
                        if self.say(Heard::Bytes(heard)).is_err() {
                            return;
                        }
                    }
                    Err(error) if is_wait(&error) => {}
                    Err(_) => return,
                }
            }
        });
        Ok(())
    }

    /// Whoever sends first is spoken to.
    fn receive(self, socket: UdpSocket) -> Result<()> {
        socket.set_read_timeout(Some(TICK))?;
        thread::spawn(move || {
            let mut bytes = vec![0; 4096];
            let mut peer = None;
            while !self.over.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut bytes) else {
                    continue;
                };
                if peer.is_none() {
                    socket.connect(from)?;
                    peer = Some(from);
                    let input = Box::new(Datagrams(socket.try_clone()?));
                    self.say(Heard::Connected(input))?;
                }
                let heard = bytes.get(..length).unwrap_or_default().to_vec();
                self.say(Heard::Bytes(heard))?;
            }
            Ok::<_, anyhow::Error>(())
        });
        Ok(())
    }

    fn send_to(self, server: IpAddr) -> Result<()> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect((server, PORT))?;
        socket.set_read_timeout(Some(TICK))?;
        let input = Datagrams(socket.try_clone()?);
        self.keep(input, Datagrams(socket))
    }
}

/// Datagrams as if they were a stream. That nobody listens yet is no error.
struct Datagrams(UdpSocket);

impl Write for Datagrams {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.send(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Read for Datagrams {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        match self.0.recv(bytes) {
            // Empty datagrams are none of a stream's ends.
            Ok(0) => Err(ErrorKind::WouldBlock.into()),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                Err(ErrorKind::WouldBlock.into())
            }
            other => other,
        }
    }
}

fn is_wait(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

/// A socket on all addresses of both families, or of one where there is but one.
fn any<S>(port: u16, bind: impl Fn((&'static str, u16)) -> std::io::Result<S>) -> Result<S> {
    bind(("::", port))
        .or_else(|_| bind(("0.0.0.0", port)))
        .with_context(|| format!("cannot listen on port {port}"))
}

fn listen(port: u16) -> Result<TcpListener> {
    let listener = any(port, TcpListener::bind)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The next connection, `None` when it is over.
fn next(listener: &TcpListener, over: &AtomicBool) -> Option<TcpStream> {
    while !over.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).ok()?;
                return Some(stream);
            }
            Err(error) if is_wait(&error) => thread::sleep(TICK),
            Err(_) => return None,
        }
    }
    None
}

/// Serves one text, whatever is asked for.
fn serve(listener: TcpListener, text: String, over: Arc<AtomicBool>) {
    thread::spawn(move || {
        while let Some(mut stream) = next(&listener, &over) {
            let mut request = [0; 4096];
            let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
            let _ = stream.read(&mut request);
            let _ = write!(
                stream,
                "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            );
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(listener: &str, transport: &str) -> Result<Mode> {
        let line = format!(
            r#"{{"id":"a","kind":"bind","transport":"{transport}","interpreter":"nc","listener":"{listener}","command":""}}"#
        );
        Mode::of(&serde_json::from_str(&line)?)
    }

    #[test]
    fn listeners_are_what_the_list_says() {
        let is = |wire, serves_http| Mode { wire, serves_http };
        assert_eq!(mode("tcp-double", "tcp").unwrap(), is(Wire::Tcp, false));
        assert_eq!(mode("tcp+http", "tcp").unwrap(), is(Wire::Tcp, true));
        assert_eq!(mode("tls", "tls").unwrap(), is(Wire::Tls, false));
        assert_eq!(mode("udp", "udp").unwrap(), is(Wire::Udp, false));
    }

    #[test]
    fn what_is_not_known_is_said() {
        let error = mode("sctp", "sctp").unwrap_err().to_string();
        assert!(error.contains("`sctp`"), "{error}");
    }
}
