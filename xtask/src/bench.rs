//! `cargo xtask bench`: what the sensor costs the machine it watches, in numbers that can be held
//! against SPECIFICATION.md. This file builds what is needed, runs the parts one after the other
//! and collects their results; what a part measures is in `bench/`.

mod alerts;
mod bpf;
mod guard;
mod load;
mod machine;
mod memory;
mod pairs;
mod peers;
mod programs;
mod rates;
mod response;
mod sensor;
mod start;
mod statistics;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde_json::{Map, Value, json};

use crate::vm::Release;
use crate::workspace::Workspace;
use crate::{artifacts, build, exec, setup};

/// `cargo xtask bench`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this part; may be repeated [default: all but memory and guard]
    #[arg(long, value_name = "NAME")]
    only: Vec<Part>,
    /// How many times each workload runs without and with the sensor [default: 7, or 1 with
    /// --kernel, where the clock counts instructions and nothing varies]
    #[arg(long, value_name = "N")]
    pairs: Option<usize>,
    /// How long one run of a workload should take [default: 500, or 200 with --kernel]
    #[arg(long, value_name = "MILLISECONDS")]
    run_ms: Option<u64>,
    /// Measure auditd, bpftrace and sysdig on the same work too
    #[arg(long)]
    peers: bool,
    /// Write everything measured to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure on this kernel under qemu, with and without trampolines
    #[arg(long, value_name = "VERSION", conflicts_with_all = ["peers", "json"])]
    kernel: Option<Release>,
    /// Use the programs `sensor` and `load` in this directory instead of building them
    #[arg(long, value_name = "DIR", hide = true)]
    built: Option<PathBuf>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Fork and exec in one process
    Exec,
    /// The same in two processes at once
    ExecParallel,
    /// Opening ordinary files for reading
    OpenRead,
    /// Opening files for writing
    OpenWrite,
    /// TCP connections over loopback
    Connect,
    /// A system call nobody watches
    Getppid,
    /// Building a C project
    Make,
    /// The sensor's BPF programs, one by one
    Programs,
    /// As many execs as this machine can do, up to 10,000 a second
    Sustained,
    /// 1,000 execs a second
    Paced,
    /// How soon the first event comes, and any other
    Start,
    /// How soon alerts come, idle and beside an exec storm
    Alerts,
    /// How soon a playbook has cut off a reverse shell, idle and beside execs
    Response,
    /// Nothing going on
    Idle,
    /// 100,000 processes at once and ten million events
    Memory,
    /// The firewall with up to a million entries, beside xdp-filter and nftables
    Guard,
}

/// What every part needs.
struct Bench {
    sensor: PathBuf,
    load: PathBuf,
    /// For files, logs and the sensor's runtime directory.
    scratch: PathBuf,
    pairs: usize,
    /// How long one run of a workload should take.
    run: Duration,
}

/// Measures something, prints its table and returns everything measured.
type Measure = fn(&Bench) -> Result<Value>;

/// Runs the parts that were asked for.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    if let Some(release) = args.kernel {
        return machine::run(workspace, release, &args.inner());
    }
    ensure!(
        exec::is_root(),
        "the sensor needs root, and so does measuring it; run this as root"
    );
    ensure!(args.pairs != Some(0), "--pairs 0 measures nothing");
    let started = Instant::now();
    let mut results = Map::new();
    let remark = machine::describe()?;
    println!("bench: {}", machine::remark(&remark));
    results.insert("machine".to_owned(), remark);
    if args.needs_sensor() {
        sensor_parts(workspace, args, &mut results)?;
    }
    if args.wants(Part::Guard) {
        setup::quietly(workspace)?;
        setup::host_mounts();
        results.insert(Part::Guard.name(), guard::run(workspace)?);
    }
    let remark = machine::describe()?;
    println!(
        "\nbench: {} s; {}",
        started.elapsed().as_secs(),
        machine::remark(&remark)
    );
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&json!(results))?;
        fs::write(file, text + "\n").with_context(|| format!("cannot write {}", file.display()))?;
        println!("bench: wrote {}", file.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// All parts that measure what the sensor costs.
fn sensor_parts(
    workspace: &Workspace,
    args: &Args,
    results: &mut Map<String, Value>,
) -> Result<()> {
    let bench = Bench::prepare(workspace, args)?;
    let ratios = pairs::run(&bench, |part| args.wants(part))?;
    let medians = ratios.medians();
    results.insert("workloads".to_owned(), ratios.to_json());
    let parts: [(Part, Measure); 8] = [
        (Part::Programs, programs::run),
        (Part::Sustained, rates::sustained),
        (Part::Paced, rates::paced),
        (Part::Start, start::run),
        (Part::Alerts, alerts::run),
        (Part::Response, response::run),
        (Part::Idle, rates::idle),
        (Part::Memory, memory::run),
    ];
    for (part, run) in parts {
        if args.wants(part) {
            results.insert(part.name(), run(&bench)?);
        }
    }
    if args.peers {
        let peers = peers::run(workspace, &bench, &medians, |part| args.wants(part))?;
        results.insert("peers".to_owned(), peers);
    }
    Ok(())
}

impl Args {
    fn wants(&self, part: Part) -> bool {
        let is_long = matches!(part, Part::Memory | Part::Guard);
        self.only.contains(&part) || (self.only.is_empty() && !is_long)
    }

    /// Whether anything is asked for that the sensor and a load have to be built for.
    fn needs_sensor(&self) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| *part != Part::Guard)
    }

    /// The same request for the xtask in a test machine.
    fn inner(&self) -> Vec<String> {
        let mut words = vec!["--pairs".to_owned(), self.pairs.unwrap_or(1).to_string()];
        words.extend([
            "--run-ms".to_owned(),
            self.run_ms.unwrap_or(200).to_string(),
        ]);
        for part in &self.only {
            words.extend(["--only".to_owned(), part.name()]);
        }
        words
    }
}

impl Part {
    /// As in `--only`.
    fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl Bench {
    fn prepare(workspace: &Workspace, args: &Args) -> Result<Self> {
        let (sensor, load) = match &args.built {
            Some(dir) => (dir.join("sensor"), dir.join("load")),
            None => {
                setup::quietly(workspace)?;
                setup::host_mounts();
                (build::sensor(workspace)?, build_load(workspace)?)
            }
        };
        let scratch = match &args.built {
            Some(_) => std::env::temp_dir().join("bench"),
            None => workspace.target("bench/run")?,
        };
        fs::create_dir_all(&scratch)
            .with_context(|| format!("cannot make {}", scratch.display()))?;
        Ok(Self {
            sensor,
            load,
            scratch,
            pairs: args.pairs.unwrap_or(7),
            run: Duration::from_millis(args.run_ms.unwrap_or(500)),
        })
    }
}

fn build_load(workspace: &Workspace) -> Result<PathBuf> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--release", "--package", "sensor-tests"]);
    cargo.args(["--bin", "load"]);
    let programs = artifacts::programs(&mut cargo)?;
    let load = programs.into_iter().find(|program| program.name == "load");
    Ok(load.context("cargo built no program named load")?.path)
}

/// A short command's output without the newline, or nothing.
fn ask(program: &str, args: &[&str]) -> String {
    exec::output(Command::new(program).args(args))
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}
