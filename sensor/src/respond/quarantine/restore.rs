//! Putting a file back as it was: beside its place first, whole and checked, and then there at
//! once.

use std::ffi::CString;
use std::fs::File as Opened;
use std::io;
use std::path::Path;

use super::card::{self, Card};
use super::errors::{RestoreError, Stop};
use super::place::Place;
use super::{Options, seal, shown};
use crate::event::response::{Outcome, Response, Verb};

/// Puts a file back where it was, or to `to`; in the place of another one only with `force`.
#[must_use]
pub fn restore(id: &str, to: Option<&Path>, force: bool, options: &Options) -> Response {
    let mut response = options.response(Verb::Restore, id);
    match try_restore(id, to, force, options) {
        Ok((path, detail)) => {
            response.target = path.into();
            response.detail = detail.into();
            if options.dry_run {
                response.outcome = Outcome::DryRun;
            } else {
                response.undo = Some(format!("sensor quarantine {}", response.target).into());
            }
        }
        Err(error) => {
            response.outcome = error.outcome();
            response.detail = error.to_string().into();
        }
    }
    response
}

fn try_restore(
    id: &str,
    to: Option<&Path>,
    force: bool,
    options: &Options,
) -> Result<(String, String), RestoreError> {
    let directory = options.directory();
    let card = Card::read(&directory, id).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => RestoreError::Unknown,
        _ => RestoreError::Card(error.into()),
    })?;
    if card.elsewhere && to.is_none() {
        return Err(RestoreError::Elsewhere);
    }
    let target = to.map_or_else(|| card.place(), Path::to_owned);
    let place = Place::to_write(&target).map_err(|error| RestoreError::Directory(error.into()))?;
    if !force && target.symlink_metadata().is_ok() {
        return Err(RestoreError::Exists);
    }
    let read = |error: io::Error| RestoreError::Read(error.into());
    let sealed = Opened::open(card::sealed_path(&directory, id)).map_err(read)?;
    if options.dry_run {
        return Ok((shown(&target), format!("{} bytes", card.metadata.size)));
    }

    let aside = CString::new(format!(".restore-{id}")).unwrap_or_default();
    let file = place
        .create(&aside)
        .map_err(|error| RestoreError::Write(error.into()))?;
    let arrived = fill(&card, &sealed, &file).and_then(|lacks| {
        place
            .arrive(&aside, force)
            .map_err(|error| match error.raw_os_error() {
                Some(libc::EEXIST) => RestoreError::Exists,
                _ => RestoreError::Write(error.into()),
            })?;
        Ok(lacks)
    });
    let mut lacks = match arrived {
        Ok(lacks) => lacks,
        Err(error) => {
            let _ = place.unlink(&aside);
            return Err(error);
        }
    };
    if let Err(error) = card.metadata.give_attributes(&file) {
        lacks.push(format!("attributes: {error}"));
    }
    if let Err(error) = place.sync() {
        lacks.push(format!("the directory is not on the disk yet: {error}"));
    }
    card::remove(&directory, id);
    Ok((shown(&target), describe(&card, &lacks)))
}

/// Writes content and all that belongs to it; gives what could not be had.
fn fill(card: &Card, sealed: &Opened, file: &Opened) -> Result<Vec<String>, RestoreError> {
    let key = card.key().ok_or(RestoreError::Damaged)?;
    let sha256 =
        seal::uncover(sealed, file, &key, card.metadata.size).map_err(|stop| match stop {
            Stop::Read(error) => RestoreError::Read(error.into()),
            Stop::Write(error) => RestoreError::Write(error.into()),
            Stop::Length => RestoreError::Damaged,
        })?;
    if sha256 != card.sha256 {
        return Err(RestoreError::Damaged);
    }
    let lacks = card.metadata.give(file);
    file.sync_all()
        .map_err(|error| RestoreError::Write(error.into()))?;
    Ok(lacks)
}

fn describe(card: &Card, lacks: &[String]) -> String {
    let mut text = format!("{} bytes, sha256 {}", card.metadata.size, card.sha256);
    if !lacks.is_empty() {
        text.push_str("; not as before: ");
        text.push_str(&lacks.join(", "));
    }
    text
}
