//! `cargo xtask benign`: does what servers do all day under the sensor, and shows what alarmed it:
//! packages, builds, configuration management, logins, backups, web sites, monitoring. Each
//! scenario runs in a throw-away Debian with namespaces of its own; nothing of it reaches any
//! network. Whatever is of severity high or above is a false alarm. This file only joins the parts.

pub(crate) mod cage;
mod report;
mod root;
mod scenario;
mod steps;
mod watch;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::cage::Cage;
use crate::payloads::cgroup::Cgroup;
use crate::payloads::network::{Address, Network};
use crate::workspace::Workspace;
use crate::{build, exec, setup};
use report::Row;
use root::Root;
use scenario::Scenario;
use steps::Step;
use watch::Watch;

/// The sensor may be this far behind when a scenario ends.
const SETTLE: Duration = Duration::from_secs(2);

/// `cargo xtask benign`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these scenarios
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Name the scenarios and end
    #[arg(long)]
    list: bool,
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
    /// Print all alerts in full
    #[arg(long)]
    long: bool,
    /// Write the events and the log of each scenario to files in this directory
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// How a scenario went.
struct Ran {
    scenario: &'static Scenario,
    took: Duration,
    steps: Vec<Step>,
    failure: Option<String>,
}

/// Goes through the scenarios, and prints what came of them.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    if args.list {
        for scenario in scenario::ALL {
            println!("{:<12} {}", scenario.name, scenario.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(exec::is_root(), "namespaces and the sensor need root");
    let scenarios = chosen(&args.only)?;
    let root = Root::get(workspace)?;
    let binary = match &args.sensor {
        Some(binary) => binary.clone(),
        None => {
            setup::quietly(workspace)?;
            build::sensor(workspace)?
        }
    };
    // Of our own, so that two of us do not meet.
    let scratch = workspace.target(&format!("benign/run-{}", std::process::id()))?;
    fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    let words = args.sensor_args.split_whitespace();
    let arguments: Vec<String> = words.map(str::to_owned).collect();
    let watch = Watch::start(&binary, &arguments, &scratch, args.keep.clone())?;
    let ran: Vec<Ran> = scenarios
        .into_iter()
        .map(|scenario| go_through(scenario, &root, &scratch, args.keep.as_deref()))
        .collect();
    std::thread::sleep(SETTLE);
    let account = watch.stop()?;
    let _ = fs::remove_dir_all(&scratch);
    let rows: Vec<Row<'_>> = ran
        .into_iter()
        .map(|ran| Row {
            name: ran.scenario.name,
            executions: account.executions(ran.scenario.name),
            took: ran.took,
            steps: ran.steps,
            failure: ran.failure,
            alerts: account.alerts(ran.scenario.name),
        })
        .collect();
    report::print(&rows, args.long);
    let is_good = rows.iter().all(Row::is_good);
    Ok(ExitCode::from(u8::from(!is_good)))
}

fn chosen(only: &[String]) -> Result<Vec<&'static Scenario>> {
    let is_known = |name: &&String| scenario::ALL.iter().any(|known| known.name == **name);
    if let Some(unknown) = only.iter().find(|name| !is_known(name)) {
        let names: Vec<_> = scenario::ALL.iter().map(|known| known.name).collect();
        bail!(
            "no scenario is called {unknown}; there are {}",
            names.join(", ")
        );
    }
    let is_chosen = |known: &&Scenario| only.is_empty() || only.iter().any(|n| *n == known.name);
    Ok(scenario::ALL.iter().filter(is_chosen).collect())
}

/// One scenario from its beginning to its end.
fn go_through(
    scenario: &'static Scenario,
    root: &Root,
    scratch: &Path,
    keep: Option<&Path>,
) -> Ran {
    println!("benign: {}", scenario.name);
    let began = Instant::now();
    let (log, result) = match work(scenario, root, scratch) {
        Ok(worked) => worked,
        Err(error) => (String::new(), Err(error)),
    };
    if let Some(place) = keep {
        // Of use to whoever looks for the reason of something, and no more.
        let _ = fs::write(place.join(format!("{}.log", scenario.name)), &log);
    }
    Ran {
        scenario,
        took: began.elapsed(),
        steps: steps::read(&log),
        failure: result.err().map(|error| format!("{error:#}")),
    }
}

/// What was said in the cage, and whether its script came to its end.
fn work(scenario: &Scenario, root: &Root, scratch: &Path) -> Result<(String, Result<()>)> {
    let network = Network::new(Address::Public)?;
    let cgroup = Cgroup::new(&format!("benign.{}", scenario.name))?;
    let place = scratch.join("mount");
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    let spec = cage::Spec {
        root: root.dir(),
        scratch: place,
        cgroup: cgroup.path().to_owned(),
        peer: network.peer().path(),
        files: scenario.files(),
        script: scenario.script(),
    };
    let mut cage = Cage::start("benign-cage", &spec, network.server(), scratch)?;
    let result = cage.ready_within(scenario.limit);
    let log = fs::read(cage.log()).unwrap_or_default();
    drop(cage);
    Ok((String::from_utf8_lossy(&log).into_owned(), result))
}
