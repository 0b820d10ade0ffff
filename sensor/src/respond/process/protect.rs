//! Who is never acted on, by hand, by playbook or by mistake: without them the machine, or the way
//! to it, is lost. A program is protected for one user only, because whoever may start it can have
//! it do anything (`LD_PRELOAD`), and would be out of reach with it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::listener;
use super::proc::{self, Stat};

/// Protected when the configuration says nothing else: what init, logins, the bus and containers
/// hang on. One that is not installed protects nobody.
pub const DEFAULT: &[&str] = &[
    "/usr/sbin/sshd",
    "/usr/lib/systemd/systemd",
    "/usr/lib/systemd/systemd-journald",
    "/usr/lib/systemd/systemd-logind",
    "/usr/lib/systemd/systemd-udevd",
    "systemd-network:/usr/lib/systemd/systemd-networkd",
    "messagebus:/usr/bin/dbus-daemon",
    "messagebus:/usr/bin/dbus-broker",
    "/usr/bin/dbus-broker-launch",
    "/usr/bin/dockerd",
    "/usr/bin/containerd",
    "/usr/bin/containerd-shim-runc-v2",
    "/usr/bin/crio",
    "/usr/bin/conmon",
    "/usr/bin/kubelet",
];

/// Most programs that can be protected.
pub const PROGRAMS_MAX: usize = 256;
/// Ancestors of ours that are looked for.
const ANCESTORS_MAX: usize = 64;
/// Of this program only the process that waits for logins is protected, not the logins.
const SSHD: &str = "sshd";

/// Why a list of protected programs means nothing.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ProtectError {
    /// Not a path.
    #[error(
        "{0:?} is no program to protect: write `/usr/sbin/program`, or `USER:/usr/sbin/program` when it is not root's"
    )]
    Path(String),
    /// Nobody of that name.
    #[error("{entry:?}: there is no user {user:?} in /etc/passwd; a number will do as well")]
    User {
        /// The entry.
        entry: String,
        /// The name.
        user: String,
    },
    /// Too many.
    #[error("more than {PROGRAMS_MAX} protected programs")]
    Many,
}

/// A program of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its path in our own mount namespace.
    pub path: PathBuf,
    /// Effective user id it has.
    pub user: u32,
}

impl Program {
    /// Reads `[USER:]/PATH`.
    ///
    /// # Errors
    /// When that means nothing.
    pub fn parse(entry: &str) -> Result<Self, ProtectError> {
        let (user, path) = match entry.split_once(':') {
            Some((user, path)) if !entry.starts_with('/') => (Some(user), path),
            _ => (None, entry),
        };
        if !path.starts_with('/') {
            return Err(ProtectError::Path(entry.to_owned()));
        }
        let user = match user {
            None => 0,
            Some(name) => user_id(name).ok_or_else(|| ProtectError::User {
                entry: entry.to_owned(),
                user: name.to_owned(),
            })?,
        };
        Ok(Self {
            path: path.into(),
            user,
        })
    }
}

/// A number, or a name of `/etc/passwd` (a static binary makes no NSS calls).
#[must_use]
pub fn user_id(name: &str) -> Option<u32> {
    if let Ok(id) = name.parse() {
        return Some(id);
    }
    let text = fs::read_to_string("/etc/passwd").ok()?;
    let of_name = |line: &str| {
        line.strip_prefix(name)?
            .strip_prefix(':')?
            .split(':')
            .nth(1)?
            .parse()
            .ok()
    };
    text.lines().find_map(of_name)
}

/// Who is never acted on.
#[derive(Clone, Debug)]
pub struct Protected {
    programs: Vec<Program>,
    ours: Vec<u32>,
}

impl Default for Protected {
    /// [`DEFAULT`], and this process.
    fn default() -> Self {
        let known = DEFAULT
            .iter()
            .filter_map(|entry| Program::parse(entry).ok());
        Self::of(known.collect())
    }
}

impl Protected {
    /// These programs, and this process.
    ///
    /// # Errors
    /// The first entry that means nothing.
    pub fn new<S: AsRef<str>>(entries: &[S]) -> Result<Self, ProtectError> {
        if entries.len() > PROGRAMS_MAX {
            return Err(ProtectError::Many);
        }
        let programs = entries.iter().map(|entry| Program::parse(entry.as_ref()));
        Ok(Self::of(programs.collect::<Result<_, _>>()?))
    }

    fn of(programs: Vec<Program>) -> Self {
        Self {
            programs,
            ours: vec![std::process::id()],
        }
    }

    /// Also this process, which is the sensor that runs, and its helpers.
    #[must_use]
    pub fn with_sensor(mut self, pid: u32) -> Self {
        self.ours.push(pid);
        self
    }

    /// The programs.
    #[must_use]
    pub fn programs(&self) -> &[Program] {
        &self.programs
    }

    /// As things are now, for one action: which files the programs are, and whose child we are.
    #[must_use]
    pub fn now(&self) -> Now<'_> {
        Now {
            list: self,
            files: self.programs.iter().map(|p| file(&p.path).ok()).collect(),
            mount_namespace: file(&proc::path(std::process::id(), "ns/mnt")).ok(),
            ancestors: ancestors(),
        }
    }
}

/// Device and inode.
type File = (u64, u64);

fn file(path: &Path) -> io::Result<File> {
    fs::metadata(path).map(|data| (data.dev(), data.ino()))
}

fn is_same_program(one: u32, other: u32) -> bool {
    let executable = |pid| file(&proc::path(pid, "exe")).ok();
    executable(one).is_some() && executable(one) == executable(other)
}

/// Pids of our parent, its parent and so on, without init.
fn ancestors() -> Vec<u32> {
    let parent = |pid: &u32| {
        Stat::of(*pid)
            .ok()
            .map(|stat| stat.ppid)
            .filter(|ppid| *ppid > 1)
    };
    std::iter::successors(parent(&std::process::id()), parent)
        .take(ANCESTORS_MAX)
        .collect()
}

/// [`Protected`] at one moment.
#[derive(Debug)]
pub struct Now<'a> {
    list: &'a Protected,
    files: Vec<Option<File>>,
    mount_namespace: Option<File>,
    ancestors: Vec<u32>,
}

impl Now<'_> {
    /// Why a process is not acted on; `None` when nothing speaks against it.
    #[must_use]
    pub fn refusal(&self, stat: &Stat) -> Option<String> {
        let pid = stat.key.pid;
        if pid == 1 {
            return Some("it is init".to_owned());
        }
        if stat.is_kernel_thread() {
            return Some("it is a thread of the kernel".to_owned());
        }
        if self.list.ours.contains(&pid) {
            return Some("it is the sensor".to_owned());
        }
        if self.list.ours.contains(&stat.ppid) && is_same_program(pid, stat.ppid) {
            return Some("it is a helper of the sensor".to_owned());
        }
        if self.ancestors.contains(&pid) {
            return Some("this command runs below it, and would go with it".to_owned());
        }
        let program = self.program_of(pid)?;
        let is_sshd = program.path.file_name().is_some_and(|name| name == SSHD);
        if !is_sshd {
            return Some(format!("{} is protected", program.path.display()));
        }
        listener::waits_for_logins(pid).then(|| "it is the sshd that waits for logins".to_owned())
    }

    /// The protected program that a process runs as the user it is protected for.
    fn program_of(&self, pid: u32) -> Option<&Program> {
        let user = fs::metadata(proc::path(pid, "")).ok()?.uid();
        let exe = proc::path(pid, "exe");
        // The link leads to the file itself, wherever that is or was.
        let executable = file(&exe).ok();
        let programs = self.list.programs.iter().zip(&self.files);
        programs
            .filter(|(program, _)| program.user == user)
            .find(|(program, file)| {
                (file.is_some() && **file == executable) || self.was_replaced(pid, &exe, program)
            })
            .map(|(program, _)| program)
    }

    /// Whether a process runs a former version of the program, from before an upgrade: the kernel
    /// puts `(deleted)` behind the name then. In another mount namespace a name says nothing.
    fn was_replaced(&self, pid: u32, exe: &Path, program: &Program) -> bool {
        let Ok(link) = fs::read_link(exe) else {
            return false;
        };
        let former = link
            .to_str()
            .and_then(|link| link.strip_suffix(" (deleted)"));
        former.is_some_and(|former| {
            let real = fs::canonicalize(&program.path);
            Path::new(former) == real.as_deref().unwrap_or(&program.path)
        }) && self.mount_namespace.is_some()
            && file(&proc::path(pid, "ns/mnt")).ok() == self.mount_namespace
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn entries_are_a_path_and_perhaps_a_user() {
        assert_eq!(
            Program::parse("/usr/sbin/sshd"),
            Ok(Program {
                path: "/usr/sbin/sshd".into(),
                user: 0
            })
        );
        assert_eq!(Program::parse("7:/a:b").map(|p| p.user), Ok(7));
        assert_eq!(Program::parse("/a:b").map(|p| p.path), Ok("/a:b".into()));
        assert!(
            Program::parse("sshd")
                .unwrap_err()
                .to_string()
                .contains("/usr/sbin/program")
        );
        assert!(matches!(
            Program::parse("no such:/a"),
            Err(ProtectError::User { .. })
        ));
        assert_eq!(
            Protected::new(&vec!["/a"; PROGRAMS_MAX + 1]).unwrap_err(),
            ProtectError::Many
        );
    }

    #[test]
    fn init_the_kernel_and_ourselves_are_protected() {
        let protected = Protected::new::<&str>(&[]).unwrap();
        let now = protected.now();
        let refusal = |pid| now.refusal(&Stat::of(pid).unwrap());
        assert!(refusal(1).is_some());
        assert!(refusal(std::process::id()).is_some());
        assert!(refusal(std::os::unix::process::parent_id()).is_some());
        if let Ok(kthreadd) = Stat::of(2) {
            assert!(now.refusal(&kthreadd).is_some());
        }
    }

    #[test]
    fn a_program_is_known_by_its_file_for_one_user_also_after_an_upgrade() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("keeper");
        fs::copy("/bin/sleep", &program).unwrap();
        let elsewhere = directory.path().join("link");
        fs::hard_link(&program, &elsewhere).unwrap();
        let mut child = Command::new(&elsewhere).arg("60").spawn().unwrap();
        let user = fs::metadata(proc::path(child.id(), "")).unwrap().uid();
        let entry = |user: u32| format!("{user}:{}", program.display());
        let list = |user| {
            let mut list = Protected::new(&[entry(user)]).unwrap();
            list.ours.clear();
            list
        };
        let stat = Stat::of(child.id()).unwrap();
        let (ours, others) = (list(user), list(user + 1));
        assert!(ours.now().refusal(&stat).is_some());
        assert!(others.now().refusal(&stat).is_none());

        let mut second = Command::new(&program).arg("60").spawn().unwrap();
        fs::remove_file(&program).unwrap();
        fs::copy("/bin/true", &program).unwrap();
        let stat = Stat::of(second.id()).unwrap();
        assert!(
            ours.now().refusal(&stat).is_some(),
            "{:?}",
            fs::read_link(proc::path(second.id(), "exe"))
        );
        for child in [&mut child, &mut second] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
