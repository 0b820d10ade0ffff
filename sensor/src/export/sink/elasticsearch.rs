//! Elasticsearch and OpenSearch: the bulk API. Each event is created under an id of its own, so one that
//! is sent twice is stored once; what the answer says of each decides what is sent again.
//! <https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk>

use std::io::Write as _;

use serde::Deserialize;

use super::batch::Item;
use super::web::{ANSWER_MAX, Said, Server, whole};
use super::{Failure, Outcome, Transport};

/// Writes to an index or a data stream.
pub(super) struct Bulk {
    server: Server,
    index: String,
    body: Vec<u8>,
}

impl Bulk {
    pub(super) const fn new(server: Server, index: String) -> Self {
        Self {
            server,
            index,
            body: Vec::new(),
        }
    }

    fn send(&mut self, items: &[Item<'_>]) -> Result<Outcome, Failure> {
        self.body.clear();
        for item in items {
            // Serialising texts cannot fail.
            let index = serde_json::to_string(&self.index).unwrap_or_default();
            let id = id(item.line).map(|id| serde_json::to_string(&id).unwrap_or_default());
            match id {
                Some(id) => {
                    writeln!(self.body, r#"{{"create":{{"_index":{index},"_id":{id}}}}}"#)?;
                }
                None => writeln!(self.body, r#"{{"create":{{"_index":{index}}}}}"#)?,
            }
            self.body.extend_from_slice(item.line);
            self.body.push(b'\n');
        }
        let headers = [("content-type", "application/x-ndjson")];
        let answer = match self.server.post("/_bulk", &headers, &self.body)? {
            Said::Good(answer) => answer.document(ANSWER_MAX)?,
            said => return Ok(whole(&said, items.len())),
        };
        let answer: Answer = serde_json::from_slice(&answer).map_err(|error| Failure {
            why: format!("the answer to a bulk request is not understood: {error}"),
            wait: None,
        })?;
        Ok(answer.outcome(items.len()))
    }
}

impl Transport for Bulk {
    fn deliver(&mut self, items: &[Item<'_>]) -> Result<Outcome, Failure> {
        let result = self.send(items);
        if result.is_err() {
            self.server.forget();
        }
        result
    }
}

/// What the answer says.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    errors: bool,
    #[serde(default)]
    items: Vec<Done>,
}

#[derive(Deserialize)]
struct Done {
    create: Status,
}

#[derive(Deserialize)]
struct Status {
    status: u16,
    #[serde(default)]
    error: serde_json::Value,
}

impl Answer {
    fn outcome(&self, sent: usize) -> Outcome {
        let mut outcome = Outcome::default();
        if !self.errors {
            return outcome;
        }
        for (place, done) in self.items.iter().enumerate().take(sent) {
            match done.create.status {
                // It is there already: it was sent before, and the answer got lost.
                200..=299 | 409 => {}
                status @ (400 | 413 | 422) => {
                    let why = &done.create.error;
                    outcome.refused.push((place, format!("{status}: {why}")));
                }
                // Too busy, no shard, an index that is blocked because a disk is full or that is
                // not there: all of that can be mended over there.
                _ => outcome.again.push(place),
            }
        }
        // What it says nothing of has not arrived.
        outcome.again.extend(self.items.len()..sent);
        outcome
    }
}

/// The id of an event in its line, nested or flat, with that of its sensor: the numbers of runs in
/// ids of events are random, and among many hosts two are the same.
fn id(line: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Line<'l> {
        #[serde(borrow)]
        event: Option<Named<'l>>,
        #[serde(borrow, rename = "event.id")]
        flat_event: Option<&'l str>,
        #[serde(borrow)]
        agent: Option<Named<'l>>,
        #[serde(borrow, rename = "agent.id")]
        flat_agent: Option<&'l str>,
    }
    #[derive(Deserialize)]
    struct Named<'l> {
        id: Option<&'l str>,
    }
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    let event = line.flat_event.or_else(|| line.event?.id)?;
    Some(match line.flat_agent.or_else(|| line.agent?.id) {
        Some(agent) => format!("{agent}-{event}"),
        None => event.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_judged_by_itself() {
        let answer = r#"{"took":1,"errors":true,"items":[
            {"create":{"_id":"a","status":201}},
            {"create":{"_id":"b","status":409,"error":{"type":"version_conflict_engine_exception"}}},
            {"create":{"_id":"c","status":429,"error":{"type":"es_rejected_execution_exception"}}},
            {"create":{"_id":"d","status":400,"error":{"type":"mapper_parsing_exception"}}},
            {"create":{"_id":"e","status":403,"error":{"type":"cluster_block_exception"}}}]}"#;
        let outcome = serde_json::from_str::<Answer>(answer).unwrap().outcome(6);
        assert_eq!(outcome.again, [2, 4, 5]);
        assert_eq!(outcome.refused.len(), 1);
        assert_eq!(outcome.refused[0].0, 3);
        assert!(outcome.refused[0].1.contains("mapper_parsing"));
    }

    #[test]
    fn ids_are_found_in_nested_and_flat_lines_and_no_two_sensors_share_one() {
        let found = |line: &str| id(line.as_bytes());
        let is = |id: &str| Some(id.to_owned());
        assert_eq!(
            found(r#"{"agent":{"id":"a"},"event":{"id":"x-1","kind":"event"}}"#),
            is("a-x-1")
        );
        assert_eq!(found(r#"{"agent.id":"b","event.id":"x-1"}"#), is("b-x-1"));
        assert_eq!(found(r#"{"event.id":"x-2"}"#), is("x-2"));
        assert_eq!(found("CEF:0"), None);
    }
}
