//! What each BPF program of the sensor takes, by the kernel's own clock: how often it runs per
//! operation of a workload, the mean over a whole run, and median and 99th percentile over
//! single operations done one by one. Statistics cost time themselves, so this is a run of its
//! own and its times of operations mean nothing.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::bpf::{Programs, Runs, Statistics};
use super::load::WORKLOADS;
use super::sensor::Sensor;
use super::statistics::quantile;
use super::{Bench, Part};
use crate::table::{Table, time, verdict};

/// Single operations to look at.
const SINGLES: usize = 1_000;
/// Programs that run less often than this per operation have nothing to do with it.
const RARELY: f64 = 0.02;

/// Something to be done once, again and again.
type Operation = Box<dyn FnMut() -> Result<()>>;

/// One program on one workload.
struct Line {
    workload: String,
    program: String,
    /// Runs per operation.
    runs: f64,
    missed: u64,
    mean: f64,
    /// Median and 99th percentile of single runs, in nanoseconds.
    single: Option<(f64, f64)>,
    aim: Option<(f64, f64)>,
}

/// Measures and prints the table.
pub(super) fn run(bench: &Bench) -> Result<Value> {
    println!("bench: programs, one by one");
    let _statistics = Statistics::enable()?;
    let sensor = Sensor::start(bench, "none")?;
    let programs = Programs::of(sensor.pid())?;
    let names = full_names(&programs, &sensor.status()?);
    let mut lines = Vec::new();
    for workload in &WORKLOADS {
        let Some(mut once) = single(bench, workload.part)? else {
            continue;
        };
        let singles = singles(&programs, &mut once)?;
        let count = workload.count(bench)?;
        let before = programs.look()?;
        workload.run(bench, count)?;
        let after = programs.look()?;
        let all = names.iter().zip(before.iter().zip(&after)).zip(&singles);
        for ((name, (before, after)), singles) in all {
            let runs = after.since(*before);
            // The warm-up of a run is a tenth of it.
            let per_operation = runs.count as f64 / (count as f64 * 1.1);
            if per_operation < RARELY {
                continue;
            }
            let parts = quantile(singles, 0.5).zip(quantile(singles, 0.99));
            lines.push(Line {
                workload: workload.part.name(),
                program: name.clone(),
                runs: per_operation,
                missed: runs.missed,
                mean: runs.ns as f64 / runs.count.max(1) as f64,
                single: parts,
                aim: aim(workload.part, name),
            });
        }
    }
    sensor.stop()?;
    print(&lines);
    Ok(lines.iter().map(Line::to_json).collect())
}

/// Mean and 99th percentile to reach, in nanoseconds, for the main program of a workload.
fn aim(part: Part, program: &str) -> Option<(f64, f64)> {
    match part {
        Part::Exec if program == "process_exec" => Some((5_000.0, 15_000.0)),
        Part::Connect if program.contains("connect") => Some((1_000.0, 3_000.0)),
        _ => None,
    }
}

/// One operation of a workload, done by ourselves; none if there is no point in it.
fn single(bench: &Bench, part: Part) -> Result<Option<Operation>> {
    let file = bench.scratch.join("single.txt");
    fs::write(&file, "").with_context(|| format!("cannot write {}", file.display()))?;
    Ok(match part {
        Part::Exec => Some(Box::new(|| {
            let mut command = Command::new("true");
            command.stdin(Stdio::null()).status().context("no true")?;
            Ok(())
        })),
        Part::OpenRead => Some(Box::new(move || {
            File::open(&file).context("cannot open a file")?;
            Ok(())
        })),
        Part::OpenWrite => Some(Box::new(move || {
            let mut options = File::options();
            options.write(true).create(true).truncate(false);
            options.open(&file).context("cannot open a file")?;
            Ok(())
        })),
        Part::Connect => {
            let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
            let address = listener.local_addr()?;
            Some(Box::new(move || {
                let client = TcpStream::connect(address).context("cannot connect")?;
                let server = listener.accept().context("cannot accept")?;
                drop(client);
                drop(server);
                Ok(())
            }))
        }
        _ => None,
    })
}

/// For each program, the durations of the runs that one operation caused alone.
fn singles(programs: &Programs, once: &mut dyn FnMut() -> Result<()>) -> Result<Vec<Vec<f64>>> {
    let mut durations: Vec<Vec<f64>> = programs.names().map(|_| Vec::new()).collect();
    for _ in 0..SINGLES {
        let before = programs.look()?;
        once()?;
        let after = programs.look()?;
        for (list, (before, after)) in durations.iter_mut().zip(before.iter().zip(&after)) {
            let runs: Runs = after.since(*before);
            if runs.count == 1 {
                list.push(runs.ns as f64);
            }
        }
    }
    Ok(durations)
}

/// The kernel cuts names short; the sensor knows them whole.
fn full_names(programs: &Programs, status: &Value) -> Vec<String> {
    let known: Vec<&str> = status
        .get("programs")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|program| program.get("name")?.as_str())
        .collect();
    let full = |name: &str| {
        let whole = known.iter().find(|known| **known == name);
        let longer = || known.iter().find(|known| known.starts_with(name));
        whole.or_else(longer).map_or(name, |name| name).to_owned()
    };
    programs.names().map(full).collect()
}

fn print(lines: &[Line]) {
    let mut table = Table::new([
        "workload", "program", "runs/op", "mean", "median", "p99", "aim", "",
    ]);
    for line in lines {
        let single = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), time);
        let met = |(mean, p99): (f64, f64)| {
            let tail = line.single.map_or(0.0, |(_, tail)| tail / p99);
            verdict((line.mean / mean).max(tail), Some(1.0))
        };
        table.row(vec![
            line.workload.clone(),
            line.program.clone(),
            format!("{:.2}", line.runs),
            time(line.mean),
            single(line.single.map(|(median, _)| median)),
            single(line.single.map(|(_, p99)| p99)),
            line.aim.map_or_else(String::new, |(mean, p99)| {
                format!("≤ {} / {}", time(mean), time(p99))
            }),
            line.aim.map_or_else(String::new, met),
        ]);
    }
    table.print("Programs by the kernel's statistics (median and p99 of single runs, cold)");
}

impl Line {
    fn to_json(&self) -> Value {
        json!({
            "workload": self.workload,
            "program": self.program,
            "runs_per_operation": self.runs,
            "missed": self.missed,
            "mean_ns": self.mean,
            "median_ns": self.single.map(|(median, _)| median),
            "p99_ns": self.single.map(|(_, p99)| p99),
        })
    }
}
