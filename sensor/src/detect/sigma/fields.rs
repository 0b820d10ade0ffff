//! The table of Sigma's field names and how our events answer them: it drives matching, the
//! verdict whether a rule can fire, and `docs/sigma.md` (`fields/page.rs`). How a value is read from an event is
//! in `record.rs`.

mod page;

use super::kind::{Kind, Shape};
use crate::event::field::{ALL, Field, Type};

pub use page::documentation;

/// How a field of a rule is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Answer {
    /// By a field of ours.
    Field(Field),
    /// By the arguments joined with spaces, unquoted, as Sysmon has them.
    CommandLine,
    /// By those of the parent.
    ParentCommandLine,
    /// By one argument.
    Argument(u8),
    /// By `SHA256=` and the hash.
    Hashes,
    /// By `CREATE`, `DELETE` or `NORMAL`.
    NameType,
    /// By words that are always the same; any of them will do.
    Words(&'static [&'static str]),
}

/// How a row of the table is answered, before the kind of event is known.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// By the first of these fields that such events have.
    Fields(&'static [Field]),
    /// In a way of its own.
    Own(Answer),
    /// By the names of the system calls that lead to such an event.
    SystemCall,
    /// By whether the process began the connection.
    Initiated,
}

/// A row: in these shapes, this name is answered so.
struct Row {
    shapes: &'static [Shape],
    name: &'static str,
    source: Source,
}

const fn field(shapes: &'static [Shape], name: &'static str, fields: &'static [Field]) -> Row {
    Row {
        shapes,
        name,
        source: Source::Fields(fields),
    }
}

const fn own(shapes: &'static [Shape], name: &'static str, answer: Answer) -> Row {
    Row {
        shapes,
        name,
        source: Source::Own(answer),
    }
}

const fn words(
    shapes: &'static [Shape],
    name: &'static str,
    words: &'static [&'static str],
) -> Row {
    own(shapes, name, Answer::Words(words))
}

/// Arguments that have a name of their own, `a0` to `a31`; further ones are found by keywords.
const ARGUMENTS: &[&str] = &[
    "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "a10", "a11", "a12", "a13", "a14",
    "a15", "a16", "a17", "a18", "a19", "a20", "a21", "a22", "a23", "a24", "a25", "a26", "a27",
    "a28", "a29", "a30", "a31",
];

const SYSMON: &[Shape] = &[
    Shape::ProcessCreation,
    Shape::ProcessTermination,
    Shape::NetworkConnection,
    Shape::Dns,
    Shape::FileEvent,
    Shape::FileChange,
    Shape::FileDelete,
    Shape::FileRename,
    Shape::FileAccess,
    Shape::DriverLoad,
    Shape::Alert,
    Shape::AnyLinux,
];
const FILES: &[Shape] = &[
    Shape::FileEvent,
    Shape::FileChange,
    Shape::FileDelete,
    Shape::FileRename,
    Shape::FileAccess,
];
const NETWORK: &[Shape] = &[Shape::NetworkConnection, Shape::Dns];
const ACCESS: &[Shape] = &[Shape::ProcessAccess];
const DNS: &[Shape] = &[Shape::Dns];
const AUDIT: &[Shape] = &[Shape::AuditSyscall, Shape::AuditExecve, Shape::AuditPath];
const SYSCALL: &[Shape] = &[Shape::AuditSyscall];
const EXECVE: &[Shape] = &[Shape::AuditExecve];
const PATH: &[Shape] = &[Shape::AuditPath];

const ROWS: &[Row] = &[
    field(SYSMON, "Image", &[Field::ProcessExecutable]),
    own(SYSMON, "CommandLine", Answer::CommandLine),
    field(SYSMON, "ParentImage", &[Field::ProcessParentExecutable]),
    own(SYSMON, "ParentCommandLine", Answer::ParentCommandLine),
    field(SYSMON, "ProcessId", &[Field::ProcessPid]),
    field(SYSMON, "ParentProcessId", &[Field::ProcessParentPid]),
    field(SYSMON, "ProcessGuid", &[Field::ProcessEntityId]),
    field(SYSMON, "ParentProcessGuid", &[Field::ProcessParentEntityId]),
    field(SYSMON, "User", &[Field::ProcessUserName]),
    field(SYSMON, "LogonId", &[Field::SensorAuditUser]),
    field(SYSMON, "TerminalSessionId", &[Field::SensorAuditSession]),
    field(
        SYSMON,
        "CurrentDirectory",
        &[Field::ProcessWorkingDirectory],
    ),
    own(SYSMON, "Hashes", Answer::Hashes),
    field(SYSMON, "sha256", &[Field::ProcessSha256]),
    field(FILES, "TargetFilename", &[Field::FilePath]),
    field(FILES, "SourceFilename", &[Field::SensorFilePreviousPath]),
    field(
        &[Shape::DriverLoad],
        "ImageLoaded",
        &[Field::SensorModulePath],
    ),
    field(ACCESS, "SourceImage", &[Field::ProcessExecutable]),
    field(ACCESS, "SourceUser", &[Field::ProcessUserName]),
    field(ACCESS, "SourceProcessId", &[Field::ProcessPid]),
    field(ACCESS, "TargetImage", &[Field::SensorTargetExecutable]),
    field(ACCESS, "TargetProcessId", &[Field::SensorTargetPid]),
    field(NETWORK, "DestinationIp", &[Field::DestinationIp]),
    field(NETWORK, "DestinationPort", &[Field::DestinationPort]),
    field(NETWORK, "SourceIp", &[Field::SourceIp]),
    field(NETWORK, "SourcePort", &[Field::SourcePort]),
    field(NETWORK, "Protocol", &[Field::NetworkTransport]),
    Row {
        shapes: &[Shape::NetworkConnection],
        name: "Initiated",
        source: Source::Initiated,
    },
    field(DNS, "QueryName", &[Field::DnsQuestionName]),
    field(DNS, "query", &[Field::DnsQuestionName]),
    field(DNS, "QueryResults", &[Field::DnsResolvedIp]),
    field(DNS, "answer", &[Field::DnsResolvedIp]),
    field(DNS, "QueryStatus", &[Field::DnsResponseCode]),
    field(DNS, "record_type", &[Field::DnsQuestionType]),
    words(SYSCALL, "type", &["SYSCALL"]),
    words(EXECVE, "type", &["EXECVE"]),
    words(PATH, "type", &["PATH"]),
    Row {
        shapes: SYSCALL,
        name: "SYSCALL",
        source: Source::SystemCall,
    },
    Row {
        shapes: SYSCALL,
        name: "syscall",
        source: Source::SystemCall,
    },
    words(SYSCALL, "success", &["yes"]),
    field(SYSCALL, "exe", &[Field::ProcessExecutable]),
    field(SYSCALL, "comm", &[Field::ProcessThreadName]),
    field(SYSCALL, "pid", &[Field::ProcessPid]),
    field(SYSCALL, "ppid", &[Field::ProcessParentPid]),
    field(SYSCALL, "auid", &[Field::SensorAuditUser]),
    field(SYSCALL, "AUID", &[Field::SensorAuditUserName]),
    field(SYSCALL, "ses", &[Field::SensorAuditSession]),
    field(SYSCALL, "uid", &[Field::ProcessRealUserId]),
    field(SYSCALL, "UID", &[Field::ProcessRealUserName]),
    field(SYSCALL, "gid", &[Field::ProcessRealGroupId]),
    field(SYSCALL, "euid", &[Field::ProcessUserId]),
    field(SYSCALL, "EUID", &[Field::ProcessUserName]),
    field(SYSCALL, "egid", &[Field::ProcessGroupId]),
    field(SYSCALL, "suid", &[Field::ProcessSavedUserId]),
    field(SYSCALL, "sgid", &[Field::ProcessSavedGroupId]),
    field(EXECVE, "argc", &[Field::ProcessArgsCount]),
    field(PATH, "name", &[Field::FilePath, Field::ProcessExecutable]),
    own(PATH, "nametype", Answer::NameType),
    field(PATH, "inode", &[Field::FileInode, Field::SensorFileInode]),
    field(PATH, "ouid", &[Field::FileUid, Field::SensorFileOwner]),
    field(PATH, "ogid", &[Field::FileGid, Field::SensorFileGroup]),
];

/// How a name of a rule is answered by events of a kind, seen in a shape; `None` when they
/// never have it.
#[must_use]
pub fn answer(kind: Kind, shape: Shape, name: &str) -> Option<Answer> {
    let row = ROWS
        .iter()
        .find(|row| row.name == name && row.shapes.contains(&shape));
    if let Some(row) = row {
        return source(kind, row.source);
    }
    if shape == Shape::AuditExecve
        && let Some(index) = ARGUMENTS.iter().position(|argument| *argument == name)
    {
        return u8::try_from(index).ok().map(Answer::Argument);
    }
    // Audit rules are about records that have these names and no others.
    if AUDIT.contains(&shape) {
        return None;
    }
    ALL.iter()
        .copied()
        .find(|field| field.definition().name == name)
        .filter(|field| exists(kind, *field))
        .map(Answer::Field)
}

fn source(kind: Kind, source: Source) -> Option<Answer> {
    match source {
        Source::Fields(fields) => fields
            .iter()
            .copied()
            .find(|field| exists(kind, *field))
            .map(Answer::Field),
        Source::Own(answer) => Some(answer),
        Source::SystemCall => {
            let names = kind.system_calls();
            (!names.is_empty()).then_some(Answer::Words(names))
        }
        Source::Initiated => Some(Answer::Words(if kind == Kind::Accept {
            &["false"]
        } else {
            &["true"]
        })),
    }
}

/// Names that rules for a shape are written with.
pub fn names(shape: Shape) -> impl Iterator<Item = &'static str> {
    let rows = ROWS.iter().filter(move |row| row.shapes.contains(&shape));
    rows.map(|row| row.name)
}

/// What keywords are looked for in.
#[must_use]
pub fn keyword_answers(kind: Kind, shape: Shape) -> Vec<Answer> {
    match shape {
        // As in a log, where the arguments stand in one line.
        Shape::AuditExecve | Shape::AnyLinux => return vec![Answer::CommandLine],
        Shape::Native => return native_texts(kind),
        _ => {}
    }
    let mut answers: Vec<Answer> = ROWS
        .iter()
        .filter(|row| row.shapes.contains(&shape))
        .filter_map(|row| source(kind, row.source))
        .collect();
    answers.sort_unstable();
    answers.dedup();
    answers
}

fn native_texts(kind: Kind) -> Vec<Answer> {
    ALL.iter()
        .copied()
        .filter(|field| exists(kind, *field))
        .filter(|field| {
            matches!(
                field.definition().kind,
                Type::Keyword | Type::Keywords | Type::Ip | Type::Ips
            )
        })
        .map(Answer::Field)
        .collect()
}

/// Beginnings of names of fields that events of a kind have, beside those of every event and of
/// its process.
const fn own_fields(kind: Kind) -> &'static [&'static str] {
    const SOCKET: &[&str] = &[
        "source.ip",
        "source.port",
        "destination.ip",
        "destination.port",
        "network.direction",
        "network.transport",
        "network.iana_number",
        "network.type",
        "sensor.network.inode",
        "sensor.network.namespace",
        "event.start",
        "event.duration",
        "event.outcome",
        "error.code",
    ];
    const FILE: &[&str] = &["file.", "sensor.file."];
    match kind {
        Kind::Exec => &[
            "process.working_directory",
            "process.env_vars",
            "sensor.exec.",
            "sensor.executable.",
            "sensor.stdio.",
        ],
        Kind::Exit => &["process.exit_code", "sensor.exit."],
        Kind::Credentials => &["sensor.credentials."],
        Kind::Ptrace => &["sensor.ptrace.", "sensor.target."],
        Kind::VmWrite => &["sensor.vm_write.", "sensor.target."],
        Kind::Memfd => &["sensor.memfd."],
        Kind::Setns => &["sensor.setns.", "sensor.target."],
        Kind::Unshare => &["sensor.unshare."],
        Kind::Mount => &["sensor.mount.", "process.working_directory"],
        Kind::Signal => &["sensor.signal."],
        Kind::Module => &["sensor.module."],
        Kind::Bpf => &["sensor.bpf."],
        Kind::CgroupMkdir | Kind::CgroupRmdir => &["sensor.control_group."],
        Kind::Connect | Kind::Accept | Kind::UdpConnect | Kind::UdpSend => SOCKET,
        Kind::Bind => &[
            "source.ip",
            "source.port",
            "network.transport",
            "network.iana_number",
            "network.type",
            "sensor.network.inode",
            "sensor.network.namespace",
        ],
        Kind::Listen => &[
            "server.",
            "network.transport",
            "network.iana_number",
            "network.type",
            "sensor.network.",
        ],
        Kind::Close => &[
            "source.",
            "destination.",
            "network.",
            "sensor.network.",
            "event.start",
            "event.duration",
            "error.code",
        ],
        Kind::RawSocket => &["sensor.socket.", "sensor.network.inode"],
        Kind::UnixConnect => &["sensor.unix.", "sensor.socket.", "sensor.network.inode"],
        Kind::Dns => &[
            "dns.",
            "sensor.dns.",
            "source.ip",
            "source.port",
            "destination.ip",
            "destination.port",
            "network.",
            "sensor.network.inode",
            "sensor.network.namespace",
        ],
        Kind::FileOpen
        | Kind::FileClose
        | Kind::FileRead
        | Kind::FileRename
        | Kind::FileUnlink
        | Kind::FileLink
        | Kind::FileSymlink
        | Kind::FileChmod
        | Kind::FileChown
        | Kind::FileTruncate
        | Kind::FileMkdir => FILE,
        Kind::Stream => &["file.", "sensor.file.", "sensor.stream."],
        Kind::Alert => &[
            "message",
            "rule.",
            "threat.",
            "sensor.alert.",
            "event.severity",
            "source.",
            "destination.",
            "network.direction",
            "file.path",
        ],
        Kind::Response => &["sensor.response.", "event.outcome", "sensor.alert.incident"],
        Kind::Lost => &["sensor.lost."],
        Kind::Health => &["sensor.health.", "sensor.previous.", "sensor.account"],
        Kind::Fork => &[],
    }
}

/// Beginnings of names of fields that only some events have.
const NOT_OF_EVERY_PROCESS: &[&str] = &[
    "process.working_directory",
    "process.env_vars",
    "process.exit_code",
];

/// Whether events of a kind can have a field.
#[must_use]
pub fn exists(kind: Kind, field: Field) -> bool {
    const EVERY: &[&str] = &[
        "@timestamp",
        "event.id",
        "event.sequence",
        "event.kind",
        "event.module",
        "event.dataset",
        "event.action",
        "event.category",
        "event.type",
        "sensor.boot_ns",
        "sensor.cpu",
    ];
    const PROCESS: &[&str] = &[
        "process.",
        "sensor.namespace.",
        "sensor.cgroup.",
        "sensor.audit.",
        "sensor.parent.",
        "sensor.lineage",
        "container.",
        "service.name",
    ];
    let name = field.definition().name;
    let begins = |list: &[&str]| {
        list.iter().any(|beginning| {
            name == *beginning || (beginning.ends_with('.') && name.starts_with(beginning))
        })
    };
    let has_process = !matches!(kind, Kind::Lost | Kind::Health);
    begins(EVERY)
        || begins(own_fields(kind))
        || (has_process && begins(PROCESS) && !begins(NOT_OF_EVERY_PROCESS))
}

/// Whether a name is one of the table or of our own fields, whatever the log source.
#[must_use]
pub fn is_known(name: &str) -> bool {
    ROWS.iter().any(|row| row.name == name)
        || ARGUMENTS.contains(&name)
        || ALL.iter().any(|field| field.definition().name == name)
}
