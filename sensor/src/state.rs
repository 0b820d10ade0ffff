//! What is remembered across starts, as files in the state directory: each is written whole,
//! beside the old one, and takes its place. On a thread of its own, because disks can be slow.
//! What is in the files is their owners' business.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// Texts waiting to be written.
const WAITING_MAX: usize = 8;
/// Longest file read back, in bytes.
const FILE_MAX: u64 = 64 * 1024 * 1024;

/// Something to write: where, and what.
type Errand = (PathBuf, String);

/// Writes what is to be remembered.
#[derive(Debug)]
pub struct Keeper {
    directory: PathBuf,
    errands: SyncSender<Errand>,
    thread: JoinHandle<()>,
}

impl Keeper {
    /// Makes the directory if need be, for root's eyes only, and starts the thread.
    ///
    /// # Errors
    /// When the directory cannot be had.
    pub fn start(directory: &Path) -> io::Result<Self> {
        make(directory)?;
        let (errands, to_do) = sync_channel(WAITING_MAX);
        let thread = thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || work(&to_do))?;
        Ok(Self {
            directory: directory.to_owned(),
            errands,
            thread,
        })
    }

    /// A file of this name, with what was kept in it.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn memory(&self, name: &str) -> io::Result<Memory> {
        let path = self.directory.join(name).with_extension("json");
        let recalled = read(&path)?;
        Ok(Memory {
            path,
            recalled,
            errands: self.errands.clone(),
        })
    }

    /// Waits until all is written; every [`Memory`] must be gone.
    pub fn finish(self) {
        drop(self.errands);
        let _ = self.thread.join();
    }
}

/// One file.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
    recalled: Option<String>,
    errands: SyncSender<Errand>,
}

impl Memory {
    /// What was kept before.
    #[must_use]
    pub fn recalled(&self) -> Option<&str> {
        self.recalled.as_deref()
    }

    /// Has a text kept instead; false when too much is waiting already.
    #[must_use]
    pub fn keep(&self, text: String) -> bool {
        self.errands.try_send((self.path.clone(), text)).is_ok()
    }
}

/// A text that is kept in the state directory under a name: the one that is there, or else a fresh
/// one, which is kept from now on.
///
/// # Errors
/// When it cannot be read, or not be kept.
pub fn once(directory: &Path, name: &str, fresh: impl FnOnce() -> String) -> io::Result<String> {
    make(directory)?;
    let path = directory.join(name);
    if let Some(text) = read(&path)? {
        return Ok(text);
    }
    let text = fresh();
    replace(&path, &text)?;
    Ok(text)
}

/// For root's eyes only.
fn make(directory: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

/// What is in a file; `None` when it is not there.
fn read(path: &Path) -> io::Result<Option<String>> {
    match File::open(path) {
        Ok(file) => {
            let mut text = String::new();
            file.take(FILE_MAX).read_to_string(&mut text)?;
            Ok(Some(text))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn work(errands: &Receiver<Errand>) {
    while let Ok((path, text)) = errands.recv() {
        if let Err(error) = replace(&path, &text) {
            tracing::warn!(path = %path.display(), %error, "what was learned cannot be kept; a restart forgets it");
        }
    }
}

/// Either the old text or the new one is there, also after a power cut.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_text_is_there_at_the_next_start() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("state");
        let keeper = Keeper::start(&place).unwrap();
        let memory = keeper.memory("thing").unwrap();
        assert_eq!(memory.recalled(), None);
        assert!(memory.keep("one".to_owned()) && memory.keep("two".to_owned()));
        drop(memory);
        keeper.finish();

        let keeper = Keeper::start(&place).unwrap();
        assert_eq!(keeper.memory("thing").unwrap().recalled(), Some("two"));
        let names: Vec<_> = fs::read_dir(&place)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["thing.json"]);
    }
}
