//! Processes: who did something, and the events of their own life: fork, exec, exit.

use std::sync::{Arc, OnceLock};

use super::field::{Field, Fields, Value};
use super::flags::{self, Names as BitNames};
use super::lineage::Lineage;
use super::object::{Kind, Object, STDIO};
use super::{Label, Stamp, object, text};

/// Label of a fork.
pub const FORK: Label = Label {
    name: "process.fork",
    action: "fork",
    category: &["process"],
    kind: &["start"],
};
/// Label of [`Exec`].
pub const EXEC: Label = Label {
    name: "process.exec",
    action: "exec",
    category: &["process"],
    kind: &["start"],
};
/// Label of [`Exit`].
pub const EXIT: Label = Label {
    name: "process.exit",
    action: "exit",
    category: &["process"],
    kind: &["end"],
};
/// Label of [`Memfd`].
pub const MEMFD: Label = Label {
    name: "process.memfd",
    action: "memfd_create",
    category: &["process"],
    kind: &["change"],
};

/// Clock ticks per second that `/proc` counts in (`USER_HZ`, fixed by the ABI).
pub const TICKS_PER_SECOND: u64 = 100;
const NS_PER_TICK: u64 = 1_000_000_000 / TICKS_PER_SECOND;

/// A process, told from every other that had or will have its pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessKey {
    /// Process id in the initial pid namespace.
    pub pid: u32,
    /// Start in clock ticks since boot, as `/proc/<pid>/stat` gives it; no pid is used twice
    /// within one tick.
    pub start_ticks: u64,
}

impl ProcessKey {
    /// From a start time in nanoseconds since boot.
    #[must_use]
    pub const fn new(pid: u32, start_boot_ns: u64) -> Self {
        Self {
            pid,
            start_ticks: start_boot_ns / NS_PER_TICK,
        }
    }
}

/// User and group ids, in the initial user namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    /// Real user.
    pub uid: u32,
    /// Real group.
    pub gid: u32,
    /// Saved user.
    pub suid: u32,
    /// Saved group.
    pub sgid: u32,
    /// Effective user.
    pub euid: u32,
    /// Effective group.
    pub egid: u32,
}

/// Inodes of the namespaces a process is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// Mount namespace.
    pub mnt: u32,
    /// Pid namespace.
    pub pid: u32,
    /// Network namespace.
    pub net: u32,
    /// User namespace.
    pub user: u32,
}

/// What a process runs, since its last exec.
#[derive(Debug, Default)]
pub struct Program {
    /// Absolute path of the executable, resolved by the kernel.
    pub executable: Option<Box<str>>,
    /// Arguments.
    pub args: Box<[Box<str>]>,
    /// Some arguments are missing.
    pub args_truncated: bool,
    /// SHA-256 of the executable in hexadecimal, once it is known.
    pub sha256: OnceLock<Box<str>>,
}

impl Program {
    /// File name of the executable.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.executable
            .as_deref()?
            .rsplit('/')
            .next()
            .filter(|name| !name.is_empty())
    }

    /// The arguments on one line, as a person would type them.
    #[must_use]
    pub fn command_line(&self) -> Option<String> {
        (!self.args.is_empty()).then(|| {
            text::shell_quote_args(
                &self
                    .args
                    .iter()
                    .map(|arg| arg.as_bytes())
                    .collect::<Vec<_>>(),
            )
        })
    }
}

/// The parent of a process.
#[derive(Clone, Debug)]
pub struct Parent {
    /// Which process.
    pub key: ProcessKey,
    /// What it runs.
    pub program: Arc<Program>,
    /// When it is older than the sensor and has just forked: its ancestors, nearest first. No
    /// other event tells of them.
    pub ancestors: Box<[Ancestor]>,
}

/// An ancestor older than the sensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ancestor {
    /// Which process.
    pub key: ProcessKey,
    /// Identifies it beyond this boot.
    pub entity: Box<str>,
    /// What it runs; empty for kernel threads.
    pub executable: Box<str>,
}

/// Names that go with ids; filled in by tracking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Of the effective user.
    pub user: Option<Arc<str>>,
    /// Of the real user.
    pub real_user: Option<Arc<str>>,
    /// Of the user who logged in.
    pub login_user: Option<Arc<str>>,
    /// Of the effective group.
    pub group: Option<Arc<str>>,
}

/// Where a process belongs; filled in by tracking from its control group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Home {
    /// Path of the control group.
    pub cgroup: Option<Arc<str>>,
    /// Container id.
    pub container: Option<Arc<str>>,
    /// Container runtime.
    pub runtime: Option<Arc<str>>,
    /// Service (systemd unit).
    pub service: Option<Arc<str>>,
}

/// Who did something, as the kernel knew it at that moment.
#[derive(Clone, Debug)]
pub struct Process {
    /// Which process.
    pub key: ProcessKey,
    /// When it started.
    pub start: Stamp,
    /// Thread id.
    pub tid: u32,
    /// Pid of the parent.
    pub ppid: u32,
    /// Pid in the process's own namespace.
    pub ns_pid: u32,
    /// User and group ids.
    pub ids: Ids,
    /// Effective capabilities, bit n is capability n.
    pub capabilities: u64,
    /// Audit login user id.
    pub login_uid: Option<u32>,
    /// Audit session id.
    pub audit_session: Option<u32>,
    /// Session leader.
    pub session: u32,
    /// Controlling terminal, `major << 20 | minor`.
    pub tty: Option<u32>,
    /// The kernel's name of the thread.
    pub comm: Box<str>,
    /// Namespaces.
    pub namespaces: Namespaces,
    /// Control group in the unified hierarchy.
    pub cgroup_id: u64,
    /// Identifies the process beyond this boot; filled in by tracking.
    pub entity: Option<Box<str>>,
    /// What it runs; filled in by tracking.
    pub program: Option<Arc<Program>>,
    /// Its parent; filled in by tracking.
    pub parent: Option<Parent>,
    /// Its parent's entity id; filled in by tracking.
    pub parent_entity: Option<Box<str>>,
    /// How many ancestors are known; filled in by tracking.
    pub depth: u16,
    /// Names; filled in by tracking.
    pub names: Names,
    /// Container, service; filled in by tracking.
    pub home: Home,
    /// On whose behalf it works; filled in by tracking.
    pub lineage: Lineage,
}

impl Process {
    /// Name for people: the file name of the executable, or `comm`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.program
            .as_deref()
            .and_then(Program::name)
            .unwrap_or(&self.comm)
    }

    /// Which boot of which machine it is of, as its entity id says.
    #[must_use]
    pub fn boot(&self) -> Option<&str> {
        self.entity.as_deref()?.split('-').next()
    }

    pub(super) fn put<'a>(&'a self, fields: &mut Fields<'a>) {
        fields.put(Field::ProcessPid, self.key.pid);
        fields.put(Field::ProcessThreadId, self.tid);
        fields.put(Field::ProcessThreadName, &*self.comm);
        fields.put(Field::ProcessVpid, self.ns_pid);
        fields.put(Field::ProcessStart, Value::Time(self.start.wall_ns));
        fields.put(Field::ProcessName, self.name());
        fields.put_some(Field::ProcessEntityId, self.entity.as_deref());
        fields.put(Field::ProcessSessionLeaderPid, self.session);
        if let Some(tty) = self.tty {
            fields.put(Field::ProcessTtyMajor, tty >> 20);
            fields.put(Field::ProcessTtyMinor, tty & 0xf_ffff);
        }
        self.put_ids(fields);
        self.put_program(fields);
        self.put_parent(fields);

        fields.put(Field::SensorNsMnt, self.namespaces.mnt);
        fields.put(Field::SensorNsPid, self.namespaces.pid);
        fields.put(Field::SensorNsNet, self.namespaces.net);
        fields.put(Field::SensorNsUser, self.namespaces.user);
        fields.put(Field::SensorCgroupId, self.cgroup_id);
        fields.put_some(Field::SensorCgroupPath, self.home.cgroup.as_deref());
        fields.put_some(Field::ContainerId, self.home.container.as_deref());
        fields.put_some(Field::ContainerRuntime, self.home.runtime.as_deref());
        fields.put_some(Field::ServiceName, self.home.service.as_deref());
        fields.put_list(Field::SensorLineage, self.lineage.words());
    }

    fn put_ids<'a>(&'a self, fields: &mut Fields<'a>) {
        fields.put(Field::ProcessRealUserId, self.ids.uid.to_string());
        fields.put(Field::ProcessRealGroupId, self.ids.gid.to_string());
        fields.put(Field::ProcessSavedUserId, self.ids.suid.to_string());
        fields.put(Field::ProcessSavedGroupId, self.ids.sgid.to_string());
        fields.put(Field::ProcessUserId, self.ids.euid.to_string());
        fields.put(Field::ProcessGroupId, self.ids.egid.to_string());
        fields.put_some(Field::ProcessUserName, self.names.user.as_deref());
        fields.put_some(Field::ProcessRealUserName, self.names.real_user.as_deref());
        fields.put_some(Field::ProcessGroupName, self.names.group.as_deref());
        fields.put_some(
            Field::SensorAuditUser,
            self.login_uid.map(|uid| uid.to_string()),
        );
        fields.put_some(Field::SensorAuditUserName, self.names.login_user.as_deref());
        fields.put_some(Field::SensorAuditSession, self.audit_session);
        fields.put_list(
            Field::ProcessCapabilitiesEffective,
            capability_names(self.capabilities),
        );
    }

    fn put_program<'a>(&'a self, fields: &mut Fields<'a>) {
        let Some(program) = &self.program else { return };
        fields.put_some(Field::ProcessExecutable, program.executable.as_deref());
        fields.put_list(Field::ProcessArgs, program.args.iter().map(|arg| &**arg));
        fields.put(Field::ProcessArgsCount, program.args.len() as u64);
        fields.put_some(Field::ProcessCommandLine, program.command_line());
        fields.put_some(
            Field::ProcessSha256,
            program.sha256.get().map(|hash| &**hash),
        );
    }

    fn put_parent<'a>(&'a self, fields: &mut Fields<'a>) {
        fields.put(Field::ProcessParentPid, self.ppid);
        let Some(parent) = &self.parent else { return };
        fields.put_some(Field::ProcessParentEntityId, self.parent_entity.as_deref());
        fields.put_some(Field::ProcessParentName, parent.program.name());
        fields.put_some(
            Field::ProcessParentExecutable,
            parent.program.executable.as_deref(),
        );
        fields.put_some(
            Field::ProcessParentCommandLine,
            parent.program.command_line(),
        );
        let ancestors = parent.ancestors.iter();
        fields.put_list(
            Field::SensorParentAncestors,
            ancestors.map(|ancestor| format!("{} {}", ancestor.entity, ancestor.executable)),
        );
    }
}

/// A file, by everything but its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileIdentity {
    /// Inode number.
    pub inode: u64,
    /// Device, `major << 20 | minor`.
    pub device: u32,
    /// Size in bytes.
    pub size: u64,
    /// Type and permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Hard links.
    pub links: u32,
    /// Last modification, nanoseconds since the epoch.
    pub mtime_ns: u64,
    /// Last status change, nanoseconds since the epoch.
    pub ctime_ns: u64,
    /// Magic number of its file system.
    pub fs_magic: u32,
    /// Made with `memfd_create`.
    pub memfd: bool,
    /// No longer in its directory.
    pub deleted: bool,
    /// On an overlay file system, in the writable layer.
    pub overlay_upper: bool,
}

impl FileIdentity {
    /// Whether it lives in memory (`TMPFS_MAGIC`, `RAMFS_MAGIC`).
    #[must_use]
    pub const fn on_tmpfs(&self) -> bool {
        matches!(self.fs_magic, 0x0102_1994 | 0x8584_58f6)
    }
}

/// The TCP connection that a process, or the one it was forked from, opened or accepted last:
/// what it had carried by the time of an exec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Inode of its socket.
    pub inode: u64,
    /// Payload bytes received.
    pub received: u64,
    /// Payload bytes sent.
    pub sent: u64,
    /// Nanoseconds since the last packet in either direction.
    pub idle_ns: u64,
}

/// A program was executed.
#[derive(Clone, Debug)]
pub struct Exec {
    /// What was executed; goes to the process table as well.
    pub program: Arc<Program>,
    /// The executable file.
    pub executable: FileIdentity,
    /// What was passed to execve.
    pub filename: Option<Box<str>>,
    /// Interpreter that `#!` named; `filename` is the script then.
    pub interpreter: Option<Box<str>>,
    /// Working directory.
    pub working_directory: Option<Box<str>>,
    /// What the connection carried that it inherited, if there is one.
    pub carried: Option<Carried>,
    /// Bytes of all arguments, before truncation.
    pub argument_bytes: u64,
    /// Environment variables worth keeping, as `NAME=value`.
    pub environment: Box<[Box<str>]>,
    /// The environment was longer than what was looked at.
    pub environment_truncated: bool,
    /// Standard input, output and error.
    pub stdio: [Object; 3],
}

impl Exec {
    /// Absolute path of the `#!` script, if it was one.
    #[must_use]
    pub fn script(&self) -> Option<String> {
        self.interpreter.as_ref()?;
        let filename = self.filename.as_deref()?;
        if filename.starts_with('/') {
            return Some(filename.to_owned());
        }
        let directory = self.working_directory.as_deref()?.trim_end_matches('/');
        Some(format!("{directory}/{}", filename.trim_start_matches("./")))
    }

    /// What is unusual about the executable.
    #[must_use]
    pub fn flags(&self) -> Vec<&'static str> {
        let file = &self.executable;
        let path = self.program.executable.as_deref().unwrap_or_default();
        let hidden = |element: &str| element.starts_with('.') && element.len() > 1;
        let mut elements = path.rsplit('/');
        let name_hidden = elements.next().is_some_and(hidden);
        let directory_hidden = elements.any(hidden);
        [
            (file.memfd, "memfd"),
            (file.deleted && !file.memfd, "deleted"),
            (file.on_tmpfs() && !file.memfd, "tmpfs"),
            (name_hidden, "hidden_name"),
            (directory_hidden, "hidden_directory"),
            (file.overlay_upper, "overlay_upper"),
            (file.mode & libc::S_ISUID != 0, "setuid"),
            (file.mode & libc::S_ISGID != 0, "setgid"),
            (file.mode & libc::S_IWOTH != 0, "writable_by_others"),
            (
                file.mode & libc::S_IWGRP != 0 && file.gid != 0,
                "writable_by_group",
            ),
        ]
        .into_iter()
        .filter_map(|(is, name)| is.then_some(name))
        .collect()
    }

    pub(super) fn put<'a>(&'a self, fields: &mut Fields<'a>) {
        fields.put_some(
            Field::ProcessWorkingDirectory,
            self.working_directory.as_deref(),
        );
        fields.put_list(
            Field::ProcessEnvVars,
            self.environment.iter().map(|variable| &**variable),
        );
        fields.put(Field::SensorExecArgumentBytes, self.argument_bytes);
        fields.put(
            Field::SensorExecArgumentsTruncated,
            self.program.args_truncated,
        );
        fields.put(
            Field::SensorExecEnvironmentTruncated,
            self.environment_truncated,
        );
        fields.put_some(Field::SensorExecFilename, self.filename.as_deref());
        fields.put_some(Field::SensorExecInterpreter, self.interpreter.as_deref());
        fields.put_some(Field::SensorExecScript, self.script());
        fields.put_list(Field::SensorExecFlags, self.flags());

        if let Some(carried) = &self.carried {
            // ECS numbers are signed.
            let long = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
            fields.put(Field::SensorExecCarriedInode, carried.inode);
            fields.put(Field::SensorExecCarriedReceived, long(carried.received));
            fields.put(Field::SensorExecCarriedSent, long(carried.sent));
            fields.put(Field::SensorExecCarriedIdle, long(carried.idle_ns));
        }

        let file = &self.executable;
        fields.put(Field::SensorFileInode, file.inode);
        fields.put(Field::SensorFileDevice, object::device_name(file.device));
        fields.put(Field::SensorFileSize, file.size);
        fields.put(Field::SensorFileMode, format!("{:04o}", file.mode & 0o7777));
        fields.put(Field::SensorFileOwner, file.uid);
        fields.put(Field::SensorFileGroup, file.gid);
        fields.put(Field::SensorFileMtime, Value::Time(file.mtime_ns));
        fields.put(Field::SensorFileCtime, Value::Time(file.ctime_ns));

        for (object, names) in self.stdio.iter().zip(&STDIO) {
            object.put_stream(fields, names);
        }
    }

    pub(super) fn summary(&self) -> String {
        let mut text = self
            .program
            .command_line()
            .or_else(|| self.program.executable.as_deref().map(str::to_owned))
            .unwrap_or_default();
        if self.program.args_truncated {
            text.push_str(" …");
        }
        for flag in self.flags() {
            text.push_str(" !");
            text.push_str(flag);
        }
        for (name, object) in ["stdin", "stdout", "stderr"].iter().zip(&self.stdio) {
            if matches!(
                object.kind,
                Kind::InetSocket | Kind::UnixSocket | Kind::Pipe | Kind::Fifo | Kind::Closed
            ) {
                text.push_str(&format!("  {name}={object}"));
            }
        }
        text
    }
}

/// A process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Exit status, 0 to 255; 0 when a signal ended it.
    pub code: u8,
    /// Signal that ended it.
    pub signal: Option<u8>,
    /// How long it ran, in nanoseconds.
    pub run_ns: u64,
}

impl Exit {
    pub(super) fn put(&self, fields: &mut Fields<'_>) {
        fields.put(Field::ProcessExitCode, u64::from(self.code));
        fields.put_some(Field::SensorExitSignal, self.signal.map(u64::from));
        fields.put(Field::SensorExitRunNs, self.run_ns);
    }

    pub(super) fn summary(&self) -> String {
        let how = self.signal.map_or_else(
            || format!("code {}", self.code),
            |signal| format!("signal {signal}"),
        );
        format!("{how} after {:.3} s", self.run_ns as f64 / 1e9)
    }
}

/// Flags of `memfd_create` (`linux/memfd.h`).
pub(super) const MEMFD_FLAGS: BitNames = &[
    (1, "MFD_CLOEXEC"),
    (2, "MFD_ALLOW_SEALING"),
    (4, "MFD_HUGETLB"),
    (8, "MFD_NOEXEC_SEAL"),
    (16, "MFD_EXEC"),
];

/// An anonymous file was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memfd {
    /// Its name.
    pub name: Box<str>,
    /// `MFD_*` flags.
    pub flags: u32,
    /// Its descriptor.
    pub fd: u32,
}

impl Memfd {
    fn flag_names<'n>(&self) -> impl Iterator<Item = &'n str> + use<'n> {
        flags::names(self.flags.into(), MEMFD_FLAGS)
    }

    pub(super) fn put<'a>(&'a self, fields: &mut Fields<'a>) {
        fields.put(Field::SensorMemfdName, &*self.name);
        fields.put(Field::SensorMemfdFd, self.fd);
        fields.put_list(Field::SensorMemfdFlags, self.flag_names());
    }

    pub(super) fn summary(&self) -> String {
        format!("memfd:{} fd {}", self.name, self.fd)
    }
}

/// Names of the capabilities in a set; `include/uapi/linux/capability.h`, up to 6.x.
pub fn capability_names<'a>(set: u64) -> impl Iterator<Item = &'a str> + use<'a> {
    CAPABILITIES
        .iter()
        .enumerate()
        .filter_map(move |(bit, name)| (set >> bit & 1 == 1).then_some(*name))
}

/// The set of capabilities with these names; names that are none are left out.
#[must_use]
pub fn capability_set<'n>(names: impl IntoIterator<Item = &'n str>) -> u64 {
    names
        .into_iter()
        .filter_map(|name| CAPABILITIES.iter().position(|known| *known == name))
        .fold(0, |set, bit| set | 1 << bit)
}

const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];
