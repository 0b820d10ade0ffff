//! Grafana Loki's push API, as JSON. One stream per batch and level, with few labels, because each
//! combination of them is a stream of its own there; the rest of an event is in its line.
//! <https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs>

use std::collections::BTreeMap;

use serde::Serialize;

use super::batch::Item;
use super::web::{Server, whole};
use super::{Failure, Outcome, Transport};

/// Levels by severity, in words that Grafana colours.
const LEVELS: [&str; 6] = ["info", "info", "info", "warning", "error", "critical"];

/// Pushes lines.
pub(super) struct Push {
    server: Server,
    labels: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Body<'b> {
    streams: Vec<Stream<'b>>,
}

#[derive(Serialize)]
struct Stream<'b> {
    stream: BTreeMap<&'b str, &'b str>,
    values: Vec<(String, &'b str)>,
}

impl Push {
    /// `labels` are on every stream, with the host and what this is.
    pub(super) fn new(server: Server, mut labels: BTreeMap<String, String>, host: &str) -> Self {
        labels
            .entry("host".to_owned())
            .or_insert_with(|| host.to_owned());
        labels
            .entry("job".to_owned())
            .or_insert_with(|| "sensor".to_owned());
        Self { server, labels }
    }

    fn body<'b>(&'b self, items: &[Item<'b>]) -> Body<'b> {
        let mut streams = BTreeMap::<&str, Stream<'_>>::new();
        for item in items {
            let level = LEVELS
                .get(usize::from(item.severity))
                .copied()
                .unwrap_or("critical");
            let stream = streams.entry(level).or_insert_with(|| {
                let mut labels: BTreeMap<_, _> = self
                    .labels
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str()))
                    .collect();
                labels.insert("level", level);
                Stream {
                    stream: labels,
                    values: Vec::new(),
                }
            });
            // Lines are UTF-8 in every format.
            let line = str::from_utf8(item.line).unwrap_or_default();
            stream.values.push((item.wall_ns.to_string(), line));
        }
        Body {
            streams: streams.into_values().collect(),
        }
    }
}

impl Transport for Push {
    fn deliver(&mut self, items: &[Item<'_>]) -> Result<Outcome, Failure> {
        let body = serde_json::to_vec(&self.body(items)).map_err(|error| Failure {
            why: error.to_string(),
            wait: None,
        })?;
        let headers = [("content-type", "application/json")];
        let said = self.server.post("/loki/api/v1/push", &headers, &body);
        if said.is_err() {
            self.server.forget();
        }
        Ok(whole(&said?, items.len()))
    }
}
