//! `sensor block`, `unblock`, `allow` and `disallow`: who is cut off, and who never is.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use clap::ValueEnum;

use super::response::{Common, firewall, lines};
use super::{Failure, NO, OK};
use crate::event::response::Outcome;
use crate::respond::clock::parse_span;
use crate::respond::firewall::network::Network;
use crate::respond::firewall::order::{How, Which};
use crate::respond::firewall::target::{Directions, Protocol, Service, Target};

/// Longest list, in bytes: some million lines.
const LIST_MAX: u64 = 256 * 1024 * 1024;
/// Lines that mean nothing of which each is named.
const NAMED_MAX: usize = 5;
/// Connections shown by a rehearsal.
const CONNECTIONS_SHOWN: usize = 100;

/// Which packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Direction {
    /// Those that come in.
    In,
    /// Those that go out.
    Out,
    /// All.
    #[default]
    Both,
}

/// Whom it is about.
#[derive(Clone, Debug, Default, clap::Args)]
struct Whom {
    /// Addresses and networks: 203.0.113.7, 203.0.113.0/24, 2001:db8::/32.
    #[arg(value_name = "NETWORK")]
    networks: Vec<Network>,
    /// A file with one a line, behind a blank perhaps a service (tcp/443), behind a # what you
    /// like; - for standard input.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Only this protocol: tcp, udp, icmp, sctp, gre, esp, ah or a number.
    #[arg(long)]
    protocol: Option<Protocol>,
    /// Only this port of it, at whichever end.
    #[arg(long, requires = "protocol")]
    port: Option<NonZeroU16>,
}

/// Options of `sensor block` and `sensor allow`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Enter {
    #[command(flatten)]
    whom: Whom,
    /// Only packets that come in, or go out.
    #[arg(long, value_enum, default_value_t)]
    direction: Direction,
    /// How long (90s, 15m, 2h, 7d); without end when absent.
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    ttl: Option<Duration>,
    /// Undone by itself after this time, unless `sensor confirm` is given.
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    confirm_within: Option<Duration>,
    /// Leave connections alone that there are; nothing passes in them all the same.
    #[arg(long)]
    keep_connections: bool,
    /// Block also a gateway, a name server, or from where somebody else is logged in; never this
    /// host itself, or from where you are connected.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    common: Common,
}

/// Options of `sensor unblock` and `sensor disallow`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TakeBack {
    #[command(flatten)]
    whom: Whom,
    /// All of them.
    #[arg(long, conflicts_with_all = ["networks", "from", "by"])]
    all: bool,
    /// All that somebody made, as `sensor blocks` names them: "playbook NAME", "operator root".
    #[arg(long, value_name = "WHO", conflicts_with_all = ["networks", "from"])]
    by: Option<String>,
    /// Also the exception by which whoever isolated this host is connected.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    common: Common,
}

/// The targets of a command line, and lines that mean nothing.
#[derive(Debug, Default, PartialEq, Eq)]
struct Targets {
    targets: Vec<Target>,
    broken: Vec<String>,
}

impl Whom {
    fn service(&self) -> Result<Service, Failure> {
        match (self.protocol, self.port) {
            (Some(protocol), Some(port)) => Service::port(protocol, port).map_err(Failure::usage),
            (Some(protocol), None) => Ok(Service::Protocol(protocol)),
            (None, _) => Ok(Service::Any),
        }
    }

    fn targets(&self) -> Result<Targets, Failure> {
        let service = self.service()?;
        let named = self.networks.iter();
        let mut targets = Targets {
            targets: named.map(|one| Target::new(*one, service)).collect(),
            broken: Vec::new(),
        };
        if let Some(path) = &self.from {
            targets.read(&lines(path, LIST_MAX)?, service);
        }
        if targets.targets.is_empty() && targets.broken.is_empty() {
            return Err(Failure::usage(anyhow!(
                "nobody is named; give an address, a network, or --from FILE"
            )));
        }
        Ok(targets)
    }
}

impl Targets {
    /// One a line; what is behind a # or ; is for people.
    fn read(&mut self, text: &str, service: Service) {
        for (number, line) in (1_usize..).zip(text.lines()) {
            let line = line.split(['#', ';']).next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            match line.parse::<Target>() {
                Ok(target) if target.service == Service::Any => {
                    self.targets.push(Target::new(target.network, service));
                }
                Ok(target) => self.targets.push(target),
                Err(error) => self.broken.push(format!("line {number}: {error}")),
            }
        }
    }

    /// Names what was left out; the code of a command that did not do all it was asked to.
    fn complain(&self) -> u8 {
        for broken in self.broken.iter().take(NAMED_MAX) {
            eprintln!("sensor: left out: {broken}");
        }
        if self.broken.len() > NAMED_MAX {
            eprintln!(
                "sensor: {} more lines left out",
                self.broken.len() - NAMED_MAX
            );
        }
        if self.broken.is_empty() { OK } else { NO }
    }
}

impl Enter {
    fn how(&self) -> How {
        How {
            directions: match self.direction {
                Direction::In => Directions::In,
                Direction::Out => Directions::Out,
                Direction::Both => Directions::Both,
            },
            ttl: self.ttl,
            confirm_within: self.confirm_within,
            spare_connections: self.keep_connections,
            dry_run: self.common.dry_run,
            force: self.force,
            cause: self.common.cause(),
        }
    }
}

/// Blocks.
pub fn block(arguments: &Enter) -> Result<u8, Failure> {
    let targets = arguments.whom.targets()?;
    let config = arguments.common.config()?;
    let mut firewall = firewall(&config)?;
    let how = arguments.how();
    let response = firewall.block_many(&targets.targets, &how);
    if response.outcome == Outcome::DryRun && !arguments.common.json {
        for target in targets.targets.iter().take(NAMED_MAX) {
            let connections = firewall.connections(*target).map_err(Failure::refused)?;
            super::isolate::show(&connections, CONNECTIONS_SHOWN);
        }
    }
    let code = arguments.common.conclude(&config, &[response])?;
    Ok(code.max(targets.complain()))
}

/// Excepts.
pub fn allow(arguments: &Enter) -> Result<u8, Failure> {
    let targets = arguments.whom.targets()?;
    let config = arguments.common.config()?;
    let mut firewall = firewall(&config)?;
    let how = arguments.how();
    let targets_of = targets.targets.iter();
    let responses: Vec<_> = targets_of
        .map(|target| firewall.allow(*target, &how))
        .collect();
    let code = arguments.common.conclude(&config, &responses)?;
    Ok(code.max(targets.complain()))
}

/// Takes blocks back.
pub fn unblock(arguments: &TakeBack) -> Result<u8, Failure> {
    take_back(arguments, |firewall, which, how| {
        firewall.unblock(which, how)
    })
}

/// Takes exceptions back.
pub fn disallow(arguments: &TakeBack) -> Result<u8, Failure> {
    take_back(arguments, |firewall, which, how| {
        firewall.disallow(which, how)
    })
}

fn take_back(
    arguments: &TakeBack,
    act: impl FnOnce(
        &mut crate::respond::firewall::Firewall,
        &Which,
        &How,
    ) -> crate::event::response::Response,
) -> Result<u8, Failure> {
    let mut broken = OK;
    let which = if arguments.all {
        Which::All
    } else if let Some(name) = &arguments.by {
        Which::By(name.as_str().into())
    } else {
        let targets = arguments.whom.targets()?;
        broken = targets.complain();
        Which::Targets(targets.targets)
    };
    let config = arguments.common.config()?;
    let mut firewall = firewall(&config)?;
    let how = How {
        dry_run: arguments.common.dry_run,
        force: arguments.force,
        ..How::new(arguments.common.cause())
    };
    let mut responses = vec![act(&mut firewall, &which, &how)];
    responses.extend(firewall.untold());
    Ok(arguments.common.conclude(&config, &responses)?.max(broken))
}
