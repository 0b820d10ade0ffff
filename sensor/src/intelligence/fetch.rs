//! Brings the copy of one list up to date. A copy is replaced only by one that is whole and means
//! something.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;

use thiserror::Error;

use super::cache::{Cache, Meta};
use super::list::{self, Line};
use super::source::{Kind, Place, Source};
use super::stix::{self, Object, Record, StixError};
use super::taxii::{self, TaxiiError};
use crate::net::http::{Client, HttpError};

/// Longest list, unpacked, in bytes.
const LIST_MAX: u64 = 256 * 1024 * 1024;
/// Longest bundle, in bytes; it is in memory while it is read.
const BUNDLE_MAX: u64 = 128 * 1024 * 1024;
/// News of a collection that are added to the copy at once; when there are more, all is fetched.
const NEWS_MAX: usize = 100_000;
/// A collection is fetched from its beginning so often, in seconds: what a server takes out of it
/// is not among its news.
const WHOLE_EVERY: u64 = 24 * 3_600;

/// Why a list could not be fetched; the copy is as it was.
#[derive(Debug, Error)]
pub enum FetchError {
    /// From a server.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// From a TAXII server.
    #[error(transparent)]
    Taxii(#[from] TaxiiError),
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is larger than any list.
    #[error("{0} has more than {1} bytes")]
    TooLarge(String, u64),
    /// It is no bundle.
    #[error("{location}: {source}")]
    Stix {
        /// Where it is.
        location: String,
        /// What is wrong.
        source: StixError,
    },
    /// It is no list.
    #[error("{0} has lines, and none of them is an indicator; the last good copy stays in use")]
    NoList(String),
    /// The copy cannot be written.
    #[error("the copy in the state directory cannot be written: {0}")]
    Copy(#[from] io::Error),
}

/// Fetches a list. `now` is in seconds since the epoch.
///
/// # Errors
/// When it cannot be had, or means nothing.
pub fn fetch(source: &Source, cache: &Cache, now: u64) -> Result<(), FetchError> {
    let location = source.from.location();
    let meta = Meta {
        location: location.clone(),
        fetched: now,
        whole: now,
        added_after: None,
    };
    match &source.from {
        Kind::List(place) => fetch_list(source, place, cache, &meta),
        Kind::Stix(place) => {
            let document = document(source, place)?;
            let mut fresh = cache.replace(&source.name)?;
            let mut written = Ok(());
            let mut take = |object| keep(object, |record| fresh.record(record), &mut written);
            stix::read(&document, &mut take)
                .map_err(|source| FetchError::Stix { location, source })?;
            written?;
            Ok(fresh.keep(&meta)?)
        }
        Kind::Taxii { .. } => {
            let old = cache.meta(&source.name, &location);
            let old = old.filter(|old| now.saturating_sub(old.whole) < WHOLE_EVERY);
            let old = old.filter(|_| cache.open(&source.name).is_ok());
            match old {
                Some(old) if old.added_after.is_some() => fetch_news(source, cache, old, &meta),
                _ => fetch_whole(source, cache, meta),
            }
        }
    }
}

/// Writes an indicator until writing fails.
fn keep(
    object: Object,
    mut write: impl FnMut(&Record) -> io::Result<()>,
    written: &mut io::Result<()>,
) {
    if let (Object::Indicator(record), Ok(())) = (object, &*written) {
        *written = write(&record);
    }
}

fn fetch_list(
    source: &Source,
    place: &Place,
    cache: &Cache,
    meta: &Meta,
) -> Result<(), FetchError> {
    let mut fresh = cache.replace(&source.name)?;
    match place {
        Place::File(path) => {
            let mut file = open(path)?.take(LIST_MAX + 1);
            if io::copy(&mut file, fresh.file())? > LIST_MAX {
                return Err(FetchError::TooLarge(meta.location.clone(), LIST_MAX));
            }
        }
        Place::Web(url) => {
            let client = Client::new(&source.access, url)?;
            client
                .get(url, &[], "text/plain, */*")?
                .copy(LIST_MAX, fresh.file())?;
        }
    }
    let (mut is_indicator, mut is_nothing) = (false, false);
    list::read(fresh.written()?, &mut |line| match line {
        Line::Indicator(_) => is_indicator = true,
        Line::Unfit(_) => is_nothing = true,
    })?;
    if is_nothing && !is_indicator {
        return Err(FetchError::NoList(meta.location.clone()));
    }
    Ok(fresh.keep(meta)?)
}

fn document(source: &Source, place: &Place) -> Result<Vec<u8>, FetchError> {
    match place {
        Place::Web(url) => {
            let client = Client::new(&source.access, url)?;
            let accept = "application/stix+json;version=2.1, application/json";
            Ok(client.get(url, &[], accept)?.document(BUNDLE_MAX)?)
        }
        Place::File(path) => {
            let mut document = Vec::new();
            let mut file = open(path)?.take(BUNDLE_MAX + 1);
            file.read_to_end(&mut document)
                .map_err(|source| FetchError::Read {
                    path: path.clone(),
                    source,
                })?;
            if document.len() as u64 > BUNDLE_MAX {
                return Err(FetchError::TooLarge(path.display().to_string(), BUNDLE_MAX));
            }
            Ok(document)
        }
    }
}

fn open(path: &PathBuf) -> Result<BufReader<File>, FetchError> {
    File::open(path)
        .map(BufReader::new)
        .map_err(|source| FetchError::Read {
            path: path.clone(),
            source,
        })
}

fn fetch_whole(source: &Source, cache: &Cache, mut meta: Meta) -> Result<(), FetchError> {
    let client = Client::new(&source.access, &meta.location)?;
    let mut fresh = cache.replace(&source.name)?;
    let mut written = Ok(());
    let mut take = |object| keep(object, |record| fresh.record(record), &mut written);
    let polled = taxii::poll(&client, &meta.location, None, &mut take)?;
    written?;
    meta.added_after = polled.added_last;
    Ok(fresh.keep(&meta)?)
}

fn fetch_news(source: &Source, cache: &Cache, old: Meta, now: &Meta) -> Result<(), FetchError> {
    let client = Client::new(&source.access, &now.location)?;
    let mut news = Vec::new();
    let mut is_too_much = false;
    let after = old.added_after.as_deref();
    let polled = taxii::poll(&client, &now.location, after, &mut |object| {
        if let Object::Indicator(record) = object {
            is_too_much |= news.len() >= NEWS_MAX;
            if !is_too_much {
                news.push(*record);
            }
        }
    })?;
    if is_too_much {
        return fetch_whole(source, cache, now.clone());
    }
    let meta = Meta {
        fetched: now.fetched,
        added_after: polled.added_last.or(old.added_after),
        ..old
    };
    Ok(cache.add(&source.name, &news, &meta)?)
}
