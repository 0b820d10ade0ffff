//! How soon an intruder is told of: `sensor drill` over and over, with nothing else going on and
//! beside as many execs as the machine can do. The latency is the one alerts carry themselves:
//! from the time stamp of the event that decided, taken in the kernel, to when the alert is
//! written.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Bench;
use super::statistics::{Spread, quantile};
use crate::exec::{self, end_with_us};
use crate::table::{Table, time, verdict};

/// Drills at least.
const DRILLS: usize = 1_000;
/// Median and 99th percentile, in nanoseconds.
const AIM: (f64, f64) = (5e6, 50e6);

/// Measures and prints the table.
pub(super) fn run(bench: &Bench) -> Result<Value> {
    let list = exec::output(Command::new(&bench.sensor).args(["drill", "--list"]))?;
    let kinds = list.lines().count();
    ensure!(kinds > 0, "`sensor drill --list` names no drill");
    let repeat = DRILLS.div_ceil(kinds);
    println!("bench: {kinds} drills, each {repeat} times, twice");
    let mut table = Table::new([
        "beside",
        "drills",
        "unseen",
        "",
        "median",
        "[min–max]",
        "aim",
        "",
        "p99",
        "aim",
        "",
    ]);
    let mut results = Vec::new();
    for (beside, storm) in [("nothing", false), ("an exec storm", true)] {
        let storm = storm.then(|| Storm::begin(bench)).transpose()?;
        let (unseen, latencies) = drill(bench, repeat)?;
        drop(storm);
        let spread = Spread::of(&latencies).context("no drill was seen")?;
        let p99 = quantile(&latencies, 0.99).context("no drill was seen")?;
        table.row(vec![
            beside.to_owned(),
            (latencies.len() + unseen).to_string(),
            unseen.to_string(),
            verdict(unseen as f64, Some(0.0)),
            time(spread.median),
            format!("[{}–{}]", time(spread.min), time(spread.max)),
            format!("< {}", time(AIM.0)),
            verdict(spread.median, Some(AIM.0)),
            time(p99),
            format!("< {}", time(AIM.1)),
            verdict(p99, Some(AIM.1)),
        ]);
        results.push(json!({
            "beside": beside,
            "drills": latencies.len() + unseen,
            "unseen": unseen,
            "median_ns": spread.median,
            "p99_ns": p99,
        }));
    }
    table.print("Alerts: from the event that decides, in the kernel, to the alert written");
    Ok(json!(results))
}

/// Holds all drills; gives how many were not seen, and the latencies of the others.
fn drill(bench: &Bench, repeat: usize) -> Result<(usize, Vec<f64>)> {
    let mut command = Command::new(&bench.sensor);
    command
        .args(["drill", "--json", "--repeat", &repeat.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    // Exit code 1 only says that one was not seen, which is counted here.
    let answer = command.output().context("cannot start the drills")?;
    let (mut unseen, mut latencies) = (0, Vec::new());
    for line in String::from_utf8_lossy(&answer.stdout).lines() {
        let outcome: Value = serde_json::from_str(line)
            .with_context(|| format!("`{}` did not answer in JSON", exec::shown(&command)))?;
        match outcome.pointer("/alert/sensor.alert.latency") {
            Some(latency) => latencies.push(latency.as_f64().context("a latency is no number")?),
            None => unseen += 1,
        }
    }
    Ok((unseen, latencies))
}

/// Execs without an end; killed when dropped.
pub(super) struct Storm(Child);

impl Storm {
    /// As many as the machine can do.
    fn begin(bench: &Bench) -> Result<Self> {
        Self::of(bench, &["--parallel", "2"])
    }

    /// As many as these further arguments to `load exec` say.
    pub(super) fn of(bench: &Bench, arguments: &[&str]) -> Result<Self> {
        let mut load = Command::new(&bench.load);
        load.args(["exec", "--count", "1000000000"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .process_group(0);
        end_with_us(&mut load);
        Ok(Self(load.spawn().context("cannot start the exec storm")?))
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        let group = self.0.id().cast_signed();
        // SAFETY: no memory is involved; the group is that of a child not yet waited for.
        unsafe { libc::kill(-group, libc::SIGKILL) };
        let _ = self.0.wait();
    }
}
