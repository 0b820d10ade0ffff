//! The way of responses to the output. The pipeline alone writes events; who has done something
//! hands it over here, and never waits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};

use serde::Serialize;

use super::journal::Left;
use crate::clock::boot_ns;
use crate::event::process::Process;
use crate::event::response::{Outcome, Response};

/// Responses waiting to be written.
const WAITING_MAX: usize = 4_096;

/// A response on its way to become an event.
#[derive(Debug)]
pub struct Done {
    /// What was done.
    pub response: Response,
    /// When, in nanoseconds since boot.
    pub boot_ns: u64,
    /// The process it is about, as it was when the alert was raised.
    pub about: Option<Box<Process>>,
}

/// How many responses there were.
#[derive(Debug, Default)]
pub struct Counters {
    done: AtomicU64,
    dry_run: AtomicU64,
    asked: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    unreported: AtomicU64,
    overlooked: AtomicU64,
}

/// The same as of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Done.
    pub done: u64,
    /// Rehearsed.
    pub dry_run: u64,
    /// Waiting for a yes when they were reported.
    pub asked: u64,
    /// Refused.
    pub refused: u64,
    /// Tried without success.
    pub failed: u64,
    /// Not reported as events, because too many were waiting.
    pub unreported: u64,
    /// Alerts that no playbook looked at, because the responder was too busy.
    pub overlooked: u64,
}

impl Counters {
    /// Counts one that becomes an event.
    pub fn count(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Done => &self.done,
            Outcome::DryRun => &self.dry_run,
            Outcome::Asked => &self.asked,
            Outcome::Refused => &self.refused,
            Outcome::Failed => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an alert that no playbook looked at.
    pub fn overlook(&self) {
        self.overlooked.fetch_add(1, Ordering::Relaxed);
    }

    /// As of now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            done: read(&self.done),
            dry_run: read(&self.dry_run),
            asked: read(&self.asked),
            refused: read(&self.refused),
            failed: read(&self.failed),
            unreported: read(&self.unreported),
            overlooked: read(&self.overlooked),
        }
    }
}

/// Where responses are handed over.
#[derive(Clone, Debug)]
pub struct Outbox {
    sender: SyncSender<Done>,
    counters: Arc<Counters>,
    writer: Arc<OnceLock<Thread>>,
}

/// Where the one who writes them takes them out.
#[derive(Debug)]
pub struct Inbox {
    /// What was done while no sensor ran, to be written first.
    pub earlier: Option<Left>,
    receiver: Receiver<Done>,
    writer: Arc<OnceLock<Thread>>,
}

/// Both ends.
#[must_use]
pub fn outbox(counters: Arc<Counters>) -> (Outbox, Inbox) {
    let (sender, receiver) = sync_channel(WAITING_MAX);
    let writer = Arc::new(OnceLock::new());
    let outbox = Outbox {
        sender,
        counters,
        writer: Arc::clone(&writer),
    };
    let inbox = Inbox {
        earlier: None,
        receiver,
        writer,
    };
    (outbox, inbox)
}

impl Outbox {
    /// Hands over what has just been done; false, and counted, when there is no room.
    pub fn post(&self, response: Response, about: Option<Box<Process>>) -> bool {
        let done = Done {
            response,
            boot_ns: boot_ns(),
            about,
        };
        let taken = self.sender.try_send(done).is_ok();
        if !taken {
            self.counters.unreported.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
        taken
    }

    /// The counters of all responses.
    #[must_use]
    pub const fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }
}

impl Inbox {
    /// Has this thread woken up from now on when there is something.
    pub fn wakes_this_thread(&self) {
        let _ = self.writer.set(thread::current());
    }

    /// The next one, if there is any.
    #[must_use]
    pub fn take(&self) -> Option<Done> {
        self.receiver.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::response::{Origin, Verb};

    #[test]
    fn a_full_outbox_keeps_nobody_waiting_and_says_so() {
        let (outbox, inbox) = outbox(Arc::default());
        let one = Response::new(Verb::Kill, "pid 1", Origin::Operator, "root");
        for _ in 0..WAITING_MAX {
            assert!(outbox.post(one.clone(), None));
        }
        assert!(!outbox.post(one.clone(), None));
        assert_eq!(outbox.counters().counts().unreported, 1);
        assert_eq!(inbox.take().unwrap().response, one);
        assert!(outbox.post(one, None));
    }
}
