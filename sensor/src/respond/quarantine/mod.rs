//! Files put away where they do no harm, and put back as they were. A file is copied, masked so
//! that no shell, scanner or web server takes it for what it is, into the state directory, with all
//! that belongs to it in a card beside it; only when both are safely on the disk does its name go.
//! Which files, and why, is decided elsewhere.

pub mod card;
mod errors;
mod metadata;
mod place;
mod protected;
mod restore;
mod seal;

use std::fs::{DirBuilder, File as Opened, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::clock::wall_ns;
use crate::event::process::ProcessKey;
use crate::event::response::{Origin, Outcome, Response, Verb};
use crate::event::text;

pub use card::Card;
use errors::{PutError, Stop};
use metadata::Metadata;
use place::Place;
pub use restore::restore;

/// Largest file that is put away, in bytes.
pub const SIZE_MAX: u64 = 1024 * 1024 * 1024;
/// Bytes of all files that are put away together.
pub const TOTAL_MAX: u64 = 8 * 1024 * 1024 * 1024;
/// How many files there can be.
pub const FILES_MAX: usize = 10_000;
/// Name of the directory below the state directory.
const DIRECTORY: &str = "quarantine";

/// A file to be put away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path from the root. No part of it may be a symbolic link, so that whoever may write to a
    /// directory on the way cannot have another file put away; paths that come from the kernel have
    /// none.
    pub path: PathBuf,
    /// The process that sees it there, when that is not this one: paths in a container are not
    /// those of the host.
    pub seen_by: Option<ProcessKey>,
}

/// How it is done, and what is written down about it.
#[derive(Clone, Debug)]
pub struct Options {
    /// What makes it happen.
    pub origin: Origin,
    /// Who.
    pub by: Box<str>,
    /// Why.
    pub reason: Box<str>,
    /// Find out what would be done, and do nothing.
    pub dry_run: bool,
    /// State directory.
    pub state: PathBuf,
}

impl Options {
    fn directory(&self) -> PathBuf {
        self.state.join(DIRECTORY)
    }

    fn response(&self, verb: Verb, target: &str) -> Response {
        let mut response = Response::new(verb, target, self.origin, &*self.by);
        response.reason = self.reason.clone();
        response
    }
}

/// A path for people.
fn shown(path: &Path) -> String {
    text::lossy(path.as_os_str().as_bytes()).into_owned()
}

/// Puts a file away.
#[must_use]
pub fn put(file: &File, options: &Options) -> Response {
    let mut response = options.response(Verb::Quarantine, &shown(&file.path));
    match try_put(file, options) {
        Ok(done) => {
            if options.dry_run {
                response.outcome = Outcome::DryRun;
            } else {
                response.undo = Some(format!("sensor restore {}", done.id).into());
            }
            response.detail = done.describe().into();
        }
        Err(error) => {
            response.outcome = error.outcome();
            response.detail = error.to_string().into();
        }
    }
    response
}

/// What was put away.
struct Done {
    id: Box<str>,
    size: u64,
    sha256: Box<str>,
    other_names: u64,
    was_immutable: bool,
}

impl Done {
    fn describe(&self) -> String {
        let mut text = format!("{} bytes, sha256 {}", self.size, self.sha256);
        if self.was_immutable {
            text.push_str("; it had been made immutable (chattr)");
        }
        match self.other_names {
            0 => {}
            1 => text.push_str("; ANOTHER NAME STILL LEADS TO IT (find / -samefile)"),
            more => text.push_str(&format!(
                "; {more} OTHER NAMES STILL LEAD TO IT (find / -samefile)"
            )),
        }
        text
    }
}

fn try_put(file: &File, options: &Options) -> Result<Done, PutError> {
    let place = Place::find(file)?;
    let opened = place.open()?;
    let metadata = Metadata::of(&opened).map_err(|error| PutError::Read(error.into()))?;
    protected::check(&opened, &options.state)?;
    let directory = options.directory();
    let id = card::new_id().map_err(|error| PutError::Write(error.into()))?;
    let mut done = Done {
        id,
        size: metadata.size,
        sha256: Box::default(),
        other_names: metadata.links.saturating_sub(1),
        was_immutable: metadata.is_immutable(),
    };
    if options.dry_run {
        check_room(&directory, metadata.size)?;
        done.sha256 = seal::digest(&opened, metadata.size)?;
        return Ok(done);
    }
    make(&directory).map_err(|error| PutError::Write(error.into()))?;
    check_room(&directory, metadata.size)?;

    let sealed = directory.join(&*done.id).with_extension("sealed");
    let key = seal::new_key().map_err(|error| PutError::Write(error.into()))?;
    let kept = keep(&opened, &metadata, &sealed, &key).and_then(|sha256| {
        done.sha256 = sha256;
        let card = Card::new(
            &done.id,
            file,
            &metadata,
            &key,
            &done.sha256,
            options,
            wall_ns(),
        );
        card.write(&directory)
            .map_err(|error| PutError::Write(error.into()))
    });
    let gone = kept.and_then(|()| place.remove(&opened, &metadata, &done.id));
    if gone.is_err() {
        // The original is where it was.
        card::remove(&directory, &done.id);
    }
    gone.map(|()| done)
}

/// Copies the content; fails when it changes meanwhile.
fn keep(
    opened: &Opened,
    metadata: &Metadata,
    sealed: &Path,
    key: &seal::Key,
) -> Result<Box<str>, PutError> {
    let to = create(sealed).map_err(|error| PutError::Write(error.into()))?;
    let sha256 = seal::copy(opened, &to, key, metadata.size)?;
    to.sync_all()
        .map_err(|error| PutError::Write(error.into()))?;
    let after = Metadata::of(opened).map_err(|error| PutError::Read(error.into()))?;
    if after.content_differs(metadata) {
        return Err(PutError::Changing);
    }
    Ok(sha256)
}

/// A new file for root's eyes only.
fn create(path: &Path) -> io::Result<Opened> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o400)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
}

fn make(directory: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

fn check_room(directory: &Path, size: u64) -> Result<(), PutError> {
    if size > SIZE_MAX {
        return Err(PutError::Large(size));
    }
    let (files, bytes) = card::room_taken(directory);
    if files >= FILES_MAX || bytes.saturating_add(size) > TOTAL_MAX {
        return Err(PutError::Full { files, bytes });
    }
    Ok(())
}

/// What is put away, oldest first.
#[must_use]
pub fn list(state: &Path) -> Vec<Card> {
    card::read_all(&state.join(DIRECTORY))
}

impl From<Stop> for PutError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Read(error) => Self::Read(error.into()),
            Stop::Write(error) => Self::Write(error.into()),
            Stop::Length => Self::Changing,
        }
    }
}

#[cfg(test)]
mod tests;
