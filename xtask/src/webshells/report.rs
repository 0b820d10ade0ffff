//! What came of it, stage by stage: a table, and below it the alerts in full. Judges nothing but
//! whether an alert names what it should.

use std::collections::BTreeSet;

use serde_json::Value;

use super::stage::{CLIENT, Stage, Staged};
use crate::table::Table;

/// Where shells call.
const PEER: &str = "203.0.113.7";

/// What alerts of a stage say.
struct Summary {
    rules: String,
    incidents: usize,
    named: String,
}

fn text<'a>(event: &'a Value, field: &str) -> &'a str {
    event.get(field).and_then(Value::as_str).unwrap_or("-")
}

fn summary(alerts: &[&Value], path: &str) -> Summary {
    let mut rules: Vec<String> = Vec::new();
    for alert in alerts {
        let rule = format!(
            "{} {}",
            text(alert, "rule.id"),
            text(alert, "sensor.alert.severity")
        );
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    let incidents: BTreeSet<_> = alerts
        .iter()
        .map(|alert| text(alert, "sensor.alert.incident"))
        .collect();
    let has = |field, value: &str| alerts.iter().any(|alert| text(alert, field) == value);
    let says = |word: &str| {
        alerts
            .iter()
            .any(|alert| text(alert, "message").contains(word))
    };
    let marks = [
        ("script", has("file.path", path)),
        ("writer", says("written ") || says(" wrote ")),
        ("client", has("source.ip", CLIENT)),
        ("peer", has("destination.ip", PEER)),
    ];
    let named = marks
        .into_iter()
        .filter_map(|(name, is)| is.then_some(name));
    Summary {
        rules: rules.join(", "),
        incidents: incidents.len(),
        named: named.collect::<Vec<_>>().join(" "),
    }
}

/// Prints one row for each stage of each server, and a last one for its intrusion as a whole.
pub(super) fn print(all: &[Staged], is_long: bool) {
    let mut table = Table::new(["server", "stage", "worked", "incidents", "names", "alerts"]);
    for staged in all {
        for stage in Stage::ALL {
            let alerts = staged.alerts(stage);
            let summary = summary(&alerts, &staged.stack.path);
            table.row(vec![
                staged.stack.name.clone(),
                stage.name().to_owned(),
                staged.outcome(stage),
                summary.incidents.to_string(),
                summary.named,
                summary.rules,
            ]);
        }
        let intrusion: Vec<_> = Stage::ALL
            .into_iter()
            .filter(|stage| *stage != Stage::Visit)
            .flat_map(|stage| staged.alerts(stage))
            .collect();
        let summary = summary(&intrusion, &staged.stack.path);
        table.row(vec![
            staged.stack.name.clone(),
            "all but a".to_owned(),
            String::new(),
            summary.incidents.to_string(),
            summary.named,
            String::new(),
        ]);
    }
    table.print("What the sensor made of it");
    if is_long {
        for staged in all {
            println!("\n{}", staged.stack.name);
            for stage in Stage::ALL {
                for alert in staged.alerts(stage) {
                    println!(
                        "  {} {} {} {} {}\n      {}",
                        stage.name(),
                        text(alert, "rule.id"),
                        text(alert, "sensor.alert.severity"),
                        text(alert, "sensor.alert.incident"),
                        text(alert, "message"),
                        text(alert, "sensor.alert.path"),
                    );
                }
            }
        }
    }
}
