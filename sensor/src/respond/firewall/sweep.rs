//! What ends by itself: the programs act as if it were gone already; here it is removed and said
//! to be. Then the programs are told where there is nothing left to look for, and are taken off
//! when there is nothing left at all.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use sensor_common::guard::{Entry, OF_ISOLATION, State};

use super::groups::Hierarchy;
use super::isolation::forget_spared;
use super::maps::{List, Maps};
use super::pins::Lock;
use super::target::Target;
use super::{Firewall, Result, is_ahead, keys, notes};
use crate::event::response::{Origin, Response, Verb};
use crate::respond::Cause;

/// Shortest time between two looks at all entries.
const PAUSE: Duration = Duration::from_secs(5);
/// How much longer the pause is than a look takes: with a million entries it takes a while.
const PAUSE_PER_LOOK: u32 = 100;
/// Entries of one note that are told of one by one.
const TOLD_EACH: usize = 8;

/// What there is, and what is over.
#[derive(Default)]
struct Findings {
    looks: u32,
    allowed: usize,
    denied: usize,
    used: HashSet<u32>,
    expired: Vec<(List, Target, Entry)>,
}

impl Findings {
    fn of(maps: &Maps) -> Result<Self> {
        let mut this = Self::default();
        for list in List::ALL {
            maps.each(list, |target, entry| this.add(list, target, entry))?;
        }
        Ok(this)
    }

    fn add(&mut self, list: List, target: Target, entry: &Entry) {
        if !is_ahead(entry.until_boot_ns) {
            self.expired.push((list, target, *entry));
            return;
        }
        self.used.insert(entry.note);
        match list {
            List::Deny => {
                self.denied += 1;
                self.looks |= keys::look(&target);
            }
            List::Allow => self.allowed += 1,
        }
    }
}

impl Firewall {
    /// Removes what is over, and says so.
    pub(super) fn sweep(&mut self, lock: &Lock) -> Result<Vec<Response>> {
        let started = Instant::now();
        let mut responses = Vec::new();
        {
            let maps = self.maps()?;
            let mut findings = Findings::of(maps)?;
            let expired = std::mem::take(&mut findings.expired);
            for list in List::ALL {
                let of_list = expired.iter().filter(|(of, _, _)| *of == list);
                let targets: Vec<_> = of_list.map(|(_, target, _)| *target).collect();
                maps.remove_many(list, &targets)?;
            }
            responses.extend(tell(maps, &expired)?);
            responses.extend(sweep_groups(maps, &mut findings.used)?);
            responses.extend(sweep_state(maps, &mut findings)?);
            forget_spared(maps)?;
            maps.notes.keep_only(&findings.used)?;
            let state = maps.state()?;
            let is_isolating = state.isolated_until_boot_ns != 0 || state.group_levels != 0;
            if findings.denied == 0 && !is_isolating {
                self.rest(lock, findings.allowed == 0)?;
            }
        }
        self.next_sweep = started + PAUSE.max(started.elapsed() * PAUSE_PER_LOOK);
        Ok(responses)
    }

    /// After something was taken back.
    pub(super) fn settle(&mut self, lock: &Lock) -> Result<()> {
        // Whatever happens to have ended at the same time is told by the next look.
        for response in self.sweep(lock)? {
            tracing::info!("{response}");
            self.untold.push(response);
        }
        Ok(())
    }

    /// Takes the programs off, and lets go of the maps when there is nothing in them; unless
    /// somebody has it armed.
    fn rest(&mut self, _: &Lock, is_empty: bool) -> Result<()> {
        let Some(taken) = &self.taken else {
            return Ok(());
        };
        if self.kept.is_some() || self.pins.is_kept() {
            return Ok(());
        }
        taken.links.detach()?;
        if is_empty {
            self.pins.remove_all()?;
            self.taken = None;
        }
        Ok(())
    }
}

/// Forgets control groups whose time is over, or that are gone; keeps the notes of others.
fn sweep_groups(maps: &Maps, used: &mut HashSet<u32>) -> Result<Vec<Response>> {
    let mut over = Vec::new();
    let mut levels = 0_u32;
    maps.groups.each(|id, group| {
        if is_ahead(group.until_boot_ns) {
            used.insert(group.note);
            levels |= 1_u32.checked_shl(group.level).unwrap_or(0);
        } else {
            over.push((*id, group.note));
        }
    })?;
    let mut responses = Vec::new();
    for (id, note) in over {
        maps.groups.remove(&id)?;
        let path = Hierarchy::find()
            .ok()
            .and_then(|hierarchy| hierarchy.path_of(id));
        let target = path.unwrap_or_else(|| format!("control group {id}, which is gone"));
        responses.push(over_of(maps, note, Verb::Release, target)?);
    }
    let state = maps.state()?;
    if state.group_levels != levels {
        maps.set_state(State {
            group_levels: levels,
            ..state
        })?;
    }
    Ok(responses)
}

/// Ends an isolation of the host whose time is over, and clears what need not be looked for.
fn sweep_state(maps: &Maps, findings: &mut Findings) -> Result<Option<Response>> {
    let state = maps.state()?;
    let mut next = State {
        looks: findings.looks,
        ..state
    };
    let is_over = state.isolated_until_boot_ns != 0 && !is_ahead(state.isolated_until_boot_ns);
    if is_over {
        next.isolated_until_boot_ns = 0;
        next.note = notes::NONE;
    } else {
        findings.used.insert(state.note);
    }
    if (next.looks, next.isolated_until_boot_ns) != (state.looks, state.isolated_until_boot_ns) {
        maps.set_state(next)?;
    }
    if !is_over {
        return Ok(None);
    }
    over_of(maps, state.note, Verb::Release, "host".to_owned()).map(Some)
}

/// What is said of entries that are over: each of a few, many of one maker together. Exceptions
/// of an isolation end with it and are not mentioned.
fn tell(maps: &Maps, expired: &[(List, Target, Entry)]) -> Result<Vec<Response>> {
    let mut of_note: HashMap<(List, u32), Vec<&Target>> = HashMap::new();
    for (list, target, entry) in expired {
        if entry.flags & OF_ISOLATION == 0 {
            of_note.entry((*list, entry.note)).or_default().push(target);
        }
    }
    let mut responses = Vec::new();
    for ((list, note), targets) in of_note {
        let verb = match list {
            List::Deny => Verb::Unblock,
            List::Allow => Verb::Disallow,
        };
        if targets.len() > TOLD_EACH {
            let target = super::entries::counted(targets.len(), "target");
            responses.push(over_of(maps, note, verb, target)?);
        } else {
            for target in targets {
                responses.push(over_of(maps, note, verb, target.to_string())?);
            }
        }
    }
    Ok(responses)
}

fn over_of(maps: &Maps, note: u32, verb: Verb, target: String) -> Result<Response> {
    let note = maps.notes.get(note)?;
    let made = note.as_ref().map(notes::cause);
    let needed = note.is_some_and(|note| note.confirmed_until_boot_ns != 0);
    let cause = Cause {
        origin: Origin::Timer,
        by: made
            .as_ref()
            .map_or_else(Box::default, |made| notes::by(made).into()),
        reason: made.map_or_else(Box::default, |made| made.reason),
    };
    let mut response = cause.response(verb, target);
    response.detail = if needed {
        "it was not confirmed in time"
    } else {
        "its time was over"
    }
    .into();
    Ok(response)
}
