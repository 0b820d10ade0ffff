//! `cargo xtask webshells`: puts webshells on real web servers from Debian's packages, uses them,
//! and shows what the sensor made of it: stage by stage, which alerts, in how many incidents, and
//! whether they name script, writer, client and peer. Each server runs in a throw-away root with
//! namespaces of its own; nothing reaches any network. This file only joins the parts.

pub(crate) mod cage;
mod report;
mod root;
mod stack;
mod stage;
mod visit;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::Workspace;
use crate::{build, exec, setup};
use root::Root;
use stage::Way;

/// `cargo xtask webshells`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these servers
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
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
    /// The intruder's script is there already, as on a server that gets a sensor too late
    #[arg(long)]
    planted: bool,
    /// Start the sensor before the web server
    #[arg(long)]
    sensor_first: bool,
    /// Print the alerts in full as well
    #[arg(long)]
    long: bool,
    /// Write the events of each server to a file in this directory
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Takes the servers through all stages, one after the other, and prints what came of it.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    ensure!(exec::is_root(), "namespaces and the sensor need root");
    let stacks = stack::all();
    let is_known = |name: &&String| stacks.iter().any(|stack| stack.name == **name);
    if let Some(unknown) = args.only.iter().find(|name| !is_known(name)) {
        let names: Vec<_> = stacks.iter().map(|stack| stack.name.as_str()).collect();
        bail!(
            "no server is called {unknown}; there are {}",
            names.join(", ")
        );
    }
    let root = Root::get(workspace)?;
    let binary = match &args.sensor {
        Some(binary) => binary.clone(),
        None => {
            setup::quietly(workspace)?;
            build::sensor(workspace)?
        }
    };
    let scratch = workspace.target(&format!("webshells/run-{}", std::process::id()))?;
    fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    let arguments: Vec<String> = args
        .sensor_args
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let way = Way {
        is_planted: args.planted,
        is_sensor_first: args.sensor_first,
    };
    let mut all = Vec::new();
    for stack in stacks {
        if !args.only.is_empty() && !args.only.contains(&stack.name) {
            continue;
        }
        let name = stack.name.clone();
        println!("webshells: {name}");
        match stage::run(stack, way, &root, (&binary, &arguments), &scratch) {
            Ok(staged) => all.push(staged),
            Err(error) => println!("webshells: {name} could not be tried: {error:#}"),
        }
    }
    let _ = fs::remove_dir_all(&scratch);
    report::print(&all, args.long);
    if let Some(directory) = &args.keep {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        for staged in &all {
            let text: String = staged.lines().map(|event| format!("{event}\n")).collect();
            let file = directory.join(format!("{}.ndjson", staged.stack.name));
            fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
