//! Sets of programs that a rule can name by one word. Each is a list of names in the usual
//! directories; what is found there is known by its file, whatever else it is called or linked as,
//! and each path by itself, which also holds in containers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Where they are.
const DIRECTORIES: &[&str] = &["/bin", "/usr/bin", "/usr/local/bin", "/sbin", "/usr/sbin"];
/// Whoever starts the dynamic loader itself can have it run any program, so it is in every set.
const LOADERS: &[&str] = &[
    "/lib64/ld-linux-x86-64.so.2",
    "/usr/lib64/ld-linux-x86-64.so.2",
    "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    "/lib/ld-linux.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
];
/// Bytes of `/etc/shells` that are looked at.
const SHELLS_MAX: usize = 64 * 1024;

const SHELLS: &[&str] = &[
    "sh", "bash", "rbash", "dash", "ash", "zsh", "ksh", "ksh93", "rksh", "mksh", "lksh", "pdksh",
    "fish", "tcsh", "csh", "posh", "yash", "busybox", "toybox", "sash",
];
/// Of these also what has a version behind it, as `python3.11`.
const INTERPRETERS: &[&str] = &[
    "python",
    "perl",
    "php",
    "ruby",
    "lua",
    "luajit",
    "node",
    "nodejs",
    "deno",
    "bun",
    "tclsh",
    "expect",
    "awk",
    "gawk",
    "mawk",
    "original-awk",
    "guile",
    "jrunscript",
    "jjs",
];
const NETCATS: &[&str] = &[
    "nc",
    "ncat",
    "netcat",
    "nc.openbsd",
    "nc.traditional",
    "socat",
    "telnet",
    "cryptcat",
    "sbd",
    "pwncat",
];

/// One of the sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Shells, and what stands in `/etc/shells`.
    Shell,
    /// Interpreters of scripts other than shells.
    Interpreter,
    /// What joins a program to a connection.
    Netcat,
}

impl Known {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Shell, Self::Interpreter, Self::Netcat];

    /// Word for it in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shell => "shell",
            Self::Interpreter => "interpreter",
            Self::Netcat => "netcat",
        }
    }

    /// From its word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// All words.
    #[must_use]
    pub fn words() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// Paths they may have, on this machine and in containers; not all of them are there.
    #[must_use]
    pub fn paths(self) -> BTreeSet<PathBuf> {
        let mut paths: BTreeSet<PathBuf> = LOADERS.iter().map(PathBuf::from).collect();
        let names = match self {
            Self::Shell => SHELLS,
            Self::Interpreter => INTERPRETERS,
            Self::Netcat => NETCATS,
        };
        for directory in DIRECTORIES.iter().map(Path::new) {
            paths.extend(names.iter().map(|name| directory.join(name)));
        }
        match self {
            Self::Shell => paths.extend(listed()),
            Self::Interpreter => paths.extend(versions()),
            Self::Netcat => {}
        }
        // Where links lead to, the program has another name.
        let real: Vec<PathBuf> = paths
            .iter()
            .filter_map(|path| fs::canonicalize(path).ok())
            .collect();
        paths.extend(real);
        paths
    }
}

/// Lines of `/etc/shells` (shells(5)).
fn listed() -> Vec<PathBuf> {
    let text = fs::read_to_string("/etc/shells").unwrap_or_default();
    let text = text.get(..SHELLS_MAX).unwrap_or(&text);
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| line.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}

/// Interpreters that are here, with their versions.
fn versions() -> Vec<PathBuf> {
    let entries = DIRECTORIES
        .iter()
        .flat_map(|directory| fs::read_dir(directory).into_iter().flatten());
    let paths = entries.flatten().map(|entry| entry.path());
    paths
        .filter(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(is_version)
        })
        .collect()
}

fn is_version(name: &str) -> bool {
    let versions = INTERPRETERS
        .iter()
        .filter_map(|base| name.strip_prefix(base));
    versions
        .filter(|version| !version.is_empty())
        .any(|version| {
            version
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_of_this_machine_is_one_and_where_it_leads() {
        let paths = Known::Shell.paths();
        assert!(paths.contains(Path::new("/bin/sh")));
        assert!(paths.contains(&fs::canonicalize("/bin/sh").unwrap()));
    }

    #[test]
    fn versions_are_told_from_other_programs() {
        assert!(is_version("python3.11") && is_version("php8.2") && is_version("perl5.36.0"));
        assert!(!is_version("perldoc") && !is_version("python3-config") && !is_version("python"));
    }
}
