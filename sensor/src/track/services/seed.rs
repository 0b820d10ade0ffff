//! Who listens already when the sensor starts: listening sockets from `/proc/PID/net` of each
//! network namespace, and who holds them from `/proc/PID/fd`. Read-only, bounded, best effort.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::Door;

/// Descriptors looked at of one process.
const DESCRIPTORS_MAX: usize = 256;
/// Network namespaces looked at.
const NAMESPACES_MAX: usize = 256;
/// `TCP_LISTEN` as `/proc/net/tcp` has it, and `__SO_ACCEPTCON` as `/proc/net/unix` has it.
const LISTEN: &str = "0A";
const ACCEPTS: u32 = 0x1_0000;

/// Listening sockets, by inode.
#[derive(Debug, Default)]
pub struct Listening {
    doors: HashMap<u64, Door>,
    seen: HashSet<PathBuf>,
}

impl Listening {
    /// What the process listens on.
    pub fn of(&mut self, pid: u32) -> Vec<Door> {
        let process = Path::new("/proc").join(pid.to_string());
        self.look_at_namespace(&process);
        let Ok(descriptors) = fs::read_dir(process.join("fd")) else {
            return Vec::new();
        };
        descriptors
            .flatten()
            .take(DESCRIPTORS_MAX)
            .filter_map(|entry| {
                let target = fs::read_link(entry.path()).ok()?;
                let inode = target
                    .to_str()?
                    .strip_prefix("socket:[")?
                    .strip_suffix(']')?;
                self.doors.get(&inode.parse().ok()?).cloned()
            })
            .collect()
    }

    fn look_at_namespace(&mut self, process: &Path) {
        let Ok(namespace) = fs::read_link(process.join("ns/net")) else {
            return;
        };
        if self.seen.len() >= NAMESPACES_MAX || !self.seen.insert(namespace) {
            return;
        }
        for (file, parse) in [
            ("net/tcp", tcp as fn(&str) -> Option<(u64, Door)>),
            ("net/tcp6", tcp),
            ("net/unix", unix),
        ] {
            let text = fs::read_to_string(process.join(file)).unwrap_or_default();
            self.doors.extend(text.lines().skip(1).filter_map(parse));
        }
    }
}

/// A line of `/proc/net/tcp` (`Documentation/networking/proc_net_tcp.rst`) of a listener.
fn tcp(line: &str) -> Option<(u64, Door)> {
    let mut columns = line.split_ascii_whitespace();
    let (_, port) = columns.nth(1)?.rsplit_once(':')?;
    if columns.nth(1)? != LISTEN {
        return None;
    }
    let inode = columns.nth(5)?.parse().ok()?;
    Some((inode, Door::Port(u16::from_str_radix(port, 16).ok()?)))
}

/// A line of `/proc/net/unix` (`unix_seq_show`, net/unix/af_unix.c) of a listener.
fn unix(line: &str) -> Option<(u64, Door)> {
    let mut columns = line.split_ascii_whitespace();
    let flags = u32::from_str_radix(columns.nth(3)?, 16).ok()?;
    if flags & ACCEPTS == 0 {
        return None;
    }
    let inode = columns.nth(2)?.parse().ok()?;
    Some((inode, Door::Unix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn listeners_of_both_kinds_are_understood_and_others_are_not() {
        let line = "   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100 0 0 10 0";
        assert_eq!(tcp(line), Some((4711, Door::Port(8080))));
        assert_eq!(tcp(&line.replace(" 0A ", " 01 ")), None);
        let line = "0000000000000000: 00000002 00000000 00010000 0001 01 815 /run/php/x.sock";
        assert_eq!(unix(line), Some((815, Door::Unix)));
        assert_eq!(unix(&line.replace("00010000", "00000000")), None);
    }

    #[test]
    fn this_process_is_found_to_listen() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let doors = Listening::default().of(std::process::id());
        assert!(doors.contains(&Door::Port(port)));
    }

    proptest! {
        #[test]
        fn arbitrary_lines_never_panic(line: String) {
            let _ = (tcp(&line), unix(&line));
        }
    }
}
