//! What processes do to gain power over the machine or over one another: credentials, tracing,
//! foreign memory, namespaces, mounts, signals to the sensor.

use std::sync::Arc;

use super::Label;
use super::field::{Field, Fields};
use super::flags::{self, MOUNT, MOVE_MOUNT, NAMESPACES, PTRACE, SIGNALS};
use super::process::{Ids, ProcessKey, Program, capability_names};

/// Label of [`Credentials`].
pub const CREDENTIALS_LABEL: Label = Label {
    name: "process.credentials",
    action: "credentials_gained",
    category: &["process", "iam"],
    kind: &["change"],
};
/// Label of [`Ptrace`].
pub const PTRACE_LABEL: Label = Label {
    name: "process.ptrace",
    action: "ptrace",
    category: &["process"],
    kind: &["access"],
};
/// Label of [`VmWrite`].
pub const VM_WRITE_LABEL: Label = Label {
    name: "process.vm_write",
    action: "process_vm_writev",
    category: &["process"],
    kind: &["change"],
};
/// Label of [`Setns`].
pub const SETNS_LABEL: Label = Label {
    name: "process.setns",
    action: "setns",
    category: &["process"],
    kind: &["change"],
};
/// Label of [`Unshare`].
pub const UNSHARE_LABEL: Label = Label {
    name: "process.unshare",
    action: "unshare",
    category: &["process"],
    kind: &["change"],
};
/// Label of [`Mount`].
pub const MOUNT_LABEL: Label = Label {
    name: "process.mount",
    action: "mount",
    category: &["process", "host"],
    kind: &["change"],
};
/// Label of [`Signal`].
pub const SIGNAL_LABEL: Label = Label {
    name: "process.signal",
    action: "signal_to_sensor",
    category: &["process"],
    kind: &["info"],
};

/// Who a thread is to the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Real, saved, effective ids.
    pub ids: Ids,
    /// User id for access to files.
    pub fsuid: u32,
    /// Group id for access to files.
    pub fsgid: u32,
    /// Capabilities it may make effective.
    pub permitted: u64,
    /// Capabilities in force.
    pub effective: u64,
    /// Inode of the user namespace that they count in.
    pub user_ns: u32,
}

/// A thread gained privilege other than by an exec. The event's process has the old identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Before.
    pub old: Identity,
    /// After.
    pub new: Identity,
    /// A user id became 0.
    pub root: bool,
    /// Capabilities were added.
    pub capabilities: bool,
    /// It is in a user namespace closer to the initial one, which no system call does.
    pub namespace: bool,
    /// It had the right to take back what it took.
    pub regained: bool,
}

impl Credentials {
    /// What was gained, in words.
    pub fn gains<'n>(&self) -> impl Iterator<Item = &'n str> + use<'n> {
        [
            (self.root, "root"),
            (self.capabilities, "capabilities"),
            (self.namespace, "namespace"),
            (self.regained, "regained"),
        ]
        .into_iter()
        .filter_map(|(is, word)| is.then_some(word))
    }

    /// Capabilities that it now has, permitted or effective, and had not.
    #[must_use]
    pub const fn added(&self) -> u64 {
        (self.new.permitted & !self.old.permitted) | (self.new.effective & !self.old.effective)
    }

    pub(super) fn put(&self, fields: &mut Fields<'_>) {
        fields.put_list(Field::SensorCredentialsGain, self.gains());
        fields.put_list(
            Field::SensorCredentialsAdded,
            capability_names(self.added()),
        );
        put_identity(fields, &self.new, NEW_IDENTITY);
        put_identity(fields, &self.old, OLD_IDENTITY);
    }

    pub(super) fn summary(&self) -> String {
        let gained = self.gains().collect::<Vec<_>>().join(", ");
        let (old, new) = (self.old.ids, self.new.ids);
        let mut text = format!(
            "{gained}: uid {} → {}, euid {} → {}",
            old.uid, new.uid, old.euid, new.euid
        );
        for name in capability_names(self.added()).take(3) {
            text.push_str(" +");
            text.push_str(name);
        }
        if self.added().count_ones() > 3 {
            text.push_str(" +…");
        }
        text
    }
}

/// Fields of the identity after a change.
pub(super) const NEW_IDENTITY: [Field; 11] = [
    Field::SensorCredentialsNewUid,
    Field::SensorCredentialsNewGid,
    Field::SensorCredentialsNewSuid,
    Field::SensorCredentialsNewSgid,
    Field::SensorCredentialsNewEuid,
    Field::SensorCredentialsNewEgid,
    Field::SensorCredentialsNewFsuid,
    Field::SensorCredentialsNewFsgid,
    Field::SensorCredentialsNewUserNs,
    Field::SensorCredentialsNewPermitted,
    Field::SensorCredentialsNewEffective,
];

/// Fields of the identity before a change.
pub(super) const OLD_IDENTITY: [Field; 11] = [
    Field::SensorCredentialsOldUid,
    Field::SensorCredentialsOldGid,
    Field::SensorCredentialsOldSuid,
    Field::SensorCredentialsOldSgid,
    Field::SensorCredentialsOldEuid,
    Field::SensorCredentialsOldEgid,
    Field::SensorCredentialsOldFsuid,
    Field::SensorCredentialsOldFsgid,
    Field::SensorCredentialsOldUserNs,
    Field::SensorCredentialsOldPermitted,
    Field::SensorCredentialsOldEffective,
];

fn put_identity(fields: &mut Fields<'_>, who: &Identity, names: [Field; 11]) {
    let [
        uid,
        gid,
        suid,
        sgid,
        euid,
        egid,
        fsuid,
        fsgid,
        user_ns,
        permitted,
        effective,
    ] = names;
    let Ids {
        uid: u,
        gid: g,
        suid: su,
        sgid: sg,
        euid: eu,
        egid: eg,
    } = who.ids;
    for (field, id) in [
        (uid, u),
        (gid, g),
        (suid, su),
        (sgid, sg),
        (euid, eu),
        (egid, eg),
        (fsuid, who.fsuid),
        (fsgid, who.fsgid),
        (user_ns, who.user_ns),
    ] {
        fields.put(field, id);
    }
    fields.put_list(permitted, capability_names(who.permitted));
    fields.put_list(effective, capability_names(who.effective));
}

/// The thread something was done to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Which process; `None` when it was gone before it could be looked at.
    pub key: Option<ProcessKey>,
    /// Thread id.
    pub tid: u32,
    /// The number it was called by, in the pid namespace of the caller; 0 when by none.
    pub ns_pid: u32,
    /// Real user.
    pub uid: u32,
    /// Effective capabilities.
    pub capabilities: u64,
    /// The kernel's name of the thread.
    pub comm: Box<str>,
    /// Identifies the process beyond this boot; filled in by tracking.
    pub entity: Option<Box<str>>,
    /// What it runs; filled in by tracking.
    pub program: Option<Arc<Program>>,
}

impl Target {
    fn name(&self) -> &str {
        self.program
            .as_deref()
            .and_then(Program::name)
            .unwrap_or(&self.comm)
    }

    fn put<'a>(&'a self, fields: &mut Fields<'a>) {
        if self.ns_pid != 0 {
            fields.put(Field::SensorTargetVpid, self.ns_pid);
        }
        let Some(key) = self.key else { return };
        fields.put(Field::SensorTargetPid, key.pid);
        fields.put(Field::SensorTargetThreadId, self.tid);
        fields.put(Field::SensorTargetThreadName, &*self.comm);
        fields.put(Field::SensorTargetName, self.name());
        fields.put(Field::SensorTargetUserId, self.uid.to_string());
        fields.put_list(
            Field::SensorTargetCapabilities,
            capability_names(self.capabilities),
        );
        fields.put_some(Field::SensorTargetEntityId, self.entity.as_deref());
        if let Some(program) = &self.program {
            fields.put_some(Field::SensorTargetExecutable, program.executable.as_deref());
            fields.put_some(Field::SensorTargetCommandLine, program.command_line());
        }
    }

    fn summary(&self) -> String {
        match self.key {
            Some(key) => format!("{}[{}]", self.name(), key.pid),
            None => format!("process {}, which is gone", self.ns_pid),
        }
    }
}

/// A thread attached to another, or wrote to one it is attached to.
#[derive(Clone, Debug)]
pub struct Ptrace {
    /// Who is traced.
    pub target: Target,
    /// `PTRACE_*`.
    pub request: u64,
    /// Address written to, for a request that writes memory.
    pub address: u64,
}

impl Ptrace {
    const POKES: [u64; 2] = [4, 5];

    pub(super) fn put<'a>(&'a self, fields: &mut Fields<'a>) {
        fields.put(
            Field::SensorPtraceRequest,
            flags::name(self.request, PTRACE),
        );
        if Self::POKES.contains(&self.request) {
            fields.put(Field::SensorPtraceAddress, format!("{:#x}", self.address));
        }
        self.target.put(fields);
    }

    pub(super) fn summary(&self) -> String {
        format!(
            "{} {}",
            flags::name(self.request, PTRACE),
            self.target.summary()
        )
    }
}

/// `process_vm_writev` wrote to another process's memory.
#[derive(Clone, Debug)]
pub struct VmWrite {
    /// Whose memory it was.
    pub target: Target,
    /// How many bytes.
    pub bytes: u64,
    /// First address written to.
    pub address: u64,
}

impl VmWrite {
    pub(super) fn put<'a>(&'a self, fields: &mut Fields<'a>) {
        fields.put(Field::SensorVmWriteBytes, self.bytes);
        fields.put(Field::SensorVmWriteAddress, format!("{:#x}", self.address));
        self.target.put(fields);
    }

    pub(super) fn summary(&self) -> String {
        format!(
            "{} bytes to {} at {:#x}",
            self.bytes,
            self.target.summary(),
            self.address
        )
    }
}

/// A thread moved to other namespaces; the event's process is already there.
#[derive(Clone, Debug)]
pub struct Setns {
    /// `CLONE_NEW*` of the namespaces joined.
    pub namespaces: u32,
    /// Inode of the one joined, when it was one.
    pub inode: Option<u64>,
    /// The process whose namespaces were joined, when it was named by a pidfd.
    pub target: Option<Target>,
}

impl Setns {
    pub(super) fn put<'a>(&'a self, fields: &mut Fields<'a>) {
        fields.put_list(
            Field::SensorSetnsTypes,
            flags::names(self.namespaces.into(), NAMESPACES),
        );
        fields.put_some(Field::SensorSetnsInode, self.inode);
        if let Some(target) = &self.target {
            target.put(fields);
        }
    }

    pub(super) fn summary(&self) -> String {
        let types = flags::names(self.namespaces.into(), NAMESPACES)
            .collect::<Vec<_>>()
            .join(",");
        match (&self.target, self.inode) {
            (Some(target), _) => format!("{types} of {}", target.summary()),
            (None, Some(inode)) => format!("{types}:[{inode}]"),
            (None, None) => types,
        }
    }
}

/// A thread made namespaces of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unshare {
    /// `CLONE_*`.
    pub flags: u64,
}

impl Unshare {
    pub(super) fn put(&self, fields: &mut Fields<'_>) {
        fields.put_list(
            Field::SensorUnshareTypes,
            flags::names(self.flags, NAMESPACES),
        );
        fields.put(Field::SensorUnshareFlags, format!("{:#x}", self.flags));
    }

    pub(super) fn summary(&self) -> String {
        flags::names(self.flags, NAMESPACES)
            .collect::<Vec<_>>()
            .join(",")
    }
}

/// Something was mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// By `move_mount`, the last step of the newer interface, not by `mount`.
    pub moved: bool,
    /// What, as passed.
    pub source: Option<Box<str>>,
    /// Where, as passed.
    pub raw_target: Option<Box<str>>,
    /// Where, as resolved by the kernel; only for `move_mount` of a descriptor.
    pub resolved: Option<Box<str>>,
    /// Where a relative `raw_target` starts from, unless from a descriptor.
    pub working_directory: Option<Box<str>>,
    /// File-system type.
    pub fs_type: Option<Box<str>>,
    /// `MS_*` or `MOVE_MOUNT_*`.
    pub flags: u64,
    /// Descriptor the source is relative to; negative for the working directory.
    pub source_fd: i32,
    /// Descriptor the mount point is relative to; negative for the working directory.
    pub target_fd: i32,
}

impl Mount {
    /// Where it is mounted, as an absolute path as far as that is known. Dots and links in what
    /// was passed are not resolved.
    #[must_use]
    pub fn target(&self) -> Option<String> {
        if let Some(path) = &self.resolved {
            return Some(path.to_string());
        }
        let raw = self.raw_target.as_deref()?;
        if raw.starts_with('/') {
            return Some(raw.to_owned());
        }
        if self.target_fd >= 0 {
            return None;
        }
        let directory = self.working_directory.as_deref()?.trim_end_matches('/');
        Some(format!("{directory}/{}", raw.trim_start_matches("./")))
    }

    fn flag_names<'n>(&self) -> impl Iterator<Item = &'n str> + use<'n> {
        /// `MS_MGC_VAL`: a number that old programs put into the upper half.
        const MAGIC: u64 = 0xc0ed_0000;
        let table = if self.moved { MOVE_MOUNT } else { MOUNT };
        let magic = !self.moved && self.flags & 0xffff_0000 == MAGIC;
        flags::names(
            if magic {
                self.flags & 0xffff
            } else {
                self.flags
            },
            table,
        )
    }

    pub(super) fn put<'a>(&'a self, fields: &mut Fields<'a>) {
        fields.put(
            Field::SensorMountBy,
            if self.moved { "move_mount" } else { "mount" },
        );
        fields.put_some(Field::SensorMountSource, self.source.as_deref());
        fields.put_some(Field::SensorMountTarget, self.target());
        fields.put_some(Field::SensorMountTargetRaw, self.raw_target.as_deref());
        fields.put_some(Field::SensorMountType, self.fs_type.as_deref());
        fields.put_list(Field::SensorMountFlags, self.flag_names());
        fields.put_some(
            Field::SensorMountSourceFd,
            (self.source_fd >= 0).then_some(i64::from(self.source_fd)),
        );
        fields.put_some(
            Field::SensorMountTargetFd,
            (self.target_fd >= 0).then_some(i64::from(self.target_fd)),
        );
        fields.put_some(
            Field::ProcessWorkingDirectory,
            self.working_directory.as_deref(),
        );
    }

    pub(super) fn summary(&self) -> String {
        let target = self
            .target()
            .or_else(|| self.raw_target.as_deref().map(str::to_owned))
            .unwrap_or_default();
        let mut text = format!("{} on {target}", self.source.as_deref().unwrap_or("-"));
        if let Some(kind) = &self.fs_type {
            text.push_str(" type ");
            text.push_str(kind);
        }
        for flag in self.flag_names() {
            text.push(' ');
            text.push_str(flag);
        }
        text
    }
}

/// Somebody sent the sensor a signal; the event's process is who did, or whatever ran when the
/// kernel did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Number.
    pub number: u32,
    /// `si_code`.
    pub code: i32,
    /// What became of it.
    pub outcome: u32,
    /// Thread of the sensor it was sent to.
    pub tid: u32,
}

/// What becomes of signals, by number (`include/trace/events/signal.h`).
pub(super) const SIGNAL_OUTCOMES: [&str; 4] =
    ["delivered", "ignored", "already_pending", "no_memory"];

impl Signal {
    /// Whether the kernel sent it, not a process (`SI_FROMKERNEL`, `linux/siginfo.h`).
    #[must_use]
    pub const fn from_kernel(&self) -> bool {
        self.code > 0
    }

    const fn outcome(&self) -> &'static str {
        let [delivered, ignored, pending, no_memory] = SIGNAL_OUTCOMES;
        match self.outcome {
            0 => delivered,
            1 => ignored,
            2 => pending,
            _ => no_memory,
        }
    }

    const fn origin(&self) -> &'static str {
        if self.from_kernel() {
            "kernel"
        } else {
            "process"
        }
    }

    pub(super) fn put(&self, fields: &mut Fields<'_>) {
        fields.put(Field::SensorSignalNumber, self.number);
        fields.put(
            Field::SensorSignalName,
            flags::name(self.number.into(), SIGNALS),
        );
        fields.put(Field::SensorSignalCode, i64::from(self.code));
        fields.put(Field::SensorSignalOrigin, self.origin());
        fields.put(Field::SensorSignalOutcome, self.outcome());
        fields.put(Field::SensorSignalThreadId, self.tid);
    }

    pub(super) fn summary(&self) -> String {
        let name = flags::name(self.number.into(), SIGNALS);
        format!(
            "{name} to the sensor, by {}, {}",
            self.origin(),
            self.outcome()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(raw_target: &str) -> Mount {
        Mount {
            moved: false,
            source: Some("tmpfs".into()),
            raw_target: Some(raw_target.into()),
            resolved: None,
            working_directory: Some("/srv/".into()),
            fs_type: Some("tmpfs".into()),
            flags: 0xc0ed_0002,
            source_fd: -100,
            target_fd: -100,
        }
    }

    #[test]
    fn a_mount_point_is_absolute_where_that_can_be_known() {
        assert_eq!(mount("/mnt").target().unwrap(), "/mnt");
        assert_eq!(mount("./data").target().unwrap(), "/srv/data");
        assert_eq!(
            Mount {
                target_fd: 3,
                ..mount("data")
            }
            .target(),
            None
        );
        assert_eq!(
            Mount {
                resolved: Some("/real".into()),
                ..mount("data")
            }
            .target()
            .unwrap(),
            "/real"
        );
    }

    #[test]
    fn the_magic_number_of_old_mount_programs_is_not_taken_for_flags() {
        assert_eq!(
            mount("/mnt").flag_names().collect::<Vec<_>>(),
            ["MS_NOSUID"]
        );
        assert_eq!(
            mount("/mnt").summary(),
            "tmpfs on /mnt type tmpfs MS_NOSUID"
        );
    }

    #[test]
    fn a_gain_says_what_was_added() {
        let old = Identity {
            ids: Ids {
                uid: 1000,
                euid: 1000,
                ..Ids::default()
            },
            ..Identity::default()
        };
        let new = Identity {
            permitted: 1 << 7,
            effective: 1 << 7,
            ..Identity::default()
        };
        let gain = Credentials {
            old,
            new,
            root: true,
            capabilities: true,
            namespace: false,
            regained: false,
        };
        assert_eq!(
            gain.summary(),
            "root, capabilities: uid 1000 → 0, euid 1000 → 0 +CAP_SETUID"
        );
    }
}
