//! What the running sensor knows of itself: which hooks serve what, the account, its limits.
//! Shared by the pipeline, which keeps it current, and by those who are asked for it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use serde::Serialize;

use crate::content::scanner::{Counters, Counts};
use crate::detect::hits::{Hit, Hits, Latency};
use crate::event::health::Verdict;
use crate::export::sink;
use crate::export::spool::shared::{Kept, Shared};
use crate::intelligence::Intelligence;
use crate::probe::account::{Account, KernelSide, UserSide};
use crate::probe::load::Served;
use crate::probe::programs::{Programs, Runs};
use crate::respond::outbox;

/// How one group of events is served.
#[derive(Clone, Debug, Serialize)]
pub struct Service {
    /// Name of the group.
    pub name: &'static str,
    /// Kinds of event in it.
    pub kinds: Vec<&'static str>,
    /// Hooks in use, empty when there are none.
    pub hooks: Vec<String>,
    /// It is not the preferred way.
    pub fallback: bool,
    /// What cannot be seen this way.
    pub misses: &'static str,
    /// What the kernel said to the better ways.
    pub refusals: Vec<String>,
}

impl From<&Served> for Service {
    fn from(served: &Served) -> Self {
        let way = served.in_use();
        Self {
            name: served.service.name,
            kinds: served
                .service
                .kinds
                .iter()
                .map(|kind| sensor_common::kind::name(*kind))
                .collect(),
            hooks: way.map_or_else(Vec::new, |way| {
                way.hooks
                    .iter()
                    .map(|hook| hook.attach.describe())
                    .collect()
            }),
            fallback: served.in_use().is_some_and(|way| !way.misses.is_empty()),
            misses: way.map_or("everything", |way| way.misses),
            refusals: served.refusals.clone(),
        }
    }
}

/// The sensor's view of itself.
pub struct Status {
    started: Instant,
    /// How each group of events is served.
    pub services: Vec<Service>,
    kernel: KernelSide,
    programs: Programs,
    /// This side of the account.
    pub user: Arc<UserSide>,
    /// When the pipeline last got on, in nanoseconds since boot; 0 before it watches. It does ten
    /// times a second at least, so that it hangs when this stands still.
    pub turned: AtomicU64,
    /// Processes in the table.
    pub processes: AtomicU64,
    /// Processes forgotten for want of room.
    pub processes_forgotten: AtomicU64,
    /// Alerts raised.
    pub alerts: AtomicU64,
    /// The same by rule, and how long they took.
    pub hits: Arc<Hits>,
    /// The account of responses.
    pub responses: Arc<outbox::Counters>,
    /// The account of scanned files, where files are scanned.
    pub content: OnceLock<Arc<Counters>>,
    /// Lists of what is hostile, where there is detection.
    pub intelligence: OnceLock<Intelligence>,
    /// Decoy ports that could not be opened, and why.
    pub closed_decoys: OnceLock<Vec<String>>,
    /// What is kept for receivers, where there are any.
    pub spool: OnceLock<Arc<Shared>>,
    /// Receivers.
    pub sinks: OnceLock<Vec<Arc<sink::status::Status>>>,
    /// Nobody reads the output any more.
    pub output_closed: AtomicBool,
}

/// What `sensor status` shows.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of the sensor.
    pub version: &'static str,
    /// Its process id.
    pub pid: u32,
    /// Seconds since it began to watch.
    pub uptime_seconds: u64,
    /// How well it sees.
    pub verdict: &'static str,
    /// The same in words.
    pub summary: String,
    /// How each group of events is served.
    pub services: Vec<Service>,
    /// The account.
    pub account: Account,
    /// Processes in the table.
    pub processes: u64,
    /// Processes forgotten for want of room.
    pub processes_forgotten: u64,
    /// Alerts raised.
    pub alerts: u64,
    /// The same by rule.
    pub rules: Vec<Hit>,
    /// How long they took.
    pub latency: Latency,
    /// The account of responses.
    pub responses: outbox::Counts,
    /// The account of scanned files, where files are scanned.
    pub content: Option<Counts>,
    /// What is kept for receivers, where there are any.
    pub spool: Option<Kept>,
    /// Receivers.
    pub sinks: Vec<sink::status::Report>,
    /// How the programs fare.
    pub programs: Vec<Runs>,
}

impl Status {
    /// At the start.
    #[must_use]
    pub fn new(
        served: &[Served],
        kernel: KernelSide,
        programs: Programs,
        user: Arc<UserSide>,
    ) -> Self {
        Self {
            started: Instant::now(),
            services: served.iter().map(Service::from).collect(),
            kernel,
            programs,
            user,
            turned: AtomicU64::new(0),
            processes: AtomicU64::new(0),
            processes_forgotten: AtomicU64::new(0),
            alerts: AtomicU64::new(0),
            hits: Arc::default(),
            responses: Arc::default(),
            content: OnceLock::new(),
            intelligence: OnceLock::new(),
            closed_decoys: OnceLock::new(),
            spool: OnceLock::new(),
            sinks: OnceLock::new(),
            output_closed: AtomicBool::new(false),
        }
    }

    /// The account as of now.
    ///
    /// # Errors
    /// When the kernel refuses a look-up.
    pub fn account(&self) -> Result<Account, aya::maps::MapError> {
        Account::take(&self.kernel, &self.user, &self.programs)
    }

    /// How well the sensor sees.
    #[must_use]
    pub fn verdict(&self, account: &Account) -> Verdict {
        let served = self
            .services
            .iter()
            .filter(|service| !service.hooks.is_empty())
            .count();
        if served == 0 {
            Verdict::Blind
        } else if served < self.services.len()
            || account.lost() + account.malformed + account.unwritten > 0
            || !account.skipped.is_empty()
            || !self.closed_decoys().is_empty()
            || self.spool.get().is_some_and(|spool| spool.lost() > 0)
        {
            Verdict::Degraded
        } else {
            Verdict::Healthy
        }
    }

    fn closed_decoys(&self) -> &[String] {
        self.closed_decoys.get().map_or(&[], Vec::as_slice)
    }

    /// One sentence on what is served how.
    #[must_use]
    pub fn summary(&self) -> String {
        let named = |wanted: fn(&&Service) -> bool| {
            self.services
                .iter()
                .filter(wanted)
                .map(|service| service.name)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let unseen = named(|service| service.hooks.is_empty());
        let fallback = named(|service| service.fallback);
        let mut text = format!(
            "{} kinds of hook in use",
            self.services
                .iter()
                .filter(|service| !service.hooks.is_empty())
                .count()
        );
        if !fallback.is_empty() {
            text.push_str(&format!("; by a fallback: {fallback}"));
        }
        if !unseen.is_empty() {
            text.push_str(&format!("; not seen: {unseen}"));
        }
        if !self.closed_decoys().is_empty() {
            let closed = self.closed_decoys().join(", ");
            text.push_str(&format!("; decoy ports that are not open: {closed}"));
        }
        text
    }

    /// Everything, for `sensor status`.
    ///
    /// # Errors
    /// When the kernel's counters cannot be read.
    pub fn report(&self) -> Result<Report, aya::maps::MapError> {
        let account = self.account()?;
        Ok(Report {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            uptime_seconds: self.started.elapsed().as_secs(),
            verdict: self.verdict(&account).name(),
            summary: self.summary(),
            services: self.services.clone(),
            account,
            processes: self.processes.load(Ordering::Relaxed),
            processes_forgotten: self.processes_forgotten.load(Ordering::Relaxed),
            alerts: self.alerts.load(Ordering::Relaxed),
            rules: self.hits.rules(),
            latency: self.hits.latency(),
            responses: self.responses.counts(),
            content: self.content.get().map(|counters| counters.counts()),
            spool: self.spool.get().map(|shared| shared.kept()),
            sinks: self
                .sinks
                .get()
                .into_iter()
                .flatten()
                .map(|status| status.report())
                .collect(),
            programs: self.programs.runs().collect(),
        })
    }
}
