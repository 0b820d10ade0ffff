//! How the loaded programs fare, by the kernel's own statistics: how often they ran, how long
//! (only while `kernel.bpf_stats_enabled` is on), and how often the kernel skipped one because
//! it was still running on that CPU. A skipped run is an event that nobody counted, so it has
//! to be known.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::Ebpf;
use aya::programs::ProgramFd;
use serde::Serialize;

/// Statistics of one program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Runs {
    /// Name in the object.
    pub name: String,
    /// How often it ran, while statistics were on.
    pub count: u64,
    /// How long altogether, in nanoseconds, while statistics were on.
    pub nanoseconds: u64,
    /// How often it was skipped; known from 5.12 on.
    pub skipped: u64,
}

/// The loaded programs.
#[derive(Default)]
pub struct Programs {
    descriptors: Vec<(String, ProgramFd)>,
}

impl Programs {
    /// All programs that are loaded now.
    #[must_use]
    pub fn of(ebpf: &Ebpf) -> Self {
        let descriptors = ebpf
            .programs()
            .filter_map(|(name, program)| {
                Some((name.to_owned(), program.fd().ok()?.try_clone().ok()?))
            })
            .collect();
        Self { descriptors }
    }

    /// Statistics of each.
    pub fn runs(&self) -> impl Iterator<Item = Runs> {
        self.descriptors.iter().map(|(name, fd)| {
            let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
            parse(name, &fs::read_to_string(path).unwrap_or_default())
        })
    }

    /// How often each was skipped, without those that never were.
    #[must_use]
    pub fn skipped(&self) -> BTreeMap<String, u64> {
        self.runs()
            .filter(|runs| runs.skipped > 0)
            .map(|runs| (runs.name, runs.skipped))
            .collect()
    }
}

/// `bpf_prog_show_fdinfo`, `kernel/bpf/syscall.c`: a name, a colon, white space, a value.
fn parse(name: &str, fdinfo: &str) -> Runs {
    let value = |key: &str| {
        fdinfo
            .lines()
            .find_map(|line| {
                line.strip_prefix(key)?
                    .strip_prefix(':')?
                    .trim()
                    .parse()
                    .ok()
            })
            .unwrap_or(0)
    };
    Runs {
        name: name.to_owned(),
        count: value("run_cnt"),
        nanoseconds: value("run_time_ns"),
        skipped: value("recursion_misses"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fdinfo_is_read() {
        let text =
            "pos:\t0\nprog_type:\t26\nrun_time_ns:\t1500\nrun_cnt:\t3\nrecursion_misses:\t1\n";
        let runs = Runs {
            name: "p".into(),
            count: 3,
            nanoseconds: 1500,
            skipped: 1,
        };
        assert_eq!(parse("p", text), runs);
        assert_eq!(
            parse("p", "garbage"),
            Runs {
                name: "p".into(),
                ..Runs::default()
            }
        );
    }
}
