//! What can be asked of the firewall. Whether it may be done, and how, is decided elsewhere.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::network::Network;
use super::target::{Directions, Target};
use crate::event::response::Origin;
use crate::respond::Cause;

/// How traffic is blocked or excepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct How {
    /// Which packets.
    pub directions: Directions,
    /// How long; without end when absent.
    pub ttl: Option<Duration>,
    /// It ends after this time unless it is confirmed.
    pub confirm_within: Option<Duration>,
    /// Leave connections alone that there are already; they find no way through all the same.
    pub spare_connections: bool,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// Also where something protected is in the way, unless it is this host itself or the one who
    /// asks. Only for people, never for playbooks or lists.
    pub force: bool,
    /// On whose behalf, and why.
    pub cause: Cause,
}

impl How {
    /// All packets, for good, now.
    #[must_use]
    pub const fn new(cause: Cause) -> Self {
        Self {
            directions: Directions::Both,
            ttl: None,
            confirm_within: None,
            spare_connections: false,
            dry_run: false,
            force: false,
            cause,
        }
    }
}

/// Which entries are taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// These.
    Targets(Vec<Target>),
    /// All that somebody made: `operator root`, `playbook NAME`, `intelligence LIST`.
    By(Box<str>),
    /// Those of these that something of this kind made; what others want stays.
    Of(Vec<Target>, Origin),
    /// All.
    All,
}

/// What is isolated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This host, with all that runs on it.
    Host,
    /// A control group, and all below it.
    Group(Group),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Group(group) => group.fmt(f),
        }
    }
}

/// A control group of the unified hierarchy, named in one of two ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// By its path from the root of the hierarchy, or as its directory.
    Path(PathBuf),
    /// By the id of the container that lives in it, or the beginning of that.
    Container(Box<str>),
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => Path::display(path).fmt(f),
            Self::Container(id) => write!(f, "container {id}"),
        }
    }
}

/// How something is isolated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolation {
    /// What.
    pub scope: Scope,
    /// With whom traffic goes on, besides what the configuration says.
    pub allow: Vec<Target>,
    /// Whether the connection over which it is asked for goes on. Without, nothing keeps who asks
    /// from locking themselves out.
    pub allow_operator: bool,
    /// Whether names can be looked up: the servers of `/etc/resolv.conf`, port 53.
    pub allow_names: bool,
    /// How long; without end when absent.
    pub ttl: Option<Duration>,
    /// It ends after this time unless it is confirmed.
    pub confirm_within: Option<Duration>,
    /// Leave connections alone that there are already; they find no way through all the same.
    pub spare_connections: bool,
    /// Whether to take it back when the operator's connection does not survive it.
    pub self_test: bool,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// On whose behalf, and why.
    pub cause: Cause,
}

impl Isolation {
    /// Of all that is not allowed by the configuration, for good, now, with all precautions.
    #[must_use]
    pub const fn new(scope: Scope, cause: Cause) -> Self {
        Self {
            scope,
            allow: Vec::new(),
            allow_operator: true,
            allow_names: true,
            ttl: None,
            confirm_within: None,
            spare_connections: false,
            self_test: true,
            dry_run: false,
            cause,
        }
    }
}

/// What the firewall needs to know of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Directory in a BPF file system where maps and links are pinned.
    pub pins: PathBuf,
    /// Control group that the programs judge; the root of the hierarchy when absent.
    pub control_group: Option<PathBuf>,
    /// Addresses that can be blocked, by family.
    pub addresses: u32,
    /// Networks that are never blocked.
    pub protect: Vec<Network>,
    /// With whom traffic goes on while the host is isolated.
    pub allow: Vec<Target>,
}
