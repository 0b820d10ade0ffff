//! The command line. One file per subcommand, thin: what they do lives elsewhere.
//!
//! Exit codes: 0 done; 1 a question was answered with no (degraded, not running); 2 wrong
//! usage or configuration; 3 the kernel or the system refuses something the command needs.

pub mod approve;
pub mod block;
pub mod blocks;
pub mod doctor;
pub mod drill;
pub mod intelligence;
pub mod isolate;
#[cfg(test)]
mod lockout;
pub mod playbooks;
pub mod process;
pub mod quarantine;
pub mod replay;
pub mod response;
pub mod rules;
pub mod run;
pub mod scan;
pub mod status;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

/// Catches intruders on Linux servers with eBPF.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100)]
struct Arguments {
    /// How much to log, to standard error: error, warn, info, debug, trace (also SENSOR_LOG).
    #[arg(long, global = true, value_name = "LEVEL")]
    log: Option<tracing_subscriber::filter::LevelFilter>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch this machine and print what happens.
    Run(run::Arguments),
    /// Say what this kernel allows, which hook serves which event, and what is missing.
    Doctor(doctor::Arguments),
    /// Attack this machine, harmlessly, and see whether the sensor notices.
    Drill(drill::Arguments),
    /// Look for intruders in recorded events.
    Replay(replay::Arguments),
    /// Ask the running sensor how it is.
    Status(status::Arguments),
    /// Say which lists of hostile addresses, names and files are in use, and what is on them.
    Intelligence(intelligence::Arguments),
    /// Cut addresses and networks off, both ways, in the kernel, whether or not a sensor runs.
    Block(block::Enter),
    /// Take blocks back.
    Unblock(block::TakeBack),
    /// Let addresses and networks pass, whatever is blocked or isolated.
    Allow(block::Enter),
    /// Take exceptions back.
    Disallow(block::TakeBack),
    /// List what is blocked, allowed and isolated, and what was dropped.
    Blocks(blocks::Arguments),
    /// Drop everything but what is allowed, on this host or in one container.
    Isolate(isolate::Arguments),
    /// Make stay what would be undone unless it is confirmed.
    Confirm(isolate::Confirm),
    /// Take an isolation back.
    Release(isolate::Release),
    /// List the playbooks in force, or check those of a configuration file.
    Playbooks(playbooks::Arguments),
    /// Say yes or no to what a playbook asks for, or list what waits.
    Approve(approve::Arguments),
    /// End processes, never one that took a former pid, never one that this machine hangs on.
    Kill(process::Kill),
    /// Stop processes where they are.
    Freeze(process::Freeze),
    /// Let frozen processes go on.
    Thaw(process::Thaw),
    /// List what is frozen.
    Frozen(process::List),
    /// Put files away where they do no harm, or list those that are.
    Quarantine(quarantine::Put),
    /// Put a file back as it was.
    Restore(quarantine::Restore),
    /// Look for what YARA rules describe in files and directories.
    Scan(scan::Arguments),
    /// What `sensor run` and `sensor scan` start to look into files.
    #[command(name = crate::content::child::SUBCOMMAND, hide = true)]
    ContentScanner,
    /// Check, list and try Sigma rules.
    Rules(rules::Arguments),
}

/// Done.
pub const OK: u8 = 0;
/// The answer is no.
pub const NO: u8 = 1;
/// Wrong usage or configuration.
pub const USAGE: u8 = 2;
/// The system refuses.
pub const REFUSED: u8 = 3;

/// An error with the exit code it leads to.
pub struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl Failure {
    /// Wrong usage or configuration.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: USAGE,
            error: error.into(),
        }
    }

    /// The system refuses something.
    pub fn refused(error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: REFUSED,
            error: error.into(),
        }
    }
}

/// The command line, for completions and manual pages.
#[must_use]
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the command given.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_log(arguments.log);
    let result = match arguments.command {
        Command::Run(arguments) => run::run(arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Drill(arguments) => drill::run(&arguments),
        Command::Replay(arguments) => replay::run(arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Intelligence(arguments) => intelligence::run(&arguments),
        Command::Block(arguments) => block::block(&arguments),
        Command::Unblock(arguments) => block::unblock(&arguments),
        Command::Allow(arguments) => block::allow(&arguments),
        Command::Disallow(arguments) => block::disallow(&arguments),
        Command::Blocks(arguments) => blocks::run(&arguments),
        Command::Isolate(arguments) => isolate::isolate(&arguments),
        Command::Confirm(arguments) => isolate::confirm(&arguments),
        Command::Release(arguments) => isolate::release(&arguments),
        Command::Kill(arguments) => process::kill(&arguments),
        Command::Freeze(arguments) => process::freeze(&arguments),
        Command::Thaw(arguments) => process::thaw(&arguments),
        Command::Frozen(arguments) => process::list(&arguments),
        Command::Quarantine(arguments) => quarantine::put(&arguments),
        Command::Restore(arguments) => quarantine::restore(&arguments),
        Command::Playbooks(arguments) => playbooks::run(&arguments),
        Command::Approve(arguments) => approve::run(&arguments),
        Command::Rules(arguments) => rules::run(arguments),
        Command::Scan(arguments) => scan::run(&arguments),
        Command::ContentScanner => scan::helper(),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("sensor: {:#}", failure.error);
            ExitCode::from(failure.code)
        }
    }
}

/// Logs go to standard error, events to standard output.
fn start_log(level: Option<tracing_subscriber::filter::LevelFilter>) {
    use tracing_subscriber::EnvFilter;
    let filter = level.map_or_else(
        || EnvFilter::try_from_env("SENSOR_LOG").unwrap_or_else(|_| EnvFilter::new("info")),
        |level| EnvFilter::default().add_directive(level.into()),
    );
    let stderr = std::io::stderr();
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(stderr.is_terminal())
        .with_writer(std::io::stderr)
        .try_init();
}
