//! What `/proc` says of processes: who they are, whose children, in what state. A process may end
//! at any moment, so all of it is only known again once there is a [`super::handle::Handle`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::event::process::ProcessKey;
use crate::event::text;

/// `PF_KTHREAD` of `include/linux/sched.h`.
const PF_KTHREAD: u32 = 0x0020_0000;
/// Longest line of a `/proc/PID/cgroup` that is looked at, in bytes (`PATH_MAX`, and a number).
const GROUP_MAX: usize = 4_128;

/// A process as `/proc/PID/stat` shows it (proc(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Which process.
    pub key: ProcessKey,
    /// Pid of its parent.
    pub ppid: u32,
    /// Its state in one letter.
    pub state: char,
    /// `PF_*` of `include/linux/sched.h`.
    pub flags: u32,
    /// The kernel's name of its first thread, fit for a terminal.
    pub comm: Box<str>,
}

impl Stat {
    /// Of one process.
    ///
    /// # Errors
    /// When there is none of that pid.
    pub fn of(pid: u32) -> io::Result<Self> {
        let bytes = fs::read(path(pid, "stat"))?;
        parse(pid, &bytes).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// Whether it is a thread of the kernel.
    #[must_use]
    pub const fn is_kernel_thread(&self) -> bool {
        self.flags & PF_KTHREAD != 0
    }

    /// As people name it: `sh (pid 4711)`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} (pid {})", self.comm, self.key.pid)
    }
}

/// All processes there are. One that comes meanwhile may be missing.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn all() -> io::Result<Vec<Stat>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries
        .filter_map(|entry| Stat::of(entry.ok()?.file_name().to_str()?.parse().ok()?).ok())
        .collect())
}

/// A file of a process.
#[must_use]
pub fn path(pid: u32, file: &str) -> PathBuf {
    Path::new("/proc").join(pid.to_string()).join(file)
}

/// Its control group in the unified hierarchy, from that hierarchy's root: the line `0::PATH`
/// (cgroups(7)).
///
/// # Errors
/// When the process is gone, or not in any.
pub fn group(pid: u32) -> io::Result<PathBuf> {
    let text = fs::read(path(pid, "cgroup"))?;
    let line = text
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(b"0::/"))
        .filter(|path| path.len() < GROUP_MAX)
        .and_then(|path| std::str::from_utf8(path).ok());
    line.map(PathBuf::from)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it is in no unified control group"))
}

/// The name in field 2 may hold anything, so fields are counted from its last parenthesis.
fn parse(pid: u32, stat: &[u8]) -> Option<Stat> {
    let begin = stat.iter().position(|byte| *byte == b'(')?;
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let comm = text::lossy(stat.get(begin + 1..end)?);
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // Fields 3, 4, 9 and 22.
    let field = |number: usize| fields.get(number - 3).copied();
    Some(Stat {
        key: ProcessKey {
            pid,
            start_ticks: field(22)?.parse().ok()?,
        },
        ppid: field(4)?.parse().ok()?,
        state: field(3)?.chars().next()?,
        flags: field(9)?.parse().ok()?,
        comm: text::escape_terminal(comm.as_bytes()).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_made_to_mislead_does_not() {
        let stat = b"42 (a) S 1 (\x1b[2Jb) T 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 99887 0";
        let parsed = parse(42, stat).unwrap();
        assert_eq!(parsed.key.start_ticks, 99_887);
        assert_eq!((parsed.ppid, parsed.state), (7, 'T'));
        assert!(!parsed.comm.contains('\x1b'));
        assert_eq!(parse(42, b"42 (a) S 1"), None);
        assert_eq!(parse(42, b""), None);
    }

    #[test]
    fn we_and_the_kernels_threads_are_told_apart() {
        assert!(!Stat::of(std::process::id()).unwrap().is_kernel_thread());
        assert!(all().unwrap().iter().any(|stat| stat.key.pid == 1));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_safe(stat in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            let _ = parse(1, &stat);
        }
    }
}
