//! Asks a TAXII 2.1 server for the indicators of one collection, page by page. Servers may answer
//! anything: pages, bytes and time are bounded. What the objects say is [`super::stix`]'s business.

use std::time::{Duration, Instant};

use thiserror::Error;

use super::stix::{self, Object, StixError};
use crate::net::http::{Client, HttpError};

/// The media type (TAXII 2.1, 1.6.8.1), and what is asked for.
const MEDIA: &str = "application/taxii+json";
const ACCEPT: &str = "application/taxii+json;version=2.1";
/// Objects asked for at a time; servers give fewer if they want.
const PAGE: &str = "5000";
/// Longest page, unpacked, in bytes.
const PAGE_MAX: u64 = 32 * 1024 * 1024;
/// Bytes of all pages of one poll.
const BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Pages of one poll.
const PAGES_MAX: u32 = 4_096;
/// Pages with nothing on them, one after the other, that promise more.
const EMPTY_MAX: u32 = 4;
/// How long one poll may take.
const POLL_MAX: Duration = Duration::from_secs(900);
/// Longest `next` and `added_after` handed back to the server, in bytes.
const TOKEN_MAX: usize = 4_096;

/// Why a collection could not be had.
#[derive(Debug, Error)]
pub enum TaxiiError {
    /// No answer, or a no.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The answer is not what TAXII has.
    #[error("page {page} of {url}: {source}")]
    Page {
        /// The collection.
        url: String,
        /// Which page, from 1.
        page: u32,
        /// What is wrong with it.
        source: StixError,
    },
    /// There is no end to it, or no way on.
    #[error("{url} was given up after {pages} pages: {why}")]
    Endless {
        /// The collection.
        url: String,
        /// Pages there were.
        pages: u32,
        /// What there was too much of.
        why: &'static str,
    },
}

/// What a poll came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Polled {
    /// When the last object was added to the collection, in the server's words, to go on from.
    pub added_last: Option<String>,
    /// Pages there were.
    pub pages: u32,
}

/// The address of a collection's objects below its API root.
#[must_use]
pub fn objects_url(root: &str, collection: &str) -> String {
    format!(
        "{}/collections/{collection}/objects/",
        root.trim_end_matches('/')
    )
}

/// Gives the indicators of a collection to `take`; only those added after a time, if one is given.
///
/// # Errors
/// When not all could be had; those before that were given.
pub fn poll(
    client: &Client,
    url: &str,
    added_after: Option<&str>,
    take: &mut dyn FnMut(Object),
) -> Result<Polled, TaxiiError> {
    let mut poll = Poll {
        url,
        begun: Instant::now(),
        after: added_after.map(str::to_owned),
        next: None,
        bytes: 0,
        empty: 0,
        polled: Polled::default(),
    };
    while poll.page(client, take)? {}
    Ok(poll.polled)
}

struct Poll<'u> {
    url: &'u str,
    begun: Instant,
    after: Option<String>,
    next: Option<String>,
    bytes: u64,
    empty: u32,
    polled: Polled,
}

impl Poll<'_> {
    /// One page; whether there is another.
    fn page(&mut self, client: &Client, take: &mut dyn FnMut(Object)) -> Result<bool, TaxiiError> {
        let mut query = vec![("match[type]", "indicator"), ("limit", PAGE)];
        query.extend(self.after.as_deref().map(|after| ("added_after", after)));
        query.extend(self.next.as_deref().map(|next| ("next", next)));
        let answer = client.get(self.url, &query, ACCEPT)?.of_media(MEDIA)?;
        let added_last = answer.header("x-taxii-date-added-last");
        let added_last = added_last
            .filter(|text| text.len() <= TOKEN_MAX)
            .map(str::to_owned);
        let document = answer.document(PAGE_MAX)?;
        self.polled.pages += 1;
        self.bytes += document.len() as u64;
        let envelope = match stix::read(&document, take) {
            Err(StixError::NoObjects) if stix::is_empty_envelope(&document) => {
                stix::Envelope::default()
            }
            other => other.map_err(|source| TaxiiError::Page {
                url: self.url.to_owned(),
                page: self.polled.pages,
                source,
            })?,
        };
        if added_last.is_some() {
            self.polled.added_last.clone_from(&added_last);
        }
        if !envelope.more {
            return Ok(false);
        }
        self.empty = if envelope.objects == 0 {
            self.empty + 1
        } else {
            0
        };
        self.go_on(envelope.next, added_last)?;
        Ok(true)
    }

    /// With what the next page is asked for: by `next`, or by the time of the last object (TAXII
    /// 2.1, 3.5).
    fn go_on(
        &mut self,
        next: Option<String>,
        added_last: Option<String>,
    ) -> Result<(), TaxiiError> {
        let give_up = |why| TaxiiError::Endless {
            url: self.url.to_owned(),
            pages: self.polled.pages,
            why,
        };
        if self.polled.pages >= PAGES_MAX {
            return Err(give_up("so many pages are not read"));
        }
        if self.bytes >= BYTES_MAX {
            return Err(give_up("so many bytes are not read"));
        }
        if self.empty >= EMPTY_MAX {
            return Err(give_up("it promises more, and nothing comes"));
        }
        if self.begun.elapsed() >= POLL_MAX {
            return Err(give_up("it took too long"));
        }
        match (next, added_last) {
            (Some(next), _) if next.len() > TOKEN_MAX => {
                return Err(give_up("it wants a `next` that long back"));
            }
            (Some(next), _) => self.next = Some(next),
            (None, Some(last)) if self.after.as_ref() != Some(&last) => {
                self.next = None;
                self.after = Some(last);
            }
            (None, _) => return Err(give_up("it promises more, and does not say how to get it")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
