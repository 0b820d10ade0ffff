//! Gives up what the sensor does not use once its programs are loaded and attached: all
//! capabilities but those listed here, also for whatever it starts, and for ever. What stays is
//! still much, because what a sensor does about intruders is much; each has its reason beside it,
//! which `docs/service.md` repeats and the systemd unit is held to.

use std::io;

use libc::c_int;

use crate::prctl;

/// A capability that stays.
#[derive(Debug)]
struct Kept {
    /// Number in `include/uapi/linux/capability.h`.
    bit: u8,
    name: &'static str,
    /// What for.
    why: &'static str,
}

macro_rules! kept {
    ($($bit:literal $name:literal $why:literal;)*) => {
        &[$(Kept { bit: $bit, name: $name, why: $why }),*]
    };
}

const KEPT: &[Kept] = kept! {
    1 "CAP_DAC_OVERRIDE" "reads what others own, wherever it is; puts their files into quarantine; moves processes into frozen control groups";
    3 "CAP_FOWNER" "takes others' files away out of directories like `/tmp`, where only owners may";
    5 "CAP_KILL" "ends and stops intruders' processes";
    6 "CAP_SETGID" "becomes nobody to scan files, and the user of a playbook's `run`";
    7 "CAP_SETUID" "the same";
    8 "CAP_SETPCAP" "has the scanner of files give up even what it might get back";
    9 "CAP_LINUX_IMMUTABLE" "takes files into quarantine that were made immutable";
    10 "CAP_NET_BIND_SERVICE" "opens decoy ports below 1024";
    12 "CAP_NET_ADMIN" "loads and attaches the firewall when somebody is cut off, and ends connections";
    19 "CAP_SYS_PTRACE" "reads of all processes in `/proc` what they run, hold open and are joined to, and shuts their sockets where the kernel cannot";
    21 "CAP_SYS_ADMIN" "ends connections inside of containers (`setns`), finds control groups and mounts a BPF file system where there is none";
    23 "CAP_SYS_NICE" "has those threads come first on which cutting somebody off waits";
    38 "CAP_PERFMON" "the verifier's leave for programs of the firewall that are loaded later";
    39 "CAP_BPF" "reads the account of its programs, changes filters, and what is blocked";
};

/// `_LINUX_CAPABILITY_VERSION_3`: two words for each set.
const VERSION: u32 = 0x2008_0522;
/// Capabilities there may be.
const CAPABILITIES: u8 = 64;

/// `struct __user_cap_header_struct`; the calling thread for pid 0.
#[repr(C)]
struct Header {
    version: u32,
    pid: c_int,
}

/// `struct __user_cap_data_struct`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Names of the capabilities that stay, each with what it is for.
pub fn kept() -> impl Iterator<Item = (&'static str, &'static str)> {
    KEPT.iter().map(|kept| (kept.name, kept.why))
}

/// Gives them up for the thread that calls this and all that it starts from then on: to be called
/// before there are others. A sensor that has too much is better than none, so what cannot be
/// given up is only named.
pub fn everything_but_what_is_used() {
    if let Err(error) = shed() {
        tracing::warn!(%error, "not all privileges that are not used could be given up");
    }
}

fn shed() -> io::Result<()> {
    prctl::set(libc::PR_SET_NO_NEW_PRIVS, 1)?;
    for bit in (0..CAPABILITIES).filter(|bit| !is_kept(*bit)) {
        match prctl::set(libc::PR_CAPBSET_DROP, bit.into()) {
            // The kernel does not know that one, nor any after it.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            // Without CAP_SETPCAP whoever started us has decided.
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => break,
            other => other?,
        }
    }
    let mut sets = capabilities()?;
    for (number, word) in sets.iter_mut().enumerate() {
        let mask = (0..32).filter(|bit| is_kept(32 * number as u8 + bit));
        let mask = mask.fold(0, |mask, bit| mask | 1 << bit);
        word.permitted &= mask;
        word.effective &= mask;
        word.inheritable = 0;
    }
    let header = Header {
        version: VERSION,
        pid: 0,
    };
    // SAFETY: the kernel's structures, two words of each set as the version says; both outlive
    // the call.
    prctl::done(
        unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) } as c_int,
    )
}

fn capabilities() -> io::Result<[Sets; 2]> {
    let mut header = Header {
        version: VERSION,
        pid: 0,
    };
    let mut sets = [Sets::default(); 2];
    // SAFETY: as for `capset`.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) };
    prctl::done(result as c_int).map(|()| sets)
}

fn is_kept(bit: u8) -> bool {
    KEPT.iter().any(|kept| kept.bit == bit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    /// Besides those that stay, what is asked for at the start.
    const AT_THE_START: [&str; 1] = ["CAP_DAC_READ_SEARCH"];

    fn project(path: &str) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        fs::read_to_string(root.join(path)).unwrap()
    }

    fn set(status: &str, name: &str) -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
    }

    #[test]
    fn nothing_stays_that_is_not_listed_and_no_thread_gets_it_back() {
        // Capabilities are a thread's own, so that this one changes nothing for other tests.
        let (before, after) = std::thread::spawn(|| {
            let status = || fs::read_to_string("/proc/thread-self/status").unwrap();
            let before = status();
            shed().unwrap();
            let after = std::thread::spawn(status).join().unwrap();
            (before, after)
        })
        .join()
        .unwrap();
        let kept = KEPT.iter().fold(0, |set, kept| set | 1_u64 << kept.bit);
        for name in ["CapEff:", "CapPrm:"] {
            assert_eq!(set(&after, name), set(&before, name) & kept, "{name}");
        }
        if set(&before, "CapEff:") >> 8 & 1 == 1 {
            assert_eq!(set(&after, "CapBnd:"), set(&before, "CapBnd:") & kept);
        }
        assert_eq!(set(&after, "NoNewPrivs:"), 1);
    }

    #[test]
    fn the_unit_gives_what_is_used_and_no_more() {
        let unit = project("packaging/systemd/sensor.service");
        let mut given: Vec<&str> = unit
            .lines()
            .filter_map(|line| line.strip_prefix("CapabilityBoundingSet="))
            .flat_map(str::split_whitespace)
            .collect();
        given.sort_unstable();
        let mut used: Vec<&str> = kept().map(|(name, _)| name).collect();
        used.extend(AT_THE_START);
        used.sort_unstable();
        assert_eq!(given, used);
    }

    #[test]
    fn what_each_is_for_is_documented() {
        let page = project("docs/service.md");
        for (name, why) in kept() {
            let row = format!("| `{name}` | {why} |");
            assert!(page.contains(&row), "docs/service.md lacks: {row}");
        }
    }
}
