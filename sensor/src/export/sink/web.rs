//! Lines over HTTP: sends a body, packed if asked for, and sorts out what the answer means for all
//! of it. How bodies look is for those who use it; a plain one, a line for each event, is here.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::batch::Item;
use super::{Failure, Outcome, Transport};
use crate::net::access::Access;
use crate::net::http::{Answer, Client, HttpError, Patience};

/// Longest answer that is read, in bytes: one line for each event of the largest batch.
pub(super) const ANSWER_MAX: u64 = 16 * 1024 * 1024;
/// Longest part of an answer that is shown.
const SHOWN_MAX: usize = 300;
/// How long a receiver may take.
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(10),
    answer: Duration::from_secs(60),
    whole: Duration::from_secs(120),
};

/// A server, and how to talk to it.
pub(super) struct Server {
    access: Access,
    url: String,
    gzip: bool,
    client: Option<Client>,
}

/// What a server says to all of a batch.
pub(super) enum Said {
    /// It is content.
    Good(Answer),
    /// It will never take this.
    Bad(String),
    /// It is too much at once.
    TooMuch,
}

impl Server {
    pub(super) const fn new(access: Access, url: String, gzip: bool) -> Self {
        Self {
            access,
            url,
            gzip,
            client: None,
        }
    }

    /// Sends a body to a path below the server's address.
    pub(super) fn post(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Said, Failure> {
        let url = format!("{}{path}", self.url);
        let mut headers = headers.to_vec();
        let packed;
        let body = if self.gzip {
            headers.push(("content-encoding", "gzip"));
            packed = pack(body)?;
            &packed
        } else {
            body
        };
        let (status, answer) = self.client()?.post(&url, &headers, body)?;
        match status {
            200..=299 => Ok(Said::Good(answer)),
            413 => Ok(Said::TooMuch),
            // Timeouts, locks and the like; and what may be mended at one of the ends.
            300..=399 | 401 | 403 | 404 | 407 | 408 | 409 | 423 | 425 | 500..=599 => Err(Failure {
                why: format!("{url} answers {status}: {}", shown(answer)),
                wait: None,
            }),
            _ => Ok(Said::Bad(format!(
                "{url} answers {status}: {}",
                shown(answer)
            ))),
        }
    }

    /// Made at the first use and after a failure, so that renewed secrets are used.
    fn client(&mut self) -> Result<&Client, Failure> {
        let client = match self.client.take() {
            Some(client) => client,
            None => Client::with_patience(&self.access, &self.url, PATIENCE)?,
        };
        Ok(self.client.insert(client))
    }

    /// Forgets the connection and what was read of files.
    pub(super) fn forget(&mut self) {
        self.client = None;
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        let wait = match &error {
            HttpError::Busy { wait, .. } => *wait,
            _ => None,
        };
        Self {
            why: error.to_string(),
            wait,
        }
    }
}

fn pack(body: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    encoder.write_all(body)?;
    Ok(encoder.finish()?)
}

/// The beginning of what a server says, in one line.
pub(super) fn shown(answer: Answer) -> String {
    let text = answer.document(ANSWER_MAX).unwrap_or_default();
    String::from_utf8_lossy(&text)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(SHOWN_MAX)
        .collect()
}

/// What follows from an answer to all of a batch, where it says nothing of single events. A batch
/// that is refused is tried in halves: one event may be the reason.
pub(super) fn whole(said: &Said, items: usize) -> Outcome {
    match said {
        Said::Good(_) => Outcome::default(),
        Said::Bad(why) if items <= 1 => Outcome {
            refused: vec![(0, why.clone())],
            ..Outcome::default()
        },
        Said::Bad(_) | Said::TooMuch => Outcome {
            is_too_much: true,
            ..Outcome::default()
        },
    }
}

/// Anything that takes lines by POST.
pub(super) struct Webhook {
    server: Server,
    content_type: &'static str,
    body: Vec<u8>,
}

impl Webhook {
    pub(super) const fn new(server: Server, content_type: &'static str) -> Self {
        Self {
            server,
            content_type,
            body: Vec::new(),
        }
    }
}

impl Transport for Webhook {
    fn deliver(&mut self, items: &[Item<'_>]) -> Result<Outcome, Failure> {
        self.body.clear();
        for item in items {
            self.body.extend_from_slice(item.line);
            self.body.push(b'\n');
        }
        let headers = [("content-type", self.content_type)];
        let said = self.server.post("", &headers, &self.body);
        if said.is_err() {
            self.server.forget();
        }
        Ok(whole(&said?, items.len()))
    }
}
