//! The card beside a file in quarantine: where it was, what belonged to it, who put it away and
//! why.

use std::ffi::OsString;
use std::fs::{self, File as Opened};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::metadata::{Metadata, from_hex, to_hex};
use super::seal::Key;
use super::{FILES_MAX, File, Options, create, shown};
use crate::event::response::Origin;

/// Longest card read, in bytes: extended attributes may have 64 KiB each.
const CARD_MAX: u64 = 16 * 1024 * 1024;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// The name it goes by in quarantine.
    pub id: Box<str>,
    /// Where it was, for people.
    pub path: Box<str>,
    /// The same, every byte in hexadecimal.
    path_bytes: Box<str>,
    /// It was in the file system of a container.
    pub elsewhere: bool,
    /// What belonged to it.
    pub metadata: Metadata,
    /// SHA-256 of its content.
    pub sha256: Box<str>,
    /// Of the mask.
    key: Box<str>,
    /// What made it happen.
    pub origin: Origin,
    /// Who put it away.
    pub by: Box<str>,
    /// Why.
    pub reason: Box<str>,
    /// When, in nanoseconds since the epoch.
    pub wall_ns: u64,
}

impl Card {
    /// Of a file.
    pub(super) fn new(
        id: &str,
        file: &File,
        metadata: &Metadata,
        key: &Key,
        sha256: &str,
        options: &Options,
        wall_ns: u64,
    ) -> Self {
        Self {
            id: id.into(),
            path: shown(&file.path).into(),
            path_bytes: to_hex(file.path.as_os_str().as_bytes()).into(),
            elsewhere: file.seen_by.is_some(),
            metadata: metadata.clone(),
            sha256: sha256.into(),
            key: to_hex(key).into(),
            origin: options.origin,
            by: options.by.clone(),
            reason: options.reason.clone(),
            wall_ns,
        }
    }

    /// Where it was.
    #[must_use]
    pub fn place(&self) -> PathBuf {
        OsString::from_vec(from_hex(&self.path_bytes).unwrap_or_default()).into()
    }

    pub(super) fn key(&self) -> Option<Key> {
        from_hex(&self.key)?.try_into().ok()
    }

    /// Writes it, so that it is on the disk.
    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        let mut file = create(&card_path(directory, &self.id))?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        Opened::open(directory)?.sync_all()
    }

    /// Reads one.
    pub(super) fn read(directory: &Path, id: &str) -> io::Result<Self> {
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut text = String::new();
        let file = Opened::open(card_path(directory, id))?;
        file.take(CARD_MAX).read_to_string(&mut text)?;
        Ok(serde_json::from_str(&text)?)
    }
}

fn card_path(directory: &Path, id: &str) -> PathBuf {
    directory.join(id).with_extension("json")
}

/// A name that nothing has yet.
pub(super) fn new_id() -> io::Result<Box<str>> {
    let mut bytes = [0; 6];
    Opened::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(to_hex(&bytes).into())
}

/// Where the content is.
pub(super) fn sealed_path(directory: &Path, id: &str) -> PathBuf {
    directory.join(id).with_extension("sealed")
}

/// Removes a card and what it is of.
pub(super) fn remove(directory: &Path, id: &str) {
    let _ = fs::remove_file(sealed_path(directory, id));
    let _ = fs::remove_file(card_path(directory, id));
}

/// All cards, oldest first.
pub(super) fn read_all(directory: &Path) -> Vec<Card> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| {
        let name = entry.file_name();
        Some(name.to_str()?.strip_suffix(".json")?.to_owned())
    });
    let mut cards: Vec<Card> = ids
        .take(FILES_MAX)
        .filter_map(|id| Card::read(directory, &id).ok())
        .collect();
    cards.sort_by_key(|card| card.wall_ns);
    cards
}

/// How many files there are, and their bytes.
pub(super) fn room_taken(directory: &Path) -> (usize, u64) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let sealed = entries.filter(|entry| entry.path().extension().is_some_and(|e| e == "sealed"));
    sealed
        .filter_map(|entry| entry.metadata().ok())
        .fold((0, 0), |(files, bytes), data| {
            (files + 1, bytes + data.len())
        })
}
