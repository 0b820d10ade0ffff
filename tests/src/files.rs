//! What end-to-end tests of files need: a directory of their own, a sensor that reports files,
//! and what it told as a short story. Knows nothing of what is tested.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::{Event, Finished, Launch, Sensor, field, text};

/// A directory of the test's own, by its true path; gone when dropped.
pub struct Place {
    /// Its true path.
    pub path: PathBuf,
    _directory: TempDir,
}

impl Place {
    /// A new and empty one.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> Result<Self> {
        let directory = tempfile::tempdir().context("cannot make a directory for the test")?;
        Ok(Self {
            path: fs::canonicalize(directory.path())?,
            _directory: directory,
        })
    }

    /// The path of a name in it.
    #[must_use]
    pub fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The same as text.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        self.at(name).display().to_string()
    }

    /// Events about files in it, in the order they happened.
    #[must_use]
    pub fn events<'f>(&self, finished: &'f Finished) -> Vec<&'f Event> {
        let inside = |event: &&Event| {
            text(event, "event.dataset").starts_with("file.")
                && Path::new(text(event, "file.path")).starts_with(&self.path)
        };
        let mut events: Vec<&Event> = finished.events.iter().filter(inside).collect();
        events.sort_by_key(|event| field(event, "sensor.boot_ns").as_u64());
        events
    }

    /// What happened to which file, by names in this directory: `rename old new`.
    #[must_use]
    pub fn story(&self, finished: &Finished) -> Vec<String> {
        self.events(finished)
            .into_iter()
            .map(|event| self.line(event))
            .collect()
    }

    fn line(&self, event: &Event) -> String {
        let action = text(event, "event.action").trim_start_matches("file_");
        let path = self.short(text(event, "file.path"));
        let before = ["sensor.file.previous_path", "sensor.file.linked_path"]
            .into_iter()
            .map(|name| text(event, name))
            .find(|path| !path.is_empty());
        before.map_or_else(
            || format!("{action} {path}"),
            |before| format!("{action} {} {path}", self.short(before)),
        )
    }

    /// A path without this directory at its beginning.
    fn short<'p>(&self, path: &'p str) -> &'p str {
        Path::new(path)
            .strip_prefix(&self.path)
            .ok()
            .and_then(Path::to_str)
            .unwrap_or(path)
    }
}

/// Starts a sensor that reports files, and what is executed.
///
/// # Errors
/// When it does not start.
pub fn sensor() -> Result<Sensor> {
    Launch::default()
        .with(["--events", "file,process.exec"])
        .start()
}

/// Starts a sensor that reports files, with this configuration.
///
/// # Errors
/// When it does not start.
pub fn sensor_with(place: &Place, configuration: &str) -> Result<Sensor> {
    let file = place.text("sensor.toml");
    fs::write(&file, configuration).with_context(|| format!("cannot write {file}"))?;
    Launch::default()
        .with(["--events", "file", "--config", &file])
        .start()
}

/// Stops a sensor, whose account has to balance.
///
/// # Errors
/// When it does not end well, or the account does not balance.
pub fn stop(sensor: Sensor) -> Result<Finished> {
    let finished = sensor.stop()?;
    ensure!(finished.balances(), "{}", finished.account);
    Ok(finished)
}

/// A path as system calls want it.
///
/// # Errors
/// When there is a zero byte in it.
pub fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).context("a path with a zero byte in it")
}
