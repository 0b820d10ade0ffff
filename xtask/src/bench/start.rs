//! How soon there are events: from the start of the sensor to its first line and to the first
//! process it saw start, and from any exec to its line on the sensor's standard output.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Bench;
use super::sensor::Sensor;
use super::statistics::{Spread, quantile};
use crate::table::{Table, time, verdict};

/// Starts.
const STARTS: usize = 7;
/// Execs after each start whose lines are waited for.
const EXECS: usize = 40;
/// Between two of them; not a multiple of the sensor's tick.
const PAUSE: Duration = Duration::from_micros(7_300);
/// How long a line may take before something is wrong.
const PATIENCE: Duration = Duration::from_secs(20);

const FIRST_EVENT_AIM: f64 = 1e9;
/// Median and 99th percentile.
const DELAY_AIM: (f64, f64) = (5e6, 50e6);

/// A line of output, and when it came.
type Line = (Instant, String);

/// Measures and prints the table.
pub(super) fn run(bench: &Bench) -> Result<Value> {
    println!("bench: {STARTS} starts");
    let (mut started, mut first, mut delays, mut stops) = (vec![], vec![], vec![], vec![]);
    for _ in 0..STARTS {
        let mut sensor = Sensor::spawn(bench, "json", Stdio::piped())?;
        let lines = follow(&mut sensor)?;
        let ready = wait_for(&lines, |line| line.contains("sensor.started"))?;
        started.push(ns(ready - sensor.began()));
        let (_, seen) = exec_and_wait(&lines)?;
        first.push(ns(seen - sensor.began()));
        for _ in 0..EXECS {
            thread::sleep(PAUSE);
            let (at, seen) = exec_and_wait(&lines)?;
            delays.push(ns(seen - at));
        }
        let asked = Instant::now();
        sensor.stop()?;
        stops.push(ns(asked.elapsed()));
    }

    let mut table = Table::new(["", "median", "[min–max]", "p99", "aim", ""]);
    let aim = Some(FIRST_EVENT_AIM);
    let rows = [
        ("start to first line", &started, aim, None),
        ("start to first process event", &first, aim, None),
        (
            "exec to its line",
            &delays,
            Some(DELAY_AIM.0),
            Some(DELAY_AIM.1),
        ),
        ("stop", &stops, None, None),
    ];
    let mut results = serde_json::Map::new();
    for (what, values, median_aim, tail_aim) in rows {
        let spread = Spread::of(values).context("nothing was measured")?;
        let tail = quantile(values, 0.99).context("nothing was measured")?;
        let worst = (spread.median / median_aim.unwrap_or(f64::INFINITY))
            .max(tail / tail_aim.unwrap_or(f64::INFINITY));
        let aims: Vec<String> = median_aim.into_iter().chain(tail_aim).map(time).collect();
        table.row(vec![
            what.to_owned(),
            time(spread.median),
            format!("[{}–{}]", time(spread.min), time(spread.max)),
            time(tail),
            if aims.is_empty() {
                String::new()
            } else {
                format!("≤ {}", aims.join(" / "))
            },
            verdict(worst, median_aim.map(|_| 1.0)),
        ]);
        results.insert(what.to_owned(), spread.to_json());
        results.insert(format!("{what}, p99"), json!(tail));
    }
    table.print("Start, and how soon an event is out");
    Ok(results.into())
}

fn ns(duration: Duration) -> f64 {
    duration.as_nanos() as f64
}

/// Reads the sensor's lines on a thread of its own, which ends with the sensor.
fn follow(sensor: &mut Sensor<'_>) -> Result<Receiver<Line>> {
    let stdout = sensor.stdout().context("the sensor has no output")?;
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send((Instant::now(), line)).is_err() {
                return;
            }
        }
    });
    Ok(lines)
}

fn wait_for(lines: &Receiver<Line>, wanted: impl Fn(&str) -> bool) -> Result<Instant> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let (at, line) = lines
            .recv_timeout(left)
            .context("the expected event did not come")?;
        if wanted(&line) {
            return Ok(at);
        }
    }
}

/// Starts a process; when that was, and when its exec was on the sensor's output.
fn exec_and_wait(lines: &Receiver<Line>) -> Result<(Instant, Instant)> {
    let at = Instant::now();
    let mut command = Command::new("true");
    let mut child: Child = command.stdin(Stdio::null()).spawn().context("no true")?;
    let pid = u64::from(child.id());
    let status = child.wait().context("cannot wait")?;
    ensure!(status.success(), "true failed: {status}");
    let seen = wait_for(lines, |line| {
        // Most lines are not ours: look before parsing.
        line.contains("process.exec")
            && serde_json::from_str::<Value>(line).is_ok_and(|event| {
                event.get("event.dataset").and_then(Value::as_str) == Some("process.exec")
                    && event.get("process.pid").and_then(Value::as_u64) == Some(pid)
            })
    })?;
    Ok((at, seen))
}
