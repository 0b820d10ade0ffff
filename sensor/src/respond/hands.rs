//! How the actions of playbooks are carried out: each by the function that the command of that
//! name calls, with the same precautions and the same answer.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::Cause;
use super::firewall::Firewall;
use super::firewall::order::{How, Isolation, Scope};
use super::firewall::target::Target;
use super::outbox::Outbox;
use super::playbook::{Action, Mode, Playbook, Run, Set};
use super::process::proc::Stat;
use super::process::{self, Options, Protected, Signal};
use super::quarantine;
use super::responder::{Order, report};
use super::run;
use crate::event::Event;
use crate::event::process::ProcessKey;
use crate::event::response::{Outcome, Response};

/// Programs of the operator's that run at a time.
const RUNS_MAX: usize = 16;

/// Makes a line of JSON of an event.
pub type AsJson = Arc<dyn Fn(&Event) -> String + Send + Sync>;

/// What actions are carried out with.
pub struct Hands {
    /// The firewall; or why there is none.
    pub firewall: Result<Firewall, String>,
    /// Processes that are never acted on.
    pub protected: Arc<Protected>,
    /// Directory of what is remembered across starts.
    pub state: PathBuf,
    /// Makes a line of JSON of an event, for programs that are run.
    pub as_json: AsJson,
    /// Programs that run now.
    pub runs: Arc<AtomicUsize>,
}

impl Hands {
    /// Gets ready for what these playbooks may do, so that it takes no time when it matters.
    pub fn prepare(&mut self, set: &Set) {
        let enforced = |playbook: &&Arc<Playbook>| set.mode_of(playbook) == Mode::Enforce;
        let mut actions = set
            .playbooks
            .iter()
            .filter(enforced)
            .flat_map(|playbook| playbook.actions.iter());
        let cuts_off = actions.any(|action| matches!(action, Action::BlockPeer | Action::Isolate));
        if !cuts_off {
            return;
        }
        let armed = match &mut self.firewall {
            Ok(firewall) => firewall.arm().map_err(|error| error.to_string()),
            Err(error) => Err(error.clone()),
        };
        if let Err(error) = armed {
            tracing::error!(%error, "playbooks cannot block or isolate on this host; each attempt will be reported as failed");
        }
    }

    /// What has to be done from time to time.
    pub fn tick(&mut self) -> Vec<Response> {
        self.firewall
            .as_mut()
            .map_or_else(|_| Vec::new(), Firewall::tick)
    }

    /// Does something, or says what would be done.
    pub fn act(
        &mut self,
        action: &Action,
        playbook: &Playbook,
        order: &Order,
        cause: Cause,
        dry_run: bool,
    ) -> Response {
        let target = match action.target(&order.event) {
            Ok(target) => target,
            Err(lacking) => return refused(&cause, action, "", lacking),
        };
        match action {
            Action::BlockPeer => self.block(&target, playbook, cause, dry_run),
            Action::Isolate => self.isolate(playbook, cause, dry_run),
            Action::Run(run) => {
                let mut response = cause.response(action.verb(), &*target);
                response.outcome = Outcome::DryRun;
                let words = run::command_line(run, &order.event);
                response.detail = format!("as {}: {}", run.user, words.join(" ")).into();
                response
            }
            Action::Kill | Action::KillTree | Action::KillIncident => {
                let target = processes(action, order);
                let mut response = process::kill(&target, &self.options(cause, dry_run));
                // Another playbook, or the end of its connection, was quicker: that is no failure.
                if response.outcome == Outcome::Failed && target.processes.iter().all(has_ended) {
                    response.outcome = Outcome::Done;
                }
                response
            }
            Action::Freeze => {
                process::freeze(&processes(action, order), &self.options(cause, dry_run))
            }
            Action::Quarantine => self.quarantine(&file(&target, order), cause, dry_run),
        }
    }

    /// Ends the connections with whom a playbook has blocked: that takes longer than anything else.
    pub fn end_connections(&self, blocked: &mut Response) {
        if blocked.outcome == Outcome::Done
            && let Ok(target) = blocked.target.parse()
            && let Ok(firewall) = &self.firewall
        {
            firewall.end_connections(target, blocked);
        }
    }

    /// Blocks somebody; the connections that there are find no way through, and are ended later.
    fn block(
        &mut self,
        target: &str,
        playbook: &Playbook,
        cause: Cause,
        dry_run: bool,
    ) -> Response {
        let firewall = match &mut self.firewall {
            Ok(firewall) => firewall,
            Err(error) => return failed(&cause, &Action::BlockPeer, target, error),
        };
        match target.parse::<Target>() {
            Ok(target) => firewall.block(
                target,
                &How {
                    ttl: playbook.ttl,
                    spare_connections: !dry_run,
                    dry_run,
                    ..How::new(cause)
                },
            ),
            Err(error) => failed(&cause, &Action::BlockPeer, target, &error.to_string()),
        }
    }

    fn options(&self, cause: Cause, dry_run: bool) -> Options {
        let Cause { origin, by, reason } = cause;
        Options {
            origin,
            by,
            reason,
            dry_run,
            signal: Signal::Kill,
            protected: Arc::clone(&self.protected),
            state: self.state.clone(),
        }
    }

    fn quarantine(&self, file: &quarantine::File, cause: Cause, dry_run: bool) -> Response {
        let Cause { origin, by, reason } = cause;
        let options = quarantine::Options {
            origin,
            by,
            reason,
            dry_run,
            state: self.state.clone(),
        };
        quarantine::put(file, &options)
    }

    fn isolate(&mut self, playbook: &Playbook, cause: Cause, dry_run: bool) -> Response {
        match &mut self.firewall {
            Ok(firewall) => firewall.isolate(&Isolation {
                ttl: playbook.ttl,
                dry_run,
                ..Isolation::new(Scope::Host, cause)
            }),
            Err(error) => failed(&cause, &Action::Isolate, "host", error),
        }
    }

    /// Starts a program of the operator's, whose end is reported when it comes; or says why not.
    pub fn start(
        &self,
        run: &Arc<Run>,
        order: &Arc<Order>,
        cause: Cause,
        outbox: &Outbox,
    ) -> Option<Response> {
        let action = Action::Run(Arc::clone(run));
        let place = Place::take(&self.runs);
        let Some(place) = place else {
            let why = format!("{RUNS_MAX} programs run already");
            return Some(refused(&cause, &action, &run.program, &why));
        };
        let program = Arc::clone(run);
        let (order, outbox, as_json) =
            (Arc::clone(order), outbox.clone(), Arc::clone(&self.as_json));
        let spoken = cause.clone();
        let started = thread::Builder::new()
            .name("playbook-run".to_owned())
            .spawn(move || {
                let response = finish(&program, &order, &spoken, &as_json);
                drop(place);
                report(response, &order, &outbox);
            });
        let error = started.err()?;
        Some(failed(&cause, &action, &run.program, &error.to_string()))
    }
}

/// The processes that an action is for, that of the alert first.
fn processes(action: &Action, order: &Order) -> process::Target {
    let about = order.event.process.as_ref().map(|process| process.key);
    let (more, tree): (&[ProcessKey], bool) = match action {
        Action::KillTree | Action::Freeze => (&order.tree, true),
        Action::KillIncident => (&order.incident, true),
        _ => (&[], false),
    };
    let others = more.iter().copied().filter(|key| Some(*key) != about);
    process::Target {
        processes: about.into_iter().chain(others).collect(),
        tree,
    }
}

/// Whether a process runs no more, whether or not somebody has waited for it.
fn has_ended(key: &ProcessKey) -> bool {
    Stat::of(key.pid).map_or(true, |stat| {
        stat.key != *key || matches!(stat.state, 'Z' | 'X')
    })
}

/// The file of an alert, as its process saw it: where that has other mounts than we have, through
/// a process that does and is still there.
fn file(path: &str, order: &Order) -> quarantine::File {
    let about = order.event.process.as_ref();
    let ours = fs::metadata("/proc/self/ns/mnt").map(|namespace| namespace.ino());
    let elsewhere = about.filter(|process| {
        let mounts = u64::from(process.namespaces.mnt);
        mounts != 0 && ours.as_ref().is_ok_and(|ours| *ours != mounts)
    });
    let seen_by = elsewhere.map(|process| {
        let parent = process.parent.as_ref().map(|parent| parent.key);
        let mut family = [Some(process.key), parent].into_iter().flatten();
        family.find(|key| !has_ended(key)).unwrap_or(process.key)
    });
    quarantine::File {
        path: path.into(),
        seen_by,
    }
}

/// One of the places for programs that run.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(taken: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Self(Arc::clone(taken));
        (taken.fetch_add(1, Ordering::AcqRel) < RUNS_MAX).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Runs a program to its end.
fn finish(run: &Arc<Run>, order: &Order, cause: &Cause, as_json: &AsJson) -> Response {
    let action = Action::Run(Arc::clone(run));
    let words = run::command_line(run, &order.event);
    let line = format!("{}\n", as_json(&order.event));
    match run::run(run, &words, &line) {
        Ok(ended) => {
            let mut response = cause.response(action.verb(), &*run.program);
            response.detail = ended.in_words(run).into();
            if !ended.is_success() {
                response.outcome = Outcome::Failed;
            }
            response
        }
        Err(error) => failed(cause, &action, &run.program, &error.to_string()),
    }
}

fn refused(cause: &Cause, action: &Action, target: &str, why: &str) -> Response {
    let mut response = cause.response(action.verb(), target);
    response.outcome = Outcome::Refused;
    response.detail = why.into();
    response
}

fn failed(cause: &Cause, action: &Action, target: &str, why: &str) -> Response {
    Response {
        outcome: Outcome::Failed,
        ..refused(cause, action, target, why)
    }
}
