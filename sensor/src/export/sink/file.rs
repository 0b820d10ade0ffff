//! Lines in a file, which is begun anew when it is long enough; a few old ones are kept. When
//! somebody else moves it away, another is made in its place.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::batch::Item;
use super::{Failure, Outcome, Transport};

/// Appends to a file.
pub(super) struct Log {
    path: PathBuf,
    bytes_max: u64,
    keep: u32,
    open: Option<Open>,
    bytes: Vec<u8>,
}

struct Open {
    file: File,
    identity: (u64, u64),
    length: u64,
}

impl Log {
    pub(super) const fn new(path: PathBuf, bytes_max: u64, keep: u32) -> Self {
        Self {
            path,
            bytes_max,
            keep,
            open: None,
            bytes: Vec::new(),
        }
    }

    /// The file, also after somebody has moved it or it has got too long.
    fn file(&mut self) -> io::Result<&mut Open> {
        let is_there = |open: &Open| {
            fs::metadata(&self.path).is_ok_and(|there| open.identity == (there.dev(), there.ino()))
        };
        if self.open.as_ref().is_some_and(|open| !is_there(open)) {
            self.open = None;
        }
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.length >= self.bytes_max)
        {
            self.open = None;
            self.rotate()?;
        }
        let open = match self.open.take() {
            Some(open) => open,
            None => open(&self.path)?,
        };
        Ok(self.open.insert(open))
    }

    /// `events.ndjson` becomes `events.ndjson.1`, that `.2`, and the last one goes.
    fn rotate(&self) -> io::Result<()> {
        let old = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..self.keep).rev() {
            match fs::rename(old(number), old(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.keep == 0 {
            return fs::remove_file(&self.path);
        }
        fs::rename(&self.path, old(1))
    }
}

fn open(path: &Path) -> io::Result<Open> {
    if let Some(directory) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(directory)?;
    }
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)?;
    let about = file.metadata()?;
    Ok(Open {
        file,
        identity: (about.dev(), about.ino()),
        length: about.len(),
    })
}

impl Transport for Log {
    fn deliver(&mut self, items: &[Item<'_>]) -> Result<Outcome, Failure> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        for item in items {
            bytes.extend_from_slice(item.line);
            bytes.push(b'\n');
        }
        let open = self.file()?;
        let result = open.file.write_all(&bytes);
        if result.is_ok() {
            open.length += bytes.len() as u64;
        } else {
            // What was written of it is taken back, so that no half line stays.
            let _ = open.file.set_len(open.length);
        }
        self.bytes = bytes;
        result?;
        Ok(Outcome::default())
    }
}
