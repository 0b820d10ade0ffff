//! What the commands that act have in common: whose configuration, on whose behalf, and how what
//! was done is said, written down and turned into an exit code.

use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::{Failure, NO, OK, REFUSED};
use crate::config::Config;
use crate::event::response::{Origin, Outcome, Response, Verb};
use crate::event::text::escape_terminal;
use crate::respond::Cause;
use crate::respond::firewall::Firewall;
use crate::respond::journal;

/// Read when no configuration is named, if it is there.
const CONFIG: &str = "/etc/sensor/sensor.toml";
/// Characters of a user's name that are noted.
const NAME_MAX: usize = 32;

/// Options of all of them.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Common {
    /// Why; noted, shown by `sensor blocks`, and part of the event.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// One JSON object per thing done.
    #[arg(long)]
    pub json: bool,
    /// Configuration file, of which `[respond]` counts; /etc/sensor/sensor.toml if it is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the running sensor's control socket.
    #[arg(long, value_name = "DIR")]
    runtime_directory: Option<PathBuf>,
    /// Directory where what was done is kept for the next sensor, when none is running.
    #[arg(long, value_name = "DIR")]
    state_directory: Option<PathBuf>,
}

impl Common {
    /// The configuration that counts.
    pub fn config(&self) -> Result<Config, Failure> {
        let path = match &self.config {
            Some(path) => Some(path.as_path()),
            None => Some(Path::new(CONFIG)).filter(|path| path.exists()),
        };
        let mut config = match path {
            Some(path) => Config::load(path).map_err(Failure::usage)?,
            None => Config::default(),
        };
        if let Some(directory) = &self.runtime_directory {
            config.runtime_directory.clone_from(directory);
        }
        if let Some(directory) = &self.state_directory {
            config.state_directory.clone_from(directory);
        }
        Ok(config)
    }

    /// Whoever is at the command line.
    pub fn cause(&self) -> Cause {
        let name = std::env::var("SUDO_USER").ok();
        let name = name.filter(|name| !name.is_empty());
        Cause {
            origin: Origin::Operator,
            by: name
                .as_deref()
                .unwrap_or("root")
                .chars()
                .filter(|c| c.is_ascii_graphic())
                .take(NAME_MAX)
                .collect(),
            reason: self.reason.as_str().into(),
        }
    }

    /// Says what was done, has it reported, and gives the exit code: that of the worst.
    pub fn conclude(&self, config: &Config, responses: &[Response]) -> Result<u8, Failure> {
        let mut code = OK;
        for response in responses {
            self.say(response)?;
            report(config, response);
            code = code.max(match response.outcome {
                Outcome::Done | Outcome::DryRun | Outcome::Asked => OK,
                Outcome::Refused => NO,
                Outcome::Failed => REFUSED,
            });
        }
        Ok(code)
    }

    fn say(&self, response: &Response) -> Result<(), Failure> {
        if self.json {
            let line = serde_json::to_string(response).map_err(Failure::refused)?;
            println!("{line}");
            return Ok(());
        }
        let Response {
            target,
            detail,
            undo,
            ..
        } = response;
        let (target, detail) = (shown(target), shown(detail));
        let verb = response.verb;
        match response.outcome {
            Outcome::Done => println!("{} {target}: {detail}", past(verb)),
            Outcome::DryRun => println!("would {} {target}: {detail}", verb.name()),
            Outcome::Asked => println!("asks to {} {target}: {detail}", verb.name()),
            Outcome::Refused => eprintln!("sensor: will not {} {target}: {detail}", verb.name()),
            Outcome::Failed => eprintln!("sensor: cannot {} {target}: {detail}", verb.name()),
        }
        if let Some(undo) = undo {
            println!("undo: {}", shown(undo));
        }
        Ok(())
    }
}

/// Opens the firewall that is configured, and says what has ended by itself since anybody looked.
pub fn firewall(config: &Config) -> Result<Firewall, Failure> {
    let mut firewall = Firewall::open(config.respond.firewall()).map_err(Failure::refused)?;
    for response in firewall.tick() {
        eprintln!(
            "sensor: since the last look: {}",
            shown(&response.to_string())
        );
        report(config, &response);
    }
    Ok(firewall)
}

fn report(config: &Config, response: &Response) {
    let (runtime, state) = (&config.runtime_directory, &config.state_directory);
    if let Err(error) = journal::report(response, runtime, state) {
        tracing::warn!(%error, "what was done is on no record");
    }
}

/// Reads lines of a file, or of standard input for `-`, up to a bound.
pub fn lines(path: &Path, bytes_max: u64) -> Result<String, Failure> {
    use std::io::Read as _;
    let failed = |error: std::io::Error| Failure::usage(anyhow!("{}: {error}", path.display()));
    let mut text = Vec::new();
    if path == Path::new("-") {
        let input = std::io::stdin().lock();
        input.take(bytes_max + 1).read_to_end(&mut text)
    } else {
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(bytes_max + 1).read_to_end(&mut text)
    }
    .map_err(failed)?;
    if text.len() as u64 > bytes_max {
        let error = anyhow!(
            "{} is longer than {bytes_max} bytes; split it",
            path.display()
        );
        return Err(Failure::usage(error));
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn shown(text: &str) -> String {
    escape_terminal(text.as_bytes()).to_string()
}

/// What is said when it is done.
const fn past(verb: Verb) -> &'static str {
    match verb {
        Verb::Block => "blocked",
        Verb::Unblock => "unblocked",
        Verb::Allow => "allowed",
        Verb::Disallow => "no longer allowed",
        Verb::Isolate => "isolated",
        Verb::Confirm => "confirmed",
        Verb::Release => "released",
        Verb::Kill => "killed",
        Verb::Freeze => "frozen",
        Verb::Thaw => "thawed",
        Verb::Prevent => "prevented",
        Verb::Quarantine => "quarantined",
        Verb::Restore => "restored",
        Verb::Run => "ran",
    }
}
