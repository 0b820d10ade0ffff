//! What came of it: a table, alerts by rule below it, and what did not work. Judges nothing but
//! whether a run as a whole is good.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::steps::{Outcome, Step};
use crate::table::Table;

/// `event.severity` of an alert of severity high; above is critical.
const HIGH: u64 = 73;
/// Messages shown for a rule.
const SHOWN: usize = 4;

/// A scenario that ran.
pub(super) struct Row<'a> {
    pub(super) name: &'static str,
    pub(super) executions: u64,
    pub(super) took: Duration,
    pub(super) steps: Vec<Step>,
    /// Why it did not come to its end.
    pub(super) failure: Option<String>,
    pub(super) alerts: Vec<&'a Value>,
}

fn text<'e>(event: &'e Value, field: &str) -> &'e str {
    event.get(field).and_then(Value::as_str).unwrap_or("-")
}

fn severity(event: &Value) -> u64 {
    event
        .get("event.severity")
        .and_then(Value::as_u64)
        .unwrap_or(0)
}

impl Row<'_> {
    fn high(&self) -> usize {
        let alerts = self.alerts.iter();
        alerts.filter(|alert| severity(alert) >= HIGH).count()
    }

    fn count(&self, name: &str) -> usize {
        let alerts = self.alerts.iter();
        alerts
            .filter(|alert| text(alert, "sensor.alert.severity") == name)
            .count()
    }

    fn steps(&self, outcome: &Outcome) -> usize {
        let steps = self.steps.iter();
        steps.filter(|step| step.outcome.is_like(outcome)).count()
    }

    /// Whether all of it was done, without a false alarm.
    pub(super) fn is_good(&self) -> bool {
        let failed = self.steps.iter().any(|step| step.outcome.is_failure());
        self.high() == 0 && self.failure.is_none() && !failed && self.steps(&Outcome::Done) > 0
    }
}

/// Prints everything.
pub(super) fn print(rows: &[Row<'_>], is_long: bool) {
    let mut table = Table::new([
        "scenario", "steps", "failed", "skipped", "exec", "time", "high", "medium", "low",
    ]);
    let sum = |of: fn(&Row<'_>) -> u64| rows.iter().map(of).sum::<u64>();
    for row in rows {
        table.row(vec![
            row.name.to_owned(),
            row.steps.len().to_string(),
            row.steps(&Outcome::Failed(0)).to_string(),
            row.steps(&Outcome::Skipped(String::new())).to_string(),
            row.executions.to_string(),
            format!("{:.0} s", row.took.as_secs_f64()),
            row.high().to_string(),
            row.count("medium").to_string(),
            row.count("low").to_string(),
        ]);
    }
    table.row(vec![
        "all".to_owned(),
        sum(|row| row.steps.len() as u64).to_string(),
        sum(|row| row.steps(&Outcome::Failed(0)) as u64).to_string(),
        sum(|row| row.steps(&Outcome::Skipped(String::new())) as u64).to_string(),
        sum(|row| row.executions).to_string(),
        format!("{} s", sum(|row| row.took.as_secs())),
        sum(|row| row.high() as u64).to_string(),
        sum(|row| row.count("medium") as u64).to_string(),
        sum(|row| row.count("low") as u64).to_string(),
    ]);
    table.print("What benign work alarmed");
    print_rules(rows, is_long);
    print_steps(rows);
}

/// Which rules, with what they said.
fn print_rules(rows: &[Row<'_>], is_long: bool) {
    for row in rows {
        let mut rules: BTreeMap<(u64, &str), Vec<&Value>> = BTreeMap::new();
        for alert in &row.alerts {
            let rule = (severity(alert), text(alert, "rule.id"));
            rules.entry(rule).or_default().push(alert);
        }
        for ((_, rule), alerts) in rules.into_iter().rev() {
            let shown = if is_long { alerts.len() } else { SHOWN };
            if let Some(first) = alerts.first() {
                println!(
                    "\n{}: {} {}× {rule} ({})",
                    row.name,
                    text(first, "sensor.alert.severity"),
                    alerts.len(),
                    text(first, "rule.name"),
                );
            }
            for alert in alerts.iter().take(shown) {
                println!("  {}", text(alert, "message"));
                if is_long {
                    println!("      {}", text(alert, "sensor.alert.path"));
                    println!("      {}", text(alert, "process.command_line"));
                }
            }
        }
    }
}

/// What was not done, and why.
fn print_steps(rows: &[Row<'_>]) {
    for row in rows {
        for step in &row.steps {
            match &step.outcome {
                Outcome::Done => {}
                Outcome::Failed(status) => {
                    println!("\n{}: {} failed ({status})", row.name, step.name);
                    for line in &step.said {
                        println!("  {line}");
                    }
                }
                Outcome::Skipped(why) => println!("\n{}: {} skipped: {why}", row.name, step.name),
            }
        }
        if let Some(why) = &row.failure {
            println!("\n{}: {why}", row.name);
        }
    }
}
