//! Which sshd waits for logins: it listens, and any connection it holds is one that it has just
//! accepted on a port it listens on. A login's process holds a connection too, but does not listen
//! there; it may listen elsewhere (`ssh -R`), which does not make it a listener.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};

use super::proc;

/// Descriptors of a process that are looked at.
const DESCRIPTORS_MAX: usize = 4_096;
/// Bytes of a table of sockets that are looked at.
const TABLE_MAX: u64 = 64 * 1024 * 1024;
/// `TCP_LISTEN` of `include/net/tcp_states.h`.
const LISTEN: &str = "0A";

/// One line of `/proc/net/tcp`, as far as it matters (`Documentation/networking/proc_net_tcp.rst`).
#[derive(Debug, PartialEq, Eq)]
struct Socket {
    port: u16,
    listens: bool,
    inode: u64,
}

/// Whether a process waits for logins. Also when it cannot be told.
#[must_use]
pub fn waits_for_logins(pid: u32) -> bool {
    let Some(inodes) = sockets_of(pid) else {
        return true;
    };
    let sockets: Vec<Socket> = ["net/tcp", "net/tcp6"]
        .iter()
        .flat_map(|table| read(pid, table))
        .filter(|socket| inodes.contains(&socket.inode))
        .collect();
    listens_only(&sockets)
}

fn listens_only(sockets: &[Socket]) -> bool {
    let (listening, connected): (Vec<_>, Vec<_>) = sockets.iter().partition(|s| s.listens);
    !listening.is_empty()
        && connected
            .iter()
            .all(|socket| listening.iter().any(|other| other.port == socket.port))
}

fn sockets_of(pid: u32) -> Option<Vec<u64>> {
    let entries = fs::read_dir(proc::path(pid, "fd")).ok()?;
    let inode = |entry: fs::DirEntry| {
        let link = fs::read_link(entry.path()).ok()?;
        link.to_str()?
            .strip_prefix("socket:[")?
            .strip_suffix(']')?
            .parse()
            .ok()
    };
    Some(
        entries
            .flatten()
            .take(DESCRIPTORS_MAX)
            .filter_map(inode)
            .collect(),
    )
}

fn read(pid: u32, table: &str) -> Vec<Socket> {
    let Ok(file) = fs::File::open(proc::path(pid, table)) else {
        return Vec::new();
    };
    let lines = BufReader::new(file.take(TABLE_MAX)).lines();
    lines
        .map_while(Result::ok)
        .filter_map(|line| parse(&line))
        .collect()
}

/// `sl: ADDRESS:PORT ADDRESS:PORT STATE tx:rx tr:when retrnsmt uid timeout inode …`
fn parse(line: &str) -> Option<Socket> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (_, port) = fields.next()?.rsplit_once(':')?;
    Some(Socket {
        port: u16::from_str_radix(port, 16).ok()?,
        listens: fields.nth(1)? == LISTEN,
        inode: fields.nth(5)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_line_of_the_table_is_read() {
        let line = "   0: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000 100 0 0 10 0";
        assert_eq!(
            parse(line),
            Some(Socket {
                port: 22,
                listens: true,
                inode: 4711
            })
        );
        assert_eq!(
            parse("  sl  local_address rem_address   st tx_queue rx_queue"),
            None
        );
    }

    #[test]
    fn a_login_that_forwards_a_port_does_not_wait_for_logins() {
        let socket = |port, listens| Socket {
            port,
            listens,
            inode: 0,
        };
        assert!(listens_only(&[socket(22, true)]));
        assert!(listens_only(&[socket(22, true), socket(22, false)]));
        assert!(!listens_only(&[socket(22, false)]));
        assert!(!listens_only(&[socket(22, false), socket(6010, true)]));
        assert!(!listens_only(&[]));
    }

    #[test]
    fn the_kernel_tells_who_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = std::process::id();
        let inodes = sockets_of(own).unwrap();
        let port = listener.local_addr().unwrap().port();
        let _stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let ours = read(own, "net/tcp");
        assert!(
            ours.iter()
                .any(|s| s.listens && s.port == port && inodes.contains(&s.inode))
        );
    }
}
