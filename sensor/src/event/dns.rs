//! What a DNS message says: a decoder for UDP payloads as the kernel copied them, that is of
//! any bytes and often cut short. No sockets, no caching, no judgement about names.
//!
//! Layout: RFC 1035 section 4 (header, names, records), RFC 3596 (AAAA), RFC 2782 (SRV), RFC
//! 6891 (EDNS), RFC 9460 (SVCB, HTTPS). Names in text: RFC 4343, in lower case.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

mod names;

pub use names::{
    class_name, class_number, opcode_name, opcode_number, rcode_name, rcode_number, type_name,
    type_number,
};

/// Questions decoded at most; honest messages have one.
pub const MAX_QUESTIONS: usize = 8;
/// Answers decoded at most.
pub const MAX_ANSWERS: usize = 64;
/// Records of the authority and additional sections looked through for EDNS.
pub const MAX_OTHER_RECORDS: usize = 64;
/// Longest name, in bytes on the wire (RFC 1035, 2.3.4).
const MAX_NAME: usize = 255;
/// Record data of unknown types shown in hexadecimal, in bytes.
const MAX_HEX: usize = 64;

const HEADER: usize = 12;

/// Record types whose data has a form of its own (see [`type_name`] for all).
mod rtype {
    pub(super) const A: u16 = 1;
    pub(super) const NS: u16 = 2;
    pub(super) const CNAME: u16 = 5;
    pub(super) const SOA: u16 = 6;
    pub(super) const PTR: u16 = 12;
    pub(super) const MX: u16 = 15;
    pub(super) const TXT: u16 = 16;
    pub(super) const AAAA: u16 = 28;
    pub(super) const SRV: u16 = 33;
    pub(super) const DNAME: u16 = 39;
    pub(super) const OPT: u16 = 41;
    pub(super) const SVCB: u16 = 64;
    pub(super) const HTTPS: u16 = 65;
}

/// Why bytes are not a DNS message. Bytes that merely end early are not an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DnsError {
    /// Fewer bytes than a header.
    #[error("{0} bytes are too few for a DNS header")]
    Short(usize),
    /// A question's name is no name: reserved label type, pointer not backwards, too long.
    #[error("the name at byte {0} is not a DNS name")]
    Name(usize),
}

/// One decoded message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Transaction id.
    pub id: u16,
    /// Response (QR set) or query.
    pub is_response: bool,
    /// 0 to 15; see [`opcode_name`].
    pub opcode: u8,
    /// 0 to 15, with EDNS to 4095; see [`rcode_name`].
    pub rcode: u16,
    /// The sender cut the message (TC).
    pub truncated: bool,
    /// The second header word as sent.
    pub(super) flags: u16,
    /// EDNS: the sender wants DNSSEC records.
    pub(super) dnssec_ok: bool,
    /// At most [`MAX_QUESTIONS`].
    pub questions: Vec<Question>,
    /// The answer section, at most [`MAX_ANSWERS`].
    pub answers: Vec<Answer>,
    /// The bytes ended, or stopped making sense, before everything announced was read, or
    /// there was more than the limits.
    pub incomplete: bool,
    /// Of a question cut in its name: the labels that were there.
    pub cut_name: Option<String>,
}

/// One entry of the question section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// In lower case, without the last dot; `.` for the root.
    pub name: String,
    /// See [`type_name`].
    pub qtype: u16,
    /// See [`class_name`]; in multicast DNS the top bit asks for a unicast reply.
    pub qclass: u16,
}

/// One record of the answer section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// As [`Question::name`].
    pub name: String,
    /// See [`type_name`].
    pub rtype: u16,
    /// See [`class_name`].
    pub class: u16,
    /// Seconds.
    pub ttl: u32,
    /// The address of an A or AAAA record.
    pub address: Option<IpAddr>,
    /// The data as zone files write it, TXT strings joined; `\# LENGTH HEX` (RFC 3597) for
    /// types without a form here or data that does not fit its type.
    pub data: String,
}

impl Message {
    /// Bits of the second header word and their names.
    pub(super) const FLAGS: super::flags::Names = &[
        (1 << 10, "AA"),
        (1 << 9, "TC"),
        (1 << 8, "RD"),
        (1 << 7, "RA"),
        (1 << 5, "AD"),
        (1 << 4, "CD"),
    ];

    /// ECS `dns.header_flags`: those of AA, TC, RD, RA, AD, CD and DO that are set.
    pub fn header_flags(&self) -> Vec<&'static str> {
        let set = super::flags::names(self.flags.into(), Self::FLAGS);
        set.chain(self.dnssec_ok.then_some("DO")).collect()
    }

    /// The addresses answered, in order: ECS `dns.resolved_ip`.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.answers.iter().filter_map(|a| a.address)
    }
}

/// Decodes one UDP payload. Any bytes are safe; work and memory are bounded.
///
/// # Errors
/// When there is no header, or a question holds what no resolver would send. Damage further
/// on only makes the message [`Message::incomplete`].
pub fn parse(payload: &[u8]) -> Result<Message, DnsError> {
    let mut reader = Reader {
        data: payload,
        at: 0,
    };
    let mut head = [0u16; HEADER / 2];
    for word in &mut head {
        *word = reader.u16().map_err(|_| DnsError::Short(payload.len()))?;
    }
    let [id, flags, questions, answers, authority, additional] = head;
    let mut message = Message {
        id,
        is_response: flags >> 15 == 1,
        opcode: ((flags >> 11) & 0xf) as u8,
        rcode: flags & 0xf,
        truncated: flags >> 9 & 1 == 1,
        flags,
        dnssec_ok: false,
        questions: Vec::new(),
        answers: Vec::new(),
        incomplete: false,
        cut_name: None,
    };
    let others = usize::from(authority) + usize::from(additional);
    match sections(
        &mut reader,
        &mut message,
        usize::from(questions),
        usize::from(answers),
        others,
    ) {
        Err(Stop::BadQuestion(at)) => Err(DnsError::Name(at)),
        Err(Stop::End | Stop::Bad) => Ok(Message {
            incomplete: true,
            ..message
        }),
        Ok(()) => Ok(message),
    }
}

/// Why reading stops.
enum Stop {
    /// The bytes end.
    End,
    /// The bytes make no sense.
    Bad,
    /// They make no sense in a question's name, that begins here.
    BadQuestion(usize),
}

/// Pushes into `message` as it goes, so that what was read stays when the bytes end.
fn sections(
    r: &mut Reader<'_>,
    message: &mut Message,
    questions: usize,
    answers: usize,
    others: usize,
) -> Result<(), Stop> {
    for _ in 0..questions.min(MAX_QUESTIONS) {
        let start = r.at;
        let mut name = String::new();
        match r.name(&mut name) {
            Ok(()) => {}
            Err(Stop::End) => {
                message.cut_name = Some(name).filter(|n| !n.is_empty());
                return Err(Stop::End);
            }
            Err(_) => return Err(Stop::BadQuestion(start)),
        }
        let (qtype, qclass) = (r.u16()?, r.u16()?);
        message.questions.push(Question {
            name,
            qtype,
            qclass,
        });
    }
    if questions > MAX_QUESTIONS {
        return Err(Stop::Bad);
    }
    for _ in 0..answers.min(MAX_ANSWERS) {
        let record = r.record(true)?;
        let (address, data) = record_data(r.data, &record);
        let Record {
            name,
            rtype,
            class,
            ttl,
            ..
        } = record;
        message.answers.push(Answer {
            name,
            rtype,
            class,
            ttl,
            address,
            data,
        });
    }
    if answers > MAX_ANSWERS {
        return Err(Stop::Bad);
    }
    for _ in 0..others.min(MAX_OTHER_RECORDS) {
        let record = r.record(false)?;
        if record.rtype == rtype::OPT {
            // RFC 6891, 6.1.3: the TTL holds the upper response code, version and flags.
            message.rcode |= ((record.ttl >> 24) as u16) << 4;
            message.dnssec_ok = record.ttl >> 15 & 1 == 1;
        }
    }
    if others > MAX_OTHER_RECORDS {
        Err(Stop::Bad)
    } else {
        Ok(())
    }
}

struct Record {
    name: String,
    rtype: u16,
    class: u16,
    ttl: u32,
    /// Where its data lies in the message.
    data: std::ops::Range<usize>,
}

/// A place in the message.
struct Reader<'a> {
    data: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let bytes = self
            .data
            .get(self.at..)
            .and_then(|d| d.first_chunk::<N>())
            .ok_or(Stop::End)?;
        self.at += N;
        Ok(*bytes)
    }

    fn u16(&mut self) -> Result<u16, Stop> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Stop> {
        self.take().map(u32::from_be_bytes)
    }

    /// A record, `at` then behind its data; the name only if wanted.
    fn record(&mut self, named: bool) -> Result<Record, Stop> {
        let mut name = String::new();
        self.name(&mut name)?;
        if !named {
            name = String::new();
        }
        let (rtype, class, ttl, len) = (self.u16()?, self.u16()?, self.u32()?, self.u16()?);
        let data = self.at..self.at + usize::from(len);
        if data.end > self.data.len() {
            return Err(Stop::End);
        }
        self.at = data.end;
        Ok(Record {
            name,
            rtype,
            class,
            ttl,
            data,
        })
    }

    /// Appends a name; `at` is then behind it, wherever its pointers led. On an early end
    /// `out` has the labels that were whole, and of the last one what was there.
    fn name(&mut self, out: &mut String) -> Result<(), Stop> {
        let (mut at, mut resume, mut earliest, mut length) = (self.at, None, self.at, 1);
        loop {
            let head = usize::from(*self.data.get(at).ok_or(Stop::End)?);
            match head >> 6 {
                0 if head == 0 => break,
                0 => {
                    length += head + 1;
                    if length > MAX_NAME {
                        return Err(Stop::Bad);
                    }
                    let label = self.data.get(at + 1..).unwrap_or_default();
                    let label = label.get(..head).unwrap_or(label);
                    if !out.is_empty() && !label.is_empty() {
                        out.push('.');
                    }
                    escape_label(label, out);
                    if label.len() < head {
                        return Err(Stop::End);
                    }
                    at += head + 1;
                }
                3 => {
                    let low = usize::from(*self.data.get(at + 1).ok_or(Stop::End)?);
                    resume.get_or_insert(at + 2);
                    at = (head & 0x3f) << 8 | low;
                    // Only ever further back: no loop, and no more than all bytes once.
                    if at >= earliest || at < HEADER {
                        return Err(Stop::Bad);
                    }
                    earliest = at;
                }
                _ => return Err(Stop::Bad),
            }
        }
        self.at = resume.unwrap_or(at + 1);
        if out.is_empty() {
            out.push('.');
        }
        Ok(())
    }
}

/// RFC 4343, 2.1: `.` and `\` behind a backslash, bytes without a shape as `\DDD`.
fn escape_label(label: &[u8], out: &mut String) {
    for byte in label {
        match byte.to_ascii_lowercase() {
            b @ (b'.' | b'\\') => out.extend(['\\', char::from(b)]),
            b if b.is_ascii_graphic() => out.push(char::from(b)),
            b => escape_byte(b, out),
        }
    }
}

fn escape_byte(byte: u8, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\\{byte:03}");
}

fn record_data(message: &[u8], record: &Record) -> (Option<IpAddr>, String) {
    let data = message.get(record.data.clone()).unwrap_or_default();
    let address = match record.rtype {
        rtype::A => <[u8; 4]>::try_from(data)
            .ok()
            .map(|a| IpAddr::V4(Ipv4Addr::from(a))),
        rtype::AAAA => <[u8; 16]>::try_from(data)
            .ok()
            .map(|a| IpAddr::V6(Ipv6Addr::from(a))),
        _ => None,
    };
    let text = address
        .map(|a| a.to_string())
        .or_else(|| structured(message, record).ok().flatten());
    (address, text.unwrap_or_else(|| opaque(data)))
}

/// The text of data whose type has a form here; none when it has not, or does not fit it.
fn structured(message: &[u8], record: &Record) -> Result<Option<String>, Stop> {
    // Names in data may point before it, but nothing may reach behind it.
    let visible = message.get(..record.data.end).unwrap_or_default();
    let mut r = Reader {
        data: visible,
        at: record.data.start,
    };
    let mut text = String::new();
    let name = |r: &mut Reader<'_>, text: &mut String| {
        let mut one = String::new();
        r.name(&mut one).map(|()| text.push_str(&one))
    };
    match record.rtype {
        rtype::NS | rtype::CNAME | rtype::PTR | rtype::DNAME => name(&mut r, &mut text)?,
        rtype::MX => {
            let _ = write!(text, "{} ", r.u16()?);
            name(&mut r, &mut text)?;
        }
        rtype::SRV => {
            let _ = write!(text, "{} {} {} ", r.u16()?, r.u16()?, r.u16()?);
            name(&mut r, &mut text)?;
        }
        rtype::SOA => {
            name(&mut r, &mut text)?;
            text.push(' ');
            name(&mut r, &mut text)?;
            for _ in 0..5 {
                let _ = write!(text, " {}", r.u32()?);
            }
        }
        rtype::SVCB | rtype::HTTPS => {
            let _ = write!(text, "{} ", r.u16()?);
            name(&mut r, &mut text)?;
            r.at = visible.len(); // parameters are left out
        }
        rtype::TXT => {
            while r.at < visible.len() {
                let [len] = r.take()?;
                let end = r.at + usize::from(len);
                for byte in visible.get(r.at..end).ok_or(Stop::End)? {
                    match byte {
                        b'\\' => text.push_str("\\\\"),
                        b if b.is_ascii_graphic() || *b == b' ' => text.push(char::from(*b)),
                        b => escape_byte(*b, &mut text),
                    }
                }
                r.at = end;
            }
        }
        _ => return Ok(None),
    }
    Ok((r.at == visible.len()).then_some(text))
}

/// RFC 3597, section 5; cut after [`MAX_HEX`] bytes.
fn opaque(data: &[u8]) -> String {
    let mut text = format!("\\# {}", data.len());
    for (index, byte) in data.iter().take(MAX_HEX).enumerate() {
        let _ = write!(text, "{}{byte:02x}", if index == 0 { " " } else { "" });
    }
    if data.len() > MAX_HEX {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
