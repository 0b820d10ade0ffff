//! The network of one payload: a namespace for it and, unless all is to happen on loopback,
//! another one for whoever is on the other side, joined by a cable. What is sent through it is
//! not known here. The machine's own network takes no part.

use std::fs::File;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;
use std::process::{self, Command, Stdio};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};

use crate::mount::check;

/// The other side, from networks kept for documentation (RFC 5737, RFC 3849): nobody's, and
/// not private.
const PEER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
const PEER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
/// The server: behind a router, as they are.
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 44, 0, 2);
const SERVER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

/// Where the other side is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Address {
    /// On another machine with a public address
    Public,
    /// On the same machine, 127.0.0.1
    Loopback,
}

impl Address {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Loopback => "loopback",
        }
    }
}

/// A network namespace, kept as long as this is, and whoever is in it.
pub(crate) struct Namespace(File);

impl Namespace {
    fn new() -> Result<Self> {
        let made = thread::spawn(|| {
            // SAFETY: no memory is passed; only this thread is moved.
            check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
            File::open("/proc/thread-self/ns/net")
        });
        let made = made.join().map_err(|_| anyhow!("a thread failed"))?;
        let namespace = Self(made.context("no network namespace; this needs root")?);
        namespace.configure("link set lo up\n")?;
        Ok(namespace)
    }

    /// The descriptor to join it with.
    pub(crate) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// As a file to join it by, for programs that we start.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", process::id(), self.fd()).into()
    }

    /// Does something in it: sockets made there stay there, and so do programs.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let fd = self.fd();
        thread::scope(|scope| {
            let done = scope.spawn(move || {
                // SAFETY: no memory is passed; the descriptor is open; only this thread is moved.
                check(unsafe { libc::setns(fd, libc::CLONE_NEWNET) })
                    .context("cannot join a network namespace")?;
                work()
            });
            done.join().map_err(|_| anyhow!("a thread failed"))?
        })
    }

    fn configure(&self, lines: &str) -> Result<()> {
        self.within(|| {
            let mut ip = Command::new("ip")
                .args(["-batch", "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .context("cannot start `ip`; install iproute2")?;
            let mut input = ip.stdin.take().context("no pipe to `ip`")?;
            input.write_all(lines.as_bytes()).context("`ip` ended")?;
            drop(input);
            let output = ip.wait_with_output().context("cannot wait for `ip`")?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(
                output.status.success(),
                "`ip` cannot do\n{lines}{}",
                said.trim_end()
            );
            Ok(())
        })
    }
}

/// The network of one payload.
pub(crate) struct Network {
    server: Namespace,
    peer: Option<Namespace>,
}

impl Network {
    pub(crate) fn new(address: Address) -> Result<Self> {
        let server = Namespace::new()?;
        if address == Address::Loopback {
            return Ok(Self { server, peer: None });
        }
        let peer = Namespace::new()?;
        server.configure(&format!(
            "link add eth0 type veth peer name eth0 netns /proc/{pid}/fd/{fd}\n\
             link set eth0 up\n\
             addr add {SERVER}/32 dev eth0\n\
             addr add {SERVER6}/64 dev eth0 nodad\n\
             route add default via {PEER} dev eth0 onlink\n",
            pid = process::id(),
            fd = peer.fd(),
        ))?;
        peer.configure(&format!(
            "link set eth0 up\n\
             addr add {PEER}/32 dev eth0\n\
             addr add {PEER6}/64 dev eth0 nodad\n\
             route add {SERVER}/32 dev eth0 src {PEER}\n"
        ))?;
        Ok(Self {
            server,
            peer: Some(peer),
        })
    }

    /// Where the payload is.
    pub(crate) fn server(&self) -> &Namespace {
        &self.server
    }

    /// Where the other side is.
    pub(crate) fn peer(&self) -> &Namespace {
        self.peer.as_ref().unwrap_or(&self.server)
    }

    /// The other side, as the payload calls it.
    pub(crate) fn peer_address(&self) -> (IpAddr, Ipv6Addr) {
        match self.peer {
            Some(_) => (PEER.into(), PEER6),
            None => (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST),
        }
    }

    /// The payload, as the other side calls it.
    pub(crate) fn server_address(&self) -> IpAddr {
        match self.peer {
            Some(_) => SERVER.into(),
            None => Ipv4Addr::LOCALHOST.into(),
        }
    }
}
