//! `cargo xtask payloads`: runs real reverse and bind shells against the sensor and shows which of
//! them it catches. Each runs in a throw-away Debian with namespaces of its own, against a peer
//! on this machine; nothing of it reaches any network. This file only joins the parts.

pub(crate) mod cage;
pub(crate) mod cgroup;
mod conversation;
mod corpus;
mod fill;
mod listener;
pub(crate) mod network;
mod renamed;
mod report;
pub(crate) mod root;
pub(crate) mod sensor;
mod start;
mod tls;
mod verdict;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};

use crate::workspace::Workspace;
use crate::{build, exec, setup};
use cage::Parent;
use corpus::Payload;
use network::Address;
use report::Row;
use root::Root;
use sensor::Sensor;
use start::{Ran, Way};
use verdict::Events;

/// Where the list is if nobody says otherwise, from the root of the repository.
const CORPUS: &str = "../shared/corpora/revshells/payloads.jsonl";

/// `cargo xtask payloads`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The list of payloads, one JSON object a line
    #[arg(long, value_name = "FILE")]
    corpus: Option<PathBuf>,
    /// Only these payloads
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    only: Vec<String>,
    /// Who starts them; several, one after the other
    #[arg(long, value_delimiter = ',', default_value = "shell")]
    parent: Vec<Parent>,
    /// Where the other side is; several, one after the other
    #[arg(long, value_delimiter = ',', default_value = "public")]
    address: Vec<Address>,
    /// Copy interpreters and shells to names that say nothing, and use those
    #[arg(long)]
    renamed: bool,
    /// The sensor to be used instead of building one
    #[arg(long, value_name = "FILE")]
    sensor: Option<PathBuf>,
    /// Further arguments for `sensor run`, separated by spaces
    #[arg(
        long,
        value_name = "ARGS",
        allow_hyphen_values = true,
        default_value = ""
    )]
    sensor_args: String,
    /// Beginnings of the ids of rules whose alerts count as a catch
    #[arg(
        long,
        value_name = "PREFIX",
        value_delimiter = ',',
        default_value = "remote-shell,webshell"
    )]
    caught_by: Vec<String>,
    /// Write the results to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the events of each payload to a file in this directory
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// One run, and when it was.
struct Run<'a> {
    payload: &'a Payload,
    way: Way,
    during: (SystemTime, SystemTime),
    ran: Result<Ran>,
}

/// Runs everything and prints what came of it.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    ensure!(exec::is_root(), "namespaces and the sensor need root");
    let path = args.corpus.clone();
    let path = path.unwrap_or_else(|| workspace.root().join(CORPUS));
    let mut payloads = corpus::read(&path)?;
    let root = Root::get(workspace, &payloads)?;
    if let Some(unknown) = unknown(&args.only, &payloads) {
        anyhow::bail!("no payload is called {unknown} in {}", path.display());
    }
    payloads.retain(|payload| args.only.is_empty() || args.only.contains(&payload.id));
    let binary = match &args.sensor {
        Some(binary) => binary.clone(),
        None => {
            setup::quietly(workspace)?;
            build::sensor(workspace)?
        }
    };
    // Of our own, so that two of us do not meet.
    let scratch = workspace.target(&format!("payloads/run-{}", std::process::id()))?;
    fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    let arguments: Vec<String> = args
        .sensor_args
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let sensor = Sensor::start(&binary, &arguments, &scratch)?;
    let runs = run_all(&payloads, args, &root, &scratch);
    let lines = sensor.stop()?;
    let _ = fs::remove_dir_all(&scratch);
    let events = Events::new(&lines);
    let rows: Vec<Row> = runs.iter().map(|run| row(run, &events, args)).collect();
    let claimed: Vec<_> = rows
        .iter()
        .flat_map(|row| row.lines.iter().copied())
        .collect();
    report::print(&rows, &verdict::strays(&lines, &claimed));
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&report::data(&rows))?;
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if let Some(directory) = &args.keep {
        report::keep(&rows, directory)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn unknown<'a>(only: &'a [String], payloads: &[Payload]) -> Option<&'a String> {
    only.iter()
        .find(|id| !payloads.iter().any(|payload| payload.id == **id))
}

fn run_all<'a>(payloads: &'a [Payload], args: &Args, root: &Root, scratch: &Path) -> Vec<Run<'a>> {
    let mut runs = Vec::new();
    for &parent in &args.parent {
        for &address in &args.address {
            let way = Way {
                parent,
                address,
                is_renamed: args.renamed,
            };
            println!(
                "payloads: {}, {} of them",
                report::title(way),
                payloads.len()
            );
            for payload in payloads {
                let began = SystemTime::now();
                let ran = start::run(payload, way, root, scratch);
                runs.push(Run {
                    payload,
                    way,
                    during: (began, SystemTime::now()),
                    ran,
                });
            }
        }
    }
    runs
}

fn row<'a>(run: &'a Run<'a>, events: &Events<'a>, args: &Args) -> Row<'a> {
    let (lines, answered) = match &run.ran {
        Ok(ran) => (events.of(ran.namespace, run.during), ran.outcome.answered),
        Err(_) => (Vec::new(), None),
    };
    Row {
        payload: run.payload,
        way: run.way,
        ran: &run.ran,
        verdict: verdict::judge(&lines, &args.caught_by, answered),
        lines,
    }
}
