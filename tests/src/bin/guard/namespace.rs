//! Two network namespaces with a cable between them: a sender, and the host that the firewall is
//! for. Gone when the last descriptor is.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::frames::{HOST, HOST_MAC};

/// A network namespace.
pub struct Namespace(File);

impl Namespace {
    fn new() -> Result<Self> {
        let made = thread::spawn(|| {
            // SAFETY: no memory is passed; only this thread is moved.
            let moved = unsafe { libc::unshare(libc::CLONE_NEWNET) };
            ensure!(moved == 0, "no network namespace");
            File::open("/proc/thread-self/ns/net").context("no network namespace")
        });
        Ok(Self(made.join().map_err(|_| anyhow!("a thread failed"))??))
    }

    /// Does something in it: sockets made there stay there, and so do programs.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let fd = self.0.as_raw_fd();
        thread::scope(|scope| {
            let done = scope.spawn(move || {
                // SAFETY: no memory is passed; the descriptor is open; only this thread is moved.
                let joined = unsafe { libc::setns(fd, libc::CLONE_NEWNET) };
                ensure!(joined == 0, "cannot join a network namespace");
                work()
            });
            done.join().map_err(|_| anyhow!("a thread failed"))?
        })
    }

    /// Gives a program something to read, in it.
    pub fn feed(&self, command: &mut Command, input: &[u8]) -> Result<()> {
        self.within(|| {
            let mut child = command
                .stdin(Stdio::piped())
                .spawn()
                .with_context(|| format!("cannot start {:?}", command.get_program()))?;
            let mut pipe = child.stdin.take().context("no pipe")?;
            pipe.write_all(input)?;
            drop(pipe);
            let status = child.wait()?;
            ensure!(status.success(), "{:?}: {status}", command.get_program());
            Ok(())
        })
    }
}

/// The two, joined.
pub struct Cable {
    /// `eth0` of it has the addresses that packets come from.
    pub sender: Namespace,
    /// `eth0` of it is the host's.
    pub host: Namespace,
}

/// The sender's own address.
pub const SENDER: &str = "198.51.100.2";

impl Cable {
    pub fn new() -> Result<Self> {
        let cable = Self {
            sender: Namespace::new()?,
            host: Namespace::new()?,
        };
        let mac: Vec<String> = HOST_MAC.iter().map(|byte| format!("{byte:02x}")).collect();
        let join = format!(
            "link set lo up\n\
             link add eth0 type veth peer name eth0 netns /proc/{}/fd/{}\n\
             link set eth0 address {} up\n\
             addr add {HOST}/24 dev eth0\n\
             route add default via {SENDER}\n",
            std::process::id(),
            cable.sender.0.as_raw_fd(),
            mac.join(":"),
        );
        let ip = || {
            let mut ip = Command::new("ip");
            ip.args(["-batch", "-"]);
            ip
        };
        cable.host.feed(&mut ip(), join.as_bytes())?;
        let other = format!("link set eth0 up\naddr add {SENDER}/24 dev eth0\n");
        cable.sender.feed(&mut ip(), other.as_bytes())?;
        Ok(cable)
    }
}
