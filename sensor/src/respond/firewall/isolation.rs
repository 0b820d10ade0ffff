//! Isolates this host or a control group, and takes that back: first who is to be spared, then
//! the isolation itself, then a look at whether the operator's connection survived it.

use std::collections::HashMap;
use std::num::NonZeroU16;
use std::time::Instant;

use sensor_common::guard::{
    Entry, GROUPS_MAX, Group as GroupValue, Note, OF_ISOLATION, PROTECTED, REMOTE_PORT, State,
};

use super::diag::Socket;
use super::entries::{End, counted, how_long, is_with, told};
use super::groups::{Found, Hierarchy};
use super::maps::{List, Maps};
use super::network::Network;
use super::operator::Sessions;
use super::order::{Group, Isolation, Scope};
use super::protect::name_servers;
use super::selftest::{self, Verdict};
use super::sever::{Connection, Reach};
use super::target::{Protocol, Service, Target};
use super::{Firewall, FirewallError, Result, concluded, is_ahead, notes, operator};
use crate::clock::wall_ns;
use crate::event::response::{Outcome, Response, Verb};
use crate::respond::Cause;

/// Port of the domain name system.
const DNS: NonZeroU16 = NonZeroU16::MIN.saturating_add(52);
/// Logins named in a refusal.
const EXAMPLES: usize = 3;

/// Who is spared, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spared {
    entries: Vec<(Target, u8)>,
}

impl Spared {
    fn add(&mut self, target: Target, flags: u8) {
        let flags = flags | OF_ISOLATION;
        match self.entries.iter_mut().find(|(known, _)| *known == target) {
            Some((_, known)) => *known |= flags,
            None => self.entries.push((target, flags)),
        }
    }

    fn of(isolation: &Isolation, configured: &[Target], sessions: &Sessions) -> Self {
        let mut this = Self::default();
        if isolation.allow_operator {
            let asking = sessions.asking.iter().map(|session| session.client.ip());
            for address in asking.chain(sessions.remembered.iter().copied()) {
                if !address.is_loopback() {
                    this.add(Network::from(address).into(), PROTECTED);
                }
            }
        }
        if isolation.allow_names {
            for address in name_servers().into_iter().filter(|one| !one.is_loopback()) {
                for protocol in [Protocol::UDP, Protocol::TCP] {
                    let service = Service::Port(protocol, DNS);
                    this.add(Target::new(address.into(), service), REMOTE_PORT);
                }
            }
        }
        for target in configured.iter().chain(&isolation.allow) {
            this.add(*target, 0);
        }
        this
    }

    fn has(&self, socket: &Socket) -> bool {
        self.entries
            .iter()
            .any(|(target, _)| is_with(socket, target))
    }
}

/// Whether an isolation cuts a connection off.
fn is_cut(socket: &Socket, spared: &Spared) -> bool {
    let (here, there) = (socket.local.ip(), socket.remote.ip());
    here != there && !there.is_loopback() && !spared.has(socket)
}

/// A scope, looked up.
enum Place {
    Host,
    Group(Found),
}

impl Firewall {
    /// Isolates this host or a control group.
    pub fn isolate(&mut self, isolation: &Isolation) -> Response {
        let mut response = isolation
            .cause
            .response(Verb::Isolate, isolation.scope.to_string());
        response.undo = Some(undo(&isolation.scope).into());
        let result = self.try_isolate(isolation, &mut response);
        concluded(response, result)
    }

    /// Connections that an isolation would end.
    ///
    /// # Errors
    /// When the group cannot be had, or the kernel does not tell.
    pub fn isolation_connections(&self, isolation: &Isolation) -> Result<Vec<Connection>> {
        let sessions = Sessions::look().map_err(FirewallError::Host)?;
        let spared = Spared::of(isolation, &self.settings.allow, &sessions);
        let reach = self.reach_of(&place(&isolation.scope)?)?;
        Ok(reach.meant(&move |socket| is_cut(socket, &spared)))
    }

    fn try_isolate(&mut self, isolation: &Isolation, response: &mut Response) -> Result<()> {
        let sessions = Sessions::look().map_err(FirewallError::Host)?;
        let spared = Spared::of(isolation, &self.settings.allow, &sessions);
        check(isolation, &sessions, &spared)?;
        let place = place(&isolation.scope)?;
        if let Place::Group(group) = &place {
            group.check(&vital())?;
            response.target = group.path.as_str().into();
        }
        let end = End::new(isolation.ttl, isolation.confirm_within);
        response.until_wall_ns = end.until_wall_ns;
        let allowed: Vec<_> = spared
            .entries
            .iter()
            .map(|(target, _)| target.to_string())
            .collect();
        let mut detail = format!(
            "{}; allowed: {}",
            how_long(isolation.ttl, isolation.confirm_within),
            if allowed.is_empty() {
                "nobody".to_owned()
            } else {
                allowed.join(", ")
            }
        );
        if isolation.dry_run {
            let found = self.isolation_connections(isolation)?.len();
            detail.push_str(&format!(
                "; {} would be ended",
                counted(found, "connection")
            ));
            response.outcome = Outcome::DryRun;
            response.undo = None;
            response.detail = detail.into();
            return Ok(());
        }
        let since = self.take_effect(isolation, &place, &spared, end)?;
        if isolation.self_test && isolation.allow_operator && matches!(place, Place::Host) {
            detail.push_str(self.tested(isolation, &sessions, since)?);
        }
        if !isolation.spare_connections {
            let reach = self.reach_of(&place)?;
            let severed = reach.sever(&|socket| is_cut(socket, &spared));
            detail.push_str(&told(severed));
        }
        if !self.lacks.is_empty() {
            detail.push_str(&format!("; not everywhere: {}", self.lacks.join("; ")));
        }
        response.detail = detail.into();
        Ok(())
    }

    /// Whose connections an isolation cuts off.
    fn reach_of(&self, place: &Place) -> Result<Reach> {
        match place {
            Place::Group(group) => Ok(Reach::of(&group.processes())),
            Place::Host => self.reach(),
        }
    }

    /// Has the programs isolate; gives the moment from which they do.
    fn take_effect(
        &mut self,
        isolation: &Isolation,
        place: &Place,
        spared: &Spared,
        end: End,
    ) -> Result<Instant> {
        let _lock = self.ready()?;
        let maps = self.maps()?;
        let note = maps
            .notes
            .number(&notes::note(&isolation.cause, end.confirmed))?;
        for (target, flags) in &spared.entries {
            spare(maps, target, *flags, note, end)?;
        }
        let since = Instant::now();
        let state = maps.state()?;
        match place {
            Place::Host => maps.set_state(State {
                isolated_until_boot_ns: end.until_boot_ns,
                note,
                ..state
            })?,
            Place::Group(group) => {
                let value = GroupValue {
                    until_boot_ns: end.until_boot_ns,
                    note,
                    level: group.level,
                    ..maps.groups.get(&group.id)?.unwrap_or_default()
                };
                maps.groups.set(&group.id, &value).map_err(|error| {
                    FirewallError::Refused(format!(
                        "{error}; at most {GROUPS_MAX} control groups can be isolated at a time"
                    ))
                })?;
                maps.set_state(State {
                    group_levels: state.group_levels | 1 << group.level,
                    ..state
                })?;
            }
        }
        Ok(since)
    }

    /// Takes the isolation back if the operator's connection did not survive it.
    fn tested(
        &mut self,
        isolation: &Isolation,
        sessions: &Sessions,
        since: Instant,
    ) -> Result<&'static str> {
        let remote: Vec<_> = sessions
            .asking
            .iter()
            .filter(|session| !session.client.ip().is_loopback())
            .copied()
            .collect();
        if remote.is_empty() {
            return Ok("");
        }
        selftest::settle();
        // At the command line this goes to the operator's terminal, and so over the connection
        // that is to be tested.
        tracing::info!("isolated; looking whether your connection survives that");
        match selftest::watch(&remote, since) {
            Ok(Verdict::Alive) => Ok("; the operator's connection is alive"),
            Ok(Verdict::Idle) => Ok("; the operator's connection is idle, so it was not tested"),
            Ok(Verdict::Dead) => {
                self.try_release(&isolation.scope, false)?;
                Err(FirewallError::Refused(
                    "the operator's connection did not survive it, so it was taken back".to_owned(),
                ))
            }
            Err(_) => Ok("; whether the operator's connection is alive cannot be seen"),
        }
    }

    /// Takes an isolation back.
    pub fn release(&mut self, scope: &Scope, cause: &Cause, dry_run: bool) -> Response {
        let mut response = cause.response(Verb::Release, scope.to_string());
        match self.try_release(scope, dry_run) {
            Ok(detail) => {
                response.detail = detail.into();
                if dry_run {
                    response.outcome = Outcome::DryRun;
                }
                response
            }
            Err(error) => concluded(response, Err(error)),
        }
    }

    fn try_release(&mut self, scope: &Scope, dry_run: bool) -> Result<&'static str> {
        let not_isolated = || FirewallError::Refused(format!("{scope} is not isolated"));
        let lock = self.pins.lock_existing()?;
        let (Some(lock), true) = (lock, self.take_over()?) else {
            return Err(not_isolated());
        };
        let maps = self.maps()?;
        let state = maps.state()?;
        match place(scope)? {
            Place::Host if state.isolated_until_boot_ns == 0 => return Err(not_isolated()),
            Place::Group(group) if maps.groups.get(&group.id)?.is_none() => {
                return Err(not_isolated());
            }
            _ if dry_run => return Ok("traffic would pass again"),
            Place::Host => maps.set_state(State {
                isolated_until_boot_ns: 0,
                note: notes::NONE,
                ..state
            })?,
            Place::Group(group) => {
                maps.groups.remove(&group.id)?;
            }
        }
        forget_spared(maps)?;
        self.settle(&lock)?;
        Ok("traffic passes again, but what is blocked by address")
    }

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
            response.until_wall_ns = super::entries::wall_of(until);
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
                let group = GroupValue {
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

fn undo(scope: &Scope) -> String {
    match scope {
        Scope::Host => "sensor release".to_owned(),
        Scope::Group(Group::Path(path)) => {
            format!("sensor release --control-group {}", path.display())
        }
        Scope::Group(Group::Container(id)) => format!("sensor release --container {id}"),
    }
}

fn place(scope: &Scope) -> Result<Place> {
    Ok(match scope {
        Scope::Host => Place::Host,
        Scope::Group(group) => Place::Group(Hierarchy::find()?.group(group)?),
    })
}

/// Processes that nobody may be cut off from, by name: the first, whoever asks, and every sshd.
fn vital() -> Vec<(u32, String)> {
    let mut found = vec![(1, "process 1".to_owned())];
    found.extend(
        operator::ancestors()
            .into_iter()
            .map(|pid| (pid, "whoever asks".to_owned())),
    );
    found.extend(
        operator::sshds()
            .into_iter()
            .map(|pid| (pid, "sshd".to_owned())),
    );
    found
}

/// Whether who asks can take it back afterwards.
fn check(isolation: &Isolation, sessions: &Sessions, spared: &Spared) -> Result<()> {
    if let Some(target) = isolation.allow.iter().find(|one| one.network.prefix() == 0) {
        return Err(FirewallError::Refused(format!(
            "--allow {target} is everybody, and nothing would be isolated"
        )));
    }
    let is_known = !sessions.asking.is_empty() || !sessions.remembered.is_empty();
    if isolation.scope != Scope::Host || !isolation.allow_operator || is_known {
        return Ok(());
    }
    let is_spared = |address| {
        let mut all = spared.entries.iter();
        all.any(|(target, _)| target.network.contains(address))
    };
    let others: Vec<_> = sessions
        .others
        .iter()
        .map(|session| session.client.ip())
        .collect();
    if others.is_empty() || others.iter().any(|address| is_spared(*address)) {
        return Ok(());
    }
    let names: Vec<_> = others
        .iter()
        .take(EXAMPLES)
        .map(ToString::to_string)
        .collect();
    Err(FirewallError::Refused(format!(
        "it cannot be told whether you are one of those logged in by ssh (from {}), so you may be \
         cut off: say --allow ADDRESS with yours, or --no-operator if you are at the console",
        names.join(", ")
    )))
}

/// Excepts somebody from an isolation, unless it is excepted for other reasons already.
fn spare(maps: &Maps, target: &Target, flags: u8, note: u32, end: End) -> Result<()> {
    let known = maps.get(List::Allow, target)?;
    let is_others = |known: Entry| is_ahead(known.until_boot_ns) && known.flags & OF_ISOLATION == 0;
    if known.is_some_and(is_others) {
        return Ok(());
    }
    let entry = Entry {
        until_boot_ns: end.until_boot_ns,
        made_wall_ns: wall_ns(),
        note,
        directions: super::target::Directions::Both.bits(),
        flags,
        ..known.unwrap_or_default()
    };
    Ok(maps.set(List::Allow, target, &entry)?)
}

/// Takes back who was spared, once nothing is isolated any more.
fn forget_spared(maps: &Maps) -> Result<()> {
    let mut groups = 0;
    maps.groups.each(|_, _| groups += 1)?;
    if groups > 0 || maps.state()?.isolated_until_boot_ns != 0 {
        return Ok(());
    }
    let mut spared = Vec::new();
    maps.each(List::Allow, |target, entry| {
        if entry.flags & OF_ISOLATION != 0 {
            spared.push(target);
        }
    })?;
    maps.remove_many(List::Allow, &spared)?;
    Ok(())
}
