//! The field taxonomy: every field any event can have, with its name, type and meaning. JSON,
//! the documentation table and (later) every other format come from this table. Names are
//! those of the Elastic Common Schema 9 where it has one; the rest live under `sensor.`.

use std::borrow::Cow;
use std::net::IpAddr;

/// Type of a field, as ECS names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A time, written as RFC 3339 with nanoseconds.
    Date,
    /// Text.
    Keyword,
    /// A list of texts.
    Keywords,
    /// A whole number.
    Long,
    /// True or false.
    Boolean,
    /// An IP address.
    Ip,
    /// A list of IP addresses.
    Ips,
    /// A list of objects, each with its own fields.
    Objects,
    /// An object of texts, with names that the operator chose.
    Labels,
}

impl Type {
    /// What a value of it is, for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Date => "a time in UTC, as RFC 3339 has it",
            Self::Keyword => "text",
            Self::Keywords => "a list of texts",
            Self::Long => "a whole number",
            Self::Boolean => "true or false",
            Self::Ip => "an IP address",
            Self::Ips => "a list of IP addresses",
            Self::Objects => "a list of objects",
            Self::Labels => "an object of texts",
        }
    }
}

/// A value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// A whole number that cannot be negative.
    Unsigned(u64),
    /// A whole number below zero.
    Signed(i64),
    /// True or false.
    Bool(bool),
    /// An address.
    Ip(IpAddr),
    /// Nanoseconds since the epoch.
    Time(u64),
    /// Several of them.
    List(Vec<Value<'a>>),
    /// Names and values, ordered by name.
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl<'a> From<Cow<'a, str>> for Value<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::Unsigned(number)
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Unsigned(u64::from(number))
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        u64::try_from(number).map_or(Self::Signed(number), Self::Unsigned)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<IpAddr> for Value<'_> {
    fn from(address: IpAddr) -> Self {
        Self::Ip(address)
    }
}

/// The fields of one event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields<'a> {
    values: Vec<(Field, Value<'a>)>,
}

impl<'a> Fields<'a> {
    /// No fields yet, with room for those that an event has.
    pub(super) fn new() -> Self {
        Self {
            values: Vec::with_capacity(96),
        }
    }

    /// Adds a field. Each field is put at most once per event.
    pub fn put(&mut self, field: Field, value: impl Into<Value<'a>>) {
        self.values.push((field, value.into()));
    }

    /// Adds a field if there is a value.
    pub fn put_some(&mut self, field: Field, value: Option<impl Into<Value<'a>>>) {
        if let Some(value) = value {
            self.put(field, value);
        }
    }

    /// Adds a list, if it is not empty.
    pub fn put_list<V: Into<Value<'a>>>(
        &mut self,
        field: Field,
        values: impl IntoIterator<Item = V>,
    ) {
        let values: Vec<_> = values.into_iter().map(Into::into).collect();
        if !values.is_empty() {
            self.put(field, Value::List(values));
        }
    }

    /// Brings the fields into the order of their names, so that a writer can nest them.
    pub fn sort(&mut self) {
        self.values.sort_unstable_by_key(|(field, _)| *field as u16);
    }

    /// The fields, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Definition, &Value<'a>)> {
        self.values
            .iter()
            .map(|(field, value)| (field.definition(), value))
    }

    /// The fields and their values, ordered by name.
    pub fn entries(&self) -> impl Iterator<Item = (Field, &Value<'a>)> {
        self.values.iter().map(|(field, value)| (*field, value))
    }

    /// The value of one field.
    #[must_use]
    pub fn get(&self, wanted: Field) -> Option<&Value<'a>> {
        self.values
            .iter()
            .find(|(field, _)| *field == wanted)
            .map(|(_, value)| value)
    }
}

/// What is known of a field.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// Dotted name.
    pub name: &'static str,
    /// What stands between the dots.
    pub elements: Elements,
    /// Type.
    pub kind: Type,
    /// Meaning.
    pub meaning: &'static str,
}

/// Most elements a name has.
const ELEMENTS_MAX: usize = 6;

/// The elements of a dotted name, split when this is compiled: nested formats need them for
/// every field of every event.
#[derive(Clone, Copy, Debug)]
pub struct Elements {
    elements: [&'static str; ELEMENTS_MAX],
    len: usize,
}

impl Elements {
    #[expect(
        clippy::indexing_slicing,
        reason = "only run by the compiler, for which a bad index is an error"
    )]
    const fn of(name: &'static str) -> Self {
        let mut elements = [""; ELEMENTS_MAX];
        let (mut len, mut at, mut rest) = (0, 0, name);
        while at < rest.len() {
            if rest.as_bytes()[at] == b'.' {
                let (element, after) = rest.split_at(at);
                elements[len] = element;
                len += 1;
                rest = after.split_at(1).1;
                at = 0;
            } else {
                at += 1;
            }
        }
        elements[len] = rest;
        Self {
            elements,
            len: len + 1,
        }
    }

    /// The element at a depth, and whether it is the last.
    #[must_use]
    pub fn at(&self, depth: usize) -> (&'static str, bool) {
        let element = self.elements.get(depth).copied().unwrap_or_default();
        (element, depth + 1 >= self.len)
    }
}

macro_rules! fields {
    ($($id:ident $name:literal $kind:ident $meaning:literal;)*) => {
        /// Every field there is, in the order of their names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum Field { $(#[doc = $meaning] $id,)* }

        impl Field {
            /// What is known of it.
            #[must_use]
            pub fn definition(self) -> &'static Definition {
                match self {
                    $(Self::$id => const { &Definition { name: $name, elements: Elements::of($name), kind: Type::$kind, meaning: $meaning } },)*
                }
            }
        }

        /// All fields, for documentation and tests.
        pub const ALL: &[Field] = &[$(Field::$id),*];
    };
}

// Keep the rows in the order of the names (a test checks it).
fields! {
    Timestamp "@timestamp" Date "When it happened, by the wall clock.";
    AgentEphemeralId "agent.ephemeral_id" Keyword "Random id of this run of the sensor.";
    AgentId "agent.id" Keyword "Random id of the sensor, kept across runs.";
    AgentType "agent.type" Keyword "Always `sensor`.";
    AgentVersion "agent.version" Keyword "Version of the sensor.";
    ContainerId "container.id" Keyword "Id of the container the process runs in.";
    ContainerRuntime "container.runtime" Keyword "Runtime of that container.";
    DestinationBytes "destination.bytes" Long "Payload bytes from the side that accepted.";
    DestinationIp "destination.ip" Ip "Address of the side that accepted or received.";
    DestinationPort "destination.port" Long "Its port.";
    DnsAnswers "dns.answers" Objects "Records of the answer section: class, data, name, ttl, type.";
    DnsHeaderFlags "dns.header_flags" Keywords "Flags set in the header.";
    DnsId "dns.id" Keyword "Transaction id.";
    DnsOpCode "dns.op_code" Keyword "Operation.";
    DnsQuestionClass "dns.question.class" Keyword "Class asked for.";
    DnsQuestionName "dns.question.name" Keyword "Name asked for.";
    DnsQuestionType "dns.question.type" Keyword "Record type asked for.";
    DnsResolvedIp "dns.resolved_ip" Ips "Addresses answered.";
    DnsResponseCode "dns.response_code" Keyword "Response code.";
    DnsType "dns.type" Keyword "`query` or `answer`.";
    ErrorCode "error.code" Keyword "Name of the errno that says why it failed.";
    EventAction "event.action" Keyword "What happened, in one word.";
    EventCategory "event.category" Keywords "ECS category.";
    EventDataset "event.dataset" Keyword "Kind of event, as `--events` names it.";
    EventDuration "event.duration" Long "How long it took, in nanoseconds.";
    EventId "event.id" Keyword "Unique id of the event.";
    EventKind "event.kind" Keyword "`alert` for alerts, `event` for all else.";
    EventModule "event.module" Keyword "Always `sensor`.";
    EventOutcome "event.outcome" Keyword "`success`, `failure` or `unknown`.";
    EventSequence "event.sequence" Long "Number of the event among those of this run of the sensor, from 0; a gap is an event that could not be written.";
    EventSeverity "event.severity" Long "How bad an alert is: 1, 21, 47, 73 or 99.";
    EventStart "event.start" Date "When it began.";
    EventType "event.type" Keywords "ECS type.";
    FileCtime "file.ctime" Date "Last status change of the file.";
    FileDevice "file.device" Keyword "Device the file is on, `major:minor`.";
    FileDirectory "file.directory" Keyword "Directory the file is in.";
    FileExtension "file.extension" Keyword "What follows the last dot of its name.";
    FileGid "file.gid" Keyword "Group id of the file.";
    FileHashSha256 "file.hash.sha256" Keyword "Hash of a file in which a YARA rule matches.";
    FileInode "file.inode" Keyword "Inode of the file.";
    FileMode "file.mode" Keyword "Permissions of the file, octal.";
    FileMtime "file.mtime" Date "Last modification of the file.";
    FileName "file.name" Keyword "Name of the file in its directory.";
    FilePath "file.path" Keyword "Absolute path of the file, after a rename the new one.";
    FileSize "file.size" Long "Size of the file in bytes.";
    FileTargetPath "file.target_path" Keyword "What a symbolic link says.";
    FileType "file.type" Keyword "`file`, `dir`, `symlink`, …";
    FileUid "file.uid" Keyword "User id of the file's owner.";
    HostArchitecture "host.architecture" Keyword "Architecture of the host, as `uname -m` says.";
    HostBootId "host.boot.id" Keyword "The kernel's `boot_id`: another one after each boot.";
    HostHostname "host.hostname" Keyword "Name of the host, as `uname -n` says.";
    HostId "host.id" Keyword "The host's `/etc/machine-id`.";
    HostName "host.name" Keyword "Name of the host, as `uname -n` says.";
    HostOsFamily "host.os.family" Keyword "What the operating system is made from: `debian`, `rhel`, … (`ID_LIKE` of os-release(5), or `ID`).";
    HostOsFull "host.os.full" Keyword "Name and version of the operating system (`PRETTY_NAME`).";
    HostOsKernel "host.os.kernel" Keyword "Release of the kernel, as `uname -r` says.";
    HostOsName "host.os.name" Keyword "Name of the operating system (`NAME`).";
    HostOsPlatform "host.os.platform" Keyword "Its short name (`ID`).";
    HostOsType "host.os.type" Keyword "Always `linux`.";
    HostOsVersion "host.os.version" Keyword "Its version (`VERSION_ID`).";
    Labels "labels" Labels "Texts by name, of the operator's (`identity.labels` of the configuration).";
    Message "message" Keyword "What an alert says, in one sentence.";
    NetworkBytes "network.bytes" Long "Payload bytes in both directions.";
    NetworkDirection "network.direction" Keyword "`egress` when the process began, `ingress` when its peer did.";
    NetworkIanaNumber "network.iana_number" Keyword "IP protocol number.";
    NetworkProtocol "network.protocol" Keyword "Protocol above the transport, where it is known.";
    NetworkTransport "network.transport" Keyword "`tcp` or `udp`.";
    NetworkType "network.type" Keyword "`ipv4` or `ipv6`; mapped addresses count as IPv4.";
    ProcessArgs "process.args" Keywords "The arguments, one by one.";
    ProcessArgsCount "process.args_count" Long "How many arguments there were.";
    ProcessCommandLine "process.command_line" Keyword "The arguments in one line, quoted where needed.";
    ProcessEntityId "process.entity_id" Keyword "Identifies the process across pid reuse and reboots.";
    ProcessEnvVars "process.env_vars" Keywords "The few environment variables that matter to an investigation.";
    ProcessExecutable "process.executable" Keyword "Absolute path of the executable, resolved by the kernel.";
    ProcessExitCode "process.exit_code" Long "Exit status.";
    ProcessGroupId "process.group.id" Keyword "Effective group id.";
    ProcessGroupName "process.group.name" Keyword "Effective group.";
    ProcessSha256 "process.hash.sha256" Keyword "Hash of the executable.";
    ProcessName "process.name" Keyword "File name of the executable, or the kernel's `comm`.";
    ProcessParentCommandLine "process.parent.command_line" Keyword "Command line of the parent.";
    ProcessParentEntityId "process.parent.entity_id" Keyword "Identifies the parent.";
    ProcessParentExecutable "process.parent.executable" Keyword "Executable of the parent.";
    ProcessParentName "process.parent.name" Keyword "Name of the parent.";
    ProcessParentPid "process.parent.pid" Long "Process id of the parent.";
    ProcessPid "process.pid" Long "Process id in the initial pid namespace.";
    ProcessRealGroupId "process.real_group.id" Keyword "Real group id.";
    ProcessRealUserId "process.real_user.id" Keyword "Real user id.";
    ProcessRealUserName "process.real_user.name" Keyword "Real user.";
    ProcessSavedGroupId "process.saved_group.id" Keyword "Saved group id.";
    ProcessSavedUserId "process.saved_user.id" Keyword "Saved user id.";
    ProcessSessionLeaderPid "process.session_leader.pid" Long "Pid of the session leader.";
    ProcessStart "process.start" Date "When the process started.";
    ProcessCapabilitiesEffective "process.thread.capabilities.effective" Keywords "Effective capabilities.";
    ProcessThreadId "process.thread.id" Long "Thread id in the initial pid namespace.";
    ProcessThreadName "process.thread.name" Keyword "The kernel's `comm` of the thread.";
    ProcessTtyMajor "process.tty.char_device.major" Long "Major number of the controlling terminal.";
    ProcessTtyMinor "process.tty.char_device.minor" Long "Minor number of the controlling terminal.";
    ProcessUserId "process.user.id" Keyword "Effective user id.";
    ProcessUserName "process.user.name" Keyword "Effective user.";
    ProcessVpid "process.vpid" Long "Process id in the process's own pid namespace.";
    ProcessWorkingDirectory "process.working_directory" Keyword "Working directory.";
    RuleAuthor "rule.author" Keywords "Who wrote the rule.";
    RuleId "rule.id" Keyword "Id of the rule that made the alert.";
    RuleName "rule.name" Keyword "Its title.";
    RuleRuleset "rule.ruleset" Keyword "`behaviour`, `sigma` or `content`.";
    SensorAccount "sensor.account" Keyword "The balance of seen, filtered, submitted, lost and delivered events, by kind.";
    SensorAlertAncestry "sensor.alert.ancestry" Keywords "The process and its ancestors, nearest first.";
    SensorAlertConfidence "sensor.alert.confidence" Long "How sure the alert is, in percent.";
    SensorAlertEvidence "sensor.alert.evidence" Keywords "Ids of the events the alert rests on.";
    SensorAlertIncident "sensor.alert.incident" Keyword "Shared by the alerts of one intrusion.";
    SensorAlertLatency "sensor.alert.latency" Long "From the event that decided it to the alert, in nanoseconds.";
    SensorAlertPath "sensor.alert.path" Keyword "How data flows between the peer and the process, and what started it.";
    SensorAlertRepeats "sensor.alert.repeats" Long "How often it was seen again since it was last reported.";
    SensorAlertSeverity "sensor.alert.severity" Keyword "How bad it is, in one word.";
    SensorAuditSession "sensor.audit.session" Long "Audit session id.";
    SensorAuditUser "sensor.audit.user.id" Keyword "Login user id: who logged in, whatever they became since.";
    SensorAuditUserName "sensor.audit.user.name" Keyword "Login user.";
    SensorBootNs "sensor.boot_ns" Long "When it happened, in nanoseconds since boot.";
    SensorBpfAttachType "sensor.bpf.attach_type" Keyword "What a tracing program is attached to.";
    SensorBpfFunction "sensor.bpf.function" Keyword "Kernel function or tracepoint it is made for.";
    SensorBpfId "sensor.bpf.id" Long "Id of the BPF program.";
    SensorBpfInstructions "sensor.bpf.instructions" Long "Length of the BPF program.";
    SensorBpfName "sensor.bpf.name" Keyword "Name of the BPF program.";
    SensorBpfType "sensor.bpf.type" Keyword "Type of the BPF program.";
    SensorCgroupId "sensor.cgroup.id" Long "Id of the control group in the unified hierarchy.";
    SensorCgroupPath "sensor.cgroup.path" Keyword "Path of that control group.";
    SensorContentRules "sensor.content.rules" Keywords "YARA rules that match in the file, worst first.";
    SensorContentScanned "sensor.content.scanned" Long "Bytes of the file that were looked at.";
    SensorControlGroupHierarchy "sensor.control_group.hierarchy" Long "Its hierarchy; 0 is the unified one.";
    SensorControlGroupId "sensor.control_group.id" Long "Id of the control group made or removed.";
    SensorControlGroupLevel "sensor.control_group.level" Long "Its depth.";
    SensorControlGroupPath "sensor.control_group.path" Keyword "Path in its hierarchy.";
    SensorCpu "sensor.cpu" Long "CPU it happened on.";
    SensorCredentialsAdded "sensor.credentials.added" Keywords "Capabilities gained.";
    SensorCredentialsGain "sensor.credentials.gain" Keywords "What was gained: `root`, `capabilities`, `namespace`; `regained` when it had the right to.";
    SensorCredentialsNewEffective "sensor.credentials.new.effective" Keywords "Effective capabilities after the change.";
    SensorCredentialsNewEgid "sensor.credentials.new.egid" Long "Effective group after the change.";
    SensorCredentialsNewEuid "sensor.credentials.new.euid" Long "Effective user after the change.";
    SensorCredentialsNewFsgid "sensor.credentials.new.fsgid" Long "Group for access to files after the change.";
    SensorCredentialsNewFsuid "sensor.credentials.new.fsuid" Long "User for access to files after the change.";
    SensorCredentialsNewGid "sensor.credentials.new.gid" Long "Real group after the change.";
    SensorCredentialsNewPermitted "sensor.credentials.new.permitted" Keywords "Permitted capabilities after the change.";
    SensorCredentialsNewSgid "sensor.credentials.new.sgid" Long "Saved group after the change.";
    SensorCredentialsNewSuid "sensor.credentials.new.suid" Long "Saved user after the change.";
    SensorCredentialsNewUid "sensor.credentials.new.uid" Long "Real user after the change.";
    SensorCredentialsNewUserNs "sensor.credentials.new.user_namespace" Long "Inode of the user namespace after the change.";
    SensorCredentialsOldEffective "sensor.credentials.old.effective" Keywords "Effective capabilities before the change.";
    SensorCredentialsOldEgid "sensor.credentials.old.egid" Long "Effective group before the change.";
    SensorCredentialsOldEuid "sensor.credentials.old.euid" Long "Effective user before the change.";
    SensorCredentialsOldFsgid "sensor.credentials.old.fsgid" Long "Group for access to files before the change.";
    SensorCredentialsOldFsuid "sensor.credentials.old.fsuid" Long "User for access to files before the change.";
    SensorCredentialsOldGid "sensor.credentials.old.gid" Long "Real group before the change.";
    SensorCredentialsOldPermitted "sensor.credentials.old.permitted" Keywords "Permitted capabilities before the change.";
    SensorCredentialsOldSgid "sensor.credentials.old.sgid" Long "Saved group before the change.";
    SensorCredentialsOldSuid "sensor.credentials.old.suid" Long "Saved user before the change.";
    SensorCredentialsOldUid "sensor.credentials.old.uid" Long "Real user before the change.";
    SensorCredentialsOldUserNs "sensor.credentials.old.user_namespace" Long "Inode of the user namespace before the change.";
    SensorDnsIncomplete "sensor.dns.incomplete" Boolean "The DNS message was longer than what was copied, or damaged.";
    SensorDnsMalformed "sensor.dns.malformed" Keyword "Why the bytes are not a DNS message.";
    SensorExecArgumentBytes "sensor.exec.argument_bytes" Long "Bytes of all arguments, before truncation.";
    SensorExecArgumentsTruncated "sensor.exec.arguments_truncated" Boolean "Some arguments are cut off.";
    SensorExecCarriedIdle "sensor.exec.carried.idle" Long "Nanoseconds since the last packet of that connection.";
    SensorExecCarriedInode "sensor.exec.carried.inode" Long "Socket of the TCP connection that the process, or the one it was forked from, opened or accepted last.";
    SensorExecCarriedReceived "sensor.exec.carried.received" Long "Bytes it had received by then.";
    SensorExecCarriedSent "sensor.exec.carried.sent" Long "Bytes it had sent by then.";
    SensorExecEnvironmentTruncated "sensor.exec.environment_truncated" Boolean "Part of the environment was not looked at.";
    SensorExecFilename "sensor.exec.filename" Keyword "What was passed to execve.";
    SensorExecFlags "sensor.exec.flags" Keywords "What is unusual about the executable.";
    SensorExecInterpreter "sensor.exec.interpreter" Keyword "Interpreter named by `#!`.";
    SensorExecScript "sensor.exec.script" Keyword "Absolute path of the `#!` script.";
    SensorFileCtime "sensor.executable.ctime" Date "Last status change of the executable.";
    SensorFileDevice "sensor.executable.device" Keyword "Device of the executable, `major:minor`.";
    SensorFileGroup "sensor.executable.gid" Long "Group of the executable.";
    SensorFileInode "sensor.executable.inode" Long "Inode of the executable.";
    SensorFileMode "sensor.executable.mode" Keyword "Permissions of the executable, octal.";
    SensorFileMtime "sensor.executable.mtime" Date "Last modification of the executable.";
    SensorFileSize "sensor.executable.size" Long "Size of the executable in bytes.";
    SensorFileOwner "sensor.executable.uid" Long "Owner of the executable.";
    SensorExitRunNs "sensor.exit.run_ns" Long "How long the process ran, in nanoseconds.";
    SensorExitSignal "sensor.exit.signal" Long "Signal that ended the process.";
    SensorFileAccess "sensor.file.access" Keywords "`read`, `write`, `created`, `truncated`: what it is open for, and what the open did.";
    SensorFileBeforeGid "sensor.file.before.gid" Keyword "Group id before the change.";
    SensorFileBeforeMode "sensor.file.before.mode" Keyword "Permissions before the change, octal.";
    SensorFileBeforeSize "sensor.file.before.size" Long "Size before the change.";
    SensorFileBeforeUid "sensor.file.before.uid" Keyword "User id of the owner before the change.";
    SensorFileFlags "sensor.file.flags" Keywords "Flags passed to open or rename.";
    SensorFileLinkedPath "sensor.file.linked_path" Keyword "Name that the file had before it got a further one.";
    SensorFileLinks "sensor.file.links" Long "Hard links; before a removal, that one included.";
    SensorFilePathSource "sensor.file.path_source" Keyword "`kernel`: the true path; `resolved`: from what was passed, links followed afterwards; `passed`: from what was passed.";
    SensorFilePreviousPath "sensor.file.previous_path" Keyword "Absolute path before a rename.";
    SensorFileReplacedInode "sensor.file.replaced.inode" Keyword "Inode of the file that had the new name before.";
    SensorFileReplacedMode "sensor.file.replaced.mode" Keyword "Its permissions, octal.";
    SensorFileReplacedSize "sensor.file.replaced.size" Long "Its size in bytes.";
    SensorFileReplacedUid "sensor.file.replaced.uid" Keyword "User id of its owner.";
    SensorFileTraits "sensor.file.traits" Keywords "What is telling about the file: `executable`, `setuid`, `deleted`, `tmpfs`, …";
    SensorHealthDetail "sensor.health.detail" Keyword "What changed, in words.";
    SensorHealthVerdict "sensor.health.verdict" Keyword "`healthy`, `degraded` or `blind`.";
    SensorIndicatorConfidence "sensor.indicator.confidence" Long "How sure the list is of the indicator, in percent.";
    SensorIndicatorUntil "sensor.indicator.until" Date "Until when the indicator holds.";
    SensorLineage "sensor.lineage" Keywords "On whose behalf the process works: `package_manager` (while it is at work), `web_service`, `database`, `scheduler`, `remote_login`.";
    SensorLostCount "sensor.lost.count" Long "How many events were lost.";
    SensorLostFrom "sensor.lost.from" Date "Begin of the time in which they were lost.";
    SensorLostKind "sensor.lost.kind" Keyword "Kind of the lost events.";
    SensorLostReason "sensor.lost.reason" Keyword "Why they were lost.";
    SensorLostTo "sensor.lost.to" Date "End of that time.";
    SensorMemfdFd "sensor.memfd.fd" Long "Descriptor of the anonymous file.";
    SensorMemfdFlags "sensor.memfd.flags" Keywords "Flags of the anonymous file.";
    SensorMemfdName "sensor.memfd.name" Keyword "Name given to the anonymous file.";
    SensorModuleName "sensor.module.name" Keyword "Name of the kernel module.";
    SensorModulePath "sensor.module.path" Keyword "File it came from.";
    SensorModuleTaints "sensor.module.taints" Keywords "What it taints the kernel with.";
    SensorMountBy "sensor.mount.by" Keyword "System call: `mount` or `move_mount`.";
    SensorMountFlags "sensor.mount.flags" Keywords "Flags of the mount.";
    SensorMountSource "sensor.mount.source" Keyword "What was mounted, as passed.";
    SensorMountSourceFd "sensor.mount.source_fd" Long "Descriptor the source is or is relative to.";
    SensorMountTarget "sensor.mount.target" Keyword "Where, as an absolute path.";
    SensorMountTargetFd "sensor.mount.target_fd" Long "Descriptor the mount point is relative to.";
    SensorMountTargetRaw "sensor.mount.target_raw" Keyword "Where, as passed.";
    SensorMountType "sensor.mount.type" Keyword "File-system type.";
    SensorNsMnt "sensor.namespace.mnt" Long "Inode of the mount namespace.";
    SensorNsNet "sensor.namespace.net" Long "Inode of the network namespace.";
    SensorNsPid "sensor.namespace.pid" Long "Inode of the pid namespace.";
    SensorNsUser "sensor.namespace.user" Long "Inode of the user namespace.";
    SensorNetworkBacklog "sensor.network.backlog" Long "How many connections may wait to be accepted.";
    SensorNetworkInode "sensor.network.inode" Long "Inode of the socket, as in /proc/PID/fd.";
    SensorNetworkNamespace "sensor.network.namespace" Long "Inode of the network namespace the socket lives in.";
    SensorParentAncestors "sensor.parent.ancestors" Keywords "When a process older than the sensor forks: its ancestors, nearest first, each as entity id and executable.";
    SensorPreviousInOrder "sensor.previous.in_order" Boolean "Whether the run of the sensor before this one stopped in order; else it was killed, or went down with the host.";
    SensorPreviousRun "sensor.previous.run" Keyword "Its number, as in the ids of its events.";
    SensorPreviousUntil "sensor.previous.until" Date "When it was last known to get on; nothing was observed from then until this event.";
    SensorPtraceAddress "sensor.ptrace.address" Keyword "Address the tracer wrote to, hexadecimal.";
    SensorPtraceRequest "sensor.ptrace.request" Keyword "What the tracer did.";
    SensorResponseAlert "sensor.response.alert" Keyword "Id of the alert that led to it.";
    SensorResponseBy "sensor.response.by" Keyword "Who wanted it: a user, a playbook, a list of indicators.";
    SensorResponseDetail "sensor.response.detail" Keyword "What was done in particular, or why not.";
    SensorResponseLatency "sensor.response.latency" Long "From the event that decided the alert until it was done, in nanoseconds.";
    SensorResponseOrigin "sensor.response.origin" Keyword "`operator`, `playbook`, `intelligence` or `timer`.";
    SensorResponseOutcome "sensor.response.outcome" Keyword "`done`, `dry_run`, `asked`, `refused` or `failed`.";
    SensorResponsePeer "sensor.response.peer" Keyword "The other side of the connection that it was about, as address:port.";
    SensorResponseReason "sensor.response.reason" Keyword "Why, in the words of who wanted it.";
    SensorResponseTarget "sensor.response.target" Keyword "What it was done to, as the command of that name takes it.";
    SensorResponseUndo "sensor.response.undo" Keyword "The command that takes it back.";
    SensorResponseUntil "sensor.response.until" Date "When it ends by itself.";
    SensorSetnsInode "sensor.setns.inode" Long "Inode of the namespace joined, when it was one.";
    SensorSetnsTypes "sensor.setns.types" Keywords "Types of the namespaces joined.";
    SensorSignalCode "sensor.signal.code" Long "`si_code`.";
    SensorSignalName "sensor.signal.name" Keyword "Its name.";
    SensorSignalNumber "sensor.signal.number" Long "Signal sent to the sensor.";
    SensorSignalOrigin "sensor.signal.origin" Keyword "`process` or `kernel`.";
    SensorSignalOutcome "sensor.signal.outcome" Keyword "What became of the signal.";
    SensorSignalThreadId "sensor.signal.thread.id" Long "Thread of the sensor it was sent to.";
    SensorSocketFamily "sensor.socket.family" Keyword "Address family of the socket.";
    SensorSocketProtocol "sensor.socket.protocol" Long "Protocol asked for: of IP, or of Ethernet for packet sockets.";
    SensorSocketType "sensor.socket.type" Keyword "Type of the socket.";
    SensorStderr "sensor.stdio.stderr.description" Keyword "What standard error is, in words.";
    SensorStderrDevice "sensor.stdio.stderr.device" Keyword "Device that the fifo is on that standard error is, `major:minor`.";
    SensorStderrInode "sensor.stdio.stderr.inode" Long "Inode of standard error.";
    SensorStderrKind "sensor.stdio.stderr.kind" Keyword "Kind of object standard error is.";
    SensorStderrLocal "sensor.stdio.stderr.local" Ip "Local address of standard error.";
    SensorStderrLocalPort "sensor.stdio.stderr.local_port" Long "Local port of standard error.";
    SensorStderrPeer "sensor.stdio.stderr.peer" Ip "Remote address of standard error.";
    SensorStderrPeerPort "sensor.stdio.stderr.peer_port" Long "Remote port of standard error.";
    SensorStderrProtocol "sensor.stdio.stderr.protocol" Long "IP protocol number of standard error.";
    SensorStderrTerminal "sensor.stdio.stderr.terminal" Keyword "Device number of the terminal that standard error is, `major:minor`.";
    SensorStderrUnixPeer "sensor.stdio.stderr.unix_peer" Long "Inode of the unix socket that standard error is connected to.";
    SensorStdin "sensor.stdio.stdin.description" Keyword "What standard input is, in words.";
    SensorStdinDevice "sensor.stdio.stdin.device" Keyword "Device that the fifo is on that standard input is, `major:minor`.";
    SensorStdinInode "sensor.stdio.stdin.inode" Long "Inode of standard input.";
    SensorStdinKind "sensor.stdio.stdin.kind" Keyword "Kind of object standard input is.";
    SensorStdinLocal "sensor.stdio.stdin.local" Ip "Local address of standard input.";
    SensorStdinLocalPort "sensor.stdio.stdin.local_port" Long "Local port of standard input.";
    SensorStdinPeer "sensor.stdio.stdin.peer" Ip "Remote address of standard input.";
    SensorStdinPeerPort "sensor.stdio.stdin.peer_port" Long "Remote port of standard input.";
    SensorStdinProtocol "sensor.stdio.stdin.protocol" Long "IP protocol number of standard input.";
    SensorStdinTerminal "sensor.stdio.stdin.terminal" Keyword "Device number of the terminal that standard input is, `major:minor`.";
    SensorStdinUnixPeer "sensor.stdio.stdin.unix_peer" Long "Inode of the unix socket that standard input is connected to.";
    SensorStdout "sensor.stdio.stdout.description" Keyword "What standard output is, in words.";
    SensorStdoutDevice "sensor.stdio.stdout.device" Keyword "Device that the fifo is on that standard output is, `major:minor`.";
    SensorStdoutInode "sensor.stdio.stdout.inode" Long "Inode of standard output.";
    SensorStdoutKind "sensor.stdio.stdout.kind" Keyword "Kind of object standard output is.";
    SensorStdoutLocal "sensor.stdio.stdout.local" Ip "Local address of standard output.";
    SensorStdoutLocalPort "sensor.stdio.stdout.local_port" Long "Local port of standard output.";
    SensorStdoutPeer "sensor.stdio.stdout.peer" Ip "Remote address of standard output.";
    SensorStdoutPeerPort "sensor.stdio.stdout.peer_port" Long "Remote port of standard output.";
    SensorStdoutProtocol "sensor.stdio.stdout.protocol" Long "IP protocol number of standard output.";
    SensorStdoutTerminal "sensor.stdio.stdout.terminal" Keyword "Device number of the terminal that standard output is, `major:minor`.";
    SensorStdoutUnixPeer "sensor.stdio.stdout.unix_peer" Long "Inode of the unix socket that standard output is connected to.";
    SensorStreamKind "sensor.stream.kind" Keyword "`fifo` or `pty_master`.";
    SensorStreamTerminal "sensor.stream.terminal" Long "Number of the pseudo-terminal: N of `/dev/pts/N`.";
    SensorTargetCapabilities "sensor.target.capabilities" Keywords "Its effective capabilities.";
    SensorTargetCommandLine "sensor.target.command_line" Keyword "Its command line.";
    SensorTargetEntityId "sensor.target.entity_id" Keyword "Identifies it across pid reuse and reboots.";
    SensorTargetExecutable "sensor.target.executable" Keyword "Its executable.";
    SensorTargetName "sensor.target.name" Keyword "File name of its executable, or `comm`.";
    SensorTargetPid "sensor.target.pid" Long "Process something was done to.";
    SensorTargetThreadId "sensor.target.thread.id" Long "Its thread.";
    SensorTargetThreadName "sensor.target.thread.name" Keyword "The kernel's `comm` of that thread.";
    SensorTargetUserId "sensor.target.user.id" Keyword "Its real user id.";
    SensorTargetVpid "sensor.target.vpid" Long "The number it was called by.";
    SensorUnixAbstractName "sensor.unix.abstract_name" Keyword "Abstract name of the peer, without the NUL before it.";
    SensorUnixPath "sensor.unix.path" Keyword "Absolute path of the peer.";
    SensorUnixPeerInode "sensor.unix.peer.inode" Long "Inode of the peer's socket, once it has accepted.";
    SensorUnixPeerPid "sensor.unix.peer.pid" Long "Process that called listen.";
    SensorUnshareFlags "sensor.unshare.flags" Keyword "All flags passed, hexadecimal.";
    SensorUnshareTypes "sensor.unshare.types" Keywords "Types of the namespaces made.";
    SensorVmWriteAddress "sensor.vm_write.address" Keyword "First address written to, hexadecimal.";
    SensorVmWriteBytes "sensor.vm_write.bytes" Long "Bytes written to the other process.";
    ServerIp "server.ip" Ip "Address listened on.";
    ServerPort "server.port" Long "Port listened on.";
    ServiceName "service.name" Keyword "Name of the service (systemd unit) the process belongs to.";
    SourceBytes "source.bytes" Long "Payload bytes from the side that connected.";
    SourceIp "source.ip" Ip "Address of the side that connected or sent; for a bind, the address bound to.";
    SourcePort "source.port" Long "Its port.";
    Tags "tags" Keywords "Words of the operator's (`identity.tags` of the configuration).";
    ThreatFeedName "threat.feed.name" Keyword "List that names the indicator.";
    ThreatFramework "threat.framework" Keyword "Always `MITRE ATT&CK`.";
    ThreatIndicatorConfidence "threat.indicator.confidence" Keyword "`None`, `Low`, `Medium` or `High`.";
    ThreatIndicatorDescription "threat.indicator.description" Keyword "What the list calls the threat.";
    ThreatIndicatorId "threat.indicator.id" Keywords "Id of the indicator in the list.";
    ThreatIndicatorIp "threat.indicator.ip" Ip "The address that is listed.";
    ThreatIndicatorName "threat.indicator.name" Keyword "The indicator as the list has it: an address, network, name or hash.";
    ThreatIndicatorType "threat.indicator.type" Keyword "`ipv4-addr`, `ipv6-addr`, `domain-name` or `file`.";
    ThreatTacticId "threat.tactic.id" Keywords "Tactics.";
    ThreatTacticName "threat.tactic.name" Keywords "Their names.";
    ThreatTechniqueId "threat.technique.id" Keywords "Techniques.";
    ThreatTechniqueName "threat.technique.name" Keywords "Their names.";
    ThreatSubtechniqueId "threat.technique.subtechnique.id" Keywords "Parts of techniques.";
    ThreatSubtechniqueName "threat.technique.subtechnique.name" Keywords "Their names.";
}

/// The documentation table, in Markdown.
#[must_use]
pub fn documentation() -> String {
    let mut text = String::from(
        "# Fields\n\nEvery field an event can have. Names outside `sensor.` are those of ECS 9. This page is \
         made from `sensor/src/event/field.rs` by `cargo test` (set `UPDATE_DOCS=1`).\n\n\
         | field | type | meaning |\n|---|---|---|\n",
    );
    for field in ALL {
        let Definition {
            name,
            kind,
            meaning,
            ..
        } = field.definition();
        text.push_str(&format!(
            "| `{name}` | {} | {meaning} |\n",
            format!("{kind:?}").to_lowercase()
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page;

    #[test]
    fn the_documentation_is_current() {
        page::assert_current("fields.md", &documentation());
    }

    #[test]
    fn the_table_is_in_the_order_of_the_names_without_twins() {
        for pair in ALL.windows(2) {
            let (a, b) = (pair[0].definition().name, pair[1].definition().name);
            let key = |name: &str| name.split('.').map(str::to_owned).collect::<Vec<_>>();
            assert!(key(a) < key(b), "{a} must stand after {b}");
        }
    }

    #[test]
    fn no_field_is_also_an_object() {
        for field in ALL {
            let prefix = format!("{}.", field.definition().name);
            assert!(
                ALL.iter()
                    .all(|other| !other.definition().name.starts_with(&prefix)),
                "{prefix}"
            );
        }
    }
}
