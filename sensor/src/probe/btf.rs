//! A reader of the kernel's own type description (BTF), just large enough to answer where a
//! member lies, how large it is, what an enum value is and whether a function or tracepoint
//! exists. No list of what the sensor wants to know (that is the offsets table) and no eBPF:
//! bytes in, numbers out, for vmlinux only (module BTF builds on another one and is refused by
//! its type ids not resolving).
//!
//! Layout source: `include/uapi/linux/btf.h` and `Documentation/bpf/btf.rst`, including the
//! 2026 form (Linux 7.2) in which `vlen` has 24 bits, the kind 7, and a layout section tells
//! how long kinds are that the reader does not know. On older kernels those bits are zero, so
//! one decoding serves all.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Where the running kernel publishes its types.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Largest BTF read, in bytes. Distribution kernels have 4 to 10 MB.
pub const MAX_BYTES: u64 = 128 << 20;
/// Most types accepted. The kernel's own limit (`BTF_MAX_TYPE`) is 2^20 - 1.
pub const MAX_TYPES: usize = 1 << 22;

const MAGIC: u16 = 0xeb9f;
const VERSION: u8 = 1;
/// Header up to and including `str_len`; `layout_off` and `layout_len` may follow.
const HEADER: usize = 24;
const TYPE: usize = 12;
/// End of a name's chain in the index. Type 0 is `void` and has no name.
const END: u32 = 0;

mod query;

pub use query::{Reason, ResolveError};

mod kind {
    pub(super) const INT: u8 = 1;
    pub(super) const PTR: u8 = 2;
    pub(super) const ARRAY: u8 = 3;
    pub(super) const STRUCT: u8 = 4;
    pub(super) const UNION: u8 = 5;
    pub(super) const ENUM: u8 = 6;
    pub(super) const FWD: u8 = 7;
    pub(super) const TYPEDEF: u8 = 8;
    pub(super) const VOLATILE: u8 = 9;
    pub(super) const CONST: u8 = 10;
    pub(super) const RESTRICT: u8 = 11;
    pub(super) const FUNC: u8 = 12;
    pub(super) const FUNC_PROTO: u8 = 13;
    pub(super) const VAR: u8 = 14;
    pub(super) const DATASEC: u8 = 15;
    pub(super) const FLOAT: u8 = 16;
    pub(super) const DECL_TAG: u8 = 17;
    pub(super) const TYPE_TAG: u8 = 18;
    pub(super) const ENUM64: u8 = 19;
}

/// Why the type description as a whole cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BtfError {
    /// The file cannot be read.
    #[error("cannot read kernel types from {}: {source} (is the kernel built with CONFIG_DEBUG_INFO_BTF?)", path.display())]
    Read {
        /// The file asked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// More bytes or types than [`MAX_BYTES`] or [`MAX_TYPES`].
    #[error("kernel types are larger than supported")]
    TooLarge,
    /// Wrong magic number, byte order or version.
    #[error("not BTF version 1 in this machine's byte order (starts with {0:02x?})")]
    NotBtf([u8; 4]),
    /// A section or record reaches past the end.
    #[error("BTF ends inside {0}")]
    Truncated(&'static str),
    /// A kind this reader does not know and the layout section does not describe.
    #[error("BTF type {id} has unknown kind {kind}")]
    UnknownKind {
        /// The kind's number.
        kind: u8,
        /// Id of the type that has it.
        id: u32,
    },
}

/// One parsed type description with an index of names.
pub struct Btf {
    data: Vec<u8>,
    strings: std::ops::Range<usize>,
    /// Where each type begins in `data`; entry 0 (void) is never read.
    offsets: Vec<u32>,
    /// First type id of each name bucket, and for each type the next one, ids ascending.
    heads: Vec<u32>,
    next: Vec<u32>,
}

impl std::fmt::Debug for Btf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { data, offsets, .. } = self;
        write!(f, "Btf({} bytes, {} types)", data.len(), offsets.len())
    }
}

/// One type record, decoded.
#[derive(Clone, Copy)]
struct Type {
    /// Where what follows the record begins in `data`.
    tail: usize,
    name: u32,
    info: u32,
    size_or_type: u32,
}

impl Type {
    fn kind(&self) -> u8 {
        ((self.info >> 24) & 0x7f) as u8
    }
    fn vlen(&self) -> usize {
        (self.info & 0x00ff_ffff) as usize
    }
    fn kind_flag(&self) -> bool {
        self.info >> 31 == 1
    }
    fn is_record(&self) -> bool {
        matches!(self.kind(), kind::STRUCT | kind::UNION)
    }
}

impl Btf {
    /// Reads and indexes a BTF file, usually [`VMLINUX`].
    ///
    /// # Errors
    /// When the file cannot be read, is larger than [`MAX_BYTES`], or is not well-formed.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, BtfError> {
        let path = path.as_ref();
        let wrap = |source| BtfError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(wrap)?;
        let size = file.metadata().map_err(wrap)?.len();
        if size > MAX_BYTES {
            return Err(BtfError::TooLarge);
        }
        let mut data =
            Vec::with_capacity(usize::try_from(size).map_err(|_| BtfError::TooLarge)? + 1);
        file.take(MAX_BYTES + 1)
            .read_to_end(&mut data)
            .map_err(wrap)?;
        Self::parse(data)
    }

    /// Indexes a BTF blob. Takes any bytes: never panics, never loops.
    ///
    /// # Errors
    /// When the blob is not BTF of this machine's byte order, or ends early.
    pub fn parse(data: impl Into<Vec<u8>>) -> Result<Self, BtfError> {
        let data = data.into();
        if data.len() as u64 > MAX_BYTES {
            return Err(BtfError::TooLarge);
        }
        let header = Header::read(&data)?;
        let offsets = type_offsets(&data, &header)?;
        let mut btf = Self {
            data,
            strings: header.strings,
            offsets,
            heads: Vec::new(),
            next: Vec::new(),
        };
        btf.index()?;
        Ok(btf)
    }

    /// Number of types, without `void`.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether it describes no type at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A type by id; `void` (0) and ids past the end have none.
    fn get(&self, id: u32) -> Result<Type, Reason> {
        let at = match self.offsets.get(id as usize) {
            Some(at) if id != 0 => *at as usize,
            _ => return Err(Reason::NoMember),
        };
        read_type(&self.data, at).ok_or(Reason::Malformed)
    }

    fn named(&self, id: u32, name: &[u8]) -> bool {
        self.get(id).is_ok_and(|t| self.is_name(t.name, name))
    }

    /// What follows a type record, in pieces of `item` bytes.
    fn tail(&self, of: Type, item: usize) -> std::slice::ChunksExact<'_, u8> {
        let bytes = of.vlen().saturating_mul(item);
        self.data
            .get(of.tail..of.tail.saturating_add(bytes))
            .unwrap_or_default()
            .chunks_exact(item)
    }

    fn is_name(&self, at: u32, name: &[u8]) -> bool {
        let rest = self
            .data
            .get(self.strings.clone())
            .and_then(|s| s.get(at as usize..))
            .unwrap_or_default();
        rest.strip_prefix(name)
            .is_some_and(|rest| rest.first() == Some(&0))
    }

    /// Chains all named types that a query can begin with; about 3 ms for 6.18's vmlinux.
    fn index(&mut self) -> Result<(), BtfError> {
        let strings = self.data.get(self.strings.clone()).unwrap_or_default();
        let buckets = self.offsets.len().next_power_of_two();
        self.heads = vec![END; buckets];
        self.next = vec![END; self.offsets.len()];
        for (id, at) in self.offsets.iter().enumerate().skip(1).rev() {
            let t = read_type(&self.data, *at as usize).ok_or(BtfError::Truncated("a type"))?;
            if t.name == 0 || !is_indexed(t.kind()) {
                continue;
            }
            let name = strings
                .get(t.name as usize..)
                .ok_or(BtfError::Truncated("the names"))?;
            let bucket = hash(name) as usize & (buckets - 1);
            if let (Some(head), Some(next)) = (self.heads.get_mut(bucket), self.next.get_mut(id)) {
                *next = std::mem::replace(head, id as u32);
            }
        }
        Ok(())
    }
}

struct Header {
    types: std::ops::Range<usize>,
    strings: std::ops::Range<usize>,
    /// Per kind: bytes after the record, bytes per `vlen` item, two unused.
    layout: Vec<[u8; 4]>,
}

impl Header {
    fn read(data: &[u8]) -> Result<Self, BtfError> {
        let start = data
            .first_chunk::<4>()
            .ok_or(BtfError::Truncated("the header"))?;
        let [m0, m1, version, _flags] = *start;
        if u16::from_ne_bytes([m0, m1]) != MAGIC || version != VERSION {
            return Err(BtfError::NotBtf(*start));
        }
        let header_len = word(data, 4).ok_or(BtfError::Truncated("the header"))? as usize;
        let header = data.get(..header_len).filter(|h| h.len() >= HEADER);
        let header = header.ok_or(BtfError::Truncated("the header"))?;
        let section = |at: usize, what| {
            let (Some(offset), Some(len)) = (word(header, at), word(header, at + 4)) else {
                return Ok(0..0);
            };
            let begin = header_len.saturating_add(offset as usize);
            let range = begin..begin.saturating_add(len as usize);
            if data.get(range.clone()).is_some() {
                Ok(range)
            } else {
                Err(BtfError::Truncated(what))
            }
        };
        let layout = section(24, "the layout section")?;
        let (layout, _) = data.get(layout).unwrap_or_default().as_chunks::<4>();
        Ok(Self {
            types: section(8, "the type section")?,
            strings: section(16, "the string section")?,
            layout: layout.to_vec(),
        })
    }
}

/// Where every type begins.
fn type_offsets(data: &[u8], header: &Header) -> Result<Vec<u32>, BtfError> {
    let end = header.types.end;
    let data = data.get(..end).unwrap_or_default();
    let mut at = header.types.start;
    // Types take 24 to 40 bytes on average.
    let mut offsets = Vec::with_capacity(header.types.len() / 24 + 1);
    offsets.push(0);
    while at < end {
        if offsets.len() > MAX_TYPES {
            return Err(BtfError::TooLarge);
        }
        let t = read_type(data, at).ok_or(BtfError::Truncated("a type"))?;
        let (fixed, item) = match (
            tail_layout(t.kind()),
            header.layout.get(usize::from(t.kind())),
        ) {
            (Some(known), _) => known,
            (None, Some([fixed, item, ..])) => (usize::from(*fixed), usize::from(*item)),
            (None, None) => {
                return Err(BtfError::UnknownKind {
                    kind: t.kind(),
                    id: offsets.len() as u32,
                });
            }
        };
        offsets.push(u32::try_from(at).map_err(|_| BtfError::TooLarge)?);
        at = t
            .tail
            .saturating_add(fixed)
            .saturating_add(t.vlen().saturating_mul(item));
    }
    if at > end {
        Err(BtfError::Truncated("a type"))
    } else {
        Ok(offsets)
    }
}

/// Bytes after the record, and bytes per `vlen` item, of each kind.
fn tail_layout(kind: u8) -> Option<(usize, usize)> {
    Some(match kind {
        kind::INT | kind::VAR | kind::DECL_TAG => (4, 0),
        kind::ARRAY => (12, 0),
        kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => (0, 12),
        kind::ENUM | kind::FUNC_PROTO => (0, 8),
        kind::PTR | kind::FWD | kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT => {
            (0, 0)
        }
        kind::FUNC | kind::FLOAT | kind::TYPE_TAG => (0, 0),
        _ => return None,
    })
}

fn is_indexed(kind: u8) -> bool {
    use kind::{ENUM, ENUM64, FLOAT, FUNC, INT, STRUCT, TYPEDEF, UNION};
    matches!(
        kind,
        STRUCT | UNION | ENUM | ENUM64 | TYPEDEF | FUNC | INT | FLOAT
    )
}

fn read_type(data: &[u8], at: usize) -> Option<Type> {
    let record = data.get(at..)?.first_chunk::<TYPE>()?;
    let [name, info, size_or_type] = [word(record, 0)?, word(record, 4)?, word(record, 8)?];
    Some(Type {
        tail: at + TYPE,
        name,
        info,
        size_or_type,
    })
}

/// A 32-bit number in this machine's byte order.
fn word(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..)?
        .first_chunk::<4>()
        .map(|b| u32::from_ne_bytes(*b))
}

/// FNV-1a up to the first NUL or the end.
fn hash(name: &[u8]) -> u32 {
    let letters = name.iter().take_while(|b| **b != 0);
    let sum = letters.fold(0x811c_9dc5u32, |sum, b| {
        (sum ^ u32::from(*b)).wrapping_mul(0x0100_0193)
    });
    sum ^ (sum >> 15)
}

#[cfg(test)]
mod tests;
