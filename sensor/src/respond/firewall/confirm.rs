//! What would end unless it is confirmed: made to stay. Its later end is in its note.

use std::collections::HashMap;

use sensor_common::guard::{Entry, Group, Note, OF_ISOLATION, State};

use super::entries::wall_of;
use super::groups::Hierarchy;
use super::isolation::undo;
use super::maps::{List, Maps};
use super::order::Scope;
use super::{Firewall, Result, concluded, is_ahead};
use crate::event::response::{Outcome, Response, Verb};
use crate::respond::Cause;

impl Firewall {
    /// Makes all stay that would end unless it is confirmed; one answer for each.
    pub fn confirm(&mut self, cause: &Cause, dry_run: bool) -> Vec<Response> {
        match self.try_confirm(cause, dry_run) {
            Ok(responses) => responses,
            Err(error) => {
                let response = cause.response(Verb::Confirm, "all");
                vec![concluded(response, Err(error))]
            }
        }
    }

    fn try_confirm(&mut self, cause: &Cause, dry_run: bool) -> Result<Vec<Response>> {
        let lock = self.pins.lock_existing()?;
        let (Some(_lock), true) = (lock, self.take_over()?) else {
            return Ok(Vec::new());
        };
        let mut confirmation = Confirmation {
            maps: self.maps()?,
            dry_run,
            notes: HashMap::new(),
            confirmed: Vec::new(),
        };
        confirmation.entries(List::Deny)?;
        confirmation.entries(List::Allow)?;
        confirmation.groups()?;
        confirmation.host()?;
        let confirmed = confirmation.confirmed;
        let responses = confirmed.into_iter().map(|(target, until, undo)| {
            let mut response = cause.response(Verb::Confirm, target);
            response.until_wall_ns = wall_of(until);
            response.detail = "it stays".into();
            response.undo = Some(undo.into());
            if dry_run {
                response.outcome = Outcome::DryRun;
            }
            response
        });
        Ok(responses.collect())
    }
}

/// Walks over all that is in force, and makes stay what is not confirmed.
struct Confirmation<'m> {
    maps: &'m Maps,
    dry_run: bool,
    /// What becomes of a note's entries: their end, and their note from then on.
    notes: HashMap<u32, Option<(u64, u32)>>,
    confirmed: Vec<(String, u64, String)>,
}

impl Confirmation<'_> {
    /// What becomes of something that ends then and has this note.
    fn of(&mut self, until_boot_ns: u64, number: u32) -> Result<Option<(u64, u32)>> {
        if until_boot_ns == 0 || !is_ahead(until_boot_ns) {
            return Ok(None);
        }
        if let Some(known) = self.notes.get(&number) {
            return Ok(*known);
        }
        let becomes = match self.maps.notes.get(number)? {
            Some(note) if note.confirmed_until_boot_ns != 0 => {
                let confirmed = Note {
                    confirmed_until_boot_ns: 0,
                    ..note
                };
                let number = match self.dry_run {
                    true => number,
                    false => self.maps.notes.number(&confirmed)?,
                };
                Some((note.confirmed_until_boot_ns, number))
            }
            _ => None,
        };
        self.notes.insert(number, becomes);
        Ok(becomes)
    }

    fn entries(&mut self, list: List) -> Result<()> {
        let mut all = Vec::new();
        self.maps
            .each(list, |target, entry| all.push((target, *entry)))?;
        for (target, entry) in all {
            let Some((until_boot_ns, note)) = self.of(entry.until_boot_ns, entry.note)? else {
                continue;
            };
            if !self.dry_run {
                let entry = Entry {
                    until_boot_ns,
                    note,
                    ..entry
                };
                self.maps.set(list, &target, &entry)?;
            }
            if entry.flags & OF_ISOLATION == 0 {
                let undo = match list {
                    List::Deny => "unblock",
                    List::Allow => "disallow",
                };
                let undo = format!("sensor {undo} {}", target.arguments());
                self.confirmed
                    .push((target.to_string(), until_boot_ns, undo));
            }
        }
        Ok(())
    }

    fn groups(&mut self) -> Result<()> {
        let mut all = Vec::new();
        self.maps.groups.each(|id, group| all.push((*id, *group)))?;
        for (id, group) in all {
            let Some((until_boot_ns, note)) = self.of(group.until_boot_ns, group.note)? else {
                continue;
            };
            if !self.dry_run {
                let group = Group {
                    until_boot_ns,
                    note,
                    ..group
                };
                self.maps.groups.set(&id, &group)?;
            }
            let path = Hierarchy::find()?.path_of(id);
            let path = path.unwrap_or_else(|| format!("control group {id}"));
            let undo = format!("sensor release --control-group {path}");
            self.confirmed.push((path, until_boot_ns, undo));
        }
        Ok(())
    }

    fn host(&mut self) -> Result<()> {
        let state = self.maps.state()?;
        let Some((until, note)) = self.of(state.isolated_until_boot_ns, state.note)? else {
            return Ok(());
        };
        if !self.dry_run {
            self.maps.set_state(State {
                isolated_until_boot_ns: until,
                note,
                ..state
            })?;
        }
        let undo = undo(&Scope::Host);
        self.confirmed.push((Scope::Host.to_string(), until, undo));
        Ok(())
    }
}
