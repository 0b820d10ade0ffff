//! How results are shown: a table, totals, what was missed and why, and the same as data. What a
//! result is has been decided before.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::corpus::Payload;
use super::sensor::Line;
use super::start::{Ran, Way};
use super::verdict::{Verdict, story};
use crate::table::{Table, percent};

/// Lines about what was seen of a payload that was missed.
const STORY: usize = 12;

/// A payload, one way to run it, how it went, and what the sensor made of it.
pub(super) struct Row<'a> {
    pub(super) payload: &'a Payload,
    pub(super) way: Way,
    /// Or why it could not be tried.
    pub(super) ran: &'a Result<Ran>,
    pub(super) verdict: Verdict,
    pub(super) lines: Vec<&'a Line>,
}

impl Row<'_> {
    fn has_run(&self) -> bool {
        self.ran
            .as_ref()
            .is_ok_and(|ran| ran.outcome.answered.is_some())
    }

    fn why_not(&self) -> Option<String> {
        match self.ran {
            Err(error) => Some(format!("{error:#}")),
            Ok(ran) if ran.outcome.answered.is_some() => None,
            Ok(ran) => Some(format!(
                "{} connections, heard {:?}, wrote {:?}",
                ran.outcome.connections,
                ran.outcome.heard.chars().take(160).collect::<String>(),
                ran.log,
            )),
        }
    }
}

/// The name of a way to run payloads.
pub(super) fn title(way: Way) -> String {
    let renamed = if way.is_renamed { ", renamed" } else { "" };
    format!("{}, {}{renamed}", way.parent.name(), way.address.name())
}

/// Prints everything there is to know.
pub(super) fn print(rows: &[Row], strays: &[String]) {
    let mut table = Table::new([
        "payload",
        "class",
        "interpreter",
        "way",
        "ran",
        "caught",
        "ms",
        "by",
    ]);
    for row in rows {
        table.row(cells(row));
    }
    table.print("Payloads (ms: from the shell's first answer to the alert)");
    let mut sums: BTreeMap<(String, &str), Sum> = BTreeMap::new();
    for row in rows {
        for class in [row.payload.class(), "all"] {
            sums.entry((title(row.way), class)).or_default().add(row);
        }
    }
    let mut table = Table::new([
        "way",
        "class",
        "tried",
        "ran",
        "caught",
        "",
        "by anything",
        "",
    ]);
    for ((way, class), sum) in &sums {
        let mut line = vec![way.clone(), (*class).to_owned()];
        line.extend(sum.cells());
        table.row(line);
    }
    table.print("Caught of those that ran");
    latency(rows);
    failures(rows);
    misses(rows);
    if !strays.is_empty() {
        println!("\nAlerts about no payload: {}", strays.len());
    }
    for stray in strays.iter().take(STORY) {
        println!("  {stray}");
    }
}

fn cells(row: &Row) -> Vec<String> {
    let yes = |yes: bool| if yes { "✓" } else { "–" }.to_owned();
    let latency = row.verdict.latency;
    let rules = [&row.verdict.caught_by, &row.verdict.high].map(|rules| rules.join(" "));
    vec![
        row.payload.id.clone(),
        row.payload.class().to_owned(),
        row.payload.interpreter.clone(),
        title(row.way),
        yes(row.has_run()),
        yes(row.verdict.is_caught()),
        latency.map_or_else(String::new, |ms| format!("{:.0}", ms.round() + 0.0)),
        rules.join(" ").trim().to_owned(),
    ]
}

#[derive(Default)]
struct Sum {
    tried: usize,
    ran: usize,
    caught: usize,
    noticed: usize,
}

impl Sum {
    fn add(&mut self, row: &Row) {
        self.tried += 1;
        if row.has_run() {
            self.ran += 1;
            self.caught += usize::from(row.verdict.is_caught());
            self.noticed += usize::from(row.verdict.is_noticed());
        }
    }

    fn cells(&self) -> [String; 6] {
        let part = |count: usize| match self.ran {
            0 => String::new(),
            ran => percent(count as f64 / ran as f64),
        };
        [
            self.tried.to_string(),
            self.ran.to_string(),
            self.caught.to_string(),
            part(self.caught),
            self.noticed.to_string(),
            part(self.noticed),
        ]
    }
}

/// How long the sensor itself needed, from the event that decided to the alert.
fn latency(rows: &[Row]) {
    let all = rows.iter().filter_map(|row| row.verdict.decision);
    let mut all: Vec<f64> = all.collect();
    all.sort_by(f64::total_cmp);
    let at = |percent: usize| all.get((all.len() * percent / 100).min(all.len().saturating_sub(1)));
    if let (Some(median), Some(p99)) = (at(50), at(99)) {
        println!("\nFrom the deciding event to the alert: median {median:.1} ms, p99 {p99:.1} ms");
    }
}

fn failures(rows: &[Row]) {
    let failed: Vec<_> = rows
        .iter()
        .filter_map(|row| Some((row, row.why_not()?)))
        .collect();
    if !failed.is_empty() {
        println!("\nDid not run");
    }
    for (row, why) in failed {
        println!("  {} ({}): {why}", row.payload.id, title(row.way));
    }
}

fn misses(rows: &[Row]) {
    let missed: Vec<_> = rows
        .iter()
        .filter(|row| row.has_run() && !row.verdict.is_caught())
        .collect();
    if !missed.is_empty() {
        println!("\nRan and was missed; what the sensor saw");
    }
    for row in missed {
        let lower = row.verdict.lower.join(" ");
        println!("  {} ({}) {lower}", row.payload.id, title(row.way));
        let story = story(&row.lines);
        for line in story.iter().take(STORY) {
            println!("    {line}");
        }
        if story.len() > STORY {
            println!("    … and {} more", story.len() - STORY);
        }
    }
}

/// The same as data.
pub(super) fn data(rows: &[Row]) -> Value {
    let rows = rows.iter().map(|row| {
        json!({
            "id": row.payload.id,
            "class": row.payload.class(),
            "interpreter": row.payload.interpreter,
            "tty": row.payload.tty,
            "parent": row.way.parent.name(),
            "address": row.way.address.name(),
            "renamed": row.way.is_renamed,
            "ran": row.has_run(),
            "why_not": row.why_not(),
            "caught": row.verdict.is_caught(),
            "caught_by_anything": row.verdict.is_noticed(),
            "rules": row.verdict.caught_by,
            "rules_high": row.verdict.high,
            "rules_lower": row.verdict.lower,
            "answer_to_alert_ms": row.verdict.latency,
            "decision_to_alert_ms": row.verdict.decision,
            "saw": story(&row.lines),
        })
    });
    rows.collect()
}

/// Writes the events of each payload to a file of its own.
pub(super) fn keep(rows: &[Row], directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    for row in rows {
        let name = format!(
            "{}.{}.ndjson",
            row.payload.id,
            title(row.way).replace(", ", ".")
        );
        let path = directory.join(name.replace('/', "_"));
        let text: String = row
            .lines
            .iter()
            .map(|line| format!("{}\n", line.event))
            .collect();
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
