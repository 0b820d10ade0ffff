//! Blocks and exceptions: taking them back.

use std::collections::HashMap;
use std::collections::hash_map;

use sensor_common::guard::{Entry, PROTECTED};

use super::entries::counted;
use super::maps::List;
use super::notes;
use super::order::{How, Which};
use super::target::Target;
use super::{Firewall, FirewallError, Result, concluded};
use crate::event::response::{Outcome, Response, Verb};

impl Firewall {
    /// Takes blocks back.
    pub fn unblock(&mut self, which: &Which, how: &How) -> Response {
        self.take_back(Verb::Unblock, List::Deny, which, how)
    }

    /// Takes exceptions back.
    pub fn disallow(&mut self, which: &Which, how: &How) -> Response {
        self.take_back(Verb::Disallow, List::Allow, which, how)
    }

    fn take_back(&mut self, verb: Verb, list: List, which: &Which, how: &How) -> Response {
        let target = match which {
            Which::Targets(targets) | Which::Of(targets, _) => match targets.as_slice() {
                [target] => target.to_string(),
                targets => counted(targets.len(), "target"),
            },
            Which::By(name) => format!("all of {name}"),
            Which::All => "all".to_owned(),
        };
        let mut response = how.cause.response(verb, target);
        let result = self.try_take_back(list, which, how, &mut response);
        concluded(response, result)
    }

    fn try_take_back(
        &mut self,
        list: List,
        which: &Which,
        how: &How,
        response: &mut Response,
    ) -> Result<()> {
        let lock = self.pins.lock_existing()?;
        let (Some(lock), true) = (lock, self.take_over()?) else {
            return Err(nothing(list));
        };
        let meant = self.meant(list, which)?;
        let is_free = |(_, entry): &(Target, Entry)| how.force || entry.flags & PROTECTED == 0;
        let (free, protected): (Vec<_>, Vec<_>) = meant.into_iter().partition(is_free);
        if let ([], [(target, _), ..]) = (free.as_slice(), protected.as_slice()) {
            return Err(FirewallError::Refused(format!(
                "{target} is allowed because whoever isolated this host is connected from there; \
                 --force takes it back nevertheless"
            )));
        }
        if free.is_empty() {
            return Err(self.not_there(list, which)?);
        }
        let mut detail = format!("{} taken back", counted(free.len(), "entry"));
        if let Which::Targets(targets) = which
            && targets.len() > free.len()
        {
            detail.push_str(&format!("; {} had none", targets.len() - free.len()));
        }
        response.detail = detail.into();
        if how.dry_run {
            response.outcome = Outcome::DryRun;
            return Ok(());
        }
        let targets: Vec<_> = free.iter().map(|(target, _)| *target).collect();
        self.maps()?.remove_many(list, &targets)?;
        self.settle(&lock)
    }

    /// The entries that are meant.
    fn meant(&self, list: List, which: &Which) -> Result<Vec<(Target, Entry)>> {
        let maps = self.maps()?;
        let mut found = Vec::new();
        match which {
            Which::Targets(targets) => {
                for target in targets {
                    if let Some(entry) = maps.get(list, target)? {
                        found.push((*target, entry));
                    }
                }
            }
            Which::Of(targets, origin) => {
                let mut makers = HashMap::new();
                for target in targets {
                    let Some(entry) = maps.get(list, target)? else {
                        continue;
                    };
                    let maker = match makers.get(&entry.note) {
                        Some(maker) => *maker,
                        None => {
                            let note = maps.notes.get(entry.note)?;
                            let maker = note.map(|note| notes::cause(&note).origin);
                            makers.insert(entry.note, maker);
                            maker
                        }
                    };
                    if maker == Some(*origin) {
                        found.push((*target, entry));
                    }
                }
            }
            Which::All => maps.each(list, |target, entry| found.push((target, *entry)))?,
            Which::By(name) => {
                maps.each(list, |target, entry| found.push((target, *entry)))?;
                let mut makers = HashMap::new();
                for (_, entry) in &found {
                    if let hash_map::Entry::Vacant(place) = makers.entry(entry.note) {
                        let note = maps.notes.get(entry.note)?;
                        let by = note.map(|note| notes::by(&notes::cause(&note)));
                        place.insert(by.as_deref() == Some(&**name));
                    }
                }
                found.retain(|(_, entry)| makers.get(&entry.note) == Some(&true));
            }
        }
        Ok(found)
    }

    /// Why there is nothing to take back, with what may have been meant.
    fn not_there(&self, list: List, which: &Which) -> Result<FirewallError> {
        let Which::Targets(targets) = which else {
            return Ok(nothing(list));
        };
        let mut covering = None;
        self.maps()?.each(list, |target, _| {
            if targets
                .iter()
                .any(|wanted| target.network.overlaps(&wanted.network))
            {
                covering = Some(target);
            }
        })?;
        Ok(match covering {
            None => nothing(list),
            Some(target) => FirewallError::Refused(format!(
                "there is no such entry, but one for {target}; name that"
            )),
        })
    }
}

fn nothing(list: List) -> FirewallError {
    FirewallError::Refused(
        match list {
            List::Deny => "there is no such block; `sensor blocks` lists them",
            List::Allow => "there is no such exception; `sensor blocks` lists them",
        }
        .to_owned(),
    )
}
