//! `sensor isolate`, `confirm` and `release`: everything dropped but what is allowed, with ways
//! back.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use super::response::{Common, firewall};
use super::{Failure, NO};
use crate::event::response::Outcome;
use crate::event::text::escape_terminal;
use crate::respond::clock::{parse_span, show_span};
use crate::respond::firewall::Connection;
use crate::respond::firewall::order::{Group, Isolation, Scope};
use crate::respond::firewall::target::Target;

/// How long an isolation over ssh has to be confirmed, unless something else is said.
const CONFIRM_WITHIN: Duration = Duration::from_secs(60);
/// Connections shown by a rehearsal.
const CONNECTIONS_SHOWN: usize = 1_000;

/// What it is about.
#[derive(Clone, Debug, Default, clap::Args)]
struct What {
    /// Only this control group and all below it, by its path; the exceptions hold for the whole
    /// host.
    #[arg(long, value_name = "PATH", conflicts_with = "container")]
    control_group: Option<PathBuf>,
    /// Only the container whose id begins so.
    #[arg(long, value_name = "ID")]
    container: Option<String>,
}

impl What {
    fn scope(&self) -> Scope {
        match (&self.control_group, &self.container) {
            (Some(path), _) => Scope::Group(Group::Path(path.clone())),
            (None, Some(id)) => Scope::Group(Group::Container(id.as_str().into())),
            (None, None) => Scope::Host,
        }
    }
}

/// Options of `sensor isolate`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    what: What,
    /// With whom traffic goes on, besides respond.allow: 192.0.2.10, "192.0.2.10 tcp/6514"; may be
    /// repeated.
    #[arg(long, value_name = "NETWORK")]
    allow: Vec<Target>,
    /// Do not spare the connection over which you are logged in.
    #[arg(long)]
    no_operator: bool,
    /// Do not spare the name servers: names can carry data out.
    #[arg(long)]
    no_dns: bool,
    /// How long (90s, 15m, 2h, 7d); without end when absent.
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    ttl: Option<Duration>,
    /// Undone by itself after this time, unless `sensor confirm` is given; 60s over ssh.
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    confirm_within: Option<Duration>,
    /// Do not ask for a confirmation over ssh either.
    #[arg(long, conflicts_with = "confirm_within")]
    no_confirm: bool,
    /// Leave connections alone that there are; nothing passes in them all the same.
    #[arg(long)]
    keep_connections: bool,
    /// Do not look whether your connection survives.
    #[arg(long)]
    no_self_test: bool,
    #[command(flatten)]
    common: Common,
}

impl Arguments {
    fn isolation(&self, is_remote: bool) -> Isolation {
        let asked = self.confirm_within;
        let default = (is_remote && !self.no_confirm).then_some(CONFIRM_WITHIN);
        Isolation {
            allow: self.allow.clone(),
            allow_operator: !self.no_operator,
            allow_names: !self.no_dns,
            ttl: self.ttl,
            confirm_within: asked.or(default),
            spare_connections: self.keep_connections,
            self_test: !self.no_self_test,
            dry_run: self.common.dry_run,
            ..Isolation::new(self.what.scope(), self.common.cause())
        }
    }
}

/// Isolates.
pub fn isolate(arguments: &Arguments) -> Result<u8, Failure> {
    let config = arguments.common.config()?;
    let mut firewall = firewall(&config)?;
    let is_remote = std::io::stdin().is_terminal() && firewall.is_asked_by_ssh();
    let isolation = arguments.isolation(is_remote);
    let response = firewall.isolate(&isolation);
    if response.outcome == Outcome::DryRun && !arguments.common.json {
        let connections = firewall.isolation_connections(&isolation);
        show(&connections.map_err(Failure::refused)?, CONNECTIONS_SHOWN);
    }
    let is_done = response.outcome == Outcome::Done;
    let code = arguments.common.conclude(&config, &[response])?;
    if let (true, false, Some(within)) = (is_done, arguments.common.json, isolation.confirm_within)
    {
        let within = show_span(within);
        println!("it ends in {within} by itself; give `sensor confirm` to make it stay");
    }
    Ok(code)
}

/// Options of `sensor confirm`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Confirm {
    #[command(flatten)]
    common: Common,
}

/// Makes stay what would end unless it is confirmed.
pub fn confirm(arguments: &Confirm) -> Result<u8, Failure> {
    let config = arguments.common.config()?;
    let cause = arguments.common.cause();
    let responses = firewall(&config)?.confirm(&cause, arguments.common.dry_run);
    if responses.is_empty() {
        eprintln!(
            "sensor: nothing waits to be confirmed; what was not confirmed in time is undone"
        );
        return Ok(NO);
    }
    arguments.common.conclude(&config, &responses)
}

/// Options of `sensor release`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Release {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    common: Common,
}

/// Takes an isolation back.
pub fn release(arguments: &Release) -> Result<u8, Failure> {
    let config = arguments.common.config()?;
    let mut firewall = firewall(&config)?;
    let scope = arguments.what.scope();
    let cause = arguments.common.cause();
    let mut responses = vec![firewall.release(&scope, &cause, arguments.common.dry_run)];
    responses.extend(firewall.untold());
    arguments.common.conclude(&config, &responses)
}

/// Lists connections that would be ended.
pub fn show(connections: &[Connection], most: usize) {
    for connection in connections.iter().take(most) {
        let Connection {
            protocol,
            local,
            remote,
            process,
        } = connection;
        let process = match process {
            Some((pid, name)) => format!("{}[{pid}]", escape_terminal(name.as_bytes())),
            None => String::new(),
        };
        println!("would end {protocol} {local} {remote} {process}");
    }
    if connections.len() > most {
        println!("would end {} more", connections.len() - most);
    }
}
