//! `sensor blocks`: what is in force, whether or not a sensor runs.

use std::time::Duration;

use super::response::{Common, firewall};
use super::{Failure, OK};
use crate::clock::wall_ns;
use crate::event::text::escape_terminal;
use crate::respond::clock::show_span;
use crate::respond::firewall::listing::{InForce, IsolatedGroup, Line, Listing};

/// Options of `sensor blocks`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
}

/// Lists it.
pub fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let config = arguments.common.config()?;
    let listing = firewall(&config)?.list().map_err(Failure::refused)?;
    if arguments.common.json {
        println!(
            "{}",
            serde_json::to_string(&listing).map_err(Failure::refused)?
        );
    } else {
        print!("{}", text(&listing));
    }
    Ok(OK)
}

fn text(listing: &Listing) -> String {
    let Listing {
        isolated,
        groups,
        blocked,
        allowed,
        attached,
        dropped,
        room,
    } = listing;
    let mut text = String::new();
    if let Some(in_force) = isolated {
        text.push_str(&format!("THIS HOST IS ISOLATED {}\n", said(in_force)));
    }
    for group in groups {
        text.push_str(&group_line(group));
    }
    for (title, lines) in [("BLOCKED", blocked), ("ALLOWED", allowed)] {
        if lines.is_empty() {
            continue;
        }
        text.push_str(&format!(
            "{title:<44} {:<4} {:>12} {:>14} {:>10}  UNTIL, BY, REASON\n",
            "WAY", "PACKETS", "BYTES", "LAST"
        ));
        for line in lines {
            text.push_str(&entry(line));
        }
    }
    if text.is_empty() {
        text.push_str("nothing is blocked, nothing is isolated\n");
    }
    let places: Vec<_> = attached
        .iter()
        .map(|one| format!("{} {} ({})", one.place, one.direction, one.mode))
        .collect();
    if !places.is_empty() {
        text.push_str(&format!("attached: {}\n", places.join(", ")));
        text.push_str(&format!("room for {room} addresses of each family\n"));
    }
    for one in dropped.iter().filter(|one| one.packets > 0) {
        let (packets, bytes) = (one.packets, one.bytes);
        text.push_str(&format!(
            "{}: {packets} packets, {bytes} bytes\n",
            one.reason
        ));
    }
    text
}

fn entry(line: &Line) -> String {
    let last = line.last_wall_ns.map_or_else(|| "never".to_owned(), ago);
    let protected = if line.protected { " (you)" } else { "" };
    format!(
        "{:<44} {:<4} {:>12} {:>14} {last:>10}  {}{protected}\n",
        line.target.to_string(),
        line.directions.name(),
        line.packets,
        line.bytes,
        said(&line.in_force),
    )
}

fn group_line(group: &IsolatedGroup) -> String {
    let unnamed = format!("control group {}, which is gone,", group.id);
    let path = group.path.as_deref().unwrap_or(&unnamed);
    format!(
        "{} is isolated, {} packets dropped {}\n",
        escape_terminal(path.as_bytes()),
        group.packets,
        said(&group.in_force)
    )
}

/// `for 59m, by operator root: reason`.
fn said(in_force: &InForce) -> String {
    let mut text = match in_force.until_wall_ns {
        None => "without end".to_owned(),
        Some(until) => {
            let left = Duration::from_nanos(until.saturating_sub(wall_ns()));
            format!("for {}", show_span(left))
        }
    };
    if in_force.unconfirmed {
        text.push_str(" unless confirmed");
    }
    if !in_force.by.is_empty() {
        text.push_str(&format!(", by {}", escape_terminal(in_force.by.as_bytes())));
    }
    if !in_force.reason.is_empty() {
        text.push_str(&format!(
            ": {}",
            escape_terminal(in_force.reason.as_bytes())
        ));
    }
    text
}

fn ago(wall: u64) -> String {
    let since = Duration::from_nanos(wall_ns().saturating_sub(wall));
    format!("{} ago", show_span(since))
}
