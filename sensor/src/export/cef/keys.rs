//! Keys of the CEF dictionary that fields become, with the most characters that the dictionary
//! allows ("ArcSight Common Event Format", CEF Producer, extension dictionary). Rows for one
//! key stand together; events have one field of them at most.

use crate::event::field::Field;

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// As text.
    Plain,
    /// As milliseconds since the epoch.
    Millis,
    /// An IPv4 address; no other.
    V4,
    /// An IPv6 address; no other.
    V6,
    /// 0 for inbound, 1 for outbound; no other.
    Direction,
    /// A list, with commas.
    Joined,
}

/// A key, and the field whose value it has.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) field: Field,
    /// Most characters.
    pub(super) max: usize,
    pub(super) how: How,
    /// What it is, for keys that stand for anything.
    pub(super) label: Option<&'static str>,
}

macro_rules! keys {
    ($($name:literal $field:ident $max:literal $how:ident $($label:literal)?;)*) => {
        /// In the order in which they are written.
        pub(super) const KEYS: &[Key] = &[$(Key {
            name: $name,
            field: Field::$field,
            max: $max,
            how: How::$how,
            label: keys!(@ $($label)?),
        }),*];
    };
    (@) => { None };
    (@ $label:literal) => { Some($label) };
}

keys! {
    "rt" Timestamp 20 Millis;
    "dvchost" HostName 100 Plain;
    "deviceExternalId" AgentId 255 Plain;
    "externalId" EventId 40 Plain;
    "cat" EventDataset 1023 Plain;
    "act" EventAction 63 Plain;
    "outcome" EventOutcome 63 Plain;
    "reason" ErrorCode 1023 Plain;
    "reason" SensorResponseReason 1023 Plain;
    "msg" Message 1023 Plain;
    "msg" SensorHealthDetail 1023 Plain;
    "msg" SensorLostReason 1023 Plain;
    "cnt" SensorLostCount 20 Plain;
    "start" EventStart 20 Millis;
    "start" SensorLostFrom 20 Millis;
    "end" SensorLostTo 20 Millis;
    "suser" ProcessUserName 1023 Plain;
    "suid" ProcessUserId 1023 Plain;
    "sproc" ProcessExecutable 1023 Plain;
    "spid" ProcessPid 20 Plain;
    "sourceServiceName" ServiceName 1023 Plain;
    "dproc" SensorTargetName 1023 Plain;
    "dpid" SensorTargetPid 20 Plain;
    "duid" SensorTargetUserId 1023 Plain;
    "src" SourceIp 45 V4;
    "c6a2" SourceIp 45 V6 "Source IPv6 Address";
    "spt" SourcePort 20 Plain;
    "dst" DestinationIp 45 V4;
    "dst" ServerIp 45 V4;
    "c6a3" DestinationIp 45 V6 "Destination IPv6 Address";
    "c6a3" ServerIp 45 V6 "Destination IPv6 Address";
    "dpt" DestinationPort 20 Plain;
    "dpt" ServerPort 20 Plain;
    "proto" NetworkTransport 31 Plain;
    "app" NetworkProtocol 31 Plain;
    "deviceDirection" NetworkDirection 1 Direction;
    "in" DestinationBytes 20 Plain;
    "out" SourceBytes 20 Plain;
    "fname" FileName 1023 Plain;
    "filePath" FilePath 1023 Plain;
    "fileType" FileType 1023 Plain;
    "fileId" FileInode 1023 Plain;
    "filePermission" FileMode 1023 Plain;
    "fsize" FileSize 20 Plain;
    "fileHash" FileHashSha256 255 Plain;
    "fileModificationTime" FileMtime 20 Millis;
    "oldFilePath" SensorFilePreviousPath 1023 Plain;
    "oldFilePermission" SensorFileBeforeMode 1023 Plain;
    "oldFileSize" SensorFileBeforeSize 20 Plain;
    "destinationDnsDomain" DnsQuestionName 255 Plain;
    "cs1" ProcessCommandLine 4000 Plain "Command Line";
    "cs2" SensorAlertPath 4000 Plain "Data Path";
    "cs3" ThreatTechniqueId 4000 Joined "ATT&CK Techniques";
    "cs4" SensorAlertIncident 4000 Plain "Incident";
    "cs5" ProcessParentExecutable 4000 Plain "Parent Process";
    "cs6" ContainerId 4000 Plain "Container";
    "cn1" SensorAlertConfidence 20 Plain "Confidence";
    "cn2" ProcessParentPid 20 Plain "Parent Process Id";
    "cn3" ProcessExitCode 20 Plain "Exit Code";
}
