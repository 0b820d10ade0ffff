//! What a service manager is told while the sensor runs under one, by its protocol of datagrams on
//! a Unix socket (sd_notify(3)): that it watches, that it reads its configuration again, that it
//! stops, how it is, and that it is alive. Without a service manager nothing is said. When what is
//! said is true is decided by the caller.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// How long a manager that has too much to read is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// Longest text about how the sensor is, in bytes; more is cut off.
const STATUS_MAX: usize = 1_024;

/// Who started the sensor, and wants to hear of it.
#[derive(Debug, Default)]
pub struct Manager {
    line: Option<Line>,
    watchdog: Option<Duration>,
}

/// Where it listens.
#[derive(Debug)]
struct Line {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Manager {
    /// The one that left its address in the environment (`NOTIFY_SOCKET`), if one did, and how
    /// often it wants to hear (`WATCHDOG_USEC`, unless `WATCHDOG_PID` names somebody else).
    #[must_use]
    pub fn from_environment() -> Self {
        let number = |name: &str| -> Option<u64> { std::env::var(name).ok()?.parse().ok() };
        let Some(address) = std::env::var_os("NOTIFY_SOCKET") else {
            return Self::default();
        };
        let is_for_us =
            number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|time| is_for_us && *time > 0);
        match Line::to(&address) {
            Ok(line) => Self {
                line: Some(line),
                watchdog: watchdog.map(Duration::from_micros),
            },
            Err(error) => {
                tracing::warn!(?address, %error, "the service manager cannot be told how the sensor is");
                Self::default()
            }
        }
    }

    /// Whether anybody listens.
    #[must_use]
    pub const fn listens(&self) -> bool {
        self.line.is_some()
    }

    /// After which silence it takes the sensor to be hung, if it looks at that.
    #[must_use]
    pub const fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// The sensor watches, with the configuration as it is now.
    pub fn ready(&self) {
        self.say("READY=1");
    }

    /// The configuration is being read again; [`Manager::ready`] says when that is done.
    pub fn reloading(&self) {
        let now = monotonic().as_micros();
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={now}"));
    }

    /// The sensor is about to end.
    pub fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// How the sensor is, in words.
    pub fn status(&self, words: &str) {
        let end = words.floor_char_boundary(STATUS_MAX);
        let words = words.get(..end).unwrap_or_default();
        self.say(&format!("STATUS={}", words.replace(['\n', '\r'], " ")));
    }

    /// The sensor gets on, which only a watchdog wants to hear.
    pub fn alive(&self) {
        if self.watchdog.is_some() {
            self.say("WATCHDOG=1");
        }
    }

    /// A manager that does not listen is no reason to stop watching.
    fn say(&self, message: &str) {
        let Some(line) = &self.line else { return };
        if let Err(error) = line.socket.send_to_addr(message.as_bytes(), &line.address) {
            tracing::debug!(%error, message, "the service manager does not listen");
        }
    }
}

impl Line {
    /// A path, or `@` and an abstract name (unix(7)).
    fn to(address: &OsStr) -> io::Result<Self> {
        let address = match address.as_bytes().split_first() {
            Some((b'@', name)) => SocketAddr::from_abstract_name(name),
            Some((b'/', _)) => SocketAddr::from_pathname(address),
            _ => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "neither a path nor an abstract name",
            )),
        }?;
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { socket, address })
    }
}

/// The clock that systemd compares times of messages with.
fn monotonic() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a valid place for the result; every kernel has this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(address: &OsStr) -> Manager {
        Manager {
            line: Some(Line::to(address).unwrap()),
            watchdog: Some(PATIENCE),
        }
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut message = [0; 4096];
        let length = socket.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    }

    #[test]
    fn messages_arrive_at_a_path() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let manager = manager(path.as_os_str());
        manager.ready();
        assert_eq!(heard(&socket), "READY=1");
        manager.status("degraded:\nnot seen: dns");
        assert_eq!(heard(&socket), "STATUS=degraded: not seen: dns");
        manager.status(&"é".repeat(STATUS_MAX));
        assert_eq!(heard(&socket).len(), "STATUS=".len() + STATUS_MAX);
        let before = monotonic().as_micros();
        manager.reloading();
        let message = heard(&socket);
        let time = message
            .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
            .unwrap();
        assert!(time.parse::<u128>().unwrap() >= before, "{message}");
        manager.stopping();
        manager.alive();
        assert_eq!(
            [heard(&socket), heard(&socket)],
            ["STOPPING=1", "WATCHDOG=1"]
        );
    }

    #[test]
    fn messages_arrive_at_an_abstract_name() {
        let name = format!("sensor-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        manager(OsStr::new(&format!("@{name}"))).ready();
        assert_eq!(heard(&socket), "READY=1");
    }

    #[test]
    fn what_is_no_address_is_refused_and_nobody_is_no_error() {
        assert!(Line::to(OsStr::new("vsock:2:1234")).is_err());
        assert!(Line::to(OsStr::new("")).is_err());
        manager(OsStr::new("/nobody/is/there")).ready();
        Manager::default().ready();
    }
}
