//! How soon an intruder is cut off: `sensor drill --respond` over and over, with nothing else going
//! on, beside a busy server's execs, and beside as many as the machine can do. Times are from the
//! kernel's time of the exec that decided, to what the peer and the kernel saw.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::Bench;
use super::alerts::Storm;
use super::statistics::quantile;
use crate::exec;
use crate::table::{Table, time, verdict};

/// Reverse shells, for each row.
const DRILLS: usize = 1_000;
/// 99th percentile of the times that are promised, in nanoseconds.
const AIM: f64 = 10e6;
/// What is measured: the name in the answers, for people, and whether it is promised.
const TIMES: [(&str, &str, bool); 6] = [
    ("alert", "alert raised", false),
    ("last_answer", "last answer that the peer had", true),
    (
        "unanswered",
        "first word of the peer that was dropped",
        true,
    ),
    ("block", "peer blocked, its connections ended", false),
    ("dead", "shell dead", true),
    ("kill", "shell dead, as the responder saw", false),
];
/// Beside what: for people, and what it takes of `load exec`.
const BESIDES: [(&str, Option<&[&str]>); 3] = [
    ("nothing", None),
    ("1,000 execs a second", Some(&["--rate", "1000"])),
    ("an exec storm", Some(&["--parallel", "2"])),
];

/// Measures and prints the table.
pub(super) fn run(bench: &Bench) -> Result<Value> {
    println!("bench: {DRILLS} reverse shells, three times");
    let mut table = Table::new(["beside", "until", "median", "p99", "max", "aim", ""]);
    let mut results = Vec::new();
    for (beside, load) in BESIDES {
        let storm = load
            .map(|arguments| Storm::of(bench, arguments))
            .transpose()?;
        let outcomes = drill(bench)?;
        drop(storm);
        let mut row = Map::new();
        for (name, what, promised) in TIMES {
            let times: Vec<f64> = outcomes
                .iter()
                .filter_map(|outcome| outcome.get(name)?.as_f64())
                .collect();
            let at = |part| quantile(&times, part).context("no drill ended as it should");
            let (median, p99, max) = (at(0.5)?, at(0.99)?, at(1.0)?);
            let aim = promised.then_some(AIM);
            table.row(vec![
                beside.to_owned(),
                what.to_owned(),
                time(median),
                time(p99),
                time(max),
                aim.map(|aim| format!("p99 < {}", time(aim)))
                    .unwrap_or_default(),
                verdict(p99, aim),
            ]);
            row.insert(
                name.to_owned(),
                json!({ "median_ns": median, "p99_ns": p99, "max_ns": max }),
            );
        }
        results.push(json!({
            "beside": beside,
            "drills": DRILLS,
            "without_response": DRILLS - outcomes.len(),
            "times": row,
        }));
        if outcomes.len() < DRILLS {
            println!(
                "bench: beside {beside}, {} of {DRILLS} had not the response they should have",
                DRILLS - outcomes.len()
            );
        }
    }
    table.print("Response: from the exec that decides, in the kernel");
    Ok(json!(results))
}

/// The times of all drills that ended as they should.
fn drill(bench: &Bench) -> Result<Vec<Value>> {
    let mut command = Command::new(&bench.sensor);
    command
        .args([
            "drill",
            "--respond",
            "--json",
            "--repeat",
            &DRILLS.to_string(),
        ])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let answer = command.output().context("cannot start the drills")?;
    String::from_utf8_lossy(&answer.stdout)
        .lines()
        .map(|line| {
            serde_json::from_str(line)
                .with_context(|| format!("`{}` did not answer in JSON", exec::shown(&command)))
        })
        .collect()
}
