//! The thread that keeps lists fresh: from their copies at the start, then from where they are,
//! each at its own pace, later when a server fails or asks for it. It never waits for the
//! pipeline, nor the pipeline for it.

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::assemble::{Counts, assemble};
use super::blocks::{Blocker, Change};
use super::cache::{self, Cache};
use super::fetch::{FetchError, fetch};
use super::now;
use super::shared::{Reader, Shared};
use super::source::{Kind, Place, Source};
use super::store::Sizes;
use super::subject::Subject;
use super::taxii::TaxiiError;
use crate::net::http::HttpError;
use crate::random;

/// Commands that wait.
const COMMANDS_MAX: usize = 16;
/// First wait after a failure, doubled with each further one.
const BACK_OFF: Duration = Duration::from_secs(30);
/// Doublings of it.
const DOUBLINGS_MAX: u32 = 10;
/// Characters repeated of what was asked for.
const SHOWN_MAX: usize = 80;
/// Characters of an error that are kept.
const ERROR_MAX: usize = 1_024;
/// Longest sleep.
const NAP: Duration = Duration::from_secs(3_600);

/// The word before a [`Question`] at the control socket.
pub const INTELLIGENCE: &str = "intelligence";

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// How it is.
    Report,
    /// That all lists are fetched now.
    Refresh,
    /// What is known of an indicator.
    Check(Subject),
}

impl Question {
    /// Reads nothing, `refresh`, or `check INDICATOR`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        match (word, rest) {
            ("", "") => Ok(Self::Report),
            ("refresh", "") => Ok(Self::Refresh),
            ("check", rest) => match Subject::parse(rest) {
                Ok(subject) => Ok(Self::Check(subject)),
                Err(error) => {
                    let shown: String = rest.chars().take(SHOWN_MAX).collect();
                    Err(format!("{shown:?} is {error}"))
                }
            },
            _ => Err("this is no question about lists; ask nothing, refresh, or check".to_owned()),
        }
    }
}

/// What the thread is told.
enum Command {
    /// These are the lists from now on.
    Sources(Vec<Source>),
    /// Fetch all of them now.
    Refresh,
}

/// How one list is.
#[derive(Clone, Debug, Serialize)]
pub struct SourceReport {
    /// Its name.
    pub name: Arc<str>,
    /// `list`, `stix` or `taxii`.
    pub kind: &'static str,
    /// Where it is.
    pub location: String,
    /// Whether it may block.
    pub blocks: bool,
    /// When it was last fetched, in seconds since the epoch.
    pub fetched: Option<u64>,
    /// When it is fetched next.
    pub next: u64,
    /// Failures since then.
    pub failures: u32,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// What is in it.
    pub counts: Counts,
}

/// How all of it is, for `sensor intelligence`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Each list.
    pub sources: Vec<SourceReport>,
    /// What is in force.
    pub sizes: Sizes,
    /// Memory it takes, in bytes.
    pub memory: usize,
    /// Addresses and networks that lists want blocked.
    pub blocked: usize,
    /// Why they are not, when they could not be.
    pub block_error: Option<String>,
    /// How often what is in force was replaced.
    pub version: u64,
}

/// What is known of one indicator.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// As it was asked for.
    pub asked: String,
    /// The indicator that it falls under, if there is one.
    pub indicator: Option<String>,
    /// The list that has it.
    pub list: Option<Arc<str>>,
    /// What that calls the threat.
    pub title: Option<Arc<str>>,
    /// Its id there.
    pub id: Option<Box<str>>,
    /// How sure, in percent.
    pub confidence: Option<u8>,
    /// Until when, in seconds since the epoch.
    pub until: Option<u64>,
    /// Whether it is to be blocked.
    pub blocks: bool,
}

/// Threat intelligence, as others in the process have it.
#[derive(Clone, Debug)]
pub struct Intelligence {
    commands: SyncSender<Command>,
    shared: Arc<Shared>,
    report: Arc<Mutex<Report>>,
}

impl Intelligence {
    /// Starts the thread; copies are below the state directory. It ends with the last handle, when
    /// it is not in the middle of something.
    ///
    /// # Errors
    /// When there can be no thread or no directory.
    pub fn start(
        sources: Vec<Source>,
        state: &Path,
        blocker: Option<Box<dyn Blocker>>,
    ) -> io::Result<Self> {
        let cache = Cache::new(cache::directory(state))?;
        let (commands, received) = sync_channel(COMMANDS_MAX);
        let intelligence = Self {
            commands,
            shared: Arc::default(),
            report: Arc::default(),
        };
        let mut worker = Worker {
            cache,
            lists: Vec::new(),
            blocker,
            is_taken_up: false,
            shared: Arc::clone(&intelligence.shared),
            report: Arc::clone(&intelligence.report),
        };
        worker.set(sources);
        thread::Builder::new()
            .name("intelligence".to_owned())
            .spawn(move || worker.work(&received))?;
        Ok(intelligence)
    }

    /// A look at what is in force.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::of(Arc::clone(&self.shared))
    }

    /// Takes these lists from now on; false when the thread has too much to do.
    pub fn renew(&self, sources: Vec<Source>) -> bool {
        self.commands.try_send(Command::Sources(sources)).is_ok()
    }

    /// Fetches all lists now; false when the thread has too much to do.
    #[must_use]
    pub fn refresh(&self) -> bool {
        self.commands.try_send(Command::Refresh).is_ok()
    }

    /// How it is.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report = self
            .report
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        report.version = self.shared.version();
        report
    }

    /// The answer to a question, as a line of JSON.
    ///
    /// # Errors
    /// When there is none to be made.
    pub fn answer(&self, question: &Question) -> serde_json::Result<String> {
        match question {
            Question::Report => serde_json::to_string(&self.report()),
            Question::Refresh => Ok(serde_json::json!({ "started": self.refresh() }).to_string()),
            Question::Check(subject) => serde_json::to_string(&self.check(subject)),
        }
    }

    /// What is known of an indicator.
    #[must_use]
    pub fn check(&self, subject: &Subject) -> Checked {
        let store = self.shared.store();
        let found = store.find(subject, now());
        let note = found.as_ref().map(|found| found.note);
        Checked {
            asked: subject.to_string(),
            indicator: found.as_ref().map(|found| found.indicator.to_string()),
            list: note.map(|note| Arc::clone(&note.list)),
            title: note.map(|note| Arc::clone(&note.title)),
            id: note.map(|note| note.id.clone()),
            confidence: note.map(|note| note.confidence),
            until: note.map(|note| note.until),
            blocks: note.is_some_and(|note| note.blocks),
        }
    }
}

/// One list and when it is due.
struct List {
    source: Source,
    due: Instant,
    failures: u32,
    error: Option<String>,
    counts: Counts,
}

struct Worker {
    cache: Cache,
    lists: Vec<List>,
    blocker: Option<Box<dyn Blocker>>,
    /// It has taken up what an earlier run left.
    is_taken_up: bool,
    shared: Arc<Shared>,
    report: Arc<Mutex<Report>>,
}

impl Worker {
    fn work(mut self, commands: &Receiver<Command>) {
        // SAFETY: a plain system call on this thread; lists must not take CPU from the rest.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 10) };
        self.assemble();
        loop {
            self.tell();
            let soonest = self.lists.iter().map(|list| list.due).min();
            let nap = soonest.map_or(NAP, |due| due.saturating_duration_since(Instant::now()));
            match commands.recv_timeout(nap.min(NAP)) {
                Ok(Command::Sources(sources)) => {
                    self.set(sources);
                    self.assemble();
                }
                Ok(Command::Refresh) => {
                    let now = Instant::now();
                    self.lists.iter_mut().for_each(|list| list.due = now);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.fetch_due() {
                self.assemble();
            }
        }
    }

    /// What is on this host is fetched at once, what is elsewhere when its copy is old enough.
    fn set(&mut self, sources: Vec<Source>) {
        let begin = Instant::now();
        let due = |source: &Source| {
            let is_here = matches!(
                &source.from,
                Kind::List(Place::File(_)) | Kind::Stix(Place::File(_))
            );
            let meta = self.cache.meta(&source.name, &source.from.location());
            let age = meta.map(|meta| Duration::from_secs(now().saturating_sub(meta.fetched)));
            match age {
                Some(age) if !is_here => begin + source.every.saturating_sub(age),
                _ => begin,
            }
        };
        self.lists = sources
            .into_iter()
            .map(|source| List {
                due: due(&source),
                source,
                failures: 0,
                error: None,
                counts: Counts::default(),
            })
            .collect();
    }

    /// Fetches what is due; whether anything was fetched.
    fn fetch_due(&mut self) -> bool {
        let mut is_changed = false;
        for list in &mut self.lists {
            if list.due > Instant::now() {
                continue;
            }
            match fetch(&list.source, &self.cache, now()) {
                Ok(()) => {
                    is_changed = true;
                    list.failures = 0;
                    list.error = None;
                    list.due = Instant::now() + jittered(list.source.every);
                }
                Err(error) => list.failed(&error),
            }
        }
        is_changed
    }

    /// Makes a store of the copies, puts it in force, and has blocked what it wants blocked.
    fn assemble(&mut self) {
        let sources: Vec<Source> = self.lists.iter().map(|list| list.source.clone()).collect();
        let (store, counts) = assemble(&sources, &self.cache, now());
        for (list, counts) in self.lists.iter_mut().zip(counts) {
            list.counts = counts;
        }
        let (old, new) = (self.shared.store(), Arc::new(store));
        tracing::debug!(sizes = ?new.sizes(), "other indicators are in force");
        self.shared.publish(Arc::clone(&new));
        let blocked = new.blocks().count();
        let error = self.blocker.as_mut().and_then(|blocker| {
            let is_wanted = |network| new.blocked_until(network).is_some();
            if !std::mem::replace(&mut self.is_taken_up, true)
                && let Err(error) = blocker.take_up(&is_wanted)
            {
                return Some(error);
            }
            // Each piece is tried, whatever became of those before it.
            let errors = Change::in_pieces(&old, &new).map(|piece| blocker.change(&piece).err());
            errors.fold(None, Option::or)
        });
        if let Some(error) = &error {
            tracing::error!(%error, "what lists want blocked is not");
        }
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.sizes = new.sizes();
        report.memory = new.memory();
        report.blocked = blocked;
        report.block_error = error;
        drop((old, report));
        // Making a store takes several times the memory that it has in the end.
        // SAFETY: no preconditions.
        unsafe { libc::malloc_trim(0) };
    }

    /// Writes down how the lists are.
    fn tell(&self) {
        let at = Instant::now();
        let sources = self.lists.iter().map(|list| {
            let source = &list.source;
            let location = source.from.location();
            let meta = self.cache.meta(&source.name, &location);
            SourceReport {
                name: Arc::clone(&source.name),
                kind: source.from.kind(),
                location,
                blocks: source.block_from.is_some(),
                fetched: meta.map(|meta| meta.fetched),
                next: now() + list.due.saturating_duration_since(at).as_secs(),
                failures: list.failures,
                error: list.error.clone(),
                counts: list.counts.clone(),
            }
        });
        let sources = sources.collect();
        self.report
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .sources = sources;
    }
}

impl List {
    /// Waits longer after each failure, but never longer than between two good ones, unless the
    /// server asks for more.
    fn failed(&mut self, error: &FetchError) {
        tracing::warn!(list = %self.source.name, %error, "a list cannot be fetched; its last copy stays in use");
        let wait = BACK_OFF * 2_u32.pow(self.failures.min(DOUBLINGS_MAX));
        let asked = match error {
            FetchError::Http(HttpError::Busy { wait, .. })
            | FetchError::Taxii(TaxiiError::Http(HttpError::Busy { wait, .. })) => *wait,
            _ => None,
        };
        let wait = jittered(wait.min(self.source.every)).max(asked.unwrap_or_default());
        self.due = Instant::now() + wait;
        self.failures = self.failures.saturating_add(1);
        self.error = Some(error.to_string().chars().take(ERROR_MAX).collect());
    }
}

/// A time, up to a tenth longer or shorter, so that not all sensors ask at once.
fn jittered(time: Duration) -> Duration {
    let tenth = time / 10;
    let share = f64::from(random::number()) / f64::from(u32::MAX);
    time - tenth + tenth.mul_f64(2.0 * share)
}

#[cfg(test)]
mod tests;
