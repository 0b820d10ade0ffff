//! Fields and the attributes that they become, one table for each part of an event. How tables
//! make up events is in `kind.rs`, how values are written in `row.rs`. Attributes are those of
//! OCSF 1.9.0-dev (`dictionary.json`, `objects/*.json`).

use super::row::How::{
    Ancestors, Answers, Base, Family, First, Hash, Millis, Nanos, Number, Numbers, Pairs, Text,
    TextBeside, Texts, Uids, Variables, Words,
};
use super::row::{Row, Word};
use crate::event::field::Field;

/// Rows of a table, all below a path.
macro_rules! rows {
    ($root:literal => $($field:ident $path:literal $how:expr $(, $sibling:literal)?;)*) => {
        &[$(Row {
            field: Field::$field,
            path: concat!($root, $path),
            how: $how,
            sibling: rows!(@ $root $(, $sibling)?),
        }),*]
    };
    (@ $root:literal) => { None };
    (@ $root:literal, $sibling:literal) => { Some(concat!($root, $sibling)) };
}

const OUTCOMES: &[Word] = &[
    ("unknown", 0, "Unknown"),
    ("success", 1, "Success"),
    ("failure", 2, "Failure"),
];
const RESPONSE_OUTCOMES: &[Word] = &[
    ("done", 1, "Success"),
    ("refused", 2, "Failure"),
    ("failed", 2, "Failure"),
];
const SEVERITIES: &[Word] = &[
    ("informational", 1, "Informational"),
    ("low", 2, "Low"),
    ("medium", 3, "Medium"),
    ("high", 4, "High"),
    ("critical", 5, "Critical"),
];
const DIRECTIONS: &[Word] = &[
    ("unknown", 0, "Unknown"),
    ("ingress", 1, "Inbound"),
    ("egress", 2, "Outbound"),
];
const PROTOCOL_VERSIONS: &[Word] = &[
    ("ipv4", 4, "Internet Protocol version 4 (IPv4)"),
    ("ipv6", 6, "Internet Protocol version 6 (IPv6)"),
];
const FILE_TYPES: &[Word] = &[
    ("file", 1, "Regular File"),
    ("dir", 2, "Folder"),
    ("character device", 3, "Character Device"),
    ("block device", 4, "Block Device"),
    ("socket", 5, "Local Socket"),
    ("fifo", 6, "Named Pipe"),
    ("symlink", 7, "Symbolic Link"),
];
const RCODES: &[Word] = &[
    ("NOERROR", 0, "NoError"),
    ("FORMERR", 1, "FormError"),
    ("SERVFAIL", 2, "ServError"),
    ("NXDOMAIN", 3, "NXDomain"),
    ("NOTIMP", 4, "NotImp"),
    ("REFUSED", 5, "Refused"),
    ("YXDOMAIN", 6, "YXDomain"),
    ("YXRRSET", 7, "YXRRSet"),
    ("NXRRSET", 8, "NXRRSet"),
    ("NOTAUTH", 9, "NotAuth"),
    ("NOTZONE", 10, "NotZone"),
    ("DSOTYPENI", 11, "DSOTYPENI"),
    ("BADVERS", 16, "BADVERS"),
    ("BADKEY", 17, "BADKEY"),
    ("BADTIME", 18, "BADTIME"),
    ("BADMODE", 19, "BADMODE"),
    ("BADNAME", 20, "BADNAME"),
    ("BADALG", 21, "BADALG"),
    ("BADTRUNC", 22, "BADTRUNC"),
    ("BADCOOKIE", 23, "BADCOOKIE"),
];
const OPCODES: &[Word] = &[
    ("QUERY", 0, "Query"),
    ("IQUERY", 1, "Inverse Query"),
    ("STATUS", 2, "Status"),
    ("NOTIFY", 4, "Notify"),
    ("UPDATE", 5, "Update"),
    ("DSO", 6, "DSO Message"),
];
const DNS_FLAGS: &[Word] = &[
    ("AA", 1, "Authoritative Answer"),
    ("TC", 2, "Truncated Response"),
    ("RD", 3, "Recursion Desired"),
    ("RA", 4, "Recursion Available"),
    ("AD", 5, "Authentic Data"),
    ("CD", 6, "Checking Disabled"),
];
const INDICATOR_TYPES: &[Word] = &[
    ("ipv4-addr", 1, "IP Address"),
    ("ipv6-addr", 1, "IP Address"),
    ("domain-name", 2, "Domain"),
    ("file", 4, "Hash"),
];
const CONFIDENCES: &[Word] = &[
    ("None", 0, "Unknown"),
    ("Low", 1, "Low"),
    ("Medium", 2, "Medium"),
    ("High", 3, "High"),
];
const RULESETS: &[Word] = &[
    ("behaviour", 2, "Behavioral"),
    ("sigma", 1, "Rule"),
    ("yara", 1, "Rule"),
];

/// Every event: what it is, when it happened, where it is from.
pub(super) const COMMON: &[Row] = rows! { "" =>
    Timestamp "time" Millis;
    Timestamp "metadata.original_time" Nanos;
    EventId "metadata.uid" Text;
    EventSequence "metadata.sequence" Number;
    EventDataset "metadata.event_code" Text;
    EventModule "metadata.log_name" Text;
    Message "message" Text;
    ErrorCode "status_code" Text;
    Tags "metadata.labels" Texts;
    Labels "metadata.tags" Pairs;
    AgentVersion "metadata.product.version" Text;
    AgentId "device.agent_list[].uid" Text;
    AgentType "device.agent_list[].name" Text;
    HostName "device.name" Text;
    HostHostname "device.hostname" Text;
    HostId "device.uid" Text;
    HostBootId "device.boot_uid" Text;
    HostArchitecture "device.hw_info.cpu_info_list[].cpu_architecture" Text;
    HostOsName "device.os.name" Text;
    HostOsVersion "device.os.version" Text;
    HostOsKernel "device.os.kernel_release" Text;
};

/// How it went.
pub(super) const OUTCOME: &[Row] = rows! { "" =>
    EventOutcome "status_id" Words(OUTCOMES), "status";
};

/// The process of an event, below a path.
macro_rules! process {
    ($root:literal) => {
        rows! { $root =>
            ProcessPid "pid" Number;
            ProcessThreadId "ptid" Number;
            ProcessVpid "namespace_pid" Number;
            ProcessName "name" Text;
            ProcessEntityId "uid" Text;
            ProcessStart "created_time" Millis;
            ProcessCommandLine "cmd_line" Text;
            ProcessWorkingDirectory "working_directory" TextBeside(Field::ProcessPid);
            ProcessEnvVars "environment_variables" Variables;
            ProcessExecutable "path" Text;
            ProcessExecutable "file.path" Text;
            ProcessExecutable "file.name" Base;
            ProcessSha256 "file.hashes" Hash;
            ProcessUserId "user.uid" Text;
            ProcessUserId "euid" Number;
            ProcessUserName "user.name" Text;
            ProcessGroupId "group.uid" Text;
            ProcessGroupId "egid" Number;
            ProcessGroupName "group.name" Text;
            SensorAuditUser "auid" Number;
            SensorAuditSession "session.uid" Text;
            ContainerId "container.uid" Text;
            ContainerRuntime "container.runtime" TextBeside(Field::ContainerId);
            SensorParentAncestors "ancestry" Ancestors;
            SensorFileInode "file.uid" Text;
            SensorFileDevice "file.volume" Text;
            SensorFileSize "file.size" Number;
            SensorFileOwner "file.owner.uid" Text;
            SensorFileMtime "file.modified_time" Millis;
        }
    };
}

/// Its parent.
macro_rules! parent {
    ($root:literal) => {
        rows! { $root =>
            ProcessParentPid "pid" Number;
            ProcessParentEntityId "uid" Text;
            ProcessParentName "name" Text;
            ProcessParentCommandLine "cmd_line" Text;
            ProcessParentExecutable "path" Text;
            ProcessParentExecutable "file.path" Text;
            ProcessParentExecutable "file.name" Base;
        }
    };
}

/// Who did it.
pub(super) const ACTOR: &[Row] = process!("actor.process.");
/// The parent of who did it.
pub(super) const ACTOR_PARENT: &[Row] = parent!("actor.process.parent_process.");
/// The parent, where it is who did it: it started the process.
pub(super) const ACTOR_IS_PARENT: &[Row] = parent!("actor.process.");
/// The process that it is about.
pub(super) const PROCESS: &[Row] = process!("process.");
/// The parent of that.
pub(super) const PROCESS_PARENT: &[Row] = parent!("process.parent_process.");
/// The process again, where it did it to itself.
pub(super) const ACTOR_IS_PROCESS: &[Row] = rows! { "actor.process." =>
    ProcessPid "pid" Number;
    ProcessEntityId "uid" Text;
    ProcessName "name" Text;
};
/// The end of a process.
pub(super) const EXIT: &[Row] = rows! { "" =>
    ProcessExitCode "exit_code" Number;
};
/// Another process, to which it was done.
pub(super) const TARGET: &[Row] = rows! { "process." =>
    SensorTargetPid "pid" Number;
    SensorTargetThreadId "ptid" Number;
    SensorTargetVpid "namespace_pid" Number;
    SensorTargetName "name" Text;
    SensorTargetEntityId "uid" Text;
    SensorTargetCommandLine "cmd_line" Text;
    SensorTargetExecutable "path" Text;
    SensorTargetExecutable "file.path" Text;
    SensorTargetExecutable "file.name" Base;
    SensorTargetUserId "user.uid" Text;
};

/// A file, below a path.
macro_rules! file {
    ($root:literal) => {
        rows! { $root =>
            FilePath "path" Text;
            FileName "name" Text;
            FilePath "name" Base;
            FileExtension "ext" Text;
            FileDirectory "parent_folder" Text;
            FileInode "uid" Text;
            FileDevice "volume" Text;
            FileSize "size" Number;
            FileUid "owner.uid" Text;
            FileMtime "modified_time" Millis;
            FileType "type_id" Words(FILE_TYPES), "type";
            FileHashSha256 "hashes" Hash;
        }
    };
}

/// The file that it was done to.
pub(super) const FILE: &[Row] = file!("file.");
/// The file after a rename.
pub(super) const FILE_RESULT: &[Row] = file!("file_result.");
/// The file before a rename.
pub(super) const FILE_BEFORE: &[Row] = rows! { "file." =>
    SensorFilePreviousPath "path" Text;
    SensorFilePreviousPath "name" Base;
    FileInode "uid" Text;
    FileType "type_id" Words(FILE_TYPES), "type";
};
/// A file that has no name in any directory.
pub(super) const MEMFD: &[Row] = rows! { "file." =>
    SensorMemfdName "name" Text;
};
/// A mount point.
pub(super) const MOUNT: &[Row] = rows! { "file." =>
    SensorMountTarget "path" Text;
    SensorMountTarget "name" Base;
    SensorMountSource "volume" Text;
};
/// A kernel module.
pub(super) const MODULE: &[Row] = rows! { "driver.file." =>
    SensorModuleName "name" Text;
    SensorModulePath "path" Text;
};
/// A BPF program.
pub(super) const BPF: &[Row] = rows! { "kernel." =>
    SensorBpfName "name" Text;
};
/// A control group.
pub(super) const CGROUP: &[Row] = rows! { "kernel." =>
    SensorControlGroupPath "path" Text;
    SensorControlGroupPath "name" Base;
};
/// A signal to the sensor.
pub(super) const SIGNAL: &[Row] = rows! { "" =>
    SensorSignalName "kernel.name" Text;
    SensorSignalOutcome "status_detail" Text;
};

/// A connection and its ends, below a path.
macro_rules! connection {
    ($root:literal) => {
        rows! { $root =>
            SourceIp "src_endpoint.ip" Text;
            SourcePort "src_endpoint.port" Number;
            DestinationIp "dst_endpoint.ip" Text;
            DestinationPort "dst_endpoint.port" Number;
            NetworkDirection "connection_info.direction_id" Words(DIRECTIONS), "connection_info.direction";
            NetworkIanaNumber "connection_info.protocol_num" Number;
            NetworkTransport "connection_info.protocol_name" Text;
            NetworkType "connection_info.protocol_ver_id" Words(PROTOCOL_VERSIONS), "connection_info.protocol_ver";
            SensorNetworkInode "connection_info.uid" Text;
        }
    };
}

/// A connection.
pub(super) const CONNECTION: &[Row] = connection!("");
/// What went over it.
pub(super) const TRAFFIC: &[Row] = rows! { "traffic." =>
    SourceBytes "bytes_out" Number;
    DestinationBytes "bytes_in" Number;
    NetworkBytes "bytes" Number;
    EventStart "start_time" Millis;
};
/// What is listened on.
pub(super) const LISTENER: &[Row] = rows! { "dst_endpoint." =>
    ServerIp "ip" Text;
    ServerPort "port" Number;
};
/// A unix socket.
pub(super) const UNIX: &[Row] = rows! { "dst_endpoint." =>
    SensorUnixPath "name" Text;
    SensorUnixAbstractName "name" Text;
    SensorUnixPeerInode "uid" Text;
};
/// A DNS message.
pub(super) const DNS: &[Row] = rows! { "" =>
    DnsId "transaction_id" Number;
    DnsQuestionName "query.hostname" Text;
    DnsQuestionType "query.type" Text;
    DnsQuestionClass "query.class" Text;
    DnsOpCode "opcode_id" Words(OPCODES), "opcode";
    DnsHeaderFlags "flag_ids" Numbers(DNS_FLAGS);
    DnsResponseCode "rcode_id" Words(RCODES), "rcode";
    DnsAnswers "answers" Answers;
    SensorDnsMalformed "status_detail" Text;
};

/// An alert.
pub(super) const FINDING: &[Row] = rows! { "" =>
    EventId "finding_info.uid" Text;
    Timestamp "finding_info.created_time" Millis;
    RuleName "finding_info.title" Text;
    Message "finding_info.desc" Text;
    RuleId "finding_info.analytic.uid" Text;
    RuleName "finding_info.analytic.name" Text;
    RuleRuleset "finding_info.analytic.type_id" Words(RULESETS), "finding_info.analytic.type";
    RuleRuleset "finding_info.analytic.category" Text;
    SensorAlertEvidence "finding_info.related_events" Uids;
    SensorAlertIncident "metadata.correlation_uid" Text;
    SensorAlertConfidence "confidence_score" Number;
    SensorAlertSeverity "severity_id" Words(SEVERITIES), "severity";
    EventSeverity "risk_score" Number;
    SensorAlertPath "evidences[].data" Text;
    SensorAlertAncestry "evidences[].process.ancestry" Family;
};
/// The process that an alert is about.
pub(super) const EVIDENCE: &[Row] = process!("evidences[].process.");
/// Its parent.
pub(super) const EVIDENCE_PARENT: &[Row] = parent!("evidences[].process.parent_process.");
/// The file at the root of it.
pub(super) const EVIDENCE_FILE: &[Row] = file!("evidences[].file.");
/// The peer.
pub(super) const EVIDENCE_PEER: &[Row] = connection!("evidences[].");
/// What a list of hostile things says.
pub(super) const INDICATOR: &[Row] = rows! { "osint[]." =>
    ThreatIndicatorName "value" Text;
    ThreatIndicatorType "type_id" Words(INDICATOR_TYPES), "type";
    ThreatIndicatorConfidence "confidence_id" Words(CONFIDENCES), "confidence";
    ThreatIndicatorDescription "desc" Text;
    ThreatIndicatorId "uid" First;
    ThreatFeedName "vendor_name" Text;
    SensorIndicatorUntil "expiration_time" Millis;
};

/// A response.
pub(super) const RESPONSE: &[Row] = rows! { "" =>
    EventId "command_uid" Text;
    SensorResponseOutcome "status_id" Words(RESPONSE_OUTCOMES), "status";
    SensorResponseDetail "status_detail" Text;
    SensorResponseTarget "observables[].value" Text;
    SensorResponseReason "remediation.desc" Text;
    SensorAlertIncident "metadata.correlation_uid" Text;
    SensorResponseBy "actor.app_name" Text;
};
/// The file of a response.
pub(super) const RESPONSE_FILE: &[Row] = rows! { "file." =>
    SensorResponseTarget "path" Text;
    SensorResponseTarget "name" Base;
};

/// The sensor about itself.
pub(super) const HEALTH: &[Row] = rows! { "" =>
    AgentType "app.name" Text;
    AgentId "app.uid" Text;
    AgentVersion "app.version" Text;
    SensorHealthVerdict "status_detail" Text;
    SensorHealthDetail "message" Text;
};
/// Lost events.
pub(super) const LOST: &[Row] = rows! { "" =>
    SensorLostReason "message" Text;
    SensorLostKind "status_code" Text;
};
