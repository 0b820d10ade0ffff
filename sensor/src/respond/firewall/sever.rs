//! Ends connections that are no longer to be: the kernel drops their packets, and here whoever
//! uses them is told so. In all network namespaces. By sock_diag where the kernel can end sockets,
//! else by shutting them down through a copy of the descriptor (`pidfd_getfd`, 5.6). Which
//! connections are meant is decided elsewhere.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::thread;

use serde::Serialize;

use super::diag::{self, Socket};
use super::operator::socket_inode;

/// Network namespaces looked into.
const NAMESPACES_MAX: usize = 4_096;
/// Processes whose descriptors are looked at, and descriptors of each.
const PROCESSES_MAX: usize = 131_072;
const DESCRIPTORS_MAX: usize = 65_536;

/// What became of connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Severed {
    /// Ended.
    pub(super) ended: usize,
    /// Still there, with nothing passing.
    pub(super) left: usize,
}

/// A connection, for people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Connection {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// This end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// A process that has it, by number and name.
    pub process: Option<(u32, String)>,
}

/// Whose connections can be meant at all.
#[derive(Clone, Debug)]
pub(super) struct Reach(Option<HashSet<u64>>);

impl Reach {
    /// Everybody's, in all network namespaces.
    pub(super) const EVERYBODY: Self = Self(None);

    /// Those that some processes have now.
    pub(super) fn of(pids: &[u32]) -> Self {
        let sockets = pids.iter().flat_map(|pid| sockets_of(*pid));
        Self(Some(sockets.map(|owner| owner.inode).collect()))
    }

    fn has(&self, socket: &Socket) -> bool {
        let inode = u64::from(socket.inode);
        self.0.as_ref().is_none_or(|inodes| inodes.contains(&inode))
    }

    /// Ends all connections that are meant.
    pub(super) fn sever(&self, is_meant: &(dyn Fn(&Socket) -> bool + Sync)) -> Severed {
        let mut sum = Severed::default();
        everywhere(&mut |mut sockets| {
            sockets.retain(|socket| self.has(socket) && is_meant(socket));
            let (ended, left) = end(sockets);
            sum.ended += ended;
            sum.left += left.len();
        });
        sum
    }

    /// All connections that are meant, and whose they are.
    pub(super) fn meant(&self, is_meant: &(dyn Fn(&Socket) -> bool + Sync)) -> Vec<Connection> {
        let mut found: Vec<Socket> = Vec::new();
        everywhere(&mut |mut sockets| {
            sockets.retain(|socket| self.has(socket) && is_meant(socket));
            found.append(&mut sockets);
        });
        if found.is_empty() {
            return Vec::new();
        }
        let inodes = found.iter().map(|socket| u64::from(socket.inode)).collect();
        let owners: HashMap<u64, u32> = owners(&inodes)
            .into_iter()
            .map(|owner| (owner.inode, owner.pid))
            .collect();
        let mut connections: Vec<_> = found
            .iter()
            .map(|socket| Connection {
                protocol: socket.protocol.to_string(),
                local: socket.local,
                remote: socket.remote,
                process: owners
                    .get(&u64::from(socket.inode))
                    .map(|pid| (*pid, process_name(*pid))),
            })
            .collect();
        connections.sort();
        connections
    }
}

/// Ends sockets of this thread's namespace; how many are ended, and which are left.
fn end(sockets: Vec<Socket>) -> (usize, Vec<Socket>) {
    if sockets.is_empty() {
        return (0, sockets);
    }
    let count = sockets.len();
    let left = match diag::destroy(&sockets) {
        Ok(left) => left,
        Err(_) => sockets,
    };
    let left = shut_down(left);
    (count - left.len(), left)
}

/// Shuts sockets down by copies of their descriptors; gives those that nobody had.
fn shut_down(sockets: Vec<Socket>) -> Vec<Socket> {
    if sockets.is_empty() {
        return sockets;
    }
    let inodes = sockets
        .iter()
        .map(|socket| u64::from(socket.inode))
        .collect();
    let mut done = HashSet::new();
    for owner in owners(&inodes) {
        if !done.contains(&owner.inode) && owner.shut_down().is_ok() {
            done.insert(owner.inode);
        }
    }
    let is_left = |socket: &Socket| !done.contains(&u64::from(socket.inode));
    sockets.into_iter().filter(is_left).collect()
}

/// A descriptor that is a socket.
struct Owner {
    inode: u64,
    pid: u32,
    fd: i32,
}

impl Owner {
    fn shut_down(&self) -> io::Result<()> {
        // SAFETY: takes numbers only.
        let process = descriptor(unsafe { libc::syscall(libc::SYS_pidfd_open, self.pid, 0) })?;
        // SAFETY: takes numbers only.
        let copy = descriptor(unsafe {
            libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), self.fd, 0)
        })?;
        // The process may have put something else there meanwhile.
        let link = fs::read_link(format!("/proc/self/fd/{}", copy.as_raw_fd()))?;
        if socket_inode(&link) != Some(self.inode) {
            return Err(io::Error::from_raw_os_error(libc::ESTALE));
        }
        // SAFETY: the descriptor is ours.
        match unsafe { libc::shutdown(copy.as_raw_fd(), libc::SHUT_RDWR) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

fn descriptor(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = i32::try_from(result).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Who has these sockets open.
fn owners(inodes: &HashSet<u64>) -> Vec<Owner> {
    let all = processes().into_iter().flat_map(sockets_of);
    all.filter(|owner| inodes.contains(&owner.inode)).collect()
}

fn sockets_of(pid: u32) -> Vec<Owner> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"));
    let entries = entries
        .into_iter()
        .flatten()
        .flatten()
        .take(DESCRIPTORS_MAX);
    entries
        .filter_map(|entry| {
            Some(Owner {
                inode: socket_inode(&fs::read_link(entry.path()).ok()?)?,
                pid,
                fd: entry.file_name().to_str()?.parse().ok()?,
            })
        })
        .collect()
}

fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.take(PROCESSES_MAX).collect()
}

fn process_name(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

/// Shows the connections of each network namespace, from a thread that is in it.
fn everywhere(look: &mut (dyn FnMut(Vec<Socket>) + Send)) {
    // Ours first: it is the one that matters most.
    look(diag::connections().unwrap_or_default());
    let others = namespaces();
    if others.is_empty() {
        return;
    }
    let visit = move || {
        for path in others {
            // It may be gone, and its connections with it.
            if enter(&path).is_ok() {
                look(diag::connections().unwrap_or_default());
            }
        }
    };
    thread::scope(|scope| {
        // A thread of its own: there is no way back into a namespace that has no name.
        if let Err(error) = thread::Builder::new().spawn_scoped(scope, visit) {
            tracing::warn!(%error, "connections of other network namespaces are not ended");
        }
    });
}

fn enter(path: &PathBuf) -> io::Result<()> {
    let file = File::open(path)?;
    // SAFETY: the descriptor is open; only this thread is moved.
    match unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A path to each network namespace that a process is in, but ours.
fn namespaces() -> Vec<PathBuf> {
    let inode = |path: &PathBuf| fs::metadata(path).map(|metadata| metadata.ino());
    let mut seen = HashSet::new();
    seen.extend(inode(&"/proc/thread-self/ns/net".into()));
    let paths = processes()
        .into_iter()
        .map(|pid| PathBuf::from(format!("/proc/{pid}/ns/net")));
    paths
        .filter(|path| inode(path).is_ok_and(|inode| seen.insert(inode)))
        .take(NAMESPACES_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    fn inode(stream: &impl AsRawFd) -> u32 {
        let link = fs::read_link(format!("/proc/self/fd/{}", stream.as_raw_fd())).unwrap();
        socket_inode(&link).unwrap() as u32
    }

    #[test]
    fn a_connection_is_ended_and_no_other() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (mut one, other) = (
            TcpStream::connect(address).unwrap(),
            TcpStream::connect(address).unwrap(),
        );
        let _held = (listener.accept().unwrap(), listener.accept().unwrap());
        let wanted = inode(&one);
        let is_meant = |socket: &Socket| socket.inode == wanted;
        let shown = Reach::EVERYBODY.meant(&is_meant);
        assert_eq!(shown.len(), 1, "{shown:?}");
        assert_eq!(shown[0].process.as_ref().unwrap().0, std::process::id());
        assert_eq!(Reach::of(&[1]).sever(&is_meant), Severed::default());
        let severed = Reach::of(&[std::process::id()]).sever(&is_meant);
        assert_eq!(severed, Severed { ended: 1, left: 0 });
        assert!(matches!(one.read(&mut [0]), Ok(0) | Err(_)));
        other.set_nonblocking(true).unwrap();
        let error = (&other).read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn without_sock_diag_it_is_shut_down() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let _held = listener.accept().unwrap();
        let wanted = inode(&one);
        let mut sockets = diag::connections().unwrap();
        sockets.retain(|socket| socket.inode == wanted);
        assert!(shut_down(sockets).is_empty());
        assert_eq!(one.read(&mut [0]).unwrap(), 0);
    }
}
