//! `sensor kill`, `freeze`, `thaw` and `frozen`: processes ended, stopped where they are, and let
//! go on.

use std::sync::Arc;

use anyhow::anyhow;
use serde_json::json;

use super::response::Common;
use super::{Failure, NO, OK};
use crate::config::Config;
use crate::control;
use crate::event::text::escape_terminal;
use crate::priority;
use crate::respond::Cause;
use crate::respond::process::{self, Frozen, Options, Signal, Target};

/// Most processes named at a time.
const NAMED_MAX: usize = 1_024;

/// Options of `sensor kill`.
#[derive(Clone, Debug, clap::Args)]
pub struct Kill {
    /// Processes, by pid.
    #[arg(required = true, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pids: Vec<u32>,
    /// Also whatever they started, however fast they start more.
    #[arg(long)]
    tree: bool,
    /// Ask them to end instead: TERM, INT, HUP, QUIT, ABRT.
    #[arg(long, value_name = "SIGNAL", default_value = "KILL", value_parser = signal)]
    signal: Signal,
    #[command(flatten)]
    common: Common,
}

/// Options of `sensor freeze`.
#[derive(Clone, Debug, clap::Args)]
pub struct Freeze {
    /// Processes, by pid; each is thawed by itself.
    #[arg(required = true, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pids: Vec<u32>,
    /// Also whatever they started, together with them.
    #[arg(long)]
    tree: bool,
    #[command(flatten)]
    common: Common,
}

/// Options of `sensor thaw`.
#[derive(Clone, Debug, clap::Args)]
pub struct Thaw {
    /// Frozen processes, by pid; what was frozen together goes on together.
    #[arg(
        value_name = "PID",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pids: Vec<u32>,
    /// All that are frozen.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    common: Common,
}

/// Options of `sensor frozen`.
#[derive(Clone, Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    common: Common,
}

fn signal(text: &str) -> Result<Signal, String> {
    let name = text.trim_start_matches("SIG");
    let mut all = Signal::ALL.into_iter();
    all.find(|signal| signal.name() == name).ok_or_else(|| {
        let names = Signal::ALL.map(Signal::name).join(", ");
        format!("no signal that ends processes; choose one of {names}")
    })
}

fn options(common: &Common, config: &Config, signal: Signal) -> Result<Options, Failure> {
    let Cause { origin, by, reason } = common.cause();
    let mut protected = config.respond.protected().map_err(Failure::usage)?;
    if let Some(pid) = control::running(&config.runtime_directory) {
        protected = protected.with_sensor(pid);
    }
    Ok(Options {
        origin,
        by,
        reason,
        dry_run: common.dry_run,
        signal,
        protected: Arc::new(protected),
        state: config.state_directory.clone(),
    })
}

/// Each pid as a process of now; one that is nobody's is wrong usage.
fn targets(pids: &[u32], tree: bool) -> Result<Vec<Target>, Failure> {
    if pids.len() > NAMED_MAX {
        return Err(Failure::usage(anyhow!(
            "more than {NAMED_MAX} processes at a time"
        )));
    }
    let target = |pid: &u32| {
        let target = Target::pid(*pid)
            .map_err(|error| Failure::usage(anyhow!("there is no process {pid}: {error}")))?;
        Ok(Target { tree, ..target })
    };
    pids.iter().map(target).collect()
}

/// Ends processes.
pub fn kill(arguments: &Kill) -> Result<u8, Failure> {
    let config = arguments.common.config()?;
    let options = options(&arguments.common, &config, arguments.signal)?;
    let targets = targets(&arguments.pids, arguments.tree)?;
    // Those who are to be killed may keep the host busy.
    priority::comes(priority::FIRST);
    let responses: Vec<_> = targets
        .iter()
        .map(|one| process::kill(one, &options))
        .collect();
    arguments.common.conclude(&config, &responses)
}

/// Stops processes.
pub fn freeze(arguments: &Freeze) -> Result<u8, Failure> {
    let config = arguments.common.config()?;
    let options = options(&arguments.common, &config, Signal::default())?;
    let targets = targets(&arguments.pids, arguments.tree)?;
    let responses: Vec<_> = targets
        .iter()
        .map(|one| process::freeze(one, &options))
        .collect();
    arguments.common.conclude(&config, &responses)
}

/// Lets processes go on.
pub fn thaw(arguments: &Thaw) -> Result<u8, Failure> {
    let config = arguments.common.config()?;
    let options = options(&arguments.common, &config, Signal::default())?;
    let responses = if arguments.all {
        process::thaw_all(&options)
    } else {
        let pids = arguments.pids.iter().take(NAMED_MAX);
        pids.map(|pid| process::thaw(*pid, &options)).collect()
    };
    arguments.common.conclude(&config, &responses)
}

/// Lists what is frozen; says no when nothing is.
pub fn list(arguments: &List) -> Result<u8, Failure> {
    let config = arguments.common.config()?;
    let all = process::frozen(&config.state_directory);
    for frozen in &all {
        if arguments.common.json {
            println!("{}", as_json(frozen));
        } else {
            println!("{}", in_words(frozen));
        }
    }
    if all.is_empty() && !arguments.common.json {
        println!("nothing is frozen");
    }
    Ok(if all.is_empty() { NO } else { OK })
}

fn as_json(frozen: &Frozen) -> serde_json::Value {
    json!({
        "pid": frozen.pid,
        "by": frozen.by,
        "reason": frozen.reason,
        "wall_ns": frozen.wall_ns,
        "group": frozen.group,
        "members": frozen.members,
    })
}

fn in_words(frozen: &Frozen) -> String {
    let members: Vec<String> = frozen
        .members
        .iter()
        .map(|member| format!("{}[{}]", member.comm, member.pid))
        .collect();
    let how = match frozen.group {
        Some(_) => "by the freezer",
        None => "by SIGSTOP",
    };
    let text = format!(
        "{}: {} frozen {how} by {} ({}); undo: sensor thaw {}",
        frozen.pid,
        members.join(" "),
        frozen.by,
        frozen.reason,
        frozen.pid
    );
    escape_terminal(text.as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_with_and_without_their_beginning() {
        assert_eq!(signal("KILL"), Ok(Signal::Kill));
        assert_eq!(signal("SIGTERM"), Ok(Signal::Terminate));
        assert!(signal("STOP").unwrap_err().contains("TERM"));
    }
}
