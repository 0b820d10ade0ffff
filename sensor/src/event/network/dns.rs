//! The event of a DNS message. Its bytes are understood by `event/dns.rs`.

use super::{Direction, Flow};
use crate::event::Label;
use crate::event::dns::{DnsError, Message, class_name, opcode_name, rcode_name, type_name};
use crate::event::field::{Field, Fields, Value};

/// Label of a DNS message.
pub const DNS: Label = Label {
    name: "network.dns",
    action: "dns",
    category: &["network"],
    kind: &["protocol"],
};

/// A DNS message was sent or received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// The socket, with both ends of this message.
    pub flow: Flow,
    /// Sent or received by the process.
    pub direction: Direction,
    /// Length of the whole message in bytes.
    pub bytes: u32,
    /// What it says.
    pub message: Result<Message, DnsError>,
}

impl Dns {
    pub(in crate::event) fn put<'a>(&'a self, fields: &mut Fields<'a>) {
        self.flow.put(self.direction, fields);
        fields.put(Field::NetworkProtocol, "dns");
        fields.put(Field::NetworkBytes, self.bytes);
        match &self.message {
            Ok(message) => put_message(message, fields),
            Err(error) => fields.put(Field::SensorDnsMalformed, error.to_string()),
        }
    }

    pub(in crate::event) fn summary(&self) -> String {
        let message = match &self.message {
            Ok(message) => message,
            Err(error) => return format!("{} !{error}", self.flow.words(self.direction)),
        };
        let mut text = String::from(if message.is_response {
            "answer"
        } else {
            "query"
        });
        if let Some(question) = message.questions.first() {
            text.push_str(&format!(" {} {}", type_name(question.qtype), question.name));
        }
        if message.is_response {
            let said: Vec<&str> = message
                .answers
                .iter()
                .map(|answer| answer.data.as_str())
                .collect();
            text.push_str(&format!(
                " {} {}",
                rcode_name(message.rcode),
                said.join(" ")
            ));
        }
        format!("{} {}", self.flow.words(self.direction), text.trim_end())
    }
}

fn put_message<'a>(message: &'a Message, fields: &mut Fields<'a>) {
    fields.put(Field::DnsId, message.id.to_string());
    fields.put(
        Field::DnsType,
        if message.is_response {
            "answer"
        } else {
            "query"
        },
    );
    fields.put(Field::DnsOpCode, opcode_name(message.opcode));
    fields.put_list(Field::DnsHeaderFlags, message.header_flags());
    if let Some(question) = message.questions.first() {
        fields.put(Field::DnsQuestionName, question.name.as_str());
        fields.put(Field::DnsQuestionType, type_name(question.qtype));
        fields.put(Field::DnsQuestionClass, class_name(question.qclass));
    } else if let Some(name) = &message.cut_name {
        fields.put(Field::DnsQuestionName, name.as_str());
    }
    if message.is_response {
        fields.put(Field::DnsResponseCode, rcode_name(message.rcode));
    }
    fields.put_list(Field::DnsResolvedIp, message.addresses());
    fields.put_list(
        Field::DnsAnswers,
        message.answers.iter().map(|answer| {
            Value::Object(vec![
                ("class".into(), class_name(answer.class).into()),
                ("data".into(), answer.data.as_str().into()),
                ("name".into(), answer.name.as_str().into()),
                ("ttl".into(), answer.ttl.into()),
                ("type".into(), type_name(answer.rtype).into()),
            ])
        }),
    );
    if message.incomplete {
        fields.put(Field::SensorDnsIncomplete, true);
    }
}
