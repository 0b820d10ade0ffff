//! Writes events to standard output in the format asked for. What cannot be written is
//! counted and said once in a while, never silently dropped.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Deserialize;

use super::format::Format;
use super::pretty;
use crate::event::Event;
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

/// A sink for events.
pub struct Writer<W: Write> {
    out: BufWriter<W>,
    output: Output,
    schema: Format,
    /// Where the events are from.
    pub origin: Arc<Identity>,
    style: pretty::Style,
    complained: Option<Instant>,
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
        };
        if output == Output::Pretty {
            writer.put(pretty::header(style));
        }
        writer
    }

    /// Writes one event.
    pub fn write(&mut self, event: &Event) -> Written {
        let line = match self.output {
            Output::None => return Written::Yes,
            Output::Pretty => Ok(pretty::line(event, self.style)),
            Output::Json => self.schema.line(&event.fields_from(&self.origin)),
        };
        match line {
            Ok(line) => self.put(line),
            Err(error) => {
                self.complain(&io::Error::other(error));
                Written::No
            }
        }
    }

    /// Hands over what was collected.
    pub fn flush(&mut self) -> Written {
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
