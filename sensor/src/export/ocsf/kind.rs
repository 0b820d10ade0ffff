//! Kinds of event, and what each becomes: a class, an activity, tables of fields, and what is said
//! besides. The tables are in `map.rs`.

use super::class::{self, Class, OTHER};
use super::map;
use super::row::Row;
use crate::event::field::{Field, Fields, Value};
use Activity::{Always, By, Connect};
use Said::{Number, Text, Yes};

/// What becomes of a kind of event.
#[derive(Debug)]
pub(super) struct Kind {
    /// `event.dataset`.
    pub(super) dataset: &'static str,
    /// The class.
    pub(super) class: &'static Class,
    /// The activity.
    pub(super) activity: Activity,
    /// What its fields become; those of every event besides.
    pub(super) tables: &'static [&'static [Row]],
    /// What is said besides, where no field says it.
    pub(super) besides: &'static [Besides],
}

/// What happened, in OCSF's numbers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Activity {
    /// Always this.
    Always(u8),
    /// By the word in a field; the last row is for any other word.
    By(Field, &'static [(&'static str, u8)]),
    /// By how a connection went.
    Connect,
}

/// Something to be said where no field has said it.
#[derive(Debug)]
pub(super) struct Besides {
    /// Where.
    pub(super) path: &'static str,
    /// What.
    pub(super) said: Said,
    /// When.
    pub(super) when: When,
}

/// When something is said where no field has said it.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    /// Always.
    Always,
    /// Where there is such an object.
    Within,
    /// Where there is nothing at this path, which would do as well.
    Without(&'static str),
}

/// What is said.
#[derive(Clone, Copy, Debug)]
pub(super) enum Said {
    /// A text.
    Text(&'static str),
    /// A number.
    Number(i64),
    /// Yes.
    Yes,
}

const fn always(path: &'static str, said: Said) -> Besides {
    Besides {
        path,
        said,
        when: When::Always,
    }
}

const fn within(path: &'static str, said: Said) -> Besides {
    Besides {
        path,
        said,
        when: When::Within,
    }
}

/// A name for what has none, where there is nothing at another path.
const fn without(other: &'static str, path: &'static str) -> Besides {
    Besides {
        path,
        said: Text("unknown"),
        when: When::Without(other),
    }
}

/// Of every event. The device is at least known to have been Linux.
pub(super) const OF_ALL: &[Besides] = &[
    always("metadata.version", Text(class::VERSION)),
    always("metadata.product.name", Text("sensor")),
    always("metadata.product.vendor_name", Text("sensor")),
    always("severity_id", Number(1)),
    always("severity", Text("Informational")),
    always("device.type_id", Number(0)),
    always("device.hostname", Text("unknown")),
    always("device.os.name", Text("Linux")),
    always("device.os.type_id", Number(200)),
    always("device.os.type", Text("Linux")),
    within("device.agent_list[].name", Text("sensor")),
    within("device.agent_list[].type_id", Number(1)),
    within("actor.process.file.name", Text("unknown")),
    within("actor.process.file.type_id", Number(1)),
    within("actor.process.parent_process.file.type_id", Number(1)),
    within("process.file.name", Text("unknown")),
    within("process.file.type_id", Number(1)),
    within("process.parent_process.file.type_id", Number(1)),
    within("evidences[].process.file.name", Text("unknown")),
    within("evidences[].process.file.type_id", Number(1)),
    within("evidences[].process.parent_process.file.type_id", Number(1)),
    within("connection_info.direction_id", Number(0)),
    within("evidences[].connection_info.direction_id", Number(0)),
    within("file.name", Text("unknown")),
    within("file.type_id", Number(0)),
    within("file_result.name", Text("unknown")),
    within("file_result.type_id", Number(0)),
    within("evidences[].file.name", Text("unknown")),
    within("evidences[].file.type_id", Number(0)),
    within("osint[].value", Text("unknown")),
    within("osint[].type_id", Number(0)),
];

/// Without anybody who could be named, the schema wants a name all the same.
const SOMEBODY: Besides = without("actor.process", "actor.app_name");
const SOME_PROCESS: Besides = without("process.pid", "process.uid");
const SOME_FILE: Besides = always("file.name", Text("unknown"));
const SOME_FILE_TYPE: Besides = always("file.type_id", Number(0));
const SYSTEM_CALL: Besides = always("kernel.type_id", Number(2));
const SYSTEM_CALL_TYPE: Besides = always("kernel.type", Text("System Call"));
const NO_NUMBER: Besides = always("kernel.type_id", Number(99));
const INJECTED: Besides = always("injection_type_id", Number(99));
/// A socket without addresses is of this host.
const HERE: Besides = without("dst_endpoint", "src_endpoint.name");
const OF_TARGET: Besides = within("observables[].name", Text("sensor.response.target"));
const TARGET_TYPE: Besides = within("observables[].type_id", Number(99));
const TARGET_TYPE_NAME: Besides = within("observables[].type", Text("Response Target"));
const APP: Besides = always("app.name", Text("sensor"));
const MEDIUM: Besides = always("severity_id", Number(3));
const MEDIUM_NAME: Besides = always("severity", Text("Medium"));

macro_rules! kinds {
    ($($dataset:literal $class:ident $activity:expr, [$($table:ident)*] $([$($besides:expr),*])?;)*) => {
        /// Every kind there is.
        pub(super) const KINDS: &[Kind] = &[$(Kind {
            dataset: $dataset,
            class: class::$class,
            activity: $activity,
            tables: &[map::COMMON, $(map::$table),*],
            besides: &[$($($besides),*)?],
        }),*];
    };
}

/// What opening a file did to it.
const OPENED: Activity = By(
    Field::EventAction,
    &[("file_create", 1), ("file_truncate_open", 3), ("", 14)],
);
const MESSAGES: Activity = By(Field::DnsType, &[("query", 1), ("answer", 2), ("", 6)]);

kinds! {
    "process.fork" PROCESS Always(1), [OUTCOME PROCESS PROCESS_PARENT ACTOR_IS_PARENT]
        [SOMEBODY, SOME_PROCESS, always("launch_type_id", Number(2)), always("launch_type", Text("Fork"))];
    "process.exec" PROCESS Always(1), [OUTCOME PROCESS PROCESS_PARENT ACTOR_IS_PARENT]
        [SOMEBODY, SOME_PROCESS, always("launch_type_id", Number(3)), always("launch_type", Text("Exec"))];
    "process.exit" PROCESS Always(2), [OUTCOME PROCESS PROCESS_PARENT ACTOR_IS_PROCESS EXIT]
        [SOMEBODY, SOME_PROCESS];
    "process.credentials" PROCESS Always(5), [OUTCOME PROCESS PROCESS_PARENT ACTOR_IS_PROCESS]
        [SOMEBODY, SOME_PROCESS];
    "process.ptrace" PROCESS Always(4), [OUTCOME ACTOR ACTOR_PARENT TARGET]
        [SOMEBODY, SOME_PROCESS, INJECTED, always("injection_type", Text("ptrace"))];
    "process.vm_write" PROCESS Always(4), [OUTCOME ACTOR ACTOR_PARENT TARGET]
        [SOMEBODY, SOME_PROCESS, INJECTED, always("injection_type", Text("process_vm_writev"))];
    "process.memfd" FILE Always(1), [OUTCOME ACTOR ACTOR_PARENT MEMFD]
        [SOMEBODY, SOME_FILE, always("file.type_id", Number(1)), always("file.type", Text("Regular File"))];
    "process.setns" KERNEL Always(4), [OUTCOME ACTOR ACTOR_PARENT]
        [SOMEBODY, SYSTEM_CALL, SYSTEM_CALL_TYPE, always("kernel.name", Text("setns")), always("kernel.system_call", Text("setns"))];
    "process.unshare" KERNEL Always(4), [OUTCOME ACTOR ACTOR_PARENT]
        [SOMEBODY, SYSTEM_CALL, SYSTEM_CALL_TYPE, always("kernel.name", Text("unshare")), always("kernel.system_call", Text("unshare"))];
    "process.mount" FILE Always(12), [OUTCOME ACTOR ACTOR_PARENT MOUNT]
        [SOMEBODY, SOME_FILE, always("file.type_id", Number(2)), always("file.type", Text("Folder"))];
    "process.signal" KERNEL Always(4), [OUTCOME ACTOR ACTOR_PARENT SIGNAL]
        [SOMEBODY, NO_NUMBER, always("kernel.type", Text("Signal")), always("kernel.name", Text("signal")), always("kernel.system_call", Text("kill"))];
    "kernel.module" KERNEL_EXTENSION Always(1), [OUTCOME ACTOR ACTOR_PARENT MODULE]
        [SOMEBODY, always("driver.file.name", Text("unknown")), always("driver.file.type_id", Number(1)), always("driver.file.type", Text("Regular File"))];
    "kernel.bpf" KERNEL Always(1), [OUTCOME ACTOR ACTOR_PARENT BPF]
        [SOMEBODY, NO_NUMBER, always("kernel.type", Text("BPF Program")), always("kernel.name", Text("unknown")), always("kernel.system_call", Text("bpf"))];
    "cgroup.mkdir" KERNEL Always(1), [OUTCOME ACTOR ACTOR_PARENT CGROUP]
        [SOMEBODY, NO_NUMBER, always("kernel.type", Text("Control Group")), always("kernel.name", Text("unknown"))];
    "cgroup.rmdir" KERNEL Always(3), [OUTCOME ACTOR ACTOR_PARENT CGROUP]
        [SOMEBODY, NO_NUMBER, always("kernel.type", Text("Control Group")), always("kernel.name", Text("unknown"))];
    "network.connect" NETWORK Connect, [OUTCOME ACTOR ACTOR_PARENT CONNECTION];
    "network.udp_connect" NETWORK Connect, [OUTCOME ACTOR ACTOR_PARENT CONNECTION];
    "network.accept" NETWORK Always(1), [OUTCOME ACTOR ACTOR_PARENT CONNECTION];
    "network.listen" NETWORK Always(7), [OUTCOME ACTOR ACTOR_PARENT CONNECTION LISTENER];
    "network.bind" NETWORK Always(OTHER), [OUTCOME ACTOR ACTOR_PARENT CONNECTION];
    "network.close" NETWORK Always(2), [OUTCOME ACTOR ACTOR_PARENT CONNECTION TRAFFIC];
    "network.udp_send" NETWORK Always(6), [OUTCOME ACTOR ACTOR_PARENT CONNECTION];
    "network.raw_socket" NETWORK Always(OTHER), [OUTCOME ACTOR ACTOR_PARENT CONNECTION] [HERE];
    "network.unix_connect" NETWORK Always(1), [OUTCOME ACTOR ACTOR_PARENT CONNECTION UNIX] [HERE];
    "network.dns" DNS MESSAGES, [OUTCOME ACTOR ACTOR_PARENT CONNECTION TRAFFIC DNS]
        [within("query.hostname", Text("unknown"))];
    "file.open" FILE OPENED, [OUTCOME ACTOR ACTOR_PARENT FILE] [SOMEBODY, SOME_FILE, SOME_FILE_TYPE];
    "file.close" FILE Always(OTHER), [OUTCOME ACTOR ACTOR_PARENT FILE] [SOMEBODY, SOME_FILE, SOME_FILE_TYPE];
    "file.read" FILE Always(2), [OUTCOME ACTOR ACTOR_PARENT FILE] [SOMEBODY, SOME_FILE, SOME_FILE_TYPE];
    "file.rename" FILE Always(5), [OUTCOME ACTOR ACTOR_PARENT FILE_BEFORE FILE_RESULT] [SOMEBODY, SOME_FILE, SOME_FILE_TYPE];
    "file.unlink" FILE Always(4), [OUTCOME ACTOR ACTOR_PARENT FILE] [SOMEBODY, SOME_FILE, SOME_FILE_TYPE];
    "file.link" FILE Always(1), [OUTCOME ACTOR ACTOR_PARENT FILE] [SOMEBODY, SOME_FILE, SOME_FILE_TYPE];
    "file.symlink" FILE Always(1), [OUTCOME ACTOR ACTOR_PARENT FILE] [SOMEBODY, SOME_FILE, SOME_FILE_TYPE];
    "file.mkdir" FILE Always(1), [OUTCOME ACTOR ACTOR_PARENT FILE] [SOMEBODY, SOME_FILE, SOME_FILE_TYPE];
    "file.chmod" FILE Always(7), [OUTCOME ACTOR ACTOR_PARENT FILE] [SOMEBODY, SOME_FILE, SOME_FILE_TYPE];
    "file.chown" FILE Always(7), [OUTCOME ACTOR ACTOR_PARENT FILE] [SOMEBODY, SOME_FILE, SOME_FILE_TYPE];
    "file.truncate" FILE Always(3), [OUTCOME ACTOR ACTOR_PARENT FILE] [SOMEBODY, SOME_FILE, SOME_FILE_TYPE];
    "file.stream" FILE Always(14), [OUTCOME ACTOR ACTOR_PARENT FILE] [SOMEBODY, SOME_FILE, SOME_FILE_TYPE];
    "alert" FINDING Always(1), [FINDING EVIDENCE EVIDENCE_PARENT EVIDENCE_FILE EVIDENCE_PEER INDICATOR]
        [always("status_id", Number(1)), always("status", Text("New")), always("is_alert", Yes),
         always("finding_info.uid", Text("unknown")), always("finding_info.analytic.type_id", Number(0))];
    "response.kill" PROCESS_REMEDIATION Always(2), [RESPONSE PROCESS PROCESS_PARENT] [OF_TARGET, TARGET_TYPE, TARGET_TYPE_NAME, SOME_PROCESS];
    "response.prevent" PROCESS_REMEDIATION Always(2), [RESPONSE PROCESS PROCESS_PARENT] [OF_TARGET, TARGET_TYPE, TARGET_TYPE_NAME, SOME_PROCESS];
    "response.freeze" PROCESS_REMEDIATION Always(1), [RESPONSE PROCESS PROCESS_PARENT] [OF_TARGET, TARGET_TYPE, TARGET_TYPE_NAME, SOME_PROCESS];
    "response.thaw" PROCESS_REMEDIATION Always(3), [RESPONSE PROCESS PROCESS_PARENT] [OF_TARGET, TARGET_TYPE, TARGET_TYPE_NAME, SOME_PROCESS];
    "response.quarantine" FILE_REMEDIATION Always(1), [RESPONSE RESPONSE_FILE] [OF_TARGET, TARGET_TYPE, TARGET_TYPE_NAME, SOME_FILE, SOME_FILE_TYPE];
    "response.restore" FILE_REMEDIATION Always(3), [RESPONSE RESPONSE_FILE] [OF_TARGET, TARGET_TYPE, TARGET_TYPE_NAME, SOME_FILE, SOME_FILE_TYPE];
    "response.block" NETWORK_REMEDIATION Always(1), [RESPONSE] [OF_TARGET, TARGET_TYPE, TARGET_TYPE_NAME, always("connection_info.direction_id", Number(0))];
    "response.isolate" NETWORK_REMEDIATION Always(1), [RESPONSE] [OF_TARGET, TARGET_TYPE, TARGET_TYPE_NAME, always("connection_info.direction_id", Number(0))];
    "response.confirm" NETWORK_REMEDIATION Always(1), [RESPONSE] [OF_TARGET, TARGET_TYPE, TARGET_TYPE_NAME, always("connection_info.direction_id", Number(0))];
    "response.disallow" NETWORK_REMEDIATION Always(1), [RESPONSE] [OF_TARGET, TARGET_TYPE, TARGET_TYPE_NAME, always("connection_info.direction_id", Number(0))];
    "response.unblock" NETWORK_REMEDIATION Always(3), [RESPONSE] [OF_TARGET, TARGET_TYPE, TARGET_TYPE_NAME, always("connection_info.direction_id", Number(0))];
    "response.allow" NETWORK_REMEDIATION Always(3), [RESPONSE] [OF_TARGET, TARGET_TYPE, TARGET_TYPE_NAME, always("connection_info.direction_id", Number(0))];
    "response.release" NETWORK_REMEDIATION Always(3), [RESPONSE] [OF_TARGET, TARGET_TYPE, TARGET_TYPE_NAME, always("connection_info.direction_id", Number(0))];
    "response.run" REMEDIATION Always(OTHER), [RESPONSE] [OF_TARGET, TARGET_TYPE, TARGET_TYPE_NAME];
    "sensor.started" LIFECYCLE Always(3), [OUTCOME HEALTH] [APP];
    "sensor.stopped" LIFECYCLE Always(4), [OUTCOME HEALTH] [APP];
    "sensor.health" LIFECYCLE Always(OTHER), [OUTCOME HEALTH] [APP];
    "sensor.lost" ERROR Always(1), [OUTCOME LOST] [MEDIUM, MEDIUM_NAME];
}

/// Of anything else: what is common to all events of the sensor.
pub(super) const ANY: Kind = Kind {
    dataset: "",
    class: class::ANY,
    activity: Always(OTHER),
    tables: &[map::COMMON, map::OUTCOME],
    besides: &[],
};

impl Activity {
    /// Its number for an event.
    pub(super) fn of(self, fields: &Fields<'_>) -> u8 {
        let word = |field| match fields.get(field) {
            Some(Value::Text(word)) => &**word,
            _ => "",
        };
        match self {
            Always(activity) => activity,
            By(field, table) => {
                let said = word(field);
                let row = table.iter().find(|(known, _)| *known == said);
                row.or(table.last())
                    .map_or(OTHER, |(_, activity)| *activity)
            }
            Connect => match (word(Field::EventOutcome), word(Field::ErrorCode)) {
                ("failure", "ECONNREFUSED") => 5,
                ("failure", _) => 4,
                _ => 1,
            },
        }
    }
}
