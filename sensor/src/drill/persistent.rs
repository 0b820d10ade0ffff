//! A master who keeps talking to a shell, to see when it stops to obey: whether and how fast the
//! sensor does something about it. Uses documentation addresses (RFC 5737) on a loopback device
//! of our own, so that nobody is cut off from anybody.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::master::accept;
use super::take_address;
use crate::clock::boot_ns;

/// The networks for documentation TEST-NET-3 and TEST-NET-2. Virtual machines have been seen to use
/// TEST-NET-1, and what is a host's own is not blocked.
const NETWORKS: [[u8; 3]; 2] = [[203, 0, 113], [198, 51, 100]];
/// Addresses in each that can be a host's.
const HOSTS: u32 = 254;
/// What is said again and again, and answered as long as it is obeyed.
const WORD: &[u8] = b"echo\n";
/// Time between two words: finer would take the processor from those who are to act.
const PAUSE: Duration = Duration::from_micros(250);
/// How long a shell may live on.
const PATIENCE: Duration = Duration::from_secs(5);

/// A master that waits to be called.
pub struct Persistent {
    listener: TcpListener,
    address: SocketAddrV4,
}

/// What became of a talk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Talk {
    /// When an answer last came, in nanoseconds since boot; 0 when none ever did.
    pub last_answer_boot_ns: u64,
    /// When something was first said after that.
    pub first_unanswered_boot_ns: u64,
}

impl Persistent {
    /// The master of the drill with this number, at an address that those just before it did not
    /// have.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn ready(number: u32) -> io::Result<Self> {
        let network = NETWORKS
            .into_iter()
            .cycle()
            .nth((number / HOSTS) as usize % NETWORKS.len());
        let [a, b, c] = network.unwrap_or_default();
        let host = u8::try_from(number % HOSTS + 1).unwrap_or(1);
        let address = Ipv4Addr::new(a, b, c, host);
        take_address(address)?;
        let listener = TcpListener::bind((address, 0))?;
        let port = listener.local_addr()?.port();
        Ok(Self {
            listener,
            address: SocketAddrV4::new(address, port),
        })
    }

    /// Where the implant has to call.
    #[must_use]
    pub const fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Talks until `is_over`, or for some seconds.
    ///
    /// # Errors
    /// When the implant never calls.
    pub fn talk(self, mut is_over: impl FnMut() -> bool) -> io::Result<Talk> {
        let stream = accept(&self.listener)?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let begin = Instant::now();
        let mut talk = Talk::default();
        while !is_over() && begin.elapsed() < PATIENCE {
            talk.say(&stream);
            std::thread::sleep(PAUSE);
            talk.hear(&stream);
        }
        Ok(talk)
    }
}

impl Talk {
    fn say(&mut self, mut stream: &TcpStream) {
        let now = boot_ns();
        // A connection that was ended is no answer either.
        let _ = stream.write(WORD);
        if self.first_unanswered_boot_ns == 0 {
            self.first_unanswered_boot_ns = now;
        }
    }

    fn hear(&mut self, mut stream: &TcpStream) {
        let mut buffer = [0; 512];
        while let Ok(1..) = stream.read(&mut buffer) {
            self.last_answer_boot_ns = boot_ns();
            self.first_unanswered_boot_ns = 0;
        }
    }
}
