//! The firewall: who is cut off, in the kernel, and stays so whether or not a sensor runs. Used
//! alike by the command line, by playbooks and by lists; every operation says what became of it.
//!
//! Its programs, their maps and the links that hold them in place are pinned below
//! [`Settings::pins`]. Whoever opens the firewall takes over what is there; who changes it holds
//! a lock on that directory. Time limits are kept by the programs.
//!
//! Nothing is attached while nothing is in force, unless somebody has it armed. This file is the
//! handle of it all: what is loaded, attached and taken over when. What is entered is in
//! `entries`, what is taken back in `lift`, what is isolated in `isolation`, what is confirmed in
//! `confirm`, what ends by itself in `sweep`.

mod confirm;
mod diag;
mod entries;
mod groups;
mod host;
mod isolation;
mod keys;
mod lift;
mod links;
pub mod listing;
mod maps;
mod netlink;
pub mod network;
mod notes;
pub mod object;
mod operator;
pub mod order;
mod pins;
mod places;
pub mod protect;
mod selftest;
mod sever;
mod sweep;
mod sys;
mod table;
pub mod target;

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use sensor_common::guard::{NETS_MAX, PROTECTED};
use thiserror::Error;

use crate::event::response::{Origin, Outcome, Response, Verb};
use crate::respond::Cause;
use groups::{GroupError, Hierarchy};
pub use links::Attachment;
use links::{Links, LinksError};
use maps::{List, Maps};
use object::Sizes;
use order::Settings;
use pins::{Lock, Pins, PinsError};
use protect::{Protected, Protection, Refusal};
pub use sever::Connection;
use sever::Reach;
use table::TableError;

/// How old a list of what is protected may be.
const PROTECTED_AGE: Duration = Duration::from_secs(2);

/// Why something was not done.
#[derive(Debug, Error)]
pub enum FirewallError {
    /// Something protected is in the way.
    #[error(transparent)]
    Protected(#[from] Refusal),
    /// It was asked for what must not or cannot be.
    #[error("{0}")]
    Refused(String),
    /// No place for pins.
    #[error(transparent)]
    Pins(#[from] PinsError),
    /// The programs are not taken, or cannot be attached.
    #[error(transparent)]
    Links(#[from] LinksError),
    /// A map cannot be used.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A control group cannot be had.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// The kernel does not tell what is to be protected.
    #[error(
        "the kernel does not say which addresses, routes and connections this host has ({0}), so \
         nothing could be protected, and nothing was done"
    )]
    Host(io::Error),
}

impl FirewallError {
    /// Whether it may not be, or did not work.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Protected(_) | Self::Refused(_) => Outcome::Refused,
            Self::Group(GroupError::NoHierarchy(_)) => Outcome::Failed,
            Self::Group(_) => Outcome::Refused,
            _ => Outcome::Failed,
        }
    }
}

type Result<T, E = FirewallError> = std::result::Result<T, E>;

/// The firewall as this process has it. Nothing is loaded before it is needed.
pub struct Firewall {
    settings: Settings,
    pins: Pins,
    taken: Option<Taken>,
    /// Held while it is to stay attached whatever is lifted.
    kept: Option<Lock>,
    protected: Option<(Instant, Protected)>,
    /// Where it is not attached, and why.
    lacks: Vec<String>,
    /// Said by the next tick: what ended by itself while something else was done.
    untold: Vec<Response>,
    next_sweep: Instant,
}

/// What is pinned, opened.
struct Taken {
    maps: Maps,
    links: Links,
    identity: (u64, u64),
}

impl fmt::Debug for Firewall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Firewall")
            .field("pins", &self.settings.pins)
            .field("is_taken", &self.taken.is_some())
            .field("is_armed", &self.kept.is_some())
            .finish_non_exhaustive()
    }
}

impl Firewall {
    /// Takes over what is pinned; loads nothing when nothing is.
    ///
    /// # Errors
    /// When what is pinned cannot be used, or not by us.
    pub fn open(settings: Settings) -> Result<Self> {
        let mut this = Self {
            pins: Pins::new(settings.pins.clone()),
            settings,
            taken: None,
            kept: None,
            protected: None,
            lacks: Vec::new(),
            untold: Vec::new(),
            next_sweep: Instant::now(),
        };
        // That also says whether we may.
        let lock = this.pins.lock_existing()?;
        if lock.is_some() {
            this.take_over()?;
        }
        Ok(this)
    }

    /// Loads and attaches the programs now and keeps them in place as long as this lives, so that
    /// a block costs no more than an entry in a table. For the daemon, when it has a policy that
    /// blocks.
    ///
    /// # Errors
    /// When the kernel refuses what it takes.
    pub fn arm(&mut self) -> Result<()> {
        let _lock = self.ready()?;
        self.kept = Some(self.pins.keep()?);
        self.protected()?;
        Ok(())
    }

    /// What has to be done from time to time; the daemon calls it once a second: takes up new
    /// interfaces, looks anew what is protected, removes what has expired and says so.
    pub fn tick(&mut self) -> Vec<Response> {
        match self.try_tick() {
            Ok(responses) => responses,
            Err(error) => {
                tracing::warn!(%error, "the firewall cannot be looked after");
                Vec::new()
            }
        }
    }

    fn try_tick(&mut self) -> Result<Vec<Response>> {
        let mut responses = std::mem::take(&mut self.untold);
        if self.kept.is_some() && !self.is_current() {
            self.kept = None;
            responses.push(lifted_by_hand());
        }
        // Who changes something also does this; there is nothing to wait for.
        let Some(lock) = self.pins.try_lock()? else {
            return Ok(responses);
        };
        if !self.take_over()? {
            return Ok(responses);
        }
        if self.kept.is_some() || self.taken.as_ref().is_some_and(|taken| taken.links.any()) {
            self.attach()?;
        }
        if self.kept.is_some() {
            self.protected = None;
            self.protected()?;
        }
        if Instant::now() >= self.next_sweep {
            responses.extend(self.sweep(&lock)?);
        }
        Ok(responses)
    }

    /// What ended by itself while something else was done, and is not said yet.
    pub fn untold(&mut self) -> Vec<Response> {
        std::mem::take(&mut self.untold)
    }

    /// Whether who asks is logged in by ssh.
    #[must_use]
    pub fn is_asked_by_ssh(&self) -> bool {
        operator::Sessions::look().is_ok_and(|sessions| !sessions.asking.is_empty())
    }

    /// Whether what we have open is what is pinned.
    fn is_current(&self) -> bool {
        let identity = self.taken.as_ref().map(|taken| taken.identity);
        identity.is_some() && identity == self.pins.identity()
    }

    /// Opens what is pinned, unless that was done; whether there is anything.
    fn take_over(&mut self) -> Result<bool> {
        if !self.pins.exist() {
            self.taken = None;
        } else if !self.is_current() {
            self.taken = None;
            if let Some(identity) = self.pins.identity() {
                self.taken = Some(Taken {
                    maps: Maps::open(&self.pins.maps())?,
                    links: Links::new(self.pins.clone()),
                    identity,
                });
            }
        }
        Ok(self.taken.is_some())
    }

    /// Has everything loaded and attached; the lock is for what follows.
    fn ready(&mut self) -> Result<Lock> {
        let lock = self.pins.prepare()?;
        if self.kept.is_some() && self.is_current() {
            return Ok(lock);
        }
        let links = Links::new(self.pins.clone());
        let sizes = Sizes {
            addresses: self.settings.addresses,
            networks: NETS_MAX,
        };
        links.install(sizes)?;
        self.take_over()?;
        self.attach()?;
        Ok(lock)
    }

    /// Attaches wherever it is not attached yet.
    fn attach(&mut self) -> Result<()> {
        let Some(taken) = &mut self.taken else {
            return Ok(());
        };
        self.lacks.clear();
        let group = match &self.settings.control_group {
            Some(path) => taken.links.attach_group(path),
            None => match Hierarchy::find() {
                Ok(hierarchy) => taken.links.attach_group(&hierarchy.path()),
                Err(error) => Err(error.to_string()),
            },
        };
        let state = taken.maps.state()?;
        let sockets = u32::from(group.is_ok());
        if state.sockets != sockets {
            taken
                .maps
                .set_state(sensor_common::guard::State { sockets, ..state })?;
        }
        self.lacks.extend(group.err());
        match taken.links.attach_interfaces() {
            Ok(refused) => self
                .lacks
                .extend(refused.iter().map(|(_, why)| why.clone())),
            Err(error) => self.lacks.push(format!("interfaces: {error}")),
        }
        if taken.links.any() {
            return Ok(());
        }
        Err(LinksError::Nowhere(self.lacks.join("; ")).into())
    }

    /// What is protected, as of a moment ago.
    fn protected(&mut self) -> Result<&Protected> {
        let is_fresh = |(at, _): &(Instant, Protected)| at.elapsed() < PROTECTED_AGE;
        let protected = match self.protected.take().filter(is_fresh) {
            Some(protected) => protected,
            None => {
                let mut fresh =
                    Protected::look(&self.settings.protect).map_err(FirewallError::Host)?;
                fresh.add(Protection::Operator, self.operators()?);
                (Instant::now(), fresh)
            }
        };
        Ok(&self.protected.insert(protected).1)
    }

    /// Who was allowed as the operator when something was isolated.
    fn operators(&self) -> Result<Vec<std::net::IpAddr>> {
        let mut found = Vec::new();
        if let Some(taken) = &self.taken {
            taken.maps.each(List::Allow, |target, entry| {
                if entry.flags & PROTECTED != 0 && is_ahead(entry.until_boot_ns) {
                    found.push(target.network.address());
                }
            })?;
        }
        Ok(found)
    }

    /// Whose connections are judged, and so can be ended.
    fn reach(&self) -> Result<Reach> {
        let Some(path) = &self.settings.control_group else {
            return Ok(Reach::EVERYBODY);
        };
        let group = Hierarchy::find()?.group(&order::Group::Path(path.clone()))?;
        Ok(Reach::of(&group.processes()))
    }

    /// The opened maps.
    fn maps(&self) -> Result<&Maps> {
        match &self.taken {
            Some(taken) => Ok(&taken.maps),
            None => Err(FirewallError::Refused("nothing is in force".to_owned())),
        }
    }
}

/// Whether a time limit has not passed yet, as the programs see it.
fn is_ahead(until_boot_ns: u64) -> bool {
    until_boot_ns > crate::clock::boot_ns()
}

/// Turns a failure into what its response says.
fn concluded(mut response: Response, result: Result<()>) -> Response {
    if let Err(error) = result {
        response.outcome = error.outcome();
        response.detail = error.to_string().into();
        response.until_wall_ns = None;
        response.undo = None;
    }
    response
}

fn lifted_by_hand() -> Response {
    let cause = Cause {
        origin: Origin::Operator,
        by: "hand".into(),
        reason: Box::default(),
    };
    let mut response = cause.response(Verb::Release, "host");
    response.detail =
        "the pins were removed by hand; nothing is blocked or isolated any more".into();
    response
}
