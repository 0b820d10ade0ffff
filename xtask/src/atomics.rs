//! `cargo xtask atomics`: runs tests of Atomic Red Team, one after the other, and shows which of
//! them the sensor raises the alarm about. Each runs in a throw-away Debian with namespaces of
//! its own and no way to anywhere; what it leaves behind is gone with its cage. This file only
//! joins the parts.

pub(crate) mod cage;
mod corpus;
mod report;
mod root;
mod trial;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::payloads::sensor::Sensor;
use crate::workspace::Workspace;
use crate::{build, exec, setup};
use report::Row;
use root::Root;

/// Where the tests are if nobody says otherwise, from the root of the repository.
const CORPUS: &str = "../shared/corpora/atomics";
/// For what the sensor still has to say at the end.
const AFTERWARDS: Duration = Duration::from_secs(2);

/// `cargo xtask atomics`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The tests: a directory with `atomics-linux.tsv` and one directory per technique
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,
    /// Only these, as `T1546.004` or `T1546.004-2`
    #[arg(long, value_name = "TEST", value_delimiter = ',')]
    only: Vec<String>,
    /// Only those whose class begins with one of these letters
    #[arg(long, value_name = "LETTERS", default_value = "AP")]
    classes: String,
    /// The sensor to be used instead of building one
    #[arg(long, value_name = "FILE")]
    sensor: Option<PathBuf>,
    /// Write the results to this file, one JSON object per test
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the events of each test to a file in this directory
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Runs them and prints what came of it.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    ensure!(exec::is_root(), "namespaces and the sensor need root");
    let directory = args.corpus.clone();
    let directory = directory.unwrap_or_else(|| workspace.root().join(CORPUS));
    let mut tests = corpus::read(&directory)?;
    tests.retain(|test| test.is_asked_for(&args.classes, &args.only));
    ensure!(!tests.is_empty(), "no test is asked for");
    let root = Root::get(workspace, &directory)?;
    let binary = match &args.sensor {
        Some(binary) => binary.clone(),
        None => {
            setup::quietly(workspace)?;
            build::sensor(workspace)?
        }
    };
    let scratch = workspace.target(&format!("atomics/run-{}", std::process::id()))?;
    fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    let sensor = Sensor::start(&binary, &[], &scratch)?;
    let mut trials = Vec::new();
    for test in &tests {
        println!("atomics: {} {}", test.id(), test.name);
        trials.push((test, trial::run(test, &root, &scratch)));
    }
    thread::sleep(AFTERWARDS);
    let lines = sensor.stop()?;
    let _ = fs::remove_dir_all(&scratch);
    let rows: Vec<Row<'_>> = trials
        .iter()
        .map(|(test, trial)| Row::new(test, trial, &lines))
        .collect();
    report::print(&rows);
    if let Some(file) = &args.json {
        report::write(&rows, file)?;
    }
    if let Some(directory) = &args.keep {
        report::keep(&rows, directory)?;
    }
    Ok(ExitCode::SUCCESS)
}
