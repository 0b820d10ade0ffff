//! Blocks and exceptions: entering them, and taking them back.

use std::collections::HashMap;

use sensor_common::guard::{Entry, FOREVER, PROTECTED};

use super::diag::Socket;
use super::maps::{List, Maps};
use super::notes;
use super::order::{How, Which};
use super::sever::{Connection, Reach, Severed};
use super::target::{Directions, Target};
use super::{Firewall, FirewallError, Result, concluded, is_ahead};
use crate::clock::{boot_ns, wall_ns};
use crate::event::response::{Origin, Outcome, Response, Verb};
use crate::respond::clock::{nanoseconds, show_span};

/// Entries made under one lock: others that want to block somebody must not wait long.
const CHUNK: usize = 65_536;
/// Examples given when many targets are meant.
const EXAMPLES: usize = 3;

/// When something ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// In nanoseconds since boot.
    pub(super) until_boot_ns: u64,
    /// The same once it is confirmed, if that is wanted.
    pub(super) confirmed: Option<u64>,
    /// In nanoseconds since the epoch.
    pub(super) until_wall_ns: Option<u64>,
}

impl End {
    /// Counted from now.
    pub(super) fn new(
        ttl: Option<std::time::Duration>,
        confirm_within: Option<std::time::Duration>,
    ) -> Self {
        let now = boot_ns();
        let after = |span| now.saturating_add(nanoseconds(span));
        let last = ttl.map_or(FOREVER, after);
        let (until, confirmed) = match confirm_within.map(after) {
            Some(first) if first < last => (first, Some(last)),
            _ => (last, None),
        };
        Self {
            until_boot_ns: until,
            confirmed,
            until_wall_ns: (until != FOREVER).then(|| wall_ns().saturating_add(until - now)),
        }
    }
}

/// `without end`, `for 1h`, `for 60s unless confirmed`.
pub(super) fn how_long(
    ttl: Option<std::time::Duration>,
    confirm_within: Option<std::time::Duration>,
) -> String {
    let ttl = ttl.map_or_else(
        || "without end".to_owned(),
        |ttl| format!("for {}", show_span(ttl)),
    );
    match confirm_within {
        Some(within) => format!(
            "for {} only, unless `sensor confirm` makes it {ttl}",
            show_span(within)
        ),
        None => ttl,
    }
}

impl Firewall {
    /// Blocks an address or network. Takes microseconds once armed; then ends connections that
    /// there are, which may take milliseconds.
    pub fn block(&mut self, target: Target, how: &How) -> Response {
        let response = response(Verb::Block, &target, how);
        let mut given = response.clone();
        let result = self.enter(List::Deny, target, how, &mut given);
        concluded(given, result)
    }

    /// Excepts an address or network from all blocks, and from isolation.
    pub fn allow(&mut self, target: Target, how: &How) -> Response {
        let mut given = response(Verb::Allow, &target, how);
        let result = self.enter(List::Allow, target, how, &mut given);
        concluded(given, result)
    }

    /// Connections that a block would end, and those that it would leave hanging.
    ///
    /// # Errors
    /// When the group whose traffic is judged cannot be had.
    pub fn connections(&self, target: Target) -> Result<Vec<Connection>> {
        Ok(self.reach()?.meant(&move |socket| is_with(socket, &target)))
    }

    /// Ends the connections with somebody who was blocked with
    /// [`spare_connections`](How::spare_connections), because something else was more urgent than
    /// this, which may take milliseconds; says so in the answer to that.
    pub fn end_connections(&self, target: Target, response: &mut Response) {
        let ended = match self.reach() {
            Ok(reach) => told(reach.sever(&move |socket| is_with(socket, &target))),
            Err(error) => format!("; no connections were ended: {error}"),
        };
        response.detail = format!("{}{ended}", response.detail).into();
    }

    fn enter(
        &mut self,
        list: List,
        target: Target,
        how: &How,
        response: &mut Response,
    ) -> Result<()> {
        self.check(list, &target, how)?;
        let end = End::new(how.ttl, how.confirm_within);
        response.until_wall_ns = end.until_wall_ns;
        let mut detail = format!("{}, {}", ways(how), how_long(how.ttl, how.confirm_within));
        if how.dry_run {
            if list == List::Deny && !how.spare_connections {
                let found = self.connections(target)?.len();
                detail.push_str(&format!(
                    "; {} would be ended",
                    counted(found, "connection")
                ));
            }
            response.outcome = Outcome::DryRun;
            response.undo = None;
        } else {
            let _lock = self.ready()?;
            let maps = self.maps()?;
            let new = entry(maps, how, end)?;
            if let Some(kept) = put(maps, list, &target, new, how)? {
                detail = format!("it already is, {}", remaining(kept.until_boot_ns));
                response.until_wall_ns = wall_of(kept.until_boot_ns);
            }
            if list == List::Deny && !how.spare_connections {
                let severed = self.reach()?.sever(&move |socket| is_with(socket, &target));
                detail.push_str(&told(severed));
            }
        }
        self.add_lacks(&mut detail);
        response.detail = detail.into();
        Ok(())
    }

    fn check(&mut self, list: List, target: &Target, how: &How) -> Result<()> {
        match list {
            List::Deny => Ok(self.protected()?.check(&target.network, how.force)?),
            List::Allow if target.network.prefix() == 0 => Err(FirewallError::Refused(format!(
                "{} is everybody, and nothing would be blocked any more; to lift everything, use \
                 `sensor unblock --all` and `sensor release`",
                target.network
            ))),
            List::Allow => Ok(()),
        }
    }

    /// Blocks many at once. What is protected is left out, and named in the one answer.
    pub fn block_many(&mut self, targets: &[Target], how: &How) -> Response {
        if let [target] = targets {
            return self.block(*target, how);
        }
        let given = how
            .cause
            .response(Verb::Block, counted(targets.len(), "target"));
        let mut given = given;
        let result = self.enter_many(targets, how, &mut given);
        concluded(given, result)
    }

    fn enter_many(&mut self, targets: &[Target], how: &How, response: &mut Response) -> Result<()> {
        let end = End::new(how.ttl, how.confirm_within);
        let protected = self.protected()?.clone();
        let mut refusals = Vec::new();
        let mut wanted = Vec::with_capacity(targets.len());
        for target in targets {
            match protected.check(&target.network, how.force) {
                Ok(()) => wanted.push(*target),
                Err(refusal) => refusals.push(refusal),
            }
        }
        let left_out = if refusals.is_empty() {
            String::new()
        } else {
            let examples: Vec<_> = refusals
                .iter()
                .take(EXAMPLES)
                .map(ToString::to_string)
                .collect();
            format!("; {} left out: {}", refusals.len(), examples.join("; "))
        };
        response.until_wall_ns = end.until_wall_ns;
        let ways = format!("{}, {}", ways(how), how_long(how.ttl, how.confirm_within));
        if wanted.is_empty() {
            return Err(FirewallError::Refused(format!(
                "nothing to block{left_out}"
            )));
        }
        let mut detail = if how.dry_run {
            response.outcome = Outcome::DryRun;
            format!("{} of them, {ways}{left_out}", wanted.len())
        } else {
            let started = std::time::Instant::now();
            for chunk in wanted.chunks(CHUNK) {
                self.enter_chunk(chunk, how, end)?;
            }
            let rate = wanted.len() as f64 / started.elapsed().as_secs_f64().max(1e-6);
            response.undo = Some(format!("sensor unblock --by {:?}", notes::by(&how.cause)).into());
            let mut detail = format!(
                "{} of them, {ways}{left_out}; {rate:.0} a second",
                wanted.len()
            );
            if !how.spare_connections {
                detail.push_str(&told(sever_many(&self.reach()?, &wanted)));
            }
            detail
        };
        self.add_lacks(&mut detail);
        response.detail = detail.into();
        Ok(())
    }

    fn enter_chunk(&mut self, targets: &[Target], how: &How, end: End) -> Result<()> {
        let _lock = self.ready()?;
        let maps = self.maps()?;
        let new = entry(maps, how, end)?;
        let looks = targets
            .iter()
            .fold(0, |looks, target| looks | super::keys::look(target));
        look(maps, looks)?;
        let known = known(maps, targets)?;
        let entries: Vec<_> = targets
            .iter()
            .map(|target| (*target, merged(known.get(target), new, how)))
            .collect();
        let (done, result) = maps.set_many(List::Deny, &entries);
        result.map_err(|error| {
            FirewallError::Refused(format!(
                "{error}; {done} of {} were entered and stay. Room for more addresses is set by \
                 respond.addresses ({} now), and made once nothing is blocked any more",
                targets.len(),
                maps.addresses()
            ))
        })
    }

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
                    if let std::collections::hash_map::Entry::Vacant(place) =
                        makers.entry(entry.note)
                    {
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

    fn add_lacks(&self, detail: &mut String) {
        if !self.lacks.is_empty() {
            detail.push_str(&format!("; not everywhere: {}", self.lacks.join("; ")));
        }
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

fn response(verb: Verb, target: &Target, how: &How) -> Response {
    let undo = match verb {
        Verb::Allow => "disallow",
        _ => "unblock",
    };
    Response {
        undo: Some(format!("sensor {undo} {}", target.arguments()).into()),
        ..how.cause.response(verb, target.to_string())
    }
}

/// An entry as it is asked for, its note written down.
fn entry(maps: &Maps, how: &How, end: End) -> Result<Entry> {
    Ok(Entry {
        until_boot_ns: end.until_boot_ns,
        made_wall_ns: wall_ns(),
        note: maps.notes.number(&notes::note(&how.cause, end.confirmed))?,
        directions: how.directions.bits(),
        ..Entry::default()
    })
}

/// Makes an entry; gives the one that is there when that holds longer and was not to be changed.
fn put(maps: &Maps, list: List, target: &Target, new: Entry, how: &How) -> Result<Option<Entry>> {
    if list == List::Deny {
        look(maps, super::keys::look(target))?;
    }
    let known = maps.get(list, target)?;
    let merged = merged(known.as_ref(), new, how);
    maps.set(list, target, &merged)?;
    Ok((merged.note != new.note).then_some(merged))
}

/// What an entry becomes. People say how it is to be; playbooks and lists never shorten what
/// others made. What was counted stays.
pub(super) fn merged(known: Option<&Entry>, new: Entry, how: &How) -> Entry {
    let Some(known) = known else {
        return new;
    };
    let counted = Entry {
        packets: known.packets,
        bytes: known.bytes,
        last_boot_ns: known.last_boot_ns,
        ..new
    };
    let is_person = how.cause.origin == Origin::Operator;
    if is_person || !is_ahead(known.until_boot_ns) {
        return counted;
    }
    let directions = known.directions | new.directions;
    if known.until_boot_ns >= new.until_boot_ns {
        return Entry {
            directions,
            ..*known
        };
    }
    Entry {
        directions,
        ..counted
    }
}

/// The entries that some of the targets have, looked for one by one or all at once, whichever is
/// less.
fn known(maps: &Maps, targets: &[Target]) -> Result<HashMap<Target, Entry>> {
    let mut known = HashMap::new();
    if maps.state()?.looks == 0 {
        return Ok(known);
    }
    for target in targets {
        if let Some(entry) = maps.get(List::Deny, target)? {
            known.insert(*target, entry);
        }
    }
    Ok(known)
}

/// Has the programs look where entries are about to be.
fn look(maps: &Maps, looks: u32) -> Result<()> {
    let state = maps.state()?;
    if state.looks & looks == looks {
        return Ok(());
    }
    let looks = state.looks | looks;
    Ok(maps.set_state(sensor_common::guard::State { looks, ..state })?)
}

/// Whether a connection is with a target.
pub(super) fn is_with(socket: &Socket, target: &Target) -> bool {
    if !target.network.contains(socket.remote.ip()) {
        return false;
    }
    let service = target.service;
    let is_protocol = service
        .protocol()
        .is_none_or(|protocol| protocol == socket.protocol);
    let is_port = service
        .port_number()
        .is_none_or(|port| [socket.local.port(), socket.remote.port()].contains(&port.get()));
    is_protocol && is_port
}

/// Ends connections with any of many.
fn sever_many(reach: &Reach, targets: &[Target]) -> Severed {
    let exact: HashMap<_, Vec<&Target>> = targets
        .iter()
        .filter(|target| target.network.is_address())
        .fold(HashMap::new(), |mut map, target| {
            map.entry(target.network.address())
                .or_insert_with(Vec::new)
                .push(target);
            map
        });
    let networks: Vec<_> = targets
        .iter()
        .filter(|target| !target.network.is_address())
        .collect();
    reach.sever(&|socket| {
        let of_address = exact.get(&socket.remote.ip()).into_iter().flatten();
        let mut all = of_address.chain(&networks);
        all.any(|target| is_with(socket, target))
    })
}

/// What became of connections, to be added to a sentence.
pub(super) fn told(severed: Severed) -> String {
    let Severed { ended, left } = severed;
    let mut text = String::new();
    if ended > 0 {
        text.push_str(&format!("; {} ended", counted(ended, "connection")));
    }
    if left > 0 {
        text.push_str(&format!(
            "; {} could not be ended and hang",
            counted(left, "connection")
        ));
    }
    text
}

/// `1 entry`, `2 entries`.
pub(super) fn counted(number: usize, what: &str) -> String {
    match (number, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {what}s"),
    }
}

fn ways(how: &How) -> &'static str {
    match how.directions {
        Directions::In => "in",
        Directions::Out => "out",
        Directions::Both => "in and out",
    }
}

/// When something ends by the wall.
pub(super) fn wall_of(until_boot_ns: u64) -> Option<u64> {
    (until_boot_ns != FOREVER)
        .then(|| wall_ns().saturating_add(until_boot_ns.saturating_sub(boot_ns())))
}

fn remaining(until_boot_ns: u64) -> String {
    match until_boot_ns {
        FOREVER => "without end".to_owned(),
        until => {
            let left = std::time::Duration::from_nanos(until.saturating_sub(boot_ns()));
            format!("for another {}", show_span(left))
        }
    }
}
