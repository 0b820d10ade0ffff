//! TLS around a connection, done by the machine's own `openssl` in a process of its own, so that
//! no TLS library has to be built for this. What is said inside is not known here.

use std::fs;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::corpus::Kind;
use crate::exec;

/// How long `openssl` may take to be there.
const PATIENCE: Duration = Duration::from_secs(3);
const TICK: Duration = Duration::from_millis(5);

/// Which side of TLS we are, and where its files are.
#[derive(Clone)]
pub(super) struct Side {
    kind: Kind,
    scratch: PathBuf,
    count: Arc<AtomicU32>,
}

impl Side {
    pub(super) fn new(kind: Kind, scratch: PathBuf) -> Result<Self> {
        fs::create_dir_all(&scratch)
            .with_context(|| format!("cannot make {}", scratch.display()))?;
        Ok(Self {
            kind,
            scratch,
            count: Arc::default(),
        })
    }

    /// What goes in and comes out in plain text. `openssl` sees the connection as a unix socket.
    pub(super) fn wrap(
        &self,
        wire: TcpStream,
        over: &Arc<AtomicBool>,
    ) -> Result<(ChildStdin, ChildStdout)> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let name = format!("{number}.socket");
        let path = self.scratch.join(&name);
        let _ = fs::remove_file(&path);
        let mut command = Command::new("openssl");
        // openssl 3.0 does not take every path for a socket; a plain name it does.
        command.current_dir(&self.scratch);
        let (mut child, unix) = match self.kind {
            Kind::Reverse => {
                let (key, certificate) = identity(&self.scratch)?;
                command
                    .args(["s_server", "-quiet", "-naccept", "1", "-unix", &name])
                    .args(["-key".as_ref(), key.as_os_str()])
                    .args(["-cert".as_ref(), certificate.as_os_str()]);
                let child = spawn(&mut command)?;
                (child, connected(&path)?)
            }
            Kind::Bind => {
                let listener = UnixListener::bind(&path)
                    .with_context(|| format!("cannot listen at {}", path.display()))?;
                command.args(["s_client", "-quiet", "-unix", &name]);
                let child = spawn(&mut command)?;
                (child, accepted(&listener)?)
            }
        };
        join(&wire, &unix)?;
        let input = child.stdin.take().context("no pipe to openssl")?;
        let output = child.stdout.take().context("no pipe from openssl")?;
        let over = Arc::clone(over);
        thread::spawn(move || end(child, &over));
        Ok((input, output))
    }
}

fn spawn(command: &mut Command) -> Result<Child> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start `openssl`; install it")
}

fn connected(path: &Path) -> Result<UnixStream> {
    let began = Instant::now();
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return Ok(stream),
            Err(error) if began.elapsed() > PATIENCE => {
                return Err(error).with_context(|| format!("no openssl at {}", path.display()));
            }
            Err(_) => thread::sleep(TICK),
        }
    }
}

fn accepted(listener: &UnixListener) -> Result<UnixStream> {
    listener.set_nonblocking(true)?;
    let began = Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if began.elapsed() > PATIENCE => {
                return Err(error).context("openssl does not connect");
            }
            Err(_) => thread::sleep(TICK),
        }
    }
}

/// Copies both ways, each until its end.
fn join(wire: &TcpStream, unix: &UnixStream) -> Result<()> {
    let (mut from_wire, mut to_wire) = (wire.try_clone()?, wire.try_clone()?);
    let (mut from_unix, mut to_unix) = (unix.try_clone()?, unix.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from_wire, &mut to_unix);
        let _ = to_unix.shutdown(Shutdown::Write);
    });
    thread::spawn(move || {
        let _ = io::copy(&mut from_unix, &mut to_wire);
        let _ = to_wire.shutdown(Shutdown::Both);
    });
    Ok(())
}

fn end(mut child: Child, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) && matches!(child.try_wait(), Ok(None)) {
        thread::sleep(TICK);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// A key and a certificate of nobody, made once.
fn identity(scratch: &Path) -> Result<(PathBuf, PathBuf)> {
    let (key, certificate) = (scratch.join("key.pem"), scratch.join("certificate.pem"));
    if !certificate.exists() {
        let mut make = Command::new("openssl");
        make.args(["req", "-x509", "-nodes", "-newkey", "rsa:2048"])
            .args(["-days", "3650", "-subj", "/CN=localhost", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate);
        exec::output(&mut make)?;
        ensure!(certificate.exists(), "openssl made no certificate");
    }
    Ok((key, certificate))
}
