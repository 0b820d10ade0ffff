//! From raw bytes of a ring to an event: checks the header, dispatches on the kind, and gives
//! the families (`process`, …) what they share: the subject, the tail, the clock. Input is
//! trusted no more than any other: every length is checked.

use sensor_common::kind;
use sensor_common::record::{Header, Subject, VERSION};
use sensor_common::tail::{SectionHeader, TRUNCATED, UNREADABLE};
use thiserror::Error;
use zerocopy::FromBytes;

use super::{file, network, prevent, privilege, process, system};
use crate::clock::wall_ns;
use crate::event::process::{Ids, Namespaces, Process, ProcessKey};
use crate::event::text;
use crate::event::{Action, Event, EventId, Stamp};

pub use crate::clock::boot_ns;

/// Why a record is not understood. Never seen with the programs embedded in this binary.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    /// Fewer bytes than the record needs.
    #[error("a record of kind {kind} is too short: {len} bytes")]
    Short {
        /// Kind, 0 if not even that could be read.
        kind: u16,
        /// Length found.
        len: usize,
    },
    /// Another layout than this binary's.
    #[error("a record of layout version {0}, but this is version {VERSION}")]
    Version(u8),
    /// The header's length is not that of the record.
    #[error("a record of {found} bytes says it has {claimed}")]
    Length {
        /// What the header says.
        claimed: u32,
        /// What there is.
        found: usize,
    },
    /// A kind that this build does not know.
    #[error("a record of unknown kind {0}")]
    Kind(u16),
    /// The sections run over the end of the record.
    #[error("a record of kind {0} has a broken tail")]
    Tail(u16),
}

/// What the decoder of a kind gives.
pub type Decoded = Result<(Option<Process>, Action), DecodeError>;

/// How far the time of day may be off before it is taken anew.
const CLOCK_TOLERANCE_NS: u64 = 1_000_000;

/// Turns time since boot into time of day.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    offset_ns: u64,
}

impl Clock {
    /// The offset as of now; to be [renewed](Self::renewed) from time to time, because the time
    /// of day is set.
    #[must_use]
    pub fn now() -> Self {
        // Boot time read on both sides of the wall clock, so that a preemption in between
        // costs half of itself at most.
        let before = boot_ns();
        let wall = wall_ns();
        let after = boot_ns();
        Self {
            offset_ns: wall.wrapping_sub(before + (after - before) / 2),
        }
    }

    /// The offset as of now, unless that is nearly the same: two readings never agree to the
    /// nanosecond, and one moment should always have one name.
    #[must_use]
    pub fn renewed(self) -> Self {
        let now = Self::now();
        if now.offset_ns.abs_diff(self.offset_ns) < CLOCK_TOLERANCE_NS {
            self
        } else {
            now
        }
    }

    /// Both forms of a time since boot.
    #[must_use]
    pub const fn stamp(&self, boot_ns: u64) -> Stamp {
        Stamp {
            boot_ns,
            wall_ns: boot_ns.wrapping_add(self.offset_ns),
        }
    }

    /// Both forms of a time of day; what was before this boot happened at 0 in its time.
    #[must_use]
    pub const fn stamp_of_wall(&self, wall_ns: u64) -> Stamp {
        Stamp {
            boot_ns: wall_ns.saturating_sub(self.offset_ns),
            wall_ns,
        }
    }
}

/// Kind and time of a raw record, for sorting and counting before it is decoded.
#[must_use]
pub fn peek(record: &[u8]) -> Option<(u16, u64)> {
    let (header, _) = Header::read_from_prefix(record).ok()?;
    Some((header.kind, header.boot_ns))
}

/// Decodes records.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    /// Tells the time of day of a time since boot.
    pub clock: Clock,
}

impl Decoder {
    /// Decodes one record into the event `id`.
    ///
    /// # Errors
    /// When it is not a record of this version, whole.
    pub fn decode(&self, record: &[u8], id: EventId) -> Result<Event, DecodeError> {
        let (header, _) = Header::read_from_prefix(record).map_err(|_| DecodeError::Short {
            kind: 0,
            len: record.len(),
        })?;
        if header.version != VERSION {
            return Err(DecodeError::Version(header.version));
        }
        if usize::try_from(header.len) != Ok(record.len()) {
            return Err(DecodeError::Length {
                claimed: header.len,
                found: record.len(),
            });
        }
        let raw = Raw {
            record,
            kind: header.kind,
            clock: self.clock,
        };
        let (process, action) = match header.kind {
            kind::FORK => process::fork(&raw)?,
            kind::EXEC => process::exec(&raw)?,
            kind::EXIT => process::exit(&raw)?,
            kind::MEMFD => process::memfd(&raw)?,
            kind::PREVENT => prevent::prevent(&raw)?,
            kind::CREDENTIALS => privilege::credentials(&raw)?,
            kind::PTRACE => privilege::ptrace(&raw)?,
            kind::VM_WRITE => privilege::vm_write(&raw)?,
            kind::SETNS => privilege::setns(&raw)?,
            kind::UNSHARE => privilege::unshare(&raw)?,
            kind::MOUNT => privilege::mount(&raw)?,
            kind::SIGNAL => privilege::signal(&raw)?,
            kind::MODULE => system::module(&raw)?,
            kind::BPF => system::bpf(&raw)?,
            kind::CGROUP_MKDIR => system::cgroup_mkdir(&raw)?,
            kind::CGROUP_RMDIR => system::cgroup_rmdir(&raw)?,
            kind::TCP_CONNECT => network::tcp_connect(&raw)?,
            kind::TCP_ACCEPT => network::tcp_accept(&raw)?,
            kind::TCP_LISTEN => network::tcp_listen(&raw)?,
            kind::BIND => network::bind(&raw)?,
            kind::TCP_CLOSE => network::tcp_close(&raw)?,
            kind::UDP_CONNECT => network::udp_connect(&raw)?,
            kind::UDP_SEND => network::udp_send(&raw)?,
            kind::RAW_SOCKET => network::raw_socket(&raw)?,
            kind::UNIX_CONNECT => network::unix_connect(&raw)?,
            kind::DNS => network::dns(&raw)?,
            kind::FILE_OPEN => file::open(&raw)?,
            kind::STREAM_OPEN => file::stream(&raw)?,
            kind::FILE_CLOSE => file::close(&raw)?,
            kind::FILE_READ => file::read(&raw)?,
            kind::FILE_RENAME => file::rename(&raw)?,
            kind::FILE_UNLINK => file::unlink(&raw)?,
            kind::FILE_LINK => file::link(&raw)?,
            kind::FILE_SYMLINK => file::symlink(&raw)?,
            kind::FILE_CHMOD => file::chmod(&raw)?,
            kind::FILE_CHOWN => file::chown(&raw)?,
            kind::FILE_TRUNCATE => file::truncate(&raw)?,
            kind::FILE_MKDIR => file::mkdir(&raw)?,
            other => return Err(DecodeError::Kind(other)),
        };
        Ok(Event {
            id,
            cpu: header.cpu,
            time: self.clock.stamp(header.boot_ns),
            process,
            action,
        })
    }
}

/// A record whose header has been checked.
pub struct Raw<'a> {
    record: &'a [u8],
    kind: u16,
    /// The clock.
    pub clock: Clock,
}

impl<'a> Raw<'a> {
    /// The fixed part, copied because records are not aligned, and the sections behind it.
    ///
    /// # Errors
    /// When the record is too short for `T` or its tail is broken.
    pub fn parts<T: FromBytes>(&self) -> Result<(T, Sections<'a>), DecodeError> {
        let (fixed, tail) = T::read_from_prefix(self.record).map_err(|_| DecodeError::Short {
            kind: self.kind,
            len: self.record.len(),
        })?;
        Ok((
            fixed,
            Sections::parse(tail).ok_or(DecodeError::Tail(self.kind))?,
        ))
    }

    /// The process a subject describes.
    #[must_use]
    pub fn process(&self, subject: &Subject) -> Process {
        let set = |value: u32| (value != u32::MAX).then_some(value);
        Process {
            key: ProcessKey::new(subject.pid, subject.start_boot_ns),
            start: self.clock.stamp(subject.start_boot_ns),
            tid: subject.tid,
            ppid: subject.ppid,
            ns_pid: subject.ns_pid,
            ids: Ids {
                uid: subject.uid,
                gid: subject.gid,
                suid: subject.suid,
                sgid: subject.sgid,
                euid: subject.euid,
                egid: subject.egid,
            },
            capabilities: subject.caps_effective,
            login_uid: set(subject.login_uid),
            audit_session: set(subject.audit_session),
            session: subject.session,
            tty: (subject.tty != 0).then_some(subject.tty),
            comm: until_nul(&subject.comm),
            namespaces: Namespaces {
                mnt: subject.mnt_ns,
                pid: subject.pid_ns,
                net: subject.net_ns,
                user: subject.user_ns,
            },
            cgroup_id: subject.cgroup_id,
            entity: None,
            program: None,
            parent: None,
            parent_entity: None,
            depth: 0,
            names: Default::default(),
            home: Default::default(),
            lineage: Default::default(),
        }
    }
}

/// Text up to the first NUL.
#[must_use]
pub fn until_nul(bytes: &[u8]) -> Box<str> {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    owned(bytes.get(..end).unwrap_or_default())
}

/// Bytes as text that keeps different bytes different.
#[must_use]
pub fn owned(bytes: &[u8]) -> Box<str> {
    text::lossy(bytes).into_owned().into_boxed_str()
}

/// One section of a tail.
#[derive(Clone, Copy, Debug, Default)]
pub struct Section<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Some are missing.
    pub truncated: bool,
}

/// One more than the highest tag; sections with others are skipped.
const TAGS: usize = 32;

/// The sections of a tail, by tag.
#[derive(Debug, Default)]
pub struct Sections<'a> {
    by_tag: [Option<Section<'a>>; TAGS],
}

impl<'a> Sections<'a> {
    fn parse(mut tail: &'a [u8]) -> Option<Self> {
        let mut sections = Self::default();
        while !tail.is_empty() {
            let (header, rest) = SectionHeader::read_from_prefix(tail).ok()?;
            let (bytes, rest) = rest.split_at_checked(usize::from(header.len))?;
            if let Some(place) = sections.by_tag.get_mut(usize::from(header.tag)) {
                let truncated = header.flags & (TRUNCATED | UNREADABLE) != 0;
                *place = Some(Section { bytes, truncated });
            }
            tail = rest;
        }
        Some(sections)
    }

    /// The section with a tag.
    #[must_use]
    pub fn get(&self, tag: u8) -> Option<Section<'a>> {
        self.by_tag.get(usize::from(tag)).copied().flatten()
    }

    /// Its text, if there is any; a truncated path is marked by an ellipsis at the lost end.
    #[must_use]
    pub fn text(&self, tag: u8) -> Option<Box<str>> {
        let section = self.get(tag)?;
        (!section.bytes.is_empty()).then(|| owned(section.bytes))
    }
}

/// Decodes bytes as a record of this kind, whatever their header says.
/// Id of the only event of a test.
#[cfg(test)]
const FIRST: EventId = EventId {
    run: 1,
    sequence: 0,
};

#[cfg(test)]
pub(super) fn decode_as(kind: u16, record: &[u8]) -> Result<Event, DecodeError> {
    use zerocopy::IntoBytes as _;
    let (header, rest) = Header::read_from_prefix(record).map_err(|_| DecodeError::Short {
        kind,
        len: record.len(),
    })?;
    let len = u32::try_from(record.len()).unwrap_or(u32::MAX);
    let header = Header {
        len,
        kind,
        version: VERSION,
        ..header
    };
    let decoder = Decoder {
        clock: Clock { offset_ns: 0 },
    };
    decoder.decode(&[header.as_bytes(), rest].concat(), FIRST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ecs_check::assert_ecs;
    use proptest::prelude::*;
    use sensor_common::record::Plain;
    use zerocopy::IntoBytes;

    const DECODER: Decoder = Decoder {
        clock: Clock { offset_ns: 0 },
    };

    fn header(kind: u16, len: usize) -> Header {
        Header {
            len: len as u32,
            kind,
            version: VERSION,
            lane: 0,
            cpu: 0,
            flags: 0,
            boot_ns: 0,
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = DECODER.decode(&bytes, FIRST);
            let _ = peek(&bytes);
        }

        #[test]
        fn arbitrary_bodies_of_every_kind_never_panic(at in 0..kind::ALL.len(), body in prop::collection::vec(any::<u8>(), 0..1500)) {
            let kind = kind::ALL[at].0;
            let mut bytes = header(kind, body.len() + size_of::<Header>()).as_bytes().to_vec();
            bytes.extend(body);
            if let Ok(event) = DECODER.decode(&bytes, FIRST) {
                let _ = event.fields();
                let _ = event.action.summary();
            }
        }
    }

    /// Every kind, with a body of every sort of number, comes out as ECS has it.
    #[test]
    fn events_of_every_kind_are_ecs() {
        for (kind, _, name) in kind::ALL {
            for byte in [0, 1, 0x41, 0xff] {
                let mut bytes = header(*kind, 1_200).as_bytes().to_vec();
                bytes.resize(1_200, byte);
                let Some(event) = decode_with_any_tail(&mut bytes) else {
                    continue;
                };
                assert_eq!(event.action.label().name, *name);
                let line = crate::export::json::ecs(&event.fields()).unwrap();
                assert_ecs(&serde_json::from_str(&line).unwrap());
            }
        }
    }

    /// Shortens a record until its fixed part fits and its tail is empty.
    fn decode_with_any_tail(bytes: &mut Vec<u8>) -> Option<Event> {
        while bytes.len() > size_of::<Header>() {
            let kind = peek(bytes)?.0;
            bytes.splice(..4, (bytes.len() as u32).to_ne_bytes());
            match DECODER.decode(bytes, FIRST) {
                Ok(event) => return Some(event),
                Err(DecodeError::Kind(_)) => return None,
                Err(_) => bytes.truncate(bytes.len() - 8),
            }
            debug_assert_eq!(kind, peek(bytes)?.0);
        }
        None
    }

    #[test]
    fn the_clock_is_renewed_only_when_the_time_was_set() {
        let now = Clock::now();
        assert_eq!(now.renewed().offset_ns, now.offset_ns);
        let set = Clock {
            offset_ns: now.offset_ns - 2 * CLOCK_TOLERANCE_NS,
        };
        assert!(set.renewed().offset_ns > set.offset_ns);
    }

    #[test]
    fn a_record_need_not_be_aligned() {
        let record = header(kind::FORK, size_of::<Plain>()).as_bytes().to_vec();
        for shift in 0..8 {
            let mut bytes = vec![0; shift];
            bytes.extend_from_slice(&record);
            bytes.resize(shift + size_of::<Plain>(), 0);
            assert!(DECODER.decode(&bytes[shift..], FIRST).is_ok());
        }
    }

    #[test]
    fn a_header_that_lies_about_its_length_is_refused() {
        let bytes = header(kind::FORK, 1000).as_bytes().to_vec();
        assert_eq!(
            DECODER.decode(&bytes, FIRST).unwrap_err(),
            DecodeError::Length {
                claimed: 1000,
                found: 24
            }
        );
    }
}
