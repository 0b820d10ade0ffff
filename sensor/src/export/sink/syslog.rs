//! Syslog messages as RFC 5424 has them: the header, and the event as the message, without a byte
//! order mark, which receivers take for a part of it.

use std::fmt::Write as _;
use std::io::Write as _;

use super::batch::Item;
use crate::export::json::rfc3339;

/// Facilities by their numbers (RFC 5424 6.2.1).
const FACILITIES: &[&str] = &[
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];
/// Longest host name (RFC 5424 6).
const HOST_MAX: usize = 255;
/// Longest message id.
const ID_MAX: usize = 32;
/// Nothing.
const NIL: &str = "-";

/// Number of a facility by its name.
#[must_use]
pub(super) fn facility(name: &str) -> Option<u8> {
    let place = FACILITIES.iter().position(|known| *known == name)?;
    u8::try_from(place).ok()
}

/// What all messages have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    facility: u8,
    host: String,
    process: u32,
}

impl Header {
    /// For messages of this host.
    pub(super) fn new(facility: u8, host: &str) -> Self {
        Self {
            facility,
            host: word(host, HOST_MAX),
            process: std::process::id(),
        }
    }

    /// Appends a message.
    pub(super) fn message(&self, item: &Item<'_>, out: &mut Vec<u8>) {
        let mut head = String::with_capacity(128);
        let priority = u32::from(self.facility) * 8 + severity(item.severity);
        // Six digits of a second at most (RFC 5424 6.2.3).
        let time = rfc3339(item.wall_ns);
        let time = time.get(..26).unwrap_or(NIL);
        let (host, process) = (&self.host, self.process);
        let id = word(item.name, ID_MAX);
        let _ = write!(
            head,
            "<{priority}>1 {time}Z {host} sensor {process} {id} - "
        );
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(item.line);
    }

    /// Appends a message with its length before it.
    pub(super) fn counted(&self, item: &Item<'_>, out: &mut Vec<u8>) {
        let mut message = Vec::with_capacity(item.line.len() + 128);
        self.message(item, &mut message);
        let _ = write!(out, "{} ", message.len());
        out.append(&mut message);
    }
}

/// Syslog's severity (RFC 5424 6.2.1) of an alert's.
const fn severity(rank: u8) -> u32 {
    match rank {
        5.. => 2,
        4 => 3,
        3 => 4,
        2 => 5,
        _ => 6,
    }
}

/// A word of printable ASCII.
fn word(text: &str, length_max: usize) -> String {
    let word: String = text
        .chars()
        .filter(char::is_ascii_graphic)
        .take(length_max)
        .collect();
    if word.is_empty() {
        NIL.to_owned()
    } else {
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_what_the_rfc_says() {
        let mut header = Header::new(facility("authpriv").unwrap(), "web 1");
        header.process = 7;
        let item = Item {
            line: b"{}",
            name: "process.exec",
            wall_ns: 1_735_689_599_123_456_789,
            severity: 4,
        };
        let mut out = Vec::new();
        header.counted(&item, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "65 <83>1 2024-12-31T23:59:59.123456Z web1 sensor 7 process.exec - {}"
        );
    }

    #[test]
    fn facilities_have_names() {
        assert_eq!(facility("local7"), Some(23));
        assert_eq!(facility("nonsense"), None);
    }
}
