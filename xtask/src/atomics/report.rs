//! What came of the tests, as a table, in numbers and as JSON. How they were run is not known
//! here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::corpus::Test;
use super::trial::Trial;
use crate::payloads::sensor::Line;

/// What a shell says when there is no such program, or none that can be run.
const CANNOT: [i32; 2] = [126, 127];
/// Severities, the worst last.
const SEVERITIES: [&str; 5] = ["informational", "low", "medium", "high", "critical"];

/// One test and what the sensor said.
pub(super) struct Row<'r> {
    test: &'r Test,
    outcome: String,
    has_run: bool,
    /// Worst severity of each rule.
    alerts: BTreeMap<&'r str, usize>,
    lines: Vec<&'r Value>,
}

impl<'r> Row<'r> {
    pub(super) fn new(test: &'r Test, trial: &'r Result<Trial>, lines: &'r [Line]) -> Self {
        let lines: Vec<&Value> = match trial {
            Ok(trial) => lines
                .iter()
                .map(|line| &line.event)
                .filter(|event| is_of(event, trial))
                .collect(),
            Err(_) => Vec::new(),
        };
        let mut alerts = BTreeMap::new();
        for event in &lines {
            let text = |name: &str| event.get(name).and_then(Value::as_str);
            if let (Some(rule), Some(severity)) = (text("rule.name"), text("sensor.alert.severity"))
            {
                let severity = SEVERITIES.iter().position(|known| *known == severity);
                let worst = alerts.entry(rule).or_insert(0);
                *worst = severity.unwrap_or(0).max(*worst);
            }
        }
        let (has_run, outcome) = outcome(trial);
        Self {
            test,
            outcome,
            has_run,
            alerts,
            lines,
        }
    }

    fn worst(&self) -> Option<&'static str> {
        let worst = self.alerts.values().max()?;
        SEVERITIES.get(*worst).copied()
    }
}

fn is_of(event: &Value, trial: &Trial) -> bool {
    let number = |name: &str| event.get(name).and_then(Value::as_u64);
    let (from, to) = trial.during;
    number("sensor.namespace.pid") == Some(trial.namespace)
        && number("sensor.boot_ns").is_some_and(|at| at >= from && at <= to)
}

/// Whether it ran, and how that ended.
fn outcome(trial: &Result<Trial>) -> (bool, String) {
    let last = |text: &str| {
        text.lines()
            .last()
            .unwrap_or_default()
            .chars()
            .take(70)
            .collect()
    };
    match trial {
        Ok(trial) => match trial.code {
            Some(0) => (true, "ran".to_owned()),
            None => (true, "ran, did not end".to_owned()),
            Some(code) if CANNOT.contains(&code) => {
                let said: String = last(&trial.said);
                (false, format!("could not: {said}"))
            }
            Some(code) => (true, format!("ran, exit code {code}")),
        },
        Err(error) => {
            let said: String = last(&format!("{error:#}"));
            (false, format!("could not: {said}"))
        }
    }
}

pub(super) fn print(rows: &[Row<'_>]) {
    println!();
    for row in rows {
        let name: String = row.test.name.chars().take(60).collect();
        println!("{:<13} {name:<60} {}", row.test.id(), row.outcome);
        if row.has_run {
            let said = match row.worst() {
                None => "silent".to_owned(),
                Some(worst) => {
                    let rules: Vec<&str> = row.alerts.keys().copied().collect();
                    format!("{worst}: {}", rules.join("; "))
                }
            };
            println!("{:<13}   {said}", "");
        }
    }
    let ran: Vec<_> = rows.iter().filter(|row| row.has_run).collect();
    let at_least = |least: &str| {
        let least = SEVERITIES
            .iter()
            .position(|known| *known == least)
            .unwrap_or(0);
        let bad = |row: &&&Row<'_>| row.alerts.values().any(|severity| *severity >= least);
        ran.iter().filter(bad).count()
    };
    println!(
        "\n{} tests, {} ran; of those {} raised an alert, {} of medium or worse, {} of high or worse",
        rows.len(),
        ran.len(),
        at_least("informational"),
        at_least("medium"),
        at_least("high"),
    );
    let silent: BTreeSet<&str> = ran
        .iter()
        .filter(|row| row.alerts.is_empty())
        .map(|row| row.test.technique.as_str())
        .collect();
    let silent: Vec<&str> = silent.into_iter().collect();
    println!("techniques with a silent test: {}", silent.join(" "));
}

pub(super) fn write(rows: &[Row<'_>], file: &Path) -> Result<()> {
    let mut text = String::new();
    for row in rows {
        let line = json!({
            "test": row.test.id(), "name": row.test.name, "class": row.test.class,
            "outcome": row.outcome, "ran": row.has_run, "severity": row.worst(),
            "rules": row.alerts.keys().collect::<Vec<_>>(),
        });
        text.push_str(&format!("{line}\n"));
    }
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// Writes the events of each test to a file of its own.
pub(super) fn keep(rows: &[Row<'_>], directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    for row in rows {
        let path = directory.join(format!("{}.ndjson", row.test.id()));
        let file = fs::File::create(&path);
        let mut file = file.with_context(|| format!("cannot write {}", path.display()))?;
        for line in &row.lines {
            writeln!(file, "{line}").with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}
