//! The copies of lists in the state directory: what was fetched last, so that a start needs no
//! server, and a list that breaks off or vanishes takes nothing away. Of STIX, one record on a
//! line, of which the newest version of each id counts, so that news are added at the end.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::stix::Record;

/// Longest record, in bytes.
const RECORD_MAX: u64 = 2 * super::pattern::PATTERN_MAX as u64;
/// Longest account of a copy, in bytes.
const META_MAX: u64 = 64 * 1024;

/// Where a copy comes from, and how far it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Where the list is.
    pub location: String,
    /// When it was last fetched, in seconds since the epoch.
    pub fetched: u64,
    /// When it was last fetched from its beginning.
    pub whole: u64,
    /// Of TAXII: from where to go on.
    #[serde(default)]
    pub added_after: Option<String>,
}

/// The copies.
#[derive(Clone, Debug)]
pub struct Cache {
    directory: PathBuf,
}

impl Cache {
    /// In a directory, made if need be for root's eyes only.
    ///
    /// # Errors
    /// When it cannot be had.
    pub fn new(directory: PathBuf) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)?;
        Ok(Self { directory })
    }

    fn path(&self, name: &str, suffix: &str) -> PathBuf {
        self.directory.join(format!("{name}.{suffix}"))
    }

    /// The account of a copy, if there is one of this place.
    #[must_use]
    pub fn meta(&self, name: &str, location: &str) -> Option<Meta> {
        let mut text = String::new();
        let file = File::open(self.path(name, "meta")).ok()?;
        file.take(META_MAX).read_to_string(&mut text).ok()?;
        let meta: Meta = serde_json::from_str(&text).ok()?;
        (meta.location == location).then_some(meta)
    }

    /// The copy itself.
    ///
    /// # Errors
    /// When there is none, or it cannot be opened.
    pub fn open(&self, name: &str) -> io::Result<BufReader<File>> {
        File::open(self.path(name, "copy")).map(BufReader::new)
    }

    /// Begins another copy, which takes the place of the old one when it is [`Fresh::keep`]t.
    ///
    /// # Errors
    /// When there can be no file.
    pub fn replace(&self, name: &str) -> io::Result<Fresh<'_>> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(self.path(name, "new"))?;
        Ok(Fresh {
            cache: self,
            name: name.to_owned(),
            file: BufWriter::new(file),
        })
    }

    /// Adds records to a copy.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn add(&self, name: &str, records: &[Record], meta: &Meta) -> io::Result<()> {
        let file = OpenOptions::new()
            .append(true)
            .open(self.path(name, "copy"))?;
        let mut file = BufWriter::new(file);
        // If the last line broke off, it ends here, and only it is lost.
        file.write_all(b"\n")?;
        for record in records {
            write_record(&mut file, record)?;
        }
        file.into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .sync_all()?;
        self.account(name, meta)
    }

    fn account(&self, name: &str, meta: &Meta) -> io::Result<()> {
        let fresh = self.path(name, "meta-new");
        fs::write(&fresh, serde_json::to_vec(meta)?)?;
        fs::rename(fresh, self.path(name, "meta"))
    }
}

/// A copy in the making.
pub struct Fresh<'c> {
    cache: &'c Cache,
    name: String,
    file: BufWriter<File>,
}

impl Fresh<'_> {
    /// Where a document goes as it is.
    pub const fn file(&mut self) -> &mut BufWriter<File> {
        &mut self.file
    }

    /// Adds a record.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn record(&mut self, record: &Record) -> io::Result<()> {
        write_record(&mut self.file, record)
    }

    /// What was written, from its beginning.
    ///
    /// # Errors
    /// When it cannot be read back.
    pub fn written(&mut self) -> io::Result<BufReader<File>> {
        self.file.flush()?;
        File::open(self.cache.path(&self.name, "new")).map(BufReader::new)
    }

    /// Puts it in the place of the old one.
    ///
    /// # Errors
    /// When that fails; the old one is then still there.
    pub fn keep(self, meta: &Meta) -> io::Result<()> {
        let file = self
            .file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        let from = self.cache.path(&self.name, "new");
        fs::rename(from, self.cache.path(&self.name, "copy"))?;
        self.cache.account(&self.name, meta)
    }
}

fn write_record(file: &mut impl io::Write, record: &Record) -> io::Result<()> {
    serde_json::to_writer(&mut *file, record)?;
    file.write_all(b"\n")
}

/// Reads the records of a copy; lines that broke off are passed over.
///
/// # Errors
/// When it cannot be read on.
pub fn records(from: &mut BufReader<File>, take: &mut dyn FnMut(Record)) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if from
            .by_ref()
            .take(RECORD_MAX)
            .read_until(b'\n', &mut line)?
            == 0
        {
            return Ok(());
        }
        if let Ok(record) = serde_json::from_slice(&line) {
            take(record);
        }
    }
}

/// The state directory's part for lists.
#[must_use]
pub fn directory(state: &Path) -> PathBuf {
    state.join("intelligence")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, modified: u64) -> Record {
        Record {
            id: id.into(),
            modified,
            ..Record::default()
        }
    }

    fn ids(cache: &Cache) -> Vec<String> {
        let mut ids = Vec::new();
        records(&mut cache.open("x").unwrap(), &mut |record| {
            ids.push(record.id.into())
        })
        .unwrap();
        ids
    }

    #[test]
    fn a_copy_stays_until_another_is_whole_and_news_are_added() {
        let state = tempfile::tempdir().unwrap();
        let cache = Cache::new(directory(state.path())).unwrap();
        let meta = Meta {
            location: "/x".to_owned(),
            ..Meta::default()
        };
        assert_eq!(cache.meta("x", "/x"), None);
        let mut fresh = cache.replace("x").unwrap();
        fresh.record(&record("a", 1)).unwrap();
        fresh.keep(&meta).unwrap();
        assert_eq!(ids(&cache), ["a"]);
        let mut broken = cache.replace("x").unwrap();
        broken.record(&record("lost", 1)).unwrap();
        drop(broken);
        cache.add("x", &[record("b", 2)], &meta).unwrap();
        assert_eq!(ids(&cache), ["a", "b"]);
        let mut copy = OpenOptions::new()
            .append(true)
            .open(cache.path("x", "copy"))
            .unwrap();
        copy.write_all(b"{\"id\":\"brok").unwrap();
        cache.add("x", &[record("c", 3)], &meta).unwrap();
        assert_eq!(ids(&cache), ["a", "b", "c"]);
        assert_eq!(cache.meta("x", "/x"), Some(meta));
        assert_eq!(cache.meta("x", "/elsewhere"), None);
    }
}
