//! `sensor playbooks`: those in force in the running sensor, or those of a configuration file.

use std::path::PathBuf;

use super::approve::{directory, request};
use super::{Failure, OK};
use crate::config::Config;
use crate::control::PLAYBOOKS;
use crate::respond::clock::show_span;
use crate::respond::playbook::Listing;

/// Options of `sensor playbooks`.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "List the playbooks that are in force, or check and list those of a configuration \
                  file, without a sensor that runs. What they would have done about recorded \
                  events says `sensor replay --playbooks FILE`. Exit code 2 when the file is broken."
)]
pub struct Arguments {
    /// Check this configuration file instead.
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// One JSON object per playbook.
    #[arg(long)]
    json: bool,
    /// Directory of the control socket.
    #[arg(long, value_name = "DIR")]
    runtime_directory: Option<PathBuf>,
}

/// Lists them.
pub fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let listings: Vec<Listing> = match &arguments.check {
        Some(file) => {
            let config = Config::load(file).map_err(Failure::usage)?;
            config
                .respond
                .playbooks()
                .map_err(Failure::usage)?
                .listings()
        }
        None => request(&directory(arguments.runtime_directory.as_ref()), PLAYBOOKS)?,
    };
    for listing in &listings {
        if arguments.json {
            println!(
                "{}",
                serde_json::to_string(listing).map_err(Failure::refused)?
            );
        } else {
            println!("{}", text(listing));
        }
    }
    if listings.is_empty() && !arguments.json {
        println!("there are no playbooks; docs/playbooks.md has some to begin with");
    }
    Ok(OK)
}

fn text(listing: &Listing) -> String {
    let seconds = std::time::Duration::from_secs;
    let mut limits = format!("at most {} alerts an hour", listing.per_hour);
    if listing.cool_down_seconds > 0 {
        let span = show_span(seconds(listing.cool_down_seconds));
        limits.push_str(&format!(", the same again after {span}"));
    }
    if let Some(hours) = &listing.hours {
        limits.push_str(&format!(", only at {hours}"));
    }
    if listing.ask {
        limits.push_str(", asks first");
    }
    let ttl = listing.ttl_seconds.map(|ttl| show_span(seconds(ttl)));
    let lasts = ttl.map_or_else(|| "for good".to_owned(), |ttl| format!("for {ttl}"));
    format!(
        "{:<8} {:<24} {}\n{:33} blocks {lasts}; {limits}",
        listing.mode,
        listing.name,
        listing.actions.join(", "),
        "",
    )
}
