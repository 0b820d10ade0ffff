//! Writes events to standard output in the format asked for, and to the spool where there are other
//! receivers. What cannot be written is counted and said once in a while, never silently dropped.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Deserialize;

use super::format::Format;
use super::pretty;
use super::spool::Lane;
use super::spool::feed::Feed;
use crate::event::{Event, Standing};
use crate::identity::Identity;

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// One line per event for machines, in the format that the schema says.
    Json,
    /// One line per event for people.
    Pretty,
    /// Nothing.
    None,
}

/// How often a failing output is mentioned in the log.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);
/// Bytes collected before they are written.
const BUFFER_BYTES: usize = 64 * 1024;

/// What became of an attempt to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is out, or will be with the next flush.
    Yes,
    /// It is lost to this output (full disk and the like).
    No,
    /// Nobody reads any more; there is no point in going on.
    Closed,
}

/// Where events go.
pub struct Writer<W: Write> {
    out: BufWriter<W>,
    output: Output,
    schema: Format,
    /// Where the events are from.
    pub origin: Arc<Identity>,
    style: pretty::Style,
    complained: Option<Instant>,
    spool: Option<Feed>,
}

impl<W: Write> Writer<W> {
    /// A writer of events that are from nowhere yet; pretty output begins with a header line.
    pub fn new(out: W, output: Output, schema: Format, style: pretty::Style) -> Self {
        let mut writer = Self {
            out: BufWriter::with_capacity(BUFFER_BYTES, out),
            output,
            schema,
            origin: Arc::default(),
            style,
            complained: None,
            spool: None,
        };
        if output == Output::Pretty {
            writer.put(pretty::header(style));
        }
        writer
    }

    /// Has everything kept for receivers as well.
    pub fn keep_in(&mut self, spool: Feed) {
        self.spool = Some(spool);
    }

    /// Writes one event.
    pub fn write(&mut self, event: &Event) -> Written {
        match self.try_write(event) {
            Ok(written) => written,
            Err(error) => {
                self.complain(&io::Error::other(error));
                Written::No
            }
        }
    }

    fn try_write(&mut self, event: &Event) -> serde_json::Result<Written> {
        let is_json = self.output == Output::Json;
        let mut line = None;
        if is_json || self.spool.is_some() {
            let fields = event.fields_from(&self.origin);
            if let Some(spool) = &mut self.spool {
                let kept = Format::KEPT.line(&fields)?;
                keep(spool, event, &kept);
                line = Some(kept);
            }
            if is_json && (line.is_none() || self.schema != Format::KEPT) {
                line = Some(self.schema.line(&fields)?);
            }
        }
        Ok(match (self.output, line) {
            (Output::Pretty, _) => self.put(pretty::line(event, self.style)),
            (Output::Json, Some(line)) => self.put(line),
            _ => Written::Yes,
        })
    }

    /// The last events are on their way to receivers, however long their disk takes.
    pub fn finish(mut self) {
        self.flush();
        if let Some(spool) = self.spool {
            spool.finish();
        }
    }

    /// Hands over what was collected.
    pub fn flush(&mut self) -> Written {
        if let Some(spool) = &mut self.spool {
            spool.flush();
        }
        let result = self.out.flush();
        self.judge(result)
    }

    fn put(&mut self, mut line: String) -> Written {
        line.push('\n');
        let result = self.out.write_all(line.as_bytes());
        self.judge(result)
    }

    fn judge(&mut self, result: io::Result<()>) -> Written {
        match result {
            Ok(()) => Written::Yes,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Written::Closed,
            Err(error) => {
                self.complain(&error);
                Written::No
            }
        }
    }

    fn complain(&mut self, error: &io::Error) {
        if self
            .complained
            .is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY)
        {
            self.complained = Some(Instant::now());
            tracing::error!(%error, "events cannot be written to standard output; they are counted as unwritten");
        }
    }
}

/// Keeps an event for receivers; alerts, and what the sensor says of itself and of what it did, in
/// a lane of their own.
fn keep(spool: &mut Feed, event: &Event, line: &str) {
    let (lane, severity) = match event.action.standing() {
        Standing::Alert(severity) => (Lane::Alerts, severity.rank()),
        Standing::Own => (Lane::Alerts, 0),
        Standing::Observed => (Lane::Telemetry, 0),
    };
    let name = event.action.label().name;
    spool.put(lane, event.time.wall_ns, severity, name, line.as_bytes());
}
