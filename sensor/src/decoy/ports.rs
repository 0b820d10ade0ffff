//! The listener behind decoy ports: one thread that accepts, reads the first bytes, perhaps says
//! its banner, and closes. It understands nothing of what it reads, keeps little of it for a short
//! time, and tells of each caller over a bounded queue.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::{Decoys, Port, Transport};
use crate::clock;
use crate::event::{Endpoint, Stamp};
use crate::intelligence::subject::Network;

/// Bytes kept of what a caller says.
pub const SAID_MAX: usize = 256;
/// Callers listened to at a time; further ones are told of, and closed at once.
const CALLERS_MAX: usize = 64;
/// How long a caller may take to say something.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Callers that are told of and not yet taken note of.
const TOUCHES_MAX: usize = 1_024;
/// Callers taken from one port before the next has its turn.
const TURN_MAX: usize = 16;

/// Somebody called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    /// When.
    pub time: Stamp,
    /// How.
    pub transport: Transport,
    /// Where.
    pub local: Endpoint,
    /// From where.
    pub peer: Endpoint,
    /// What was said first, at most [`SAID_MAX`] bytes.
    pub said: Box<[u8]>,
}

/// What became of callers.
#[derive(Debug, Default)]
pub struct Counters {
    /// Told of.
    pub touches: AtomicU64,
    /// From addresses that may call.
    pub ignored: AtomicU64,
    /// Not told of, because too many came at once.
    pub dropped: AtomicU64,
}

/// Decoy ports that are open.
#[derive(Debug)]
pub struct Ports {
    touches: Receiver<Touch>,
    wake: Arc<OnceLock<Thread>>,
    /// What became of callers.
    pub counters: Arc<Counters>,
    /// Ports that could not be opened, and why.
    pub closed: Vec<(Port, io::Error)>,
}

impl Ports {
    /// Opens what can be opened and starts the thread, which ends some time after this is dropped.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn open(decoys: &Decoys) -> io::Result<Self> {
        let (mut doors, mut closed) = (Vec::new(), Vec::new());
        for port in &decoys.ports {
            match Door::open(*port) {
                Ok(door) => doors.push(door),
                Err(error) => closed.push((*port, error)),
            }
        }
        let (told, touches) = sync_channel(TOUCHES_MAX);
        let (counters, wake) = (
            Arc::<Counters>::default(),
            Arc::<OnceLock<Thread>>::default(),
        );
        if !doors.is_empty() {
            let mut listener = Listener {
                doors,
                callers: Vec::new(),
                banner: decoys.banner.clone(),
                ignore: decoys.ignore_peers.clone(),
                told,
                counters: Arc::clone(&counters),
                wake: Arc::clone(&wake),
            };
            thread::Builder::new()
                .name("decoys".to_owned())
                .spawn(move || while listener.turn() {})?;
        }
        Ok(Self {
            touches,
            wake,
            counters,
            closed,
        })
    }

    /// Wakes this thread up when somebody called.
    pub fn wakes_this_thread(&self) {
        let _ = self.wake.set(thread::current());
    }

    /// The next caller.
    pub fn touch(&self) -> Option<Touch> {
        self.touches.try_recv().ok()
    }
}

/// An open port.
enum Door {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

impl Door {
    fn open(port: Port) -> io::Result<Self> {
        match port.transport {
            Transport::Tcp => {
                let listener = TcpListener::bind(port.at)?;
                listener.set_nonblocking(true)?;
                Ok(Self::Tcp(listener))
            }
            Transport::Udp => {
                let socket = UdpSocket::bind(port.at)?;
                socket.set_nonblocking(true)?;
                Ok(Self::Udp(socket))
            }
        }
    }

    fn fd(&self) -> i32 {
        match self {
            Self::Tcp(listener) => listener.as_raw_fd(),
            Self::Udp(socket) => socket.as_raw_fd(),
        }
    }
}

/// Somebody who may still say something.
struct Caller {
    stream: TcpStream,
    touch: Touch,
    until: Instant,
    said: Vec<u8>,
}

struct Listener {
    doors: Vec<Door>,
    callers: Vec<Caller>,
    banner: Box<[u8]>,
    ignore: Vec<Network>,
    told: SyncSender<Touch>,
    counters: Arc<Counters>,
    wake: Arc<OnceLock<Thread>>,
}

impl Listener {
    /// Waits for something to happen and deals with it; false when nobody wants to know any more.
    fn turn(&mut self) -> bool {
        let wanted = |fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        let doors = self.doors.iter().map(|door| wanted(door.fd()));
        let callers = self
            .callers
            .iter()
            .map(|caller| wanted(caller.stream.as_raw_fd()));
        let mut waiting: Vec<libc::pollfd> = doors.chain(callers).collect();
        let now = Instant::now();
        let soonest = self.callers.iter().map(|caller| caller.until).min();
        let patience = soonest.map_or(PATIENCE, |until| until.saturating_duration_since(now));
        // A millisecond later rather than one too early, and then another round for nothing.
        let patience = i32::try_from(patience.as_millis() + 1).unwrap_or(i32::MAX);
        let count = waiting.len() as libc::nfds_t;
        // SAFETY: as many entries as said, which live through the call.
        if unsafe { libc::poll(waiting.as_mut_ptr(), count, patience) } < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                tracing::error!(%error, "decoy ports are no longer watched");
                return false;
            }
        }
        self.listen();
        self.answer_doors()
    }

    /// Reads what callers say; who has said something, or nothing for too long, is done with.
    fn listen(&mut self) {
        let now = Instant::now();
        for mut caller in std::mem::take(&mut self.callers) {
            if caller.is_done() || caller.until <= now {
                self.tell(Touch {
                    said: caller.said.into(),
                    ..caller.touch
                });
            } else {
                self.callers.push(caller);
            }
        }
    }

    fn answer_doors(&mut self) -> bool {
        let doors = std::mem::take(&mut self.doors);
        for door in &doors {
            for _ in 0..TURN_MAX {
                let is_more = match door {
                    Door::Tcp(listener) => self.accept(listener),
                    Door::Udp(socket) => self.receive(socket),
                };
                if !is_more {
                    break;
                }
            }
        }
        self.doors = doors;
        // The thread is of use as long as somebody holds the other end of the queue.
        Arc::strong_count(&self.counters) > 1
    }

    fn accept(&mut self, listener: &TcpListener) -> bool {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => return self.is_passing(&error),
        };
        let Some(touch) = stream
            .local_addr()
            .ok()
            .and_then(|local| self.touch(Transport::Tcp, local, peer))
        else {
            return true;
        };
        let is_ready = stream.set_nonblocking(true).is_ok();
        if !is_ready || self.callers.len() >= CALLERS_MAX {
            self.tell(touch);
            return true;
        }
        // What does not fit into an empty buffer is not worth waiting for.
        let _ = (&stream).write(&self.banner);
        self.callers.push(Caller {
            stream,
            touch,
            until: Instant::now() + PATIENCE,
            said: Vec::new(),
        });
        true
    }

    fn receive(&mut self, socket: &UdpSocket) -> bool {
        let mut said = [0; SAID_MAX];
        let (length, peer) = match socket.recv_from(&mut said) {
            Ok(received) => received,
            Err(error) => return self.is_passing(&error),
        };
        let local = socket.local_addr().ok();
        let touch = local.and_then(|local| self.touch(Transport::Udp, local, peer));
        if let Some(touch) = touch {
            self.tell(Touch {
                said: said.get(..length).unwrap_or_default().into(),
                ..touch
            });
        }
        true
    }

    /// Whether the next one may be there although this one failed.
    fn is_passing(&self, error: &io::Error) -> bool {
        match error.raw_os_error() {
            // Out of descriptors, or of memory: nothing is accepted, and the next poll would
            // come back at once.
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                thread::sleep(PATIENCE);
                false
            }
            Some(libc::ECONNABORTED | libc::EINTR) => true,
            _ => false,
        }
    }

    /// A caller that has said nothing yet; `None` for one who may call.
    fn touch(&self, transport: Transport, local: SocketAddr, peer: SocketAddr) -> Option<Touch> {
        let peer = endpoint(peer);
        let is_in =
            |network: &&Network| Network::new(peer.address, network.bits()) == Some(**network);
        if self.ignore.iter().any(|network| is_in(&network)) {
            self.counters.ignored.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(Touch {
            time: now(),
            transport,
            local: endpoint(local),
            peer,
            said: Box::default(),
        })
    }

    fn tell(&self, touch: Touch) {
        let counter = match self.told.try_send(touch) {
            Ok(()) => &self.counters.touches,
            Err(_) => &self.counters.dropped,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if let Some(thread) = self.wake.get() {
            thread.unpark();
        }
    }
}

impl Caller {
    /// Reads what is there; whether nothing more is wanted of it.
    fn is_done(&mut self) -> bool {
        let mut bytes = [0; SAID_MAX];
        match self.stream.read(&mut bytes) {
            Ok(length) => {
                self.said.extend(bytes.iter().take(length));
                true
            }
            Err(error) => !matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ),
        }
    }
}

fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint {
        address: address.ip().to_canonical(),
        port: address.port(),
    }
}

fn now() -> Stamp {
    Stamp {
        boot_ns: clock::boot_ns(),
        wall_ns: clock::wall_ns(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(text: &str) -> Ports {
        let options: super::super::Options = toml::from_str(text).unwrap();
        let ports = Ports::open(&options.check().unwrap()).unwrap();
        ports.wakes_this_thread();
        ports
    }

    fn free(transport: Transport) -> SocketAddr {
        let here = ("127.0.0.1", 0);
        match transport {
            Transport::Tcp => TcpListener::bind(here).unwrap().local_addr().unwrap(),
            Transport::Udp => UdpSocket::bind(here).unwrap().local_addr().unwrap(),
        }
    }

    fn wait(ports: &Ports) -> Touch {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(touch) = ports.touch() {
                return touch;
            }
            assert!(Instant::now() < deadline, "nobody was told of");
            thread::park_timeout(Duration::from_millis(100));
        }
    }

    #[test]
    fn a_caller_is_told_of_with_what_he_says_first() {
        let at = free(Transport::Tcp);
        let ports = open(&format!("ports = ['{at}']\nbanner = 'hello'"));
        let mut caller = TcpStream::connect(at).unwrap();
        caller.write_all(b"USER root\r\n").unwrap();
        let touch = wait(&ports);
        assert_eq!(
            (touch.local, touch.peer),
            (endpoint(at), endpoint(caller.local_addr().unwrap()))
        );
        assert_eq!(&*touch.said, b"USER root\r\n");
        let mut banner = String::new();
        let _ = caller.read_to_string(&mut banner);
        assert_eq!(banner, "hello");
    }

    #[test]
    fn who_says_nothing_is_told_of_as_well() {
        let at = free(Transport::Tcp);
        let ports = open(&format!("ports = ['{at}']"));
        drop(TcpStream::connect(at).unwrap());
        assert_eq!(&*wait(&ports).said, b"");
    }

    #[test]
    fn datagrams_are_told_of() {
        let at = free(Transport::Udp);
        let ports = open(&format!("ports = ['udp:{at}']"));
        let caller = UdpSocket::bind("127.0.0.1:0").unwrap();
        caller.send_to(&[7; 1_000], at).unwrap();
        let touch = wait(&ports);
        assert_eq!(
            (touch.transport, touch.said.len()),
            (Transport::Udp, SAID_MAX)
        );
    }

    #[test]
    fn a_port_in_use_is_said_to_be_and_the_others_are_open() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = free(Transport::Tcp);
        let ports = open(&format!(
            "ports = ['{}', '{at}']",
            taken.local_addr().unwrap()
        ));
        assert_eq!(ports.closed.len(), 1);
        drop(TcpStream::connect(at).unwrap());
        wait(&ports);
    }

    #[test]
    fn who_may_call_is_counted_and_not_told_of() {
        let at = free(Transport::Tcp);
        let ports = open(&format!("ports = ['{at}']\nignore_peers = ['127.0.0.0/8']"));
        let mut caller = TcpStream::connect(at).unwrap();
        // It is closed without a word.
        assert_eq!(caller.read(&mut [0; 1]).unwrap(), 0);
        assert_eq!(ports.counters.ignored.load(Ordering::Relaxed), 1);
        assert_eq!(ports.touch(), None);
    }

    #[test]
    fn a_flood_of_callers_is_bounded_and_every_one_counted() {
        let at = free(Transport::Tcp);
        let ports = open(&format!("ports = ['{at}']"));
        let callers: Vec<_> = (0..200).map(|_| TcpStream::connect(at).unwrap()).collect();
        for _ in &callers {
            wait(&ports);
        }
        assert_eq!(ports.counters.touches.load(Ordering::Relaxed), 200);
    }
}
