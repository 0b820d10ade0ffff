//! A block: the records of one moment and lane, compressed, under one checksum. What one `write`
//! puts into a segment. Little endian:
//!
//! ```text
//!  0  u32  checksum (CRC-32, IEEE 802.3) of all that follows, the stored bytes included
//!  4  u32  bytes stored
//!  8  u32  bytes of the records, unpacked
//! 12  u32  how many records
//! 16  u64  index of the first of them in its lane; the others follow without holes
//! 24  u64  number of the last of them in the row over both lanes
//! 32  u64  time of the newest of them, ns since the epoch
//! 40  …    the records: an LZ4 block, or as they are if that is not longer
//! ```

use thiserror::Error;

use super::record::PAYLOAD_MAX;

/// Bytes before those that are stored.
pub const HEADER_BYTES: usize = 40;
/// Most bytes of records in a block: a turn of the pipeline, and one record of the longest kind.
pub const RAW_MAX: usize = 2 * PAYLOAD_MAX;

/// What a block says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    checksum: u32,
    stored: u32,
    raw: u32,
    /// How many records.
    pub count: u32,
    /// Index of the first one in its lane.
    pub first_index: u64,
    /// Number of the last one.
    pub last_number: u64,
    /// Time of the newest one, ns since the epoch.
    pub newest_ns: u64,
}

/// Why a block cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Broken {
    /// It says that it is longer than any is.
    #[error("a length beyond all bounds")]
    Length,
    /// Its bytes are not those that were written.
    #[error("a wrong checksum")]
    Checksum,
    /// They cannot be unpacked.
    #[error("not a block of LZ4")]
    Packed,
}

/// The records of a block that is being filled.
#[derive(Debug, Default)]
pub struct Open {
    /// The records, one after the other.
    pub records: Vec<u8>,
    /// How many.
    pub count: u32,
    /// Index of the first one.
    pub first_index: u64,
    /// Number of the last one.
    pub last_number: u64,
    /// Time of the newest one.
    pub newest_ns: u64,
}

impl Open {
    /// Appends the block, packed, to `out`.
    pub fn pack(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let packed = lz4_flex::block::compress(&self.records);
        let stored = if packed.len() < self.records.len() {
            &packed
        } else {
            &self.records
        };
        // The bounds on records keep both below four gigabytes.
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&[0; 4]);
        for word in [length(stored), length(&self.records), self.count] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        for word in [self.first_index, self.last_number, self.newest_ns] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(stored);
        let checksum = out.get(start + 4..).map_or(0, crc32fast::hash);
        if let Some(place) = out.get_mut(start..start + 4) {
            place.copy_from_slice(&checksum.to_le_bytes());
        }
    }
}

impl Header {
    /// Understands one.
    ///
    /// # Errors
    /// When it claims to be longer than any block is.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, Broken> {
        let (words, wide) = bytes.split_at(16);
        let mut words = words.as_chunks::<4>().0.iter();
        let mut wide = wide.as_chunks::<8>().0.iter();
        let mut word = || words.next().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let mut long = || wide.next().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let header = Self {
            checksum: word(),
            stored: word(),
            raw: word(),
            count: word(),
            first_index: long(),
            last_number: long(),
            newest_ns: long(),
        };
        if header.stored > header.raw || header.raw as usize > RAW_MAX {
            return Err(Broken::Length);
        }
        Ok(header)
    }

    /// Bytes stored after it.
    #[must_use]
    pub const fn stored(&self) -> usize {
        self.stored as usize
    }

    /// Bytes of the whole block in its segment.
    #[must_use]
    pub const fn total(&self) -> u64 {
        HEADER_BYTES as u64 + self.stored as u64
    }

    /// Index after the last one.
    #[must_use]
    pub const fn next_index(&self) -> u64 {
        self.first_index.saturating_add(self.count as u64)
    }

    /// Whether these are the bytes that were written.
    ///
    /// # Errors
    /// When they are not.
    pub fn check(&self, header: &[u8; HEADER_BYTES], stored: &[u8]) -> Result<(), Broken> {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(header.split_at(4).1);
        hasher.update(stored);
        if hasher.finalize() == self.checksum {
            Ok(())
        } else {
            Err(Broken::Checksum)
        }
    }

    /// Unpacks checked bytes into `records`.
    ///
    /// # Errors
    /// When they are not what was packed.
    pub fn unpack(&self, stored: &[u8], records: &mut Vec<u8>) -> Result<(), Broken> {
        records.clear();
        if self.stored == self.raw {
            records.extend_from_slice(stored);
            return Ok(());
        }
        records.resize(self.raw as usize, 0);
        match lz4_flex::block::decompress_into(stored, records) {
            Ok(length) if length == records.len() => Ok(()),
            _ => Err(Broken::Packed),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(records: &[u8]) -> Vec<u8> {
        let open = Open {
            records: records.to_vec(),
            count: 3,
            first_index: 7,
            last_number: 12,
            newest_ns: 99,
        };
        let mut out = b"before".to_vec();
        open.pack(&mut out);
        out.split_off(6)
    }

    fn read(block: &[u8]) -> Result<(Header, Vec<u8>), Broken> {
        let (head, stored) = block.split_first_chunk::<HEADER_BYTES>().unwrap();
        let header = Header::parse(head)?;
        header.check(head, stored)?;
        let mut records = Vec::new();
        header.unpack(stored, &mut records)?;
        Ok((header, records))
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(records in proptest::collection::vec(any::<u8>(), 0..4096), times in 1_usize..4) {
            let records = records.repeat(times);
            let block = packed(&records);
            let (header, back) = read(&block).unwrap();
            prop_assert_eq!(back, records);
            prop_assert_eq!(header.total(), block.len() as u64);
            prop_assert_eq!((header.next_index(), header.last_number, header.newest_ns), (10, 12, 99));
        }

        #[test]
        fn a_changed_byte_is_noticed(records in proptest::collection::vec(0_u8..4, 1..512), at: prop::sample::Index, flip in 1_u8..=255) {
            let mut block = packed(&records);
            let at = at.index(block.len());
            block[at] ^= flip;
            let (head, stored) = block.split_first_chunk::<HEADER_BYTES>().unwrap();
            let noticed = match Header::parse(head) {
                Ok(header) if header.stored() == stored.len() => header.check(head, stored).is_err(),
                _ => true,
            };
            prop_assert!(noticed);
        }
    }
}
