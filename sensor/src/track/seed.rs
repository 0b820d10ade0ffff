//! The processes that are older than the sensor, from `/proc`. Read-only, and best effort: a
//! process may end while it is looked at, and then it is simply not found.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::container::path_in_proc;
use super::home_of;
use super::processes::Seeded;
use crate::event::process::{ProcessKey, Program};
use crate::event::text;

/// Longest command line taken from `/proc`, in bytes.
const COMMAND_LINE_MAX: usize = 8_191;

/// All processes there are, parents before their children.
#[must_use]
pub fn processes() -> Vec<Seeded> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            process(pid)
        })
        .collect();
    found.sort_by_key(|process| (process.key.start_ticks, process.key.pid));
    found
}

/// One process, if it is still there.
#[must_use]
pub fn process(pid: u32) -> Option<Seeded> {
    let directory = Path::new("/proc").join(pid.to_string());
    let (ppid, start_ticks) = parse_stat(&fs::read(directory.join("stat")).ok()?)?;
    let mut arguments = fs::read(directory.join("cmdline")).unwrap_or_default();
    let args_truncated = arguments.len() > COMMAND_LINE_MAX;
    arguments.truncate(COMMAND_LINE_MAX);
    let executable = fs::read_link(directory.join("exe")).ok().map(|path| {
        text::lossy(path.as_os_str().as_bytes())
            .into_owned()
            .into_boxed_str()
    });
    let cgroup = fs::read(directory.join("cgroup")).ok();
    let home = cgroup
        .as_deref()
        .and_then(path_in_proc)
        .map(|path| home_of(&text::lossy(path)));
    let trimmed = arguments.strip_suffix(&[0]).unwrap_or(&arguments);
    let args = if trimmed.is_empty() {
        Box::default()
    } else {
        trimmed
            .split(|byte| *byte == 0)
            .map(|arg| text::lossy(arg).into_owned().into_boxed_str())
            .collect()
    };
    Some(Seeded {
        key: ProcessKey { pid, start_ticks },
        ppid,
        program: Arc::new(Program {
            executable,
            args,
            args_truncated,
            sha256: OnceLock::new(),
        }),
        home,
    })
}

/// Parent and start time from `/proc/<pid>/stat` (proc(5), fields 4 and 22). The name in
/// field 2 may hold anything, so fields are counted from its last parenthesis.
fn parse_stat(stat: &[u8]) -> Option<(u32, u64)> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let ppid = fields.nth(1)?.parse().ok()?;
    let start = fields.nth(17)?.parse().ok()?;
    Some((ppid, start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hostile_name_does_not_shift_the_fields() {
        let stat = b"42 (a) R 1 (b) S 7 42 42 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        assert_eq!(parse_stat(stat), Some((7, 4711)));
    }

    #[test]
    fn this_process_is_found_with_its_parent() {
        let all = processes();
        let me = all
            .iter()
            .find(|process| process.key.pid == std::process::id())
            .unwrap();
        assert_eq!(me.ppid, std::os::unix::process::parent_id());
        assert!(!me.program.args.is_empty());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = parse_stat(&bytes);
        }
    }
}
