//! `sensor quarantine` and `sensor restore`: files put away and back.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::response::Common;
use super::{Failure, NO, OK};
use crate::config::Config;
use crate::event::text::escape_terminal;
use crate::respond::Cause;
use crate::respond::process::proc::Stat;
use crate::respond::quarantine::{self, Card, File, Options};

/// Options of `sensor quarantine`.
#[derive(Clone, Debug, clap::Args)]
pub struct Put {
    /// Files.
    #[arg(
        value_name = "FILE",
        required_unless_present = "list",
        conflicts_with = "list"
    )]
    files: Vec<PathBuf>,
    /// The paths are as the process of this pid sees them, in a container.
    #[arg(long, value_name = "PID")]
    seen_by: Option<u32>,
    /// Show what is in quarantine.
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    common: Common,
}

/// Options of `sensor restore`.
#[derive(Clone, Debug, clap::Args)]
pub struct Restore {
    /// Its id in `sensor quarantine --list`.
    #[arg(value_name = "ID")]
    id: String,
    /// Where to, instead of where it was.
    #[arg(long, value_name = "PATH")]
    to: Option<PathBuf>,
    /// Also in the place of another file.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    common: Common,
}

fn options(common: &Common, config: &Config) -> Options {
    let Cause { origin, by, reason } = common.cause();
    Options {
        origin,
        by,
        reason,
        dry_run: common.dry_run,
        state: config.state_directory.clone(),
    }
}

/// The file with no link on the way to it; one that is a link itself stays one, and is refused.
fn real(path: &Path) -> Result<PathBuf, Failure> {
    let failed = |error: std::io::Error| Failure::usage(anyhow!("{}: {error}", path.display()));
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let directory = fs::canonicalize(directory.unwrap_or(Path::new("."))).map_err(failed)?;
    let name = path.file_name();
    let name = name.ok_or_else(|| Failure::usage(anyhow!("{} is no file", path.display())))?;
    Ok(directory.join(name))
}

/// Puts files away, or lists them.
pub fn put(arguments: &Put) -> Result<u8, Failure> {
    let config = arguments.common.config()?;
    if arguments.list {
        return Ok(list(&config, arguments.common.json));
    }
    let options = options(&arguments.common, &config);
    let seen_by = match arguments.seen_by {
        Some(pid) => {
            let stat = Stat::of(pid);
            Some(
                stat.map_err(|error| {
                    Failure::usage(anyhow!("there is no process {pid}: {error}"))
                })?
                .key,
            )
        }
        None => None,
    };
    let mut responses = Vec::new();
    for path in &arguments.files {
        let path = if seen_by.is_some() {
            path.clone()
        } else {
            real(path)?
        };
        responses.push(quarantine::put(&File { path, seen_by }, &options));
    }
    arguments.common.conclude(&config, &responses)
}

/// Puts a file back.
pub fn restore(arguments: &Restore) -> Result<u8, Failure> {
    let config = arguments.common.config()?;
    let options = options(&arguments.common, &config);
    let to = arguments.to.as_deref().map(real).transpose()?;
    let response = quarantine::restore(&arguments.id, to.as_deref(), arguments.force, &options);
    arguments.common.conclude(&config, &[response])
}

fn list(config: &Config, as_json: bool) -> u8 {
    let cards = quarantine::list(&config.state_directory);
    for card in &cards {
        if as_json {
            println!("{}", serde_json::to_string(card).unwrap_or_default());
        } else {
            println!("{}", in_words(card));
        }
    }
    if cards.is_empty() && !as_json {
        println!("nothing is in quarantine");
    }
    if cards.is_empty() { NO } else { OK }
}

fn in_words(card: &Card) -> String {
    let text = format!(
        "{}  {}  {} bytes  sha256 {}  by {} ({})",
        card.id, card.path, card.metadata.size, card.sha256, card.by, card.reason
    );
    escape_terminal(text.as_bytes()).into_owned()
}
