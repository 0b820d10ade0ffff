//! The responder: a thread that does what playbooks decide. The engine hands it alerts the moment
//! they are raised and never waits for it; what it does, and does not do, it hands back as
//! responses. Conditions and limits are the business of `playbook`, the deeds that of `hands`.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use thiserror::Error;

use super::Cause;
use super::asked::{Asked, Question, Summary};
use super::clock::{boot_ns, minute_of_day, nanoseconds, wall_ns};
use super::hands::Hands;
use super::outbox::{Counters, Outbox};
use super::playbook::decide::{Decider, Decision, Step, Verdict};
use super::playbook::limits::{Moment, Refusal};
use super::playbook::{Action, Playbook, Set};
use crate::event::process::ProcessKey;
use crate::event::response::{Origin, Outcome, Response};
use crate::event::{Action as Happening, Event};
use crate::priority;

/// Alerts waiting to be looked at; beyond that they are passed over, and counted.
const WAITING_MAX: usize = 1_024;
/// How often there is something to do without an alert: what has expired is cleared away.
const TICK: Duration = Duration::from_secs(1);

/// An alert that concerns a playbook.
#[derive(Debug)]
pub struct Order {
    /// The alert as an event.
    pub event: Event,
    /// Processes that the alert's process is known to have started, and that are still there.
    pub tree: Vec<ProcessKey>,
    /// Processes of the incident that are still there.
    pub incident: Vec<ProcessKey>,
}

/// Why something is done: an alert in a sentence.
#[must_use]
pub fn reason(alert: &Event) -> String {
    match &alert.action {
        Happening::Alert(alert) => format!("{}: {}", alert.rule.name, alert.message),
        _ => String::new(),
    }
}

/// Whose members the engine is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// What the process started.
    Tree,
    /// The incident.
    Incident,
}

enum Task {
    Alert(Arc<Order>),
    Approved(Question),
    Denied(Question),
    /// To see that it is to stop, or that there are other playbooks.
    Wake,
}

/// Why a question cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// It does not wait.
    #[error("nothing waits under the number {0}; `sensor approve` lists what does")]
    Unknown(u32),
    /// It cannot be taken now.
    #[error("the responder is too busy to take it; try again")]
    Busy,
}

/// The way to the responder.
#[derive(Clone)]
pub struct Handle {
    set: Arc<Mutex<Arc<Set>>>,
    tasks: SyncSender<Task>,
    asked: Arc<Mutex<Asked>>,
    counters: Arc<Counters>,
}

impl Handle {
    /// Has the playbooks look at an alert, if it concerns any; never waits. `members` is asked only
    /// for those that an action needs.
    pub fn offer(&self, event: &Event, members: impl Fn(Family) -> Vec<ProcessKey>) {
        let set = Arc::clone(&lock(&self.set));
        let actions = || {
            let playbooks = set.those_for(event);
            playbooks.flat_map(|playbook| playbook.actions.iter())
        };
        if actions().next().is_none() {
            return;
        }
        let members_for = |family, wanted: &[Action]| {
            if actions().any(|action| wanted.contains(action)) {
                members(family)
            } else {
                Vec::new()
            }
        };
        let order = Order {
            tree: members_for(Family::Tree, &[Action::KillTree, Action::Freeze]),
            incident: members_for(Family::Incident, &[Action::KillIncident]),
            event: event.clone(),
        };
        if self.tasks.try_send(Task::Alert(Arc::new(order))).is_err() {
            self.counters.overlook();
        }
    }

    /// Takes these playbooks from now on.
    pub fn renew(&self, set: Set) {
        *lock(&self.set) = Arc::new(set);
        // When the queue is full it looks soon anyway.
        let _ = self.tasks.try_send(Task::Wake);
    }

    /// The playbooks in force.
    #[must_use]
    pub fn set(&self) -> Arc<Set> {
        Arc::clone(&lock(&self.set))
    }

    /// What waits for a yes.
    #[must_use]
    pub fn asked(&self) -> Vec<Summary> {
        lock(&self.asked).summaries()
    }

    /// Says yes or no to a question.
    ///
    /// # Errors
    /// When there is none of that number, or the responder is busy.
    pub fn answer(&self, id: u32, yes: bool) -> Result<(), AnswerError> {
        let mut asked = lock(&self.asked);
        let question = asked.answer(id).ok_or(AnswerError::Unknown(id))?;
        let task = if yes { Task::Approved } else { Task::Denied };
        match self.tasks.try_send(task(question)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(Task::Approved(question) | Task::Denied(question))) => {
                asked.ask(question);
                Err(AnswerError::Busy)
            }
            Err(_) => Err(AnswerError::Busy),
        }
    }
}

/// What is behind a lock is whole at any time, also when somebody who held it panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The running responder.
pub struct Responder {
    handle: Handle,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Responder {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(set: Set, hands: Hands, outbox: Outbox) -> io::Result<Self> {
        let (tasks, to_do) = sync_channel(WAITING_MAX);
        let handle = Handle {
            set: Arc::new(Mutex::new(Arc::new(set))),
            tasks,
            asked: Arc::default(),
            counters: Arc::clone(outbox.counters()),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let mut work = Work {
            handle: handle.clone(),
            decider: Decider::default(),
            set: handle.set(),
            hands,
            outbox,
        };
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("responder".to_owned())
            .spawn(move || work.run(&to_do, &stopped))?;
        Ok(Self {
            handle,
            stop,
            thread,
        })
    }

    /// The way to it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Ends it after what it is doing, and after what waits. What is pinned stays in force.
    pub fn finish(self) {
        self.stop.store(true, Ordering::Release);
        // When the queue is full it wakes up anyway.
        let _ = self.handle.tasks.try_send(Task::Wake);
        if self.thread.join().is_err() {
            tracing::error!("the responder ended by a panic");
        }
    }
}

struct Work {
    handle: Handle,
    decider: Decider,
    /// The playbooks in force.
    set: Arc<Set>,
    hands: Hands,
    outbox: Outbox,
}

impl Work {
    fn run(&mut self, tasks: &Receiver<Task>, stop: &AtomicBool) {
        priority::comes(priority::FIRST);
        self.hands.prepare(&Arc::clone(&self.set));
        let mut ticked = Instant::now();
        loop {
            let left = TICK.saturating_sub(ticked.elapsed());
            let task = tasks.recv_timeout(left);
            self.look();
            match task {
                Ok(task) => self.task(task),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                self.tick();
            }
            if stop.load(Ordering::Acquire) {
                while let Ok(task) = tasks.try_recv() {
                    self.task(task);
                }
                return;
            }
        }
    }

    fn task(&mut self, task: Task) {
        match task {
            Task::Alert(order) => self.alert(&order),
            Task::Approved(question) => {
                let Question {
                    steps,
                    playbook,
                    order,
                    ..
                } = question;
                let acted = steps
                    .iter()
                    .filter_map(|step| self.act(step, &playbook, &order, false));
                let blocks = acted.collect();
                self.finish(blocks, &order);
            }
            Task::Denied(question) => self.close(&question, "somebody said no"),
            Task::Wake => {}
        }
    }

    fn tick(&mut self) {
        for response in self.hands.tick() {
            self.outbox.post(response, None);
        }
        let now = boot_ns();
        loop {
            let expired = lock(&self.handle.asked).expired(now);
            let Some(question) = expired else { return };
            self.close(&question, "nobody said yes in time");
        }
    }

    /// Sees whether there are other playbooks now.
    fn look(&mut self) {
        let set = self.handle.set();
        if !Arc::ptr_eq(&set, &self.set) {
            self.decider.renew(&set);
            self.hands.prepare(&set);
            self.set = set;
        }
    }

    fn alert(&mut self, order: &Arc<Order>) {
        let set = Arc::clone(&self.set);
        let now = Moment {
            boot_ns: boot_ns(),
            minute: minute_of_day(),
        };
        let decisions = self.decider.decide(&set, &order.event, now);
        let mut blocks = Vec::new();
        let mut questions = Vec::new();
        for Decision { playbook, steps } in decisions {
            let mut wanted = Vec::new();
            for step in steps {
                match step.verdict {
                    Verdict::Do => blocks.extend(self.act(&step, &playbook, order, false)),
                    Verdict::Rehearse => blocks.extend(self.act(&step, &playbook, order, true)),
                    Verdict::Ask => wanted.push(step),
                    Verdict::Refuse(ref refusal) => {
                        self.refuse(&step, &playbook, order, &refusal.to_string());
                    }
                }
            }
            questions.push((wanted, playbook));
        }
        self.finish(blocks, order);
        for (wanted, playbook) in questions {
            self.ask(wanted, playbook, order);
        }
    }

    /// Does one thing, or says what would be done; a block that is not finished yet, but in force.
    fn act(
        &mut self,
        step: &Step,
        playbook: &Playbook,
        order: &Arc<Order>,
        dry_run: bool,
    ) -> Option<Response> {
        let cause = cause(playbook, order);
        let mut response = match &step.action {
            Action::Run(run) if !dry_run => self.hands.start(run, order, cause, &self.outbox)?,
            action => self.hands.act(action, playbook, order, cause, dry_run),
        };
        response.latency_ns = Some(latency(order));
        if step.action == Action::BlockPeer {
            return Some(response);
        }
        self.report(response, order);
        None
    }

    /// Ends the connections of those who were blocked, after all that is quicker.
    fn finish(&self, blocks: Vec<Response>, order: &Order) {
        for mut block in blocks {
            self.hands.end_connections(&mut block);
            self.report(block, order);
        }
    }

    fn ask(&mut self, steps: Vec<Step>, playbook: Arc<Playbook>, order: &Arc<Order>) {
        let Some(within) = playbook.limits.ask.filter(|_| !steps.is_empty()) else {
            return;
        };
        let id = lock(&self.handle.asked).number();
        let Some(id) = id else {
            for step in &steps {
                self.refuse(step, &playbook, order, &Refusal::TooManyAsked.to_string());
            }
            return;
        };
        let until_wall_ns = wall_ns().saturating_add(nanoseconds(within));
        let asks = |step: &Step| {
            let mut response = cause(&playbook, order).response(step.action.verb(), &*step.target);
            response.outcome = Outcome::Asked;
            response.detail = format!("waits for `sensor approve {id}`").into();
            response.until_wall_ns = Some(until_wall_ns);
            response
        };
        let responses: Vec<_> = steps.iter().map(asks).collect();
        // Before anybody is told of it, because it may be answered at once.
        lock(&self.handle.asked).ask(Question {
            id,
            until_boot_ns: boot_ns().saturating_add(nanoseconds(within)),
            until_wall_ns,
            order: Arc::clone(order),
            playbook,
            steps,
        });
        for response in responses {
            self.report(response, order);
        }
    }

    fn close(&self, question: &Question, why: &str) {
        for step in &question.steps {
            self.refuse(step, &question.playbook, &question.order, why);
        }
    }

    fn refuse(&self, step: &Step, playbook: &Playbook, order: &Order, why: &str) {
        let mut response = cause(playbook, order).response(step.action.verb(), &*step.target);
        response.outcome = Outcome::Refused;
        response.detail = why.into();
        self.report(response, order);
    }

    fn report(&self, response: Response, order: &Order) {
        report(response, order, &self.outbox);
    }
}

/// Hands a response over as what follows from an alert.
pub(super) fn report(mut response: Response, order: &Order, outbox: &Outbox) {
    let event = &order.event;
    let Happening::Alert(alert) = &event.action else {
        return;
    };
    response.follows(event.id, alert.incident.as_deref());
    response.latency_ns = response.latency_ns.or_else(|| Some(latency(order)));
    outbox.post(response.bounded(), event.process.clone().map(Box::new));
}

/// How long ago the kernel saw what decided an alert, in nanoseconds.
fn latency(order: &Order) -> u64 {
    boot_ns().saturating_sub(order.event.time.boot_ns)
}

/// On whose behalf a playbook acts.
pub(super) fn cause(playbook: &Playbook, order: &Order) -> Cause {
    Cause {
        origin: Origin::Playbook,
        by: playbook.name.clone(),
        reason: reason(&order.event).into(),
    }
}

#[cfg(test)]
mod tests;
