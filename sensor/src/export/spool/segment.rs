//! Segment files: what they are called, what is in a lane's directory, and where the good part of
//! one ends. A segment is nothing but blocks; its name is the index of its first record.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::SpoolError;
use super::block::{Broken, HEADER_BYTES, Header};

/// Digits of the largest index.
const DIGITS: usize = 20;
/// End of the name.
const SUFFIX: &str = ".log";

/// One segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Index of its first record.
    pub first_index: u64,
    /// Index after its last one; for one of an earlier run, where the next one begins.
    pub next_index: u64,
    /// Bytes of whole blocks.
    pub bytes: u64,
    /// Time of its newest record, ns since the epoch.
    pub newest_ns: u64,
    /// When it was last written to, if by this run: clocks can be set, and what has just come is
    /// not old whatever its time says.
    pub written: Option<Instant>,
}

/// Where a segment is.
#[must_use]
pub fn path(directory: &Path, first_index: u64) -> PathBuf {
    directory.join(format!("{first_index:0DIGITS$}{SUFFIX}"))
}

/// Makes a directory for root's eyes only, if it is not there.
///
/// # Errors
/// When that cannot be done.
pub fn make_directory(directory: &Path) -> Result<(), SpoolError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(SpoolError::io("make the directory", directory))
}

/// Makes an empty one, to be written to.
///
/// # Errors
/// When the file cannot be made.
pub fn create(directory: &Path, first_index: u64) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path(directory, first_index))
}

/// First indexes of the segments of a lane, in order. Files with other names are not ours.
///
/// # Errors
/// When the directory cannot be read.
pub fn list(directory: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let index = name.to_str().and_then(|name| {
            let digits = name.strip_suffix(SUFFIX)?;
            (digits.len() == DIGITS)
                .then(|| digits.parse::<u64>().ok())
                .flatten()
        });
        found.extend(index);
    }
    found.sort_unstable();
    Ok(found)
}

/// The blocks of a segment, one after the other, as far as they are whole.
pub struct Blocks<'f> {
    file: &'f File,
    /// Where the next one begins.
    pub offset: u64,
    /// Where the file ends, as far as it may be read.
    pub end: u64,
}

impl<'f> Blocks<'f> {
    /// From this place on.
    #[must_use]
    pub const fn from(file: &'f File, offset: u64, end: u64) -> Self {
        Self { file, offset, end }
    }

    /// The next one: its header, and its stored bytes in `stored`. None at the end; a block that
    /// is not whole is told apart from one that is broken.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next(&mut self, stored: &mut Vec<u8>) -> io::Result<Next> {
        let mut head = [0; HEADER_BYTES];
        let left = self.end.saturating_sub(self.offset);
        if left == 0 {
            return Ok(Next::End);
        }
        if left < HEADER_BYTES as u64 {
            return Ok(Next::Torn);
        }
        self.file.read_exact_at(&mut head, self.offset)?;
        let header = match Header::parse(&head) {
            Ok(header) => header,
            Err(broken) => return Ok(Next::Broken(broken)),
        };
        if left < header.total() {
            return Ok(Next::Torn);
        }
        stored.resize(header.stored(), 0);
        self.file
            .read_exact_at(stored, self.offset + HEADER_BYTES as u64)?;
        if let Err(broken) = header.check(&head, stored) {
            return Ok(Next::Broken(broken));
        }
        self.offset += header.total();
        Ok(Next::Block(header))
    }
}

/// What comes next in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A whole block.
    Block(Header),
    /// Nothing.
    End,
    /// A block whose end is not there.
    Torn,
    /// Bytes that are no block.
    Broken(Broken),
}

/// What is found in a segment that was written by another run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Bytes of whole blocks.
    pub bytes: u64,
    /// Bytes after them, that are none.
    pub torn: u64,
    /// Index after the last record.
    pub next_index: u64,
    /// Number after the last record.
    pub next_number: u64,
    /// Time of the newest record.
    pub newest_ns: u64,
}

/// Reads a segment from its beginning to where its last whole block ends.
///
/// # Errors
/// When the file cannot be read.
pub fn survey(file: &File, first_index: u64) -> io::Result<Survey> {
    let length = file.metadata()?.len();
    let mut blocks = Blocks::from(file, 0, length);
    let mut survey = Survey {
        next_index: first_index,
        ..Survey::default()
    };
    let mut stored = Vec::new();
    while let Next::Block(header) = blocks.next(&mut stored)? {
        survey.next_index = header.next_index();
        survey.next_number = header.last_number.saturating_add(1);
        survey.newest_ns = survey.newest_ns.max(header.newest_ns);
    }
    survey.bytes = blocks.offset;
    survey.torn = length - blocks.offset;
    Ok(survey)
}
