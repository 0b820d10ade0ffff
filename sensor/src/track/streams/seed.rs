//! What processes older than the sensor hold, from `/proc`: connections and listeners from
//! `/proc/net`, and whose they are from `/proc/PID/fd`. Best effort and bounded: a process that
//! ends meanwhile is simply not found.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Channel, Connection, Hold, Streams, hold_on};
use crate::event::Endpoint;
use crate::event::network::Direction;
use crate::event::process::ProcessKey;
use crate::track::seed;

/// Descriptors looked at of one process.
const DESCRIPTORS_MAX: usize = 256;
/// `TCP_ESTABLISHED` and `TCP_LISTEN` of `include/net/tcp_states.h`, as `/proc/net/tcp` has them.
const ESTABLISHED: u8 = 1;
const LISTEN: u8 = 10;

/// A line of `/proc/net/tcp` or `tcp6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Socket {
    local: Endpoint,
    remote: Endpoint,
    state: u8,
    inode: u64,
}

pub(super) fn fill(streams: &mut Streams) {
    let sockets = sockets();
    for socket in sockets.values().filter(|socket| socket.state == LISTEN) {
        streams.connections.listens_on(socket.local.port);
    }
    for found in seed::processes() {
        streams.ensure(found.key, found.ppid);
        descriptors(streams, found.key, &sockets);
    }
}

fn sockets() -> HashMap<u64, Socket> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|text| text.lines().skip(1).filter_map(socket).collect::<Vec<_>>())
        .map(|socket| (socket.inode, socket))
        .collect()
}

/// One line, as `Documentation/networking/proc_net_tcp.rst` has it.
fn socket(line: &str) -> Option<Socket> {
    let mut columns = line.split_ascii_whitespace();
    let local = endpoint(columns.nth(1)?)?;
    let remote = endpoint(columns.next()?)?;
    let state = u8::from_str_radix(columns.next()?, 16).ok()?;
    let inode = columns.nth(5)?.parse().ok()?;
    (inode != 0).then_some(Socket {
        local,
        remote,
        state,
        inode,
    })
}

/// `0100007F:0050`: an address as 32-bit words of this machine's byte order, and a port.
fn endpoint(text: &str) -> Option<Endpoint> {
    let (address, port) = text.split_once(':')?;
    let word = |at: usize| {
        let digits = address.get(8 * at..8 * at + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let address = Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?);
            address
                .to_ipv4_mapped()
                .map_or(IpAddr::V6(address), IpAddr::V4)
        }
        _ => return None,
    };
    Some(Endpoint {
        address,
        port: u16::from_str_radix(port, 16).ok()?,
    })
}

fn descriptors(streams: &mut Streams, key: ProcessKey, sockets: &HashMap<u64, Socket>) {
    let directory = Path::new("/proc").join(key.pid.to_string());
    let Ok(entries) = fs::read_dir(directory.join("fd")) else {
        return;
    };
    for entry in entries.flatten().take(DESCRIPTORS_MAX) {
        let fd = entry.file_name();
        let Some(number) = fd.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(target) = fs::read_link(entry.path()) else {
            continue;
        };
        let Some(target) = target.to_str() else {
            continue;
        };
        if let Some(inode) = bracketed(target, "socket:") {
            connection(streams, key, inode, number, sockets);
        } else if let Some(channel) = channel(target, &entry.path(), &directory, number) {
            hold(streams, key, channel, number);
        }
    }
}

/// The number in `pipe:[4711]`.
fn bracketed(target: &str, prefix: &str) -> Option<u64> {
    target
        .strip_prefix(prefix)?
        .strip_prefix('[')?
        .strip_suffix(']')?
        .parse()
        .ok()
}

fn channel(target: &str, descriptor: &Path, process: &Path, number: u32) -> Option<Channel> {
    const IS_FIFO: u32 = libc::S_IFIFO;
    if let Some(inode) = bracketed(target, "pipe:") {
        // Others are a program's own, and far too many.
        return (number <= 2).then_some(Channel::Pipe(inode));
    }
    if let Some(index) = target.strip_prefix("/dev/pts/") {
        let is_slave = number <= 2 && index != "ptmx";
        if is_slave {
            return index.parse().ok().map(Channel::Terminal);
        }
    }
    if target.ends_with("/ptmx") {
        let info = fs::read_to_string(process.join("fdinfo").join(number.to_string())).ok()?;
        let index = info
            .lines()
            .find_map(|line| line.strip_prefix("tty-index:"))?;
        return index.trim().parse().ok().map(Channel::Master);
    }
    if target.starts_with("/dev/") || !target.starts_with('/') {
        return None;
    }
    let found = fs::metadata(descriptor).ok()?;
    (found.mode() & libc::S_IFMT == IS_FIFO).then(|| Channel::Fifo {
        device: device(found.dev()),
        inode: found.ino(),
    })
}

/// The kernel's own form of a device number, `major << 20 | minor`.
fn device(number: u64) -> u32 {
    (libc::major(number) << 20) | libc::minor(number)
}

fn connection(
    streams: &mut Streams,
    key: ProcessKey,
    inode: u64,
    number: u32,
    sockets: &HashMap<u64, Socket>,
) {
    let Some(socket) = sockets
        .get(&inode)
        .filter(|socket| socket.state == ESTABLISHED)
    else {
        if number <= 2 {
            hold(streams, key, Channel::Unix(inode), number);
        }
        return;
    };
    let direction = if streams.connections.listeners_have(socket.local.port) {
        Direction::Ingress
    } else {
        Direction::Egress
    };
    if streams.connections.get(inode).is_none() {
        streams.connections.insert(
            inode,
            Connection {
                local: socket.local,
                remote: socket.remote,
                protocol: libc::IPPROTO_TCP as u8,
                direction,
                opener: key,
                since_boot_ns: 0,
                event: None,
            },
        );
    }
    streams.has_connection(key, inode);
    if number <= 2 {
        hold(streams, key, Channel::Inet(inode), number);
    }
}

fn hold(streams: &mut Streams, key: ProcessKey, channel: Channel, number: u32) {
    let standard = number <= 2;
    let (reads, writes) = if standard {
        (number == 0, number != 0)
    } else {
        (true, true)
    };
    let Some(node) = streams.nodes.get_mut(&key) else {
        return;
    };
    match node.holds.iter_mut().find(|hold| hold.channel == channel) {
        Some(hold) => {
            hold.reads |= reads;
            hold.writes |= writes;
        }
        None => {
            node.holds.push(Hold {
                channel,
                reads,
                writes,
                standard,
            });
            hold_on(&mut streams.holders, channel, key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_of_proc_net_tcp_is_understood() {
        let line = "   0: 0100007F:1F90 0200000A:D431 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000000000000000 20 4 30 10 -1";
        let socket = socket(line).unwrap();
        assert_eq!(socket.local.to_string(), "127.0.0.1:8080");
        assert_eq!(socket.remote.to_string(), "10.0.0.2:54321");
        assert_eq!((socket.state, socket.inode), (ESTABLISHED, 4711));
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        let end = endpoint("0000000000000000FFFF00000100007F:0016").unwrap();
        assert_eq!(end.to_string(), "127.0.0.1:22");
    }

    #[test]
    fn this_process_s_connection_is_found_with_its_direction() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let _client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let _server = listener.accept().unwrap();
        let mut streams = Streams::new(100_000);
        streams.seed();
        let mine: Vec<_> = sockets()
            .values()
            .filter_map(|socket| streams.connections.get(socket.inode))
            .filter(|connection| connection.local.port == port || connection.remote.port == port)
            .map(|connection| connection.direction)
            .collect();
        assert!(mine.contains(&Direction::Ingress) && mine.contains(&Direction::Egress));
    }

    proptest! {
        #[test]
        fn arbitrary_lines_never_panic(line: String) {
            let _ = socket(&line);
            let _ = endpoint(&line);
            let _ = bracketed(&line, "pipe:");
        }
    }
}
