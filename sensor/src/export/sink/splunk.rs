//! Splunk's HTTP Event Collector. With acknowledgement, events have arrived when an indexer says
//! so, and are sent again when none does.
//! <https://docs.splunk.com/Documentation/Splunk/latest/Data/AboutHECIDXAck>

use std::collections::HashMap;
use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::batch::Item;
use super::web::{ANSWER_MAX, Said, Server, whole};
use super::{Failure, Outcome, Transport};

/// How long indexers may take.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(120);
/// How often they are asked.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Where events go, and what is said of them there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) index: Option<String>,
    pub(super) source_type: String,
    /// Lines are JSON, and are sent as such.
    pub(super) is_json: bool,
}

/// Sends events.
pub(super) struct Collector {
    server: Server,
    place: Place,
    /// Id of a channel, where acknowledgements are wanted.
    channel: Option<String>,
    body: Vec<u8>,
}

impl Collector {
    pub(super) fn new(server: Server, place: Place, is_acknowledged: bool) -> Self {
        Self {
            server,
            place,
            channel: is_acknowledged.then(channel),
            body: Vec::new(),
        }
    }

    fn send(&mut self, items: &[Item<'_>]) -> Result<Outcome, Failure> {
        self.body.clear();
        for item in items {
            self.event(item)?;
        }
        let channel = self.channel.clone();
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(
            channel
                .as_deref()
                .map(|channel| ("x-splunk-request-channel", channel)),
        );
        let answer = match self
            .server
            .post("/services/collector/event", &headers, &self.body)?
        {
            Said::Good(answer) => answer.document(ANSWER_MAX)?,
            said => return Ok(whole(&said, items.len())),
        };
        if let Some(channel) = channel {
            #[derive(Deserialize)]
            struct Taken {
                #[serde(rename = "ackId")]
                id: Option<u64>,
            }
            let taken: Taken = serde_json::from_slice(&answer).map_err(misunderstood)?;
            let id = taken.id.ok_or_else(|| Failure {
                why: "the token has no indexer acknowledgement; enable it there, or set acknowledge = false".to_owned(),
                wait: None,
            })?;
            self.acknowledged(&channel, id)?;
        }
        Ok(Outcome::default())
    }

    fn event(&mut self, item: &Item<'_>) -> Result<(), Failure> {
        // Serialising texts cannot fail.
        let text = |text: &str| serde_json::to_string(text).unwrap_or_default();
        let (seconds, rest) = (item.wall_ns / 1_000_000_000, item.wall_ns % 1_000_000_000);
        let place = &self.place;
        write!(
            self.body,
            r#"{{"time":{seconds}.{rest:09},"host":{},"source":"sensor","sourcetype":{},"#,
            text(&place.host),
            text(&place.source_type),
        )?;
        if let Some(index) = &place.index {
            write!(self.body, r#""index":{},"#, text(index))?;
        }
        self.body.extend_from_slice(br#""event":"#);
        if place.is_json {
            self.body.extend_from_slice(item.line);
        } else {
            let line = String::from_utf8_lossy(item.line);
            self.body.extend_from_slice(text(&line).as_bytes());
        }
        self.body.extend_from_slice(b"}\n");
        Ok(())
    }

    /// Waits until indexers have it.
    fn acknowledged(&mut self, channel: &str, id: u64) -> Result<(), Failure> {
        #[derive(Deserialize)]
        struct Acks {
            acks: HashMap<String, bool>,
        }
        let question = format!(r#"{{"acks":[{id}]}}"#);
        let deadline = Instant::now() + ACKNOWLEDGED_WITHIN;
        loop {
            let headers = [
                ("content-type", "application/json"),
                ("x-splunk-request-channel", channel),
            ];
            let said =
                self.server
                    .post("/services/collector/ack", &headers, question.as_bytes())?;
            let Said::Good(answer) = said else {
                return Err(Failure {
                    why: "the collector does not answer about acknowledgements".to_owned(),
                    wait: None,
                });
            };
            let answer = answer.document(ANSWER_MAX)?;
            let acks: Acks = serde_json::from_slice(&answer).map_err(misunderstood)?;
            if acks.acks.get(&id.to_string()) == Some(&true) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Failure {
                    why: format!(
                        "no indexer has acknowledged within {} s",
                        ACKNOWLEDGED_WITHIN.as_secs()
                    ),
                    wait: None,
                });
            }
            thread::sleep(ASK_EVERY);
        }
    }
}

impl Transport for Collector {
    fn deliver(&mut self, items: &[Item<'_>]) -> Result<Outcome, Failure> {
        let result = self.send(items);
        if result.is_err() {
            self.server.forget();
        }
        result
    }
}

fn misunderstood(error: serde_json::Error) -> Failure {
    Failure {
        why: format!("the collector's answer is not understood: {error}"),
        wait: None,
    }
}

/// A random UUID (RFC 9562 5.4).
fn channel() -> String {
    let [a, b, c, d] = std::array::from_fn(|_| crate::random::number());
    let (b, c) = (b & 0xffff_0fff | 0x4000, c & 0x3fff_ffff | 0x8000_0000);
    format!(
        "{a:08x}-{:04x}-{:04x}-{:04x}-{:04x}{d:08x}",
        b >> 16,
        b & 0xffff,
        c >> 16,
        c & 0xffff
    )
}
