//! The one-way street from raw records to output: decode, then all that the engine does. Runs on
//! a thread of its own; takes records from the reader's queues and owns everything downstream
//! of it.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use ringbuf::HeapCons;

use crate::clock::wall_ns;
use crate::decoy;
use crate::detect::{Detector, sigma};
use crate::engine::{Delivery, Engine, Reaction};
use crate::event::file::{AccessKind, Name, Source};
use crate::event::health::{Change, Health, Lost, Previous, UNKNOWN_KIND, Verdict};
use crate::event::process::Process;
use crate::event::response::{Origin, Outcome, Response, Verb};
use crate::event::{Action, Event, Stamp};
use crate::export::writer::{Writer, Written};
use crate::priority;
use crate::probe::account::Account;
use crate::probe::decode::{Clock, Decoder, boot_ns};
use crate::probe::filters::{FilterError, Filters, Rules};
use crate::probe::order::Ordered;
use crate::probe::prevention::{self, Prevention, Spared};
use crate::probe::reader::{Frame, Lanes};
use crate::probe::selection::Selection;
use crate::respond::journal::Entry;
use crate::respond::outbox::{Done, Inbox};
use crate::respond::responder::Handle;
use crate::status::Status;
use crate::track::Tracker;

/// How often the account is taken and losses are looked for.
const ACCOUNT_EVERY: Duration = Duration::from_secs(1);
/// How often it is found out anew what watched paths mean.
const FILTERS_EVERY: Duration = Duration::from_secs(5);
/// How often directories with scripts are looked up anew at most.
const SCRIPTS_EVERY: Duration = Duration::from_secs(1);
/// Longest sleep without being woken by the reader.
const NAP: Duration = Duration::from_millis(100);
/// How long files that are being scanned are waited for at the end.
const LAST_FILES: Duration = Duration::from_secs(2);

/// What takes the place of something that is in force.
pub enum Renewal {
    /// File filters.
    Filters(Rules),
    /// Rules about programs that are not to start.
    Prevention(Vec<prevention::Rule>, Spared),
    /// Sigma rules.
    Sigma(Box<sigma::Engine>),
    /// Decoy files.
    Decoys(decoy::Decoys),
}

/// The pipeline.
pub struct Pipeline<W: Write> {
    records: Ordered,
    decoder: Decoder,
    engine: Engine<W>,
    filters: Filters,
    prevention: Prevention,
    filters_refreshed: Instant,
    scripts_watched: Instant,
    renewals: Receiver<Renewal>,
    responses: Inbox,
    selection: Selection,
    status: Arc<Status>,
    account: Account,
    accounted: (Instant, Stamp),
    verdict: Verdict,
    /// The run before, to be told of in the first event.
    pub previous: Option<Previous>,
}

impl<W: Write> Pipeline<W> {
    /// Puts one together; `run` is a random number for event ids; what comes through
    /// `renewals` takes the place of what is in force, what comes through `responses` is written, and
    /// alerts go to `responder` as well.
    #[expect(
        clippy::too_many_arguments,
        reason = "called once, with one of each part"
    )]
    pub fn new(
        queues: Lanes<HeapCons<Frame>>,
        run: u32,
        tracker: Tracker,
        detector: Option<Detector>,
        filters: Filters,
        prevention: Prevention,
        renewals: Receiver<Renewal>,
        responses: Inbox,
        responder: Handle,
        writer: Writer<W>,
        selection: Selection,
        status: Arc<Status>,
    ) -> Self {
        let clock = Clock::now();
        let mut engine = Engine::new(tracker, detector, writer, run);
        engine.reaction = Reaction::Live(responder);
        engine.hits = Arc::clone(&status.hits);
        Self {
            records: Ordered::new(queues),
            decoder: Decoder { clock },
            engine,
            filters,
            prevention,
            filters_refreshed: Instant::now(),
            scripts_watched: Instant::now(),
            renewals,
            responses,
            selection,
            status,
            account: Account::default(),
            accounted: (Instant::now(), clock.stamp(boot_ns())),
            verdict: Verdict::Healthy,
            previous: None,
        }
    }

    /// Works until `stop` is set and the queues are empty, or nobody reads the output.
    pub fn run(mut self, stop: &AtomicBool) {
        priority::comes(priority::EARLY);
        if let Some(detector) = &self.engine.detector {
            detector.wakes_this_thread();
        }
        self.responses.wakes_this_thread();
        self.engine.tracker.seed();
        self.verdict = self.status.verdict(&self.account);
        self.say_started();
        if self.report_earlier() == Written::Closed {
            return self.close();
        }
        loop {
            // Read before the queue is emptied, so that what was queued before is seen.
            let last = stop.load(Ordering::Acquire);
            if self.turn() == Written::Closed {
                return self.close();
            }
            if self.records.is_empty() {
                if last {
                    break;
                }
                thread::park_timeout(NAP);
            }
        }
        self.finish();
    }

    /// Nobody reads the output; other receivers get what there is.
    fn close(self) {
        self.status.output_closed.store(true, Ordering::Release);
        self.engine.writer.finish();
    }

    fn turn(&mut self) -> Written {
        while let Ok(renewal) = self.renewals.try_recv() {
            self.renew(renewal);
        }
        for record in self.records.take() {
            if self.record(record.kind, &record.frame) == Written::Closed {
                return Written::Closed;
            }
        }
        self.engine.tracker.turn();
        if self.conclude_late() == Written::Closed || self.report() == Written::Closed {
            return Written::Closed;
        }
        if self.accounted.0.elapsed() >= ACCOUNT_EVERY {
            self.decoder.clock = self.decoder.clock.renewed();
            self.engine.tracker.tick();
            self.watch_scripts();
            if self.filters_refreshed.elapsed() >= FILTERS_EVERY {
                self.filters_refreshed = Instant::now();
                report_filters(self.filters.refresh());
                report_filters(self.prevention.refresh());
            }
            self.settle();
        }
        let written = self.engine.writer.flush();
        self.status.turned.store(boot_ns(), Ordering::Relaxed);
        written
    }

    /// What was found in files meanwhile.
    fn conclude_late(&mut self) -> Written {
        let latency = |since: Stamp| boot_ns().saturating_sub(since.boot_ns);
        let passed = self.engine.conclude_late(latency);
        self.status
            .alerts
            .fetch_add(passed.alerts, Ordering::Relaxed);
        if passed.closed {
            Written::Closed
        } else {
            Written::Yes
        }
    }

    /// What was done about intruders meanwhile.
    fn report(&mut self) -> Written {
        while let Some(done) = self.responses.take() {
            let Done {
                response,
                boot_ns,
                about,
            } = done;
            let time = self.decoder.clock.stamp(boot_ns);
            if self.respond(time, response, about.map(|process| *process)) == Written::Closed {
                return Written::Closed;
            }
        }
        Written::Yes
    }

    /// What was done about intruders while no sensor ran.
    fn report_earlier(&mut self) -> Written {
        let Some(mut left) = self.responses.earlier.take() else {
            return Written::Yes;
        };
        for Entry { wall_ns, response } in left.entries.drain(..) {
            let time = self.decoder.clock.stamp_of_wall(wall_ns);
            if self.respond(time, response, None) == Written::Closed {
                return Written::Closed;
            }
        }
        let written = self.engine.writer.flush();
        if written == Written::Yes
            && let Err(error) = left.forget()
        {
            tracing::warn!(%error, "the journal of responses cannot be emptied; the next start reports them again");
        }
        written
    }

    fn respond(&mut self, time: Stamp, response: Response, about: Option<Process>) -> Written {
        self.status.responses.count(response.outcome);
        if let (Some(process), Some(detector)) = (&about, &mut self.engine.detector)
            && (response.origin, response.outcome) == (Origin::Playbook, Outcome::Done)
            && response.verb == Verb::Kill
        {
            detector.answered(process.key);
        }
        let event = Event {
            id: self.engine.next_id(),
            cpu: 0,
            time,
            process: about,
            action: Action::Response(Box::new(response)),
        };
        let passed = self.engine.conclude(&event, Delivery::Numbered, || 0);
        self.status
            .alerts
            .fetch_add(passed.alerts, Ordering::Relaxed);
        if passed.closed {
            return Written::Closed;
        }
        passed.written.unwrap_or(Written::Yes)
    }

    /// What is still being found in files when the sensor stops is waited for, but not long.
    fn finish_late(&mut self) {
        let deadline = Instant::now() + LAST_FILES;
        let is_busy = |engine: &Engine<W>| engine.detector.as_ref().is_some_and(Detector::is_busy);
        while is_busy(&self.engine) && Instant::now() < deadline {
            thread::park_timeout(NAP);
            if self.conclude_late() == Written::Closed {
                return;
            }
        }
    }

    fn renew(&mut self, renewal: Renewal) {
        match renewal {
            Renewal::Filters(rules) => match self.filters.apply(rules) {
                Ok(()) => {
                    tracing::info!("the file filters are those of the configuration as it is now")
                }
                Err(error) => {
                    tracing::error!(%error, "not all of the new file filters are in force")
                }
            },
            Renewal::Prevention(rules, spared) => match self.prevention.apply(rules, spared) {
                Ok(()) => {
                    let rules = self.prevention.len();
                    tracing::info!(
                        rules,
                        "which programs do not start is as in the configuration now"
                    );
                }
                Err(error) => {
                    tracing::error!(%error, "not all of the rules about programs that are not to start are in force");
                }
            },
            Renewal::Sigma(rules) => {
                tracing::info!(rules = rules.len(), "the rules are those on disk now");
                if let Some(detector) = &mut self.engine.detector {
                    detector.set_rules(rules);
                }
            }
            Renewal::Decoys(decoys) => {
                if let Some(detector) = &mut self.engine.detector {
                    detector.watch_decoys(&decoys, None);
                }
            }
        }
    }

    fn record(&mut self, kind: u16, frame: &Frame) -> Written {
        let wanted = self.selection.wants(kind);
        // What the state remembers of an event must not name an id that nobody will see.
        let id = if wanted {
            self.engine.next_id()
        } else {
            self.engine.next_id().undelivered()
        };
        let mut event = match self.decoder.decode(frame, id) {
            Ok(event) => event,
            Err(error) => {
                self.status.user.malformed.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%error, "a record from the kernel is not understood");
                return Written::Yes;
            }
        };
        self.engine.tracker.apply(&mut event);
        self.tell_filters(&event);
        let delivery = if wanted && self.admits(&event) {
            Delivery::Numbered
        } else {
            event.id = event.id.undelivered();
            Delivery::Suppressed
        };
        let since = event.time.boot_ns;
        let passed = self
            .engine
            .conclude(&event, delivery, || boot_ns().saturating_sub(since));
        if matches!(event.action, Action::FileAccess(_) | Action::FileChange(_))
            && self.scripts_watched.elapsed() >= SCRIPTS_EVERY
        {
            self.watch_scripts();
        }
        let user = &self.status.user;
        match passed.written {
            None => user.count_suppressed(kind),
            Some(Written::Yes) => user.count_delivered(kind),
            Some(_) => drop(user.unwritten.fetch_add(1, Ordering::Relaxed)),
        }
        self.status
            .alerts
            .fetch_add(passed.alerts, Ordering::Relaxed);
        if passed.closed {
            return Written::Closed;
        }
        passed.written.unwrap_or(Written::Yes)
    }

    /// Tells the filters what changes what they mean.
    fn tell_filters(&mut self, event: &Event) {
        let told = match &event.action {
            Action::CgroupMkdir(cgroup) if cgroup.hierarchy == 0 => {
                self.filters.group_made(cgroup.id, &cgroup.path)
            }
            Action::FileAccess(access) if access.created => self.filters.name_changed(&access.path),
            Action::FileChange(change) if change.kind.is_of_names() => {
                let target = change
                    .target
                    .as_ref()
                    .map_or(Ok(()), |target| self.filters.name_changed(&target.path));
                self.filters.name_changed(&change.name.path).and(target)
            }
            _ => return,
        };
        report_filters(told);
    }

    /// Has reading observed where web services have scripts.
    fn watch_scripts(&mut self) {
        if self.engine.detector.is_none() {
            return;
        }
        if let Some(directories) = self.engine.tracker.new_watches() {
            self.scripts_watched = Instant::now();
            report_filters(self.filters.also_watch(&directories));
        }
    }

    /// Whether the filters let an event pass that the programs could not judge, for want of a
    /// true path, or that was wanted by the sensor only.
    fn admits(&self, event: &Event) -> bool {
        if let Action::FileAccess(access) = &event.action
            && access.kind == AccessKind::Read
        {
            return self.engine.detector.is_none() || self.filters.asked_for(&access.path);
        }
        let Action::FileChange(change) = &event.action else {
            return true;
        };
        let names = [Some(&change.name), change.target.as_ref()];
        let judged = |name: &Name| name.source == Source::Kernel;
        let mut names = names.into_iter().flatten();
        names.clone().all(judged) || names.any(|name| self.filters.admit(&name.path))
    }

    /// Takes the account and reports what was lost since the last time.
    fn settle(&mut self) {
        let account = match self.status.account() {
            Ok(account) => account,
            Err(error) => {
                tracing::error!(%error, "the kernel's counters cannot be read");
                return;
            }
        };
        let to = self.decoder.clock.stamp(boot_ns());
        let from = self.accounted.1;
        for line in &account.lines {
            let before = self.account.line(line.kind);
            let reasons = [
                (line.lost_ring - before.lost_ring, "ring buffer full"),
                (
                    line.lost_scratch - before.lost_scratch,
                    "too many programs at once on one CPU",
                ),
                (
                    line.lost_begun - before.lost_begun,
                    "too many threads at once in such operations",
                ),
            ];
            for (count, reason) in reasons.into_iter().filter(|(count, _)| *count > 0) {
                self.own(Action::Lost(Lost {
                    kind: line.kind,
                    count,
                    reason: reason.into(),
                    from,
                    to,
                }));
            }
        }
        for (program, count) in &account.skipped {
            let before = self.account.skipped.get(program).copied().unwrap_or(0);
            if *count > before {
                self.own(Action::Lost(Lost {
                    kind: UNKNOWN_KIND,
                    count: count - before,
                    reason: format!(
                        "the kernel skipped the program {program}, which was still running on that CPU"
                    )
                    .into(),
                    from,
                    to,
                }));
            }
        }
        let (processes, forgotten) = self.engine.tracker.table_size();
        self.status
            .processes
            .store(processes as u64, Ordering::Relaxed);
        self.status
            .processes_forgotten
            .store(forgotten, Ordering::Relaxed);
        let verdict = self.status.verdict(&account);
        let changed = verdict != self.verdict;
        self.verdict = verdict;
        self.account = account;
        self.accounted = (Instant::now(), to);
        if changed {
            self.say(Change::Changed, self.status.summary(), None);
        }
    }

    fn finish(mut self) {
        self.finish_late();
        self.report();
        self.settle();
        let text = serde_json::to_string(&self.account).ok();
        self.say(Change::Stopped, self.account.verdict(), text);
        self.engine.writer.finish();
    }

    fn say_started(&mut self) {
        let mut detail = self.status.summary();
        let complaint = self.previous.and_then(|run| run.complaint(wall_ns()));
        if let Some(complaint) = complaint {
            tracing::warn!("{complaint}");
            detail.push_str("; ");
            detail.push_str(&complaint);
        }
        self.say(Change::Started, detail, None);
    }

    fn say(&mut self, change: Change, detail: String, account: Option<String>) {
        let previous = self.previous.take();
        self.own(Action::Health(Health {
            change,
            verdict: self.verdict,
            detail,
            account,
            previous,
        }));
    }

    /// An event of the sensor's own.
    fn own(&mut self, action: Action) {
        let event = Event {
            id: self.engine.next_id(),
            cpu: 0,
            time: self.decoder.clock.stamp(boot_ns()),
            process: None,
            action,
        };
        self.engine.write(&event);
    }
}

fn report_filters(outcome: Result<(), FilterError>) {
    if let Err(error) = outcome {
        tracing::error!(%error, "a filter is not as it should be");
    }
}
