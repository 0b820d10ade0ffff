//! Takes files off the pipeline's hands: a bounded queue, a thread, a helper that is started again
//! when it ends, and answers that are polled for. Each state of a file is looked at once as long
//! as the rules are the same. Counts everything.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel,
};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::child::{ChildError, Helper, back_off};
use super::source::Sources;
use super::target::{Opened, State, open, open_plain};
pub use super::target::{Target, is_foreign};
use super::waiting::Waiting;
use super::wire::End;
use super::{Found, Unscanned};
use crate::event::process::Process;
use crate::event::{EventId, Stamp};

/// Files waiting to be looked at; beyond that they are not, and counted.
pub const QUEUE_MAX: usize = 2_048;
/// States of files whose outcome is remembered.
const REMEMBERED_MAX: usize = 8_192;
/// Largest file of which a hash is taken, in bytes.
const HASH_MAX: u64 = 256 * 1024 * 1024;
/// How often it is seen whether the helper still lives, and new rules have come.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What rules, and how much of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The rules.
    pub sources: Sources,
    /// Bytes of each file that are looked at.
    pub size_max: u64,
}

/// A file to look at, and all that is needed to tell what it means if a rule matches.
#[derive(Debug)]
pub struct Job {
    /// Which file.
    pub target: Target,
    /// Its path, for people.
    pub path: Box<str>,
    /// Who executed or wrote it.
    pub about: Box<Process>,
    /// The event that told of it.
    pub event: EventId,
    /// When that was.
    pub time: Stamp,
    /// On which CPU.
    pub cpu: u32,
}

/// What came of a job that is worth mentioning.
#[derive(Debug)]
pub struct Answer {
    /// The job.
    pub job: Box<Job>,
    /// What was found, or why nothing could be.
    pub outcome: Result<Found, Unscanned>,
}

/// The account of all files.
#[derive(Debug, Default)]
pub struct Counters {
    scanned: AtomicU64,
    bytes: AtomicU64,
    matched: AtomicU64,
    known: AtomicU64,
    too_big: AtomicU64,
    timed_out: AtomicU64,
    killed: AtomicU64,
    gone: AtomicU64,
    queue_full: AtomicU64,
    restarts: AtomicU64,
    rules: AtomicU64,
    helper: AtomicU64,
    refused: AtomicU64,
}

/// The same as of now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Files looked at.
    pub scanned: u64,
    /// Bytes looked at.
    pub bytes: u64,
    /// Files in which a rule matched.
    pub matched: u64,
    /// Files passed over, since they were looked at in that very state before, or wait for it.
    pub known: u64,
    /// Files of which only the beginning was looked at.
    pub too_big: u64,
    /// Files that took too long, or for which the helper did not answer.
    pub timed_out: u64,
    /// Files over which the helper ended.
    pub killed: u64,
    /// Files that were gone or could not be read.
    pub gone: u64,
    /// Files not taken, since too many were waiting.
    pub queue_full: u64,
    /// How often the helper was started again.
    pub restarts: u64,
    /// Rules in force.
    pub rules: u64,
    /// Process id of the helper, 0 when there is none.
    pub helper: u64,
    /// Sets of rules that were refused.
    pub refused: u64,
}

impl Counters {
    /// As of now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            scanned: read(&self.scanned),
            bytes: read(&self.bytes),
            matched: read(&self.matched),
            known: read(&self.known),
            too_big: read(&self.too_big),
            timed_out: read(&self.timed_out),
            killed: read(&self.killed),
            gone: read(&self.gone),
            queue_full: read(&self.queue_full),
            restarts: read(&self.restarts),
            rules: read(&self.rules),
            helper: read(&self.helper),
            refused: read(&self.refused),
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What both threads reach.
#[derive(Debug, Default)]
struct Shared {
    counters: Arc<Counters>,
    renewal: Mutex<Option<Settings>>,
    waiting: OnceLock<Thread>,
}

/// A way to hand over other rules.
#[derive(Clone, Debug)]
pub struct Renewer(Arc<Shared>);

impl Renewer {
    /// Hands over other rules: all of them or, when one cannot be used, none.
    pub fn renew(&self, settings: Settings) {
        let mut slot = self
            .0
            .renewal
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *slot = Some(settings);
    }
}

/// The pipeline's end.
#[derive(Debug)]
pub struct Scanner {
    jobs: SyncSender<Box<Job>>,
    answers: Receiver<Option<Answer>>,
    shared: Arc<Shared>,
    waiting: Waiting,
    said_full: AtomicBool,
}

impl Scanner {
    /// Starts the thread, which starts the helper; both end with this.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(QUEUE_MAX);
        let (answer, answers) = channel();
        let shared = Arc::new(Shared::default());
        let worker = Worker {
            queue,
            answer,
            shared: Arc::clone(&shared),
            settings,
            helper: None,
            failures: 0,
            known: Known::default(),
        };
        thread::Builder::new()
            .name("content".to_owned())
            .spawn(move || worker.run())?;
        Ok(Self {
            jobs,
            answers,
            shared,
            waiting: Waiting::default(),
            said_full: AtomicBool::new(false),
        })
    }

    /// The account.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.shared.counters)
    }

    /// A way to hand over other rules.
    #[must_use]
    pub fn renewer(&self) -> Renewer {
        Renewer(Arc::clone(&self.shared))
    }

    /// Wakes this thread up when there are answers.
    pub fn wakes_this_thread(&self) {
        let _ = self.shared.waiting.set(thread::current());
    }

    /// Has a file looked at, unless too many are waiting. Never blocks.
    pub fn ask(&mut self, job: Box<Job>) {
        if self.waiting.has_enough_of(&job.target) {
            return count(&self.shared.counters.known);
        }
        let target = job.target.clone();
        match self.jobs.try_send(job) {
            Ok(()) => self.waiting.push(&target),
            Err(TrySendError::Full(job)) => {
                count(&self.shared.counters.queue_full);
                if !self.said_full.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        path = &*job.path,
                        "more than {QUEUE_MAX} files wait to be scanned; this one and others are not"
                    );
                }
            }
            Err(TrySendError::Disconnected(_)) => {}
        }
    }

    /// The next thing worth mentioning, if there is one yet.
    pub fn answer(&mut self) -> Option<Answer> {
        while let Ok(answer) = self.answers.try_recv() {
            self.waiting.pop();
            if answer.is_some() {
                return answer;
            }
        }
        None
    }

    /// Whether files wait or are being looked at.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.waiting.len() > 0
    }
}

/// Outcomes by state, oldest forgotten first.
#[derive(Debug, Default)]
struct Known {
    outcomes: HashMap<State, Option<Found>>,
    order: VecDeque<State>,
}

impl Known {
    fn remember(&mut self, state: State, outcome: Option<Found>) {
        if self.outcomes.insert(state, outcome).is_none() {
            self.order.push_back(state);
        }
        while self.order.len() > REMEMBERED_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.outcomes.remove(&oldest);
            }
        }
    }
}

struct Worker {
    queue: Receiver<Box<Job>>,
    /// One for each job; `None` where there is nothing to say.
    answer: Sender<Option<Answer>>,
    shared: Arc<Shared>,
    settings: Settings,
    helper: Option<Helper>,
    failures: u32,
    known: Known,
}

impl Worker {
    fn run(mut self) {
        // SAFETY: a plain system call on this thread, which hashes and must not take CPU from
        // the rest.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 10) };
        self.keep_helper();
        loop {
            let job = match self.queue.recv_timeout(LOOK_EVERY) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            self.renew();
            self.keep_helper();
            let Some(job) = job else { continue };
            let outcome = self.look(&job);
            let answer = outcome.transpose().map(|outcome| Answer { job, outcome });
            if self.answer.send(answer).is_err() {
                return;
            }
            if let Some(waiting) = self.shared.waiting.get() {
                waiting.unpark();
            }
        }
    }

    /// Sees that there is a helper. One that ended while nothing was asked of it is replaced too.
    fn keep_helper(&mut self) {
        if let Some(helper) = &mut self.helper
            && helper.has_ended()
        {
            self.lose("the content scanner was ended by somebody");
        }
        if self.helper.is_some() {
            return;
        }
        if self.failures > 0 {
            thread::sleep(back_off(self.failures));
            count(&self.shared.counters.restarts);
        }
        match Helper::start(&self.settings.sources) {
            Ok(helper) => {
                for problem in helper.problems() {
                    tracing::warn!(problem, "a YARA rule file cannot be used");
                }
                for lack in helper.lacks() {
                    tracing::warn!(
                        lack,
                        "the content scanner is less confined than it should be"
                    );
                }
                self.adopt(helper);
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                tracing::error!(%error, "files cannot be scanned for now");
            }
        }
    }

    fn adopt(&mut self, helper: Helper) {
        let counters = &self.shared.counters;
        let rules = helper.cards().len() as u64;
        counters.rules.store(rules, Ordering::Relaxed);
        counters
            .helper
            .store(helper.pid().into(), Ordering::Relaxed);
        self.helper = Some(helper);
    }

    fn lose(&mut self, why: &str) {
        tracing::warn!(why, "another content scanner will be started");
        self.helper = None;
        self.failures = self.failures.saturating_add(1);
        self.shared.counters.helper.store(0, Ordering::Relaxed);
    }

    /// New rules are another helper; it takes over when it is ready and all of them can be used.
    fn renew(&mut self) {
        let slot = &self.shared.renewal;
        let Some(settings) = slot.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        self.settings.size_max = settings.size_max;
        let refused = match Helper::start(&settings.sources) {
            Ok(helper) if helper.problems().is_empty() => {
                tracing::info!(
                    rules = helper.cards().len(),
                    "the YARA rules are those on disk now"
                );
                self.settings = settings;
                self.known = Known::default();
                return self.adopt(helper);
            }
            Ok(helper) => helper.problems().to_vec(),
            Err(error) => vec![error.to_string()],
        };
        for problem in refused {
            tracing::error!(
                problem,
                "a YARA rule cannot be used; the old rules stay in force"
            );
        }
        count(&self.shared.counters.refused);
    }

    /// `Ok(None)` when there is nothing to say of it.
    fn look(&mut self, job: &Job) -> Result<Option<Found>, Unscanned> {
        let counters = Arc::clone(&self.shared.counters);
        let opened = open(&job.target, &job.path).inspect_err(|_| count(&counters.gone))?;
        if opened.state.size == 0 {
            return Ok(None);
        }
        if let Some(known) = self.known.outcomes.get(&opened.state) {
            count(&counters.known);
            return Ok(known.clone());
        }
        let started = Instant::now();
        let outcome = self.scan(&opened, &counters);
        if let Err(why) = &outcome {
            tracing::warn!(
                path = &*job.path,
                reason = why.words(),
                "a file was not scanned"
            );
        }
        tracing::trace!(path = &*job.path, elapsed = ?started.elapsed(), "scanned");
        let found = outcome?;
        self.known.remember(opened.state, found.clone());
        Ok(found)
    }

    fn scan(&mut self, opened: &Opened, counters: &Counters) -> Result<Option<Found>, Unscanned> {
        let helper = self.helper.as_mut().ok_or(Unscanned::NoHelper)?;
        let examined = match look_into(helper, opened, self.settings.size_max) {
            Ok(examined) => examined,
            Err((why, trouble)) => {
                if let Some(trouble) = trouble {
                    self.lose(&trouble.to_string());
                }
                count(match why {
                    Unscanned::Hung | Unscanned::TimedOut => &counters.timed_out,
                    Unscanned::Died | Unscanned::NoHelper => &counters.killed,
                    Unscanned::Gone | Unscanned::Unreadable => &counters.gone,
                });
                return Err(why);
            }
        };
        self.failures = 0;
        count(&counters.scanned);
        counters.bytes.fetch_add(examined.bytes, Ordering::Relaxed);
        if examined.bytes < examined.size {
            count(&counters.too_big);
        }
        if examined.found.is_some() {
            count(&counters.matched);
        }
        Ok(examined.found)
    }
}

/// What came of a file that was looked at.
#[derive(Debug)]
pub struct Examined {
    /// Bytes that were looked at.
    pub bytes: u64,
    /// Its size.
    pub size: u64,
    /// What was found in it, if anything.
    pub found: Option<Found>,
}

/// Looks at a file that somebody named, on this thread.
///
/// # Errors
/// When it cannot be scanned; after `Died` and `Hung` the helper is of no use any more.
pub fn examine(helper: &mut Helper, path: &Path, size_max: u64) -> Result<Examined, Unscanned> {
    let opened = match open_plain(path, false) {
        Ok(Some(opened)) => opened,
        Ok(None) => return Err(Unscanned::Gone),
        Err(_) => return Err(Unscanned::Unreadable),
    };
    look_into(helper, &opened, size_max).map_err(|(why, _)| why)
}

/// Has the helper look into an open file; with the error, what went wrong with the helper.
fn look_into(
    helper: &mut Helper,
    opened: &Opened,
    size_max: u64,
) -> Result<Examined, (Unscanned, Option<ChildError>)> {
    let looked = helper.scan(&opened.file, size_max).map_err(|error| {
        let why = match error {
            ChildError::Hung => Unscanned::Hung,
            _ => Unscanned::Died,
        };
        (why, Some(error))
    })?;
    match looked.end {
        End::Unreadable => return Err((Unscanned::Unreadable, None)),
        // What matched before the time was up, matched.
        End::TimedOut if looked.hits.is_empty() => return Err((Unscanned::TimedOut, None)),
        End::TimedOut | End::Done => {}
    }
    let found = (!looked.hits.is_empty()).then(|| Found {
        rules: looked.hits,
        scanned: looked.bytes,
        size: opened.state.size,
        sha256: hash(opened),
    });
    Ok(Examined {
        bytes: looked.bytes,
        size: opened.state.size,
        found,
    })
}

fn hash(opened: &Opened) -> Option<Box<str>> {
    use std::os::unix::fs::FileExt as _;
    if opened.state.size > HASH_MAX {
        return None;
    }
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut offset = 0;
    loop {
        let count = opened.file.read_at(&mut buffer, offset).ok()?;
        if count == 0 {
            break;
        }
        hasher.update(buffer.get(..count)?);
        offset += count as u64;
        if offset > HASH_MAX {
            return None;
        }
    }
    let digest = hasher.finalize();
    Some(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}
