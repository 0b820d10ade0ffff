//! What end-to-end tests of the network need: a network of their own, sockets made by hand, and
//! a look at events by socket. Knows nothing of what is tested.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd as _, OwnedFd};

use anyhow::{Context as _, Result};

use crate::{Event, Finished, Launch, Sensor, field, text};

/// Moves this thread into a network namespace of its own, with nothing but a loopback device.
///
/// # Errors
/// When that is not allowed.
pub fn private() -> Result<()> {
    // SAFETY: only this thread is moved.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })
        .context("no network namespace of our own")?;
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: all zero is a valid request, of which name and flags are then set.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    // SAFETY: the request lives through the call.
    check(unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS as _,
            &raw const request,
        )
    })
    .context("loopback does not come up")
}

/// Gives the loopback device of this network namespace a further address; `number` tells the
/// further ones apart.
///
/// # Errors
/// When the kernel does not let us.
pub fn take_address(number: u8, address: Ipv4Addr) -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: all zero is a valid request, of which name and address are then set.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request
        .ifr_name
        .iter_mut()
        .zip(format!("lo:{number}").bytes())
    {
        *to = from.cast_signed();
    }
    // SAFETY: all zero is a valid address, of which family and number are then set.
    let mut inet: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    inet.sin_family = libc::AF_INET as libc::sa_family_t;
    inet.sin_addr.s_addr = u32::from(address).to_be();
    // SAFETY: an address of this family is as long as the one in the request, which lives through
    // the call.
    check(unsafe {
        (&raw mut request.ifr_ifru.ifru_addr)
            .cast::<libc::sockaddr_in>()
            .write_unaligned(inet);
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFADDR as _,
            &raw const request,
        )
    })
    .with_context(|| format!("loopback does not take {address}"))
}

fn check(result: i32) -> Result<()> {
    if result < 0 {
        Err(std::io::Error::last_os_error().into())
    } else {
        Ok(())
    }
}

/// Starts the sensor from a network of our own.
///
/// # Errors
/// When it does not start.
pub fn sensor() -> Result<Sensor> {
    private()?;
    Launch::default().with(["--events", "network"]).start()
}

/// Inode of a socket, as `/proc` shows it.
#[must_use]
pub fn inode(socket: &impl AsRawFd) -> u64 {
    // SAFETY: all zero is a valid `stat`, and lives through the call.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open; on failure all stays zero.
    unsafe { libc::fstat(socket.as_raw_fd(), &raw mut stat) };
    stat.st_ino
}

/// A socket that is neither bound nor connected, `None` when the kernel has no such.
#[must_use]
pub fn socket(family: i32, kind: i32, protocol: i32) -> Option<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) };
    // SAFETY: just made, and ours.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `struct sockaddr_in`.
#[must_use]
pub fn sockaddr(address: [u8; 4], port: u16) -> [u8; 16] {
    let [family_low, family_high] = (libc::AF_INET as u16).to_ne_bytes();
    let [port_high, port_low] = port.to_be_bytes();
    let [a, b, c, d] = address;
    [
        family_low,
        family_high,
        port_high,
        port_low,
        a,
        b,
        c,
        d,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
    ]
}

/// Whether the event is of this kind.
#[must_use]
pub fn is(event: &Event, dataset: &str) -> bool {
    text(event, "event.dataset") == dataset
}

/// Whether this very thread did it.
#[must_use]
pub fn is_ours(event: &Event) -> bool {
    field(event, "process.pid") == std::process::id()
        && text(event, "process.thread.name") == thread_name()
}

/// The kernel's name of this thread, which libtest derives from the test's.
fn thread_name() -> String {
    std::fs::read_to_string("/proc/thread-self/comm")
        .unwrap_or_default()
        .trim_end()
        .to_owned()
}

/// Events of a socket.
#[must_use]
pub fn of<'e>(finished: &'e Finished, dataset: &str, inode: u64) -> Vec<&'e Event> {
    finished
        .events
        .iter()
        .filter(|event| is(event, dataset) && field(event, "sensor.network.inode") == inode)
        .collect()
}

/// Waits for an event of a kind.
///
/// # Errors
/// When it does not come.
pub fn wait(sensor: &mut Sensor, dataset: &str, wanted: impl Fn(&Event) -> bool) -> Result<Event> {
    sensor
        .wait_for(|event| is(event, dataset) && wanted(event))
        .with_context(|| format!("no {dataset}"))
}

/// Whether the event is about a connection from `source` to `destination`.
#[must_use]
pub fn has_ends(event: &Event, source: SocketAddr, destination: SocketAddr) -> bool {
    let canonical = |address: IpAddr| address.to_canonical().to_string();
    text(event, "source.ip") == canonical(source.ip())
        && field(event, "source.port") == source.port()
        && text(event, "destination.ip") == canonical(destination.ip())
        && field(event, "destination.port") == destination.port()
}
