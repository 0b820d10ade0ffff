//! Processes stopped where they are, and let go on: by the freezer of the unified control group
//! hierarchy, out of which no signal leads; where that cannot be had, by `SIGSTOP`, which anybody
//! who may signal the process can undo with `SIGCONT`. Who was frozen, and which group it came
//! from, is kept in the state directory.

mod group;
mod record;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use super::handle::{Handle, HoldError};
use super::proc::{self, Stat};
use super::protect::Now;
use super::{Deadline, Fates, Options, PATIENCE, Target, tree};
use crate::cgroup;
use crate::event::process::ProcessKey;
use crate::event::response::{Outcome, Response, Verb};
use group::Group;
pub use record::{Frozen, Member};

/// Stops processes where they are. A protected one is spared, with whatever it started.
#[must_use]
pub fn freeze(target: &Target, options: &Options) -> Response {
    let protected = options.protected.now();
    let Some(first) = target.processes.first().copied() else {
        return Fates::default().into_response(Verb::Freeze, "frozen", target, options);
    };
    let mut work = Freezing {
        options,
        protected: &protected,
        group: None,
        without_group: None,
        frozen: Frozen::new(first, &options.by, &options.reason, wall_ns()),
        fates: Fates::default(),
    };
    if !options.dry_run {
        work.prepare(first);
    }
    let found = tree::walk(&target.processes, target.tree, Deadline::start(), |key| {
        work.stop(key)
    });
    match found {
        Ok(None) => {}
        Ok(Some(unfinished)) => work.fates.failed.push(unfinished.describe()),
        Err(error) => work.fates.failed.push(format!("/proc: {error}")),
    }
    work.conclude(target)
}

fn wall_ns() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}

struct Freezing<'a> {
    options: &'a Options,
    protected: &'a Now<'a>,
    group: Option<Group>,
    /// Why there is no group.
    without_group: Option<String>,
    frozen: Frozen,
    fates: Fates,
}

impl Freezing<'_> {
    /// Makes a group that is frozen before anybody is in it.
    fn prepare(&mut self, first: ProcessKey) {
        let made = cgroup::mount_point()
            .map_err(|error| error.to_string())
            .and_then(|root| Group::make(&root, first).map_err(|error| error.to_string()));
        match made {
            Ok(group) => self.group = Some(group),
            Err(error) => self.without_group = Some(error),
        }
    }

    /// Stops one process; whether what it started is to be stopped as well.
    fn stop(&mut self, key: ProcessKey) -> bool {
        let handle = match Handle::open(key) {
            Ok(handle) => handle,
            Err(error @ (HoldError::Gone | HoldError::Reused(_))) => {
                self.fates.gone.push(format!("pid {}, {error}", key.pid));
                return false;
            }
            Err(error) => {
                self.fates.failed.push(format!("pid {}, {error}", key.pid));
                return false;
            }
        };
        let name = handle.stat.name();
        if let Some(reason) = self.protected.refusal(&handle.stat) {
            self.fates.refused.push(format!("{name}, {reason}"));
            return false;
        }
        if handle.has_ended() {
            self.fates.gone.push(format!("{name}, a zombie"));
            return true;
        }
        if self.options.dry_run {
            self.fates.done.push(name);
            return true;
        }
        match self.hold(&handle) {
            Ok(member) => {
                self.frozen.members.push(member);
                self.fates.done.push(name);
            }
            Err(error) => self.fates.failed.push(format!("{name}, {error}")),
        }
        true
    }

    fn hold(&mut self, handle: &Handle) -> Result<Member, String> {
        let key = handle.stat.key;
        let mut member = Member::new(key, &handle.stat.comm);
        let Some(group) = &self.group else {
            handle
                .signal(libc::SIGSTOP)
                .map_err(|error| error.to_string())?;
            return Ok(member);
        };
        let home = proc::group(key.pid).map_err(|error| error.to_string())?;
        if Group::is_ours(&home) {
            return Err("which is frozen already".to_owned());
        }
        if let Err(error) = group.take(handle) {
            // A group may not take everybody: real-time processes, parts of a threaded domain.
            self.without_group = Some(error.to_string());
            handle
                .signal(libc::SIGSTOP)
                .map_err(|error| error.to_string())?;
            return Ok(member);
        }
        member.home = Some(home);
        Ok(member)
    }

    fn conclude(mut self, target: &Target) -> Response {
        let did = if self.options.dry_run {
            "would be frozen"
        } else {
            "frozen"
        };
        self.frozen.group = self.group.as_ref().map(|group| group.path().to_owned());
        if let Some(group) = &self.group {
            if self.frozen.members.is_empty() {
                group.remove();
            } else if !group.is_still_within(PATIENCE) {
                self.fates.notes.push(
                    "some wait in the kernel and cannot be stopped there; they stop before they do \
                     anything else"
                        .to_owned(),
                );
            }
        }
        if self
            .frozen
            .members
            .iter()
            .any(|member| member.home.is_none())
        {
            let why = self.without_group.take().unwrap_or_default();
            self.fates.notes.push(format!(
                "by SIGSTOP, which a SIGCONT of the intruder's undoes, because there is no freezer ({why})"
            ));
        }
        if !self.frozen.members.is_empty()
            && let Err(error) = self.frozen.keep(&self.options.state)
        {
            self.fates.notes.push(format!(
                "this could not be written down ({error}), so thawing puts them into the root group"
            ));
        }
        let is_frozen = !self.frozen.members.is_empty();
        let undo = format!("sensor thaw {}", self.frozen.pid);
        let mut response = self
            .fates
            .into_response(Verb::Freeze, did, target, self.options);
        response.undo = is_frozen.then(|| undo.into());
        response
    }
}

/// Who is frozen now, oldest first; forgets those that have ended since.
#[must_use]
pub fn frozen(state: &Path) -> Vec<Frozen> {
    let root = cgroup::mount_point().ok();
    let mut all = record::read_all(state);
    if let Some(root) = &root {
        let unknown = Group::all(root).into_iter().filter(|group| {
            let is_known = |frozen: &Frozen| frozen.group.as_deref() == Some(group.path());
            !all.iter().any(is_known)
        });
        let unknown: Vec<Frozen> = unknown.filter_map(|group| unrecorded(&group)).collect();
        all.extend(unknown);
    }
    all.retain(|frozen| {
        let lives = !still(frozen).is_empty();
        if !lives {
            forget(frozen, state);
        }
        lives
    });
    all.sort_by_key(|frozen| frozen.wall_ns);
    all
}

/// A group of ours that nobody wrote down.
fn unrecorded(group: &Group) -> Option<Frozen> {
    let processes = group.processes();
    let first = processes.first().and_then(|pid| Stat::of(*pid).ok());
    let Some(first) = first else {
        group.remove();
        return None;
    };
    let mut frozen = Frozen::new(first.key, "", "", 0);
    frozen.group = Some(group.path().to_owned());
    Some(frozen)
}

/// Pids of what is frozen together, also of those born there.
fn still(frozen: &Frozen) -> Vec<u32> {
    let mut pids = frozen
        .group
        .as_deref()
        .map(Group::at)
        .map_or_else(Vec::new, |g| g.processes());
    let stopped = frozen.members.iter().filter(|member| member.home.is_none());
    pids.extend(
        stopped
            .filter(|member| is_stopped(member.key()))
            .map(|member| member.pid),
    );
    pids
}

fn is_stopped(key: ProcessKey) -> bool {
    Stat::of(key.pid).is_ok_and(|stat| stat.key == key && stat.state == 'T')
}

fn forget(frozen: &Frozen, state: &Path) {
    if let Some(group) = &frozen.group {
        Group::at(group).remove();
    }
    frozen.forget(state);
}

/// Lets go on what was frozen together with the process of a pid.
#[must_use]
pub fn thaw(pid: u32, options: &Options) -> Response {
    let of = |frozen: &Frozen| frozen.pid == pid || still(frozen).contains(&pid);
    match frozen(&options.state).into_iter().find(of) {
        Some(frozen) => thaw_one(&frozen, options),
        None => {
            let mut response = answer(pid, options);
            response.outcome = Outcome::Failed;
            response.detail =
                "it is not frozen by the sensor (`sensor frozen` lists what is)".into();
            response
        }
    }
}

/// Lets everything go on.
#[must_use]
pub fn thaw_all(options: &Options) -> Vec<Response> {
    let all = frozen(&options.state);
    all.iter().map(|frozen| thaw_one(frozen, options)).collect()
}

fn answer(pid: u32, options: &Options) -> Response {
    let by = &*options.by;
    let mut response = Response::new(Verb::Thaw, format!("pid {pid}"), options.origin, by);
    response.reason = options.reason.clone();
    response
}

fn thaw_one(frozen: &Frozen, options: &Options) -> Response {
    let target = Target::one(frozen.process());
    let mut fates = Fates::default();
    let pids = still(frozen);
    if options.dry_run {
        fates.done = pids.iter().map(|pid| name(*pid)).collect();
        return fates.into_response(Verb::Thaw, "would go on", &target, options);
    }
    if let Some(path) = &frozen.group {
        send_home(frozen, &Group::at(path), &mut fates);
    }
    for member in frozen.members.iter().filter(|member| member.home.is_none()) {
        wake(member, &mut fates);
    }
    if fates.failed.is_empty() {
        forget(frozen, &options.state);
    }
    fates.into_response(Verb::Thaw, "goes on", &target, options)
}

fn name(pid: u32) -> String {
    Stat::of(pid).map_or_else(|_| format!("pid {pid}"), |stat| stat.name())
}

/// Moves all that are in the group back to where they came from, which thaws them; those born
/// there go where the first one goes.
fn send_home(frozen: &Frozen, group: &Group, fates: &mut Fates) {
    let Ok(root) = cgroup::mount_point() else {
        fates
            .failed
            .push("the control groups are not mounted".to_owned());
        return;
    };
    let default = frozen.members.iter().find_map(|member| member.home.clone());
    let until = Instant::now() + PATIENCE;
    // Again, because the first to go on may start others, in its own group, or the last to be
    // moved may have been born meanwhile.
    while Instant::now() < until {
        let pids = group.processes();
        if pids.is_empty() {
            return;
        }
        for pid in pids {
            let key = Stat::of(pid).ok().map(|stat| stat.key);
            let own = frozen
                .members
                .iter()
                .find(|member| Some(member.key()) == key);
            let home = own
                .and_then(|member| member.home.clone())
                .or_else(|| default.clone());
            let label = name(pid);
            match group::send(pid, &existing(&root, home.as_deref())) {
                Ok(()) => fates.done.push(label),
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => fates.gone.push(label),
                Err(error) => {
                    fates.failed.push(format!("{label}, {error}"));
                    return;
                }
            }
        }
    }
    fates.failed.push("the group does not empty".to_owned());
}

/// A group, or the nearest one above it that is still there.
fn existing(root: &Path, home: Option<&Path>) -> PathBuf {
    let home = home.unwrap_or(Path::new(""));
    let place = home
        .ancestors()
        .map(|path| root.join(path))
        .find(|path| path.is_dir());
    place.unwrap_or_else(|| root.to_owned())
}

fn wake(member: &Member, fates: &mut Fates) {
    let woken = Handle::open(member.key()).map_err(|error| match error {
        HoldError::Gone | HoldError::Reused(_) => None,
        other => Some(io::Error::other(other.to_string())),
    });
    match woken.and_then(|handle| handle.signal(libc::SIGCONT).map_err(Some)) {
        Ok(()) => fates.done.push(name(member.pid)),
        Err(None) => fates.gone.push(format!("pid {}", member.pid)),
        Err(Some(error)) => fates.failed.push(format!("pid {}, {error}", member.pid)),
    }
}
