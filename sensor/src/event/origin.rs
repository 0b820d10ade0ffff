//! Which host and which sensor an event is from, in fields. What is known of them is found out
//! by `identity.rs`.

use super::field::{Field, Fields, Value};
use crate::identity::Identity;

/// Fields of one text each, and where that is kept: for who puts them and who reads them.
macro_rules! of_origin {
    ($take:ident) => {
        $take! {
            AgentEphemeralId: agent.ephemeral_id;
            AgentId: agent.id;
            AgentType: agent.kind;
            AgentVersion: agent.version;
            HostArchitecture: host.architecture;
            HostBootId: host.boot_id;
            HostId: host.id;
            HostName: host.name;
            HostOsFamily: host.os.family;
            HostOsFull: host.os.full;
            HostOsKernel: host.os.kernel;
            HostOsName: host.os.name;
            HostOsPlatform: host.os.platform;
            HostOsType: host.os.kind;
            HostOsVersion: host.os.version;
        }
    };
}
pub(super) use of_origin;

macro_rules! put {
    ($($field:ident: $($member:ident).+;)*) => {
        fn put_texts<'a>(origin: &'a Identity, fields: &mut Fields<'a>) {
            $(fields.put_some(Field::$field, origin.$($member).+.as_deref());)*
        }
    };
}

of_origin!(put);

/// Adds what is known of an event's origin.
pub fn put<'a>(origin: &'a Identity, fields: &mut Fields<'a>) {
    put_texts(origin, fields);
    // What the host calls itself is all that is known of its name.
    fields.put_some(Field::HostHostname, origin.host.name.as_deref());
    fields.put_list(Field::Tags, origin.tags.iter().map(|tag| &**tag));
    if !origin.labels.is_empty() {
        let label = |(name, text): &'a (Box<str>, Box<str>)| ((&**name).into(), (&**text).into());
        fields.put(
            Field::Labels,
            Value::Object(origin.labels.iter().map(label).collect()),
        );
    }
}
