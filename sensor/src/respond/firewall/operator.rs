//! Who is logged in by ssh, and which of them is asking: they are to be able to take back what
//! they do. Known from `SSH_CONNECTION` of this process and its ancestors, and, where su or sudo
//! dropped it, from the socket of the sshd among them. What follows from it is decided elsewhere.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;

use super::diag::{self, Socket};
use super::target::Protocol;

/// Generations looked back.
const ANCESTORS_MAX: usize = 64;
/// Bytes of an environment that are looked at.
const ENVIRONMENT_MAX: u64 = 256 * 1024;
/// Descriptors of one sshd that are looked at.
const DESCRIPTORS_MAX: usize = 1_024;
/// Processes of sshd: the listener, and since OpenSSH 9.8 a session's.
const SSHD: [&str; 2] = ["sshd", "sshd-session"];

/// A connection of somebody who is logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Session {
    /// The client.
    pub(super) client: SocketAddr,
    /// This host's end.
    pub(super) server: SocketAddr,
}

impl Session {
    fn is(&self, socket: &Socket) -> bool {
        socket.protocol == Protocol::TCP
            && socket.remote == self.client
            && socket.local == self.server
    }
}

/// Who is logged in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sessions {
    /// Who is asking; by more than one when logins are nested.
    pub(super) asking: Vec<Session>,
    /// Addresses that an environment names, but from which nobody is connected any more: that of
    /// a terminal multiplexer remembers who started it.
    pub(super) remembered: Vec<IpAddr>,
    /// All others.
    pub(super) others: Vec<Session>,
}

impl Sessions {
    /// As it is now.
    pub(super) fn look() -> io::Result<Self> {
        let sockets = diag::connections()?;
        let listening: HashSet<u16> = diag::listening()?.into_iter().collect();
        let ancestors = ancestors();
        let mut this = Self::default();
        for named in ancestors.iter().filter_map(|pid| environment(*pid)) {
            if sockets.iter().any(|socket| named.is(socket)) {
                push(&mut this.asking, named);
            } else {
                push(&mut this.remembered, named.client.ip());
            }
        }
        for pid in sshds() {
            let owned = inodes(pid);
            let is_ancestor = ancestors.contains(&pid);
            for socket in &sockets {
                // What is forwarded leaves from a port that nobody listens on.
                let is_session = socket.protocol == Protocol::TCP
                    && owned.contains(&u64::from(socket.inode))
                    && listening.contains(&socket.local.port());
                if is_session {
                    let session = Session {
                        client: socket.remote,
                        server: socket.local,
                    };
                    push(
                        if is_ancestor {
                            &mut this.asking
                        } else {
                            &mut this.others
                        },
                        session,
                    );
                }
            }
        }
        let asking = &this.asking;
        this.others.retain(|session| !asking.contains(session));
        Ok(this)
    }
}

fn push<T: PartialEq>(to: &mut Vec<T>, one: T) {
    if !to.contains(&one) {
        to.push(one);
    }
}

/// This process and those it descends from.
pub(super) fn ancestors() -> Vec<u32> {
    let mut found = vec![std::process::id()];
    while found.len() < ANCESTORS_MAX
        && let Some(parent) = found.last().copied().and_then(parent)
        && parent > 1
    {
        found.push(parent);
    }
    found
}

/// The parent of a process: the second field behind the name in `/proc/PID/stat`.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}

/// The session that a process's environment names.
fn environment(pid: u32) -> Option<Session> {
    let mut bytes = Vec::new();
    let file = fs::File::open(format!("/proc/{pid}/environ")).ok()?;
    file.take(ENVIRONMENT_MAX).read_to_end(&mut bytes).ok()?;
    session_in(&bytes)
}

/// `SSH_CONNECTION=CLIENT PORT SERVER PORT` among variables that end with NUL (ssh(1)).
fn session_in(environment: &[u8]) -> Option<Session> {
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables.find_map(|variable| variable.strip_prefix(b"SSH_CONNECTION="))?;
    let mut words = std::str::from_utf8(value).ok()?.split(' ');
    let mut end = || {
        // A link-local address comes with its interface.
        let address = words.next()?.split('%').next()?;
        let address: IpAddr = address.parse().ok()?;
        Some(SocketAddr::new(
            address.to_canonical(),
            words.next()?.parse().ok()?,
        ))
    };
    Some(Session {
        client: end()?,
        server: end()?,
    })
}

/// Processes of sshd that root runs: each session has one.
pub(super) fn sshds() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let name = fs::read_to_string(entry.path().join("comm")).ok()?;
            let is_sshd = SSHD.contains(&name.trim_end());
            (is_sshd && entry.metadata().ok()?.uid() == 0).then_some(pid)
        })
        .collect()
}

/// Inodes of the sockets that a process has open.
fn inodes(pid: u32) -> HashSet<u64> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"));
    let links = entries
        .into_iter()
        .flatten()
        .flatten()
        .take(DESCRIPTORS_MAX);
    links
        .filter_map(|entry| socket_inode(&fs::read_link(entry.path()).ok()?))
        .collect()
}

/// `socket:[4711]`.
pub(super) fn socket_inode(link: &std::path::Path) -> Option<u64> {
    let number = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_client_is_read_from_the_environment() {
        let environment =
            b"HOME=/root\0SSH_CONNECTION=::ffff:203.0.113.7 50022 fe80::1%eth0 22\0A=\0";
        let session = session_in(environment).unwrap();
        assert_eq!(session.client, "203.0.113.7:50022".parse().unwrap());
        assert_eq!(session.server, "[fe80::1]:22".parse().unwrap());
        assert_eq!(
            session_in(b"OLD_SSH_CONNECTION=1.2.3.4 1 1.2.3.4 1\0"),
            None
        );
        assert_eq!(session_in(b"SSH_CONNECTION=203.0.113.7 50022\0"), None);
    }

    #[test]
    fn we_descend_from_somebody() {
        let found = ancestors();
        assert_eq!(found.first(), Some(&std::process::id()));
        assert!(found.len() > 1);
    }

    #[test]
    fn sockets_have_inodes() {
        let inode = |text: &str| socket_inode(std::path::Path::new(text));
        assert_eq!(inode("socket:[4711]"), Some(4711));
        assert_eq!(inode("/tmp/socket:[4711]"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_environments_never_panic(bytes: Vec<u8>, value: String) {
            let _ = session_in(&bytes);
            let _ = session_in(format!("SSH_CONNECTION={value}\0").as_bytes());
        }
    }
}
