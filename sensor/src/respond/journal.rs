//! What the command line did about an intruder becomes an event: it is handed to the running
//! sensor, or, when none takes it, kept in the state directory until the next one starts. How
//! things are done, and how events are written, is not known here.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::clock::wall_ns;
use crate::door::ask;
use crate::event::response::Response;

/// Longest journal, in bytes: some thousand things done without a sensor that runs.
const JOURNAL_MAX: u64 = 1024 * 1024;
/// Name of the journal in the state directory.
const NAME: &str = "responses.jsonl";
/// First word of the request that hands over a response, which follows as JSON.
pub const REPORT: &str = "report";

/// Why something done is on no record.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The journal cannot be written.
    #[error("no sensor runs that could report this, and it cannot be kept in {} for the next one: {source}", path.display())]
    Write {
        /// The journal.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The journal is as long as it may be.
    #[error("no sensor runs that could report this, and {} is full ({JOURNAL_MAX} bytes); start the sensor, which empties it", path.display())]
    Full {
        /// The journal.
        path: PathBuf,
    },
}

/// Something done while no sensor ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in nanoseconds since the epoch.
    pub wall_ns: u64,
    /// What.
    pub response: Response,
}

/// Has something reported that was done by the command line: at once by the sensor whose runtime
/// directory is `runtime`, or by the next one whose state directory is `state`. What the sensor
/// took without saying so in time is reported twice.
///
/// # Errors
/// When no sensor takes it and it cannot be kept.
pub fn report(response: &Response, runtime: &Path, state: &Path) -> Result<(), JournalError> {
    let response = response.clone().bounded();
    let path = state.join(NAME);
    let write = |source| JournalError::Write {
        path: path.clone(),
        source,
    };
    let text = serde_json::to_string(&response).map_err(|error| write(error.into()))?;
    if ask(runtime, &format!("{REPORT} {text}")).is_ok_and(|answer| is_taken(&answer)) {
        return Ok(());
    }
    let entry = Entry {
        wall_ns: wall_ns(),
        response,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(state)
        .map_err(write)?;
    match append(&path, &entry) {
        Ok(true) => Ok(()),
        Ok(false) => Err(JournalError::Full { path }),
        Err(error) => Err(write(error)),
    }
}

/// Answer of a sensor that takes a response.
#[derive(Debug, Serialize, Deserialize)]
pub struct Taken {
    /// It will be an event.
    pub taken: bool,
}

fn is_taken(answer: &str) -> bool {
    serde_json::from_str::<Taken>(answer).is_ok_and(|answer| answer.taken)
}

fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)?;
    // SAFETY: the descriptor is open; no memory is passed. The lock goes with the descriptor.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}

/// False when there is no room. An entry begins with a line break as well, so that one which a
/// power cut left unfinished spoils no other.
fn append(path: &Path, entry: &Entry) -> io::Result<bool> {
    let line = format!("\n{}\n", serde_json::to_string(entry)?);
    let mut file = open(path)?;
    if file.metadata()?.len() + line.len() as u64 > JOURNAL_MAX {
        return Ok(false);
    }
    file.write_all(line.as_bytes())?;
    file.sync_all()?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(true)
}

/// What was done since a sensor last ran.
#[derive(Debug)]
pub struct Left {
    /// It, oldest first.
    pub entries: Vec<Entry>,
    /// Lines that could not be read.
    pub broken: usize,
    path: PathBuf,
    length: u64,
}

impl Left {
    /// Reads the journal in a state directory; `None` when there is nothing in it.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read(state: &Path) -> io::Result<Option<Self>> {
        let path = state.join(NAME);
        if !path.try_exists()? {
            return Ok(None);
        }
        let mut text = Vec::new();
        open(&path)?.take(JOURNAL_MAX).read_to_end(&mut text)?;
        let mut left = Self {
            entries: Vec::new(),
            broken: 0,
            path,
            length: text.len() as u64,
        };
        let lines = text.split(|byte| *byte == b'\n');
        for line in lines.filter(|line| !line.is_empty()) {
            match serde_json::from_slice::<Entry>(line) {
                Ok(entry) => left.entries.push(Entry {
                    wall_ns: entry.wall_ns,
                    response: entry.response.bounded(),
                }),
                Err(_) => left.broken += 1,
            }
        }
        Ok((left.length > 0).then_some(left))
    }

    /// Empties the journal, once all of it has become events; what was added since stays.
    ///
    /// # Errors
    /// When it cannot be written. It is reported again then at the next start.
    pub fn forget(self) -> io::Result<()> {
        let mut file = open(&self.path)?;
        let mut rest = Vec::new();
        file.seek(SeekFrom::Start(self.length))?;
        (&file).take(JOURNAL_MAX).read_to_end(&mut rest)?;
        file.set_len(0)?;
        file.write_all(&rest)?;
        file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::REQUEST_MAX;
    use crate::event::response::{Origin, Verb};

    fn response(target: &str) -> Response {
        Response::new(Verb::Block, target, Origin::Operator, "root")
    }

    fn left(state: &Path) -> Left {
        Left::read(state).unwrap().unwrap()
    }

    #[test]
    fn what_nobody_takes_waits_for_the_next_sensor() {
        let home = tempfile::tempdir().unwrap();
        let (runtime, state) = (home.path().join("run"), home.path().join("state"));
        assert!(Left::read(&state).unwrap().is_none());
        report(&response("192.0.2.1"), &runtime, &state).unwrap();
        report(&response("192.0.2.2"), &runtime, &state).unwrap();
        let first = left(&state);
        let targets: Vec<_> = first.entries.iter().map(|e| &*e.response.target).collect();
        assert_eq!(targets, ["192.0.2.1", "192.0.2.2"]);
        report(&response("192.0.2.3"), &runtime, &state).unwrap();
        first.forget().unwrap();
        assert_eq!(left(&state).entries.len(), 1);
        left(&state).forget().unwrap();
        assert!(Left::read(&state).unwrap().is_none());
    }

    #[test]
    fn an_unfinished_line_spoils_no_other() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join(NAME), b"{\"wall_ns\":1,\"resp").unwrap();
        report(&response("192.0.2.1"), home.path(), home.path()).unwrap();
        let left = left(home.path());
        assert_eq!((left.broken, left.entries.len()), (1, 1));
    }

    #[test]
    fn the_journal_has_an_end_and_says_so() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join(NAME), vec![b'\n'; JOURNAL_MAX as usize]).unwrap();
        let error = report(&response("192.0.2.1"), home.path(), home.path()).unwrap_err();
        assert!(error.to_string().contains("start the sensor"), "{error}");
    }

    #[test]
    fn a_journal_that_is_a_link_is_not_followed() {
        let home = tempfile::tempdir().unwrap();
        let elsewhere = home.path().join("elsewhere");
        std::fs::write(&elsewhere, "untouched").unwrap();
        std::os::unix::fs::symlink(&elsewhere, home.path().join(NAME)).unwrap();
        assert!(report(&response("192.0.2.1"), home.path(), home.path()).is_err());
        assert_eq!(std::fs::read(&elsewhere).unwrap(), b"untouched");
    }

    #[test]
    fn the_worst_response_fits_into_a_request() {
        let worst = "\u{1}".repeat(100_000);
        let mut response = response(&worst);
        response.by = worst.as_str().into();
        response.reason = worst.as_str().into();
        response.detail = worst.as_str().into();
        response.undo = Some(worst.as_str().into());
        response.alert = Some(worst.as_str().into());
        response.incident = Some(worst.as_str().into());
        let text = serde_json::to_string(&response.bounded()).unwrap();
        assert!(((text.len() + REPORT.len() + 2) as u64) < REQUEST_MAX);
    }
}
