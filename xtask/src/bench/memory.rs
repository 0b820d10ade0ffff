//! What the sensor remembers, on a machine with more going on than it was made for: 100,000
//! processes at once, joined in pairs by pipes, and ten million events beside them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Bench;
use super::load;
use super::sensor::{Cost, Sensor};
use crate::exec::end_with_us;
use crate::table::{Table, megabytes, verdict};

/// Processes at once.
const LIVE: u64 = 100_000;
/// Events in all.
const EVENTS: u64 = 10_000_000;
/// One round of mixed work: workload, how many a second at most, how many.
const ROUND: [(&[&str], u64, u64); 3] = [
    (&["exec", "--parallel", "2"], 10_000, 60_000),
    (&["open-write", "--parallel", "2"], 20_000, 100_000),
    (&["connect"], 5_000, 20_000),
];
/// Most memory it may have at any time, in bytes.
const CEILING: u64 = 128_000_000;
/// The kernel's highest pid.
const PID_MAX: &str = "/proc/sys/kernel/pid_max";

/// Measures and prints the table.
pub(super) fn run(bench: &Bench) -> Result<Value> {
    println!("bench: {LIVE} processes, {EVENTS} events; this takes several minutes");
    let _pids = Pids::enough_for(4 * LIVE)?;
    let sensor = Sensor::start(bench, "json")?;
    let since = sensor.since_now()?;
    let mut points = vec![Point::now("at the start", &sensor, sensor.cost(&since)?)?];
    let live = Live::begin(bench)?;
    points.push(Point::now(
        "with all processes there",
        &sensor,
        sensor.cost(&since)?,
    )?);
    loop {
        for (words, rate, count) in ROUND {
            let mut words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            words.extend(["--rate".to_owned(), rate.to_string()]);
            load::run(bench, &words, count)?;
        }
        let cost = sensor.cost(&since)?;
        if cost.events >= EVENTS {
            points.push(Point::now("after all events", &sensor, cost)?);
            break;
        }
    }
    drop(live);
    points.push(Point::now(
        "when they have ended",
        &sensor,
        sensor.cost(&since)?,
    )?);
    sensor.stop()?;
    let mut table = Table::new([
        "",
        "events",
        "lost",
        "known",
        "forgotten",
        "memory",
        "at most",
        "ceiling",
        "",
    ]);
    for point in &points {
        table.row(point.row());
    }
    table.print(&format!(
        "Memory: {LIVE} processes at once, joined by pipes, and {EVENTS} events"
    ));
    Ok(points.iter().map(Point::to_json).collect())
}

/// How it is at one time.
struct Point {
    when: &'static str,
    cost: Cost,
    processes: u64,
    forgotten: u64,
}

impl Point {
    fn now(when: &'static str, sensor: &Sensor<'_>, cost: Cost) -> Result<Self> {
        let status = sensor.status()?;
        let number = |key: &str| {
            status
                .get(key)
                .and_then(Value::as_u64)
                .with_context(|| format!("the sensor's status does not say {key}"))
        };
        Ok(Self {
            when,
            cost,
            processes: number("processes")?,
            forgotten: number("processes_forgotten")?,
        })
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.when.to_owned(),
            self.cost.events.to_string(),
            self.cost.lost.to_string(),
            self.processes.to_string(),
            self.forgotten.to_string(),
            megabytes(self.cost.resident),
            megabytes(self.cost.peak),
            format!("≤ {}", megabytes(CEILING)),
            verdict(self.cost.peak as f64, Some(CEILING as f64)),
        ]
    }

    fn to_json(&self) -> Value {
        json!({
            "when": self.when,
            "sensor": self.cost.to_json(),
            "processes": self.processes,
            "forgotten": self.forgotten,
        })
    }
}

/// The processes; they end when this is dropped.
struct Live(Child);

impl Live {
    fn begin(bench: &Bench) -> Result<Self> {
        let mut load = Command::new(&bench.load);
        load.args(["live", "--count", &LIVE.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        end_with_us(&mut load);
        let mut live = Self(load.spawn().context("cannot start the processes")?);
        let stdout = live.0.stdout.take().context("no standard output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(
            line.contains("live"),
            "{LIVE} processes could not be had; what is wrong is above"
        );
        Ok(live)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Room for so many processes; what it was before is put back.
struct Pids {
    before: Option<String>,
}

impl Pids {
    fn enough_for(wanted: u64) -> Result<Self> {
        let before =
            fs::read_to_string(PID_MAX).with_context(|| format!("cannot read {PID_MAX}"))?;
        if before.trim().parse::<u64>().unwrap_or(0) >= wanted {
            return Ok(Self { before: None });
        }
        fs::write(PID_MAX, wanted.to_string())
            .with_context(|| format!("cannot write {wanted} to {PID_MAX}"))?;
        Ok(Self {
            before: Some(before),
        })
    }
}

impl Drop for Pids {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = fs::write(PID_MAX, before);
        }
    }
}
