//! Receivers of events, any number at once: each has a thread that reads the spool, chooses,
//! formats, sends, and remembers how far it got. A receiver that is away costs nobody else
//! anything, and gets what it missed when it is back.

mod batch;
mod datagram;
mod elasticsearch;
mod file;
mod filter;
mod lines;
mod loki;
pub mod options;
mod runner;
mod splunk;
pub mod status;
mod syslog;
#[cfg(test)]
mod tests;
mod web;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use thiserror::Error;

use batch::Item;
use options::Sink;
use runner::Runner;
use status::Status;

use super::spool::SpoolError;
use super::spool::keeper::Spool;
use crate::identity::Identity;

/// What is delivered is over when a sink says so; how long they have for that at the end.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why a sink cannot be started.
#[derive(Debug, Error)]
pub enum SinkError {
    /// Its place in the spool.
    #[error("sink {name}: {source}")]
    Spool {
        /// Its name.
        name: String,
        /// Why.
        source: SpoolError,
    },
    /// A thread.
    #[error("sink {name}: cannot start a thread: {source}")]
    Thread {
        /// Its name.
        name: String,
        /// Why.
        source: io::Error,
    },
}

/// Takes lines to a receiver.
trait Transport: Send {
    /// Sends these, in this order. What it says has arrived need not be sent again.
    fn deliver(&mut self, items: &[Item<'_>]) -> Result<Outcome, Failure>;

    /// How much of what it said has arrived may be lost all the same when the connection breaks,
    /// because nobody says that it was read.
    fn unread(&self) -> Option<Unread> {
        None
    }
}

/// What may be on its way to be read: the last bytes, if they are not too old.
#[derive(Clone, Copy, Debug)]
struct Unread {
    bytes: usize,
    time: Duration,
}

/// What became of items.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// Places of those that the receiver could not take now.
    again: Vec<usize>,
    /// Places of those that it will never take, and why.
    refused: Vec<(usize, String)>,
    /// It will not take all of them together.
    is_too_much: bool,
}

/// It cannot be reached, or not now.
#[derive(Debug)]
struct Failure {
    why: String,
    /// It asks to be left alone for so long.
    wait: Option<Duration>,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self {
            why: error.to_string(),
            wait: None,
        }
    }
}

/// All of them, at work.
#[derive(Debug, Default)]
pub struct Sinks {
    threads: Vec<JoinHandle<()>>,
    statuses: Vec<Arc<Status>>,
    stop: Arc<AtomicBool>,
}

impl Sinks {
    /// Starts them.
    ///
    /// # Errors
    /// When one has no place in the spool, or no thread.
    pub fn start(
        spool: &Spool,
        sinks: Vec<Sink>,
        origin: &Arc<Identity>,
    ) -> Result<Self, SinkError> {
        let names: Vec<&str> = sinks.iter().map(|sink| sink.name.as_str()).collect();
        spool.forget_all_but(&names);
        let mut started = Self::default();
        for sink in sinks {
            let name = sink.name.clone();
            let (reader, cursor) = spool.reader(&name).map_err(|source| SinkError::Spool {
                name: name.clone(),
                source,
            })?;
            let status = Arc::new(Status::new(&sink));
            let runner = Runner::new(
                sink,
                Arc::clone(origin),
                reader,
                cursor,
                Arc::clone(&status),
                Arc::clone(&started.stop),
            );
            let thread = thread::Builder::new()
                .name(format!("sink {name}"))
                .spawn(move || runner.run())
                .map_err(|source| SinkError::Thread { name, source })?;
            started.threads.push(thread);
            started.statuses.push(status);
        }
        Ok(started)
    }

    /// How they fare.
    #[must_use]
    pub fn statuses(&self) -> Vec<Arc<Status>> {
        self.statuses.clone()
    }

    /// Lets them deliver what is left, but not for long: the rest is in the spool for the next
    /// start. The spool must be finished.
    pub fn finish(self) {
        self.stop.store(true, Ordering::Release);
        let deadline = Instant::now() + FAREWELL;
        for thread in self.threads {
            thread.thread().unpark();
            while !thread.is_finished() && Instant::now() < deadline {
                thread::park_timeout(Duration::from_millis(5));
            }
            if thread.is_finished() {
                let _ = thread.join();
            }
        }
    }
}
