//! How far a receiver has got, on disk: one small file for each, with two places that are written
//! in turn, so that one of them is good whatever happens while the other is being written.
//! Little endian, 40 bytes each: checksum of the rest (CRC-32 in a u64), a count of writes,
//! the next index in each lane, the next number.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::{Lane, PerLane, SpoolError};

/// Bytes of one place.
const PLACE: usize = 40;

/// How far somebody has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Index in each lane of the first record that is still to come.
    pub next: PerLane<u64>,
    /// Number of the first record that is still to come.
    pub number: u64,
}

/// The file.
#[derive(Debug)]
pub struct Cursor {
    file: File,
    writes: u64,
    kept: Option<Position>,
}

impl Cursor {
    /// Opens or makes it, and reads what it says.
    ///
    /// # Errors
    /// When the file cannot be had.
    pub fn open(path: &Path) -> Result<Self, SpoolError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(SpoolError::io("open the cursor", path))?;
        let mut bytes = [0; 2 * PLACE];
        let length = read(&file, &mut bytes).map_err(SpoolError::io("read the cursor", path))?;
        let latest = bytes
            .get(..length)
            .unwrap_or_default()
            .as_chunks::<PLACE>()
            .0
            .iter()
            .filter_map(parse)
            .max_by_key(|(writes, _)| *writes);
        Ok(Self {
            file,
            writes: latest.map_or(0, |(writes, _)| writes),
            kept: latest.map(|(_, position)| position),
        })
    }

    /// What was kept, if anything was.
    #[must_use]
    pub const fn kept(&self) -> Option<Position> {
        self.kept
    }

    /// Keeps a position. It is in the hands of the kernel then: a power cut may bring back an
    /// earlier one, and what was delivered since is delivered again.
    ///
    /// # Errors
    /// When it cannot be written; the one before is still there.
    pub fn keep(&mut self, position: Position) -> io::Result<()> {
        if self.kept == Some(position) {
            return Ok(());
        }
        let writes = self.writes + 1;
        let place = (writes % 2) * PLACE as u64;
        self.file.write_all_at(&format(writes, position), place)?;
        self.writes = writes;
        self.kept = Some(position);
        Ok(())
    }
}

fn read(file: &File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, length as u64)? {
            0 => break,
            count => length += count,
        }
    }
    Ok(length)
}

fn format(writes: u64, position: Position) -> [u8; PLACE] {
    let words = [
        writes,
        *position.next.of(Lane::Alerts),
        *position.next.of(Lane::Telemetry),
        position.number,
    ];
    let mut place = [0; PLACE];
    let (checksum, body) = place.split_at_mut(8);
    for (bytes, word) in body.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    let sum = u64::from(crc32fast::hash(body));
    checksum.copy_from_slice(&sum.to_le_bytes());
    place
}

fn parse(place: &[u8; PLACE]) -> Option<(u64, Position)> {
    let (checksum, body) = place.split_first_chunk::<8>()?;
    if u64::from_le_bytes(*checksum) != u64::from(crc32fast::hash(body)) {
        return None;
    }
    let [writes, alerts, telemetry, number] = *body.as_chunks::<8>().0 else {
        return None;
    };
    let word = u64::from_le_bytes;
    let position = Position {
        next: PerLane {
            alerts: word(alerts),
            telemetry: word(telemetry),
        },
        number: word(number),
    };
    Some((word(writes), position))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(number: u64) -> Position {
        Position {
            next: PerLane {
                alerts: 1,
                telemetry: number - 1,
            },
            number,
        }
    }

    #[test]
    fn the_latest_position_is_there_again_and_the_one_before_if_it_is_torn() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("siem");
        let mut cursor = Cursor::open(&path).unwrap();
        assert_eq!(cursor.kept(), None);
        for number in 1..=4 {
            cursor.keep(position(number)).unwrap();
        }
        assert_eq!(Cursor::open(&path).unwrap().kept(), Some(position(4)));

        // The fourth write went to the first place.
        cursor.file.write_all_at(b"torn", 20).unwrap();
        assert_eq!(Cursor::open(&path).unwrap().kept(), Some(position(3)));
    }
}
