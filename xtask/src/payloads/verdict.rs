//! What the sensor saw of one payload, and whether that is a catch. Pure: from events to a
//! verdict. How it is shown is not decided here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::sensor::Line;

/// `event.severity` of an alert of severity high; above is critical.
const HIGH: u64 = 73;
/// Alerts may come this long after the payload's end.
const LATE: Duration = Duration::from_secs(5);

/// All that was kept, by the process namespace it happened in.
pub(super) struct Events<'a> {
    by_namespace: BTreeMap<u64, Vec<&'a Line>>,
    /// Alerts that do not say where they belong.
    homeless: Vec<&'a Line>,
}

impl<'a> Events<'a> {
    pub(super) fn new(lines: &'a [Line]) -> Self {
        let mut by_namespace: BTreeMap<u64, Vec<_>> = BTreeMap::new();
        let mut homeless = Vec::new();
        for line in lines {
            match line
                .event
                .get("sensor.namespace.pid")
                .and_then(Value::as_u64)
            {
                Some(namespace) => by_namespace.entry(namespace).or_default().push(line),
                None if is_alert(&line.event) => homeless.push(line),
                None => {}
            }
        }
        Self {
            by_namespace,
            homeless,
        }
    }

    /// Those of one payload: of its namespace, and alerts without one about its processes, which
    /// are told from others with the same number by the time.
    pub(super) fn of(&self, namespace: u64, during: (SystemTime, SystemTime)) -> Vec<&'a Line> {
        let mut found = self
            .by_namespace
            .get(&namespace)
            .cloned()
            .unwrap_or_default();
        let pids: BTreeSet<u64> = found.iter().filter_map(|line| pid(&line.event)).collect();
        let is_ours = |line: &&Line| {
            pid(&line.event).is_some_and(|pid| pids.contains(&pid))
                && line.arrived >= during.0
                && line.arrived <= during.1 + LATE
        };
        found.extend(self.homeless.iter().copied().filter(is_ours));
        found
    }
}

/// Alerts that fell to no payload, a line each: about the machine around them, or about our side.
pub(super) fn strays(lines: &[Line], claimed: &[&Line]) -> Vec<String> {
    let is_claimed = |line: &Line| claimed.iter().any(|other| std::ptr::eq(*other, line));
    lines
        .iter()
        .filter(|line| is_alert(&line.event) && !is_claimed(line))
        .map(|line| {
            let [rule, message] = ["rule.id", "message"].map(|name| text(&line.event, name));
            format!("{rule}: {}", shortened(message))
        })
        .collect()
}

fn pid(event: &Value) -> Option<u64> {
    event.get("process.pid")?.as_u64()
}

fn is_alert(event: &Value) -> bool {
    text(event, "event.kind") == "alert"
}

/// A field as text, empty when it has none.
pub(super) fn text<'e>(event: &'e Value, name: &str) -> &'e str {
    event.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// What the alerts make of a payload.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Rules that count as a catch, in the order they fired.
    pub(super) caught_by: Vec<String>,
    /// Other rules of severity high or above.
    pub(super) high: Vec<String>,
    /// And the rest.
    pub(super) lower: Vec<String>,
    /// From the first answer to the first catch being in our hands, in milliseconds; negative
    /// where the catch came first.
    pub(super) latency: Option<f64>,
    /// From the event that decided the first catch to the alert, by the sensor's own account, in
    /// milliseconds.
    pub(super) decision: Option<f64>,
}

impl Verdict {
    pub(super) fn is_caught(&self) -> bool {
        !self.caught_by.is_empty()
    }

    /// Caught by anything.
    pub(super) fn is_noticed(&self) -> bool {
        self.is_caught() || !self.high.is_empty()
    }
}

/// Judges by the alerts among these events; a rule counts when its id begins with one of the
/// prefixes.
pub(super) fn judge(lines: &[&Line], prefixes: &[String], answered: Option<SystemTime>) -> Verdict {
    let mut verdict = Verdict::default();
    for line in lines.iter().filter(|line| is_alert(&line.event)) {
        let rule = text(&line.event, "rule.id");
        let severity = line.event.get("event.severity").and_then(Value::as_u64);
        let rules = if prefixes.iter().any(|prefix| rule.starts_with(prefix)) {
            if verdict.caught_by.is_empty() {
                let decision = line.event.get("sensor.alert.latency");
                verdict.decision = decision.and_then(Value::as_f64).map(|ns| ns / 1e6);
                verdict.latency = answered.map(|answered| between(answered, line.arrived));
            }
            &mut verdict.caught_by
        } else if severity >= Some(HIGH) {
            &mut verdict.high
        } else {
            &mut verdict.lower
        };
        if !rules.iter().any(|known| known == rule) {
            rules.push(rule.to_owned());
        }
    }
    verdict
}

/// Milliseconds from one moment to another.
fn between(from: SystemTime, to: SystemTime) -> f64 {
    let since = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default();
    (since(to).as_secs_f64() - since(from).as_secs_f64()) * 1e3
}

/// Programs and connections among these events, a line each, for whoever wonders why there was
/// no alert.
pub(super) fn story(lines: &[&Line]) -> Vec<String> {
    lines.iter().filter_map(|line| told(&line.event)).collect()
}

fn told(event: &Value) -> Option<String> {
    let dataset = text(event, "event.dataset");
    let pid = pid(event).unwrap_or(0);
    let name = text(event, "process.name");
    if dataset == "process.exec" {
        let stdio = ["stdin", "stdout", "stderr"]
            .map(|fd| text(event, &format!("sensor.stdio.{fd}.description")));
        let line = shortened(text(event, "process.command_line"));
        let parent = event.get("process.parent.pid").and_then(Value::as_u64);
        let parent = parent.unwrap_or(0);
        return Some(format!(
            "exec {parent}>{pid} `{line}` [{}]",
            stdio.join(" ")
        ));
    }
    if !dataset.starts_with("network.") {
        return None;
    }
    let end = |side: &str| {
        let port = event.get(format!("{side}.port")).and_then(Value::as_u64);
        format!(
            "{}:{}",
            text(event, &format!("{side}.ip")),
            port.unwrap_or(0)
        )
    };
    let (from, to) = (end("source"), end("destination"));
    Some(format!("{dataset} {pid} {name} {from} > {to}"))
}

/// One line, no longer than is read.
fn shortened(text: &str) -> String {
    const LENGTH: usize = 110;
    let mut line: String = text
        .chars()
        .take(LENGTH)
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    if text.chars().count() > LENGTH {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(event: Value) -> Line {
        let arrived = UNIX_EPOCH + Duration::from_millis(1_500);
        Line { arrived, event }
    }

    fn alert(rule: &str, severity: u64) -> Line {
        line(
            json!({ "event.kind": "alert", "rule.id": rule, "event.severity": severity,
            "sensor.namespace.pid": 7, "process.pid": 1 }),
        )
    }

    fn judged(lines: &[Line]) -> Verdict {
        let lines: Vec<&Line> = lines.iter().collect();
        let answered = UNIX_EPOCH + Duration::from_secs(1);
        judge(&lines, &["remote-shell".to_owned()], Some(answered))
    }

    #[test]
    fn only_the_rules_meant_are_a_catch() {
        let verdict = judged(&[
            alert("remote-shell.socket", 1),
            alert("other", 73),
            alert("low", 72),
        ]);
        assert_eq!(verdict.caught_by, ["remote-shell.socket"]);
        assert_eq!(verdict.high, ["other"]);
        assert_eq!(verdict.lower, ["low"]);
        assert_eq!(verdict.latency, Some(500.0));
    }

    #[test]
    fn an_alert_below_high_is_no_catch_of_anything() {
        let verdict = judged(&[alert("other", 72)]);
        assert!(!verdict.is_caught() && !verdict.is_noticed());
        assert!(judged(&[alert("other", 73)]).is_noticed());
    }

    #[test]
    fn an_event_that_is_no_alert_is_no_catch() {
        let event = json!({ "event.kind": "event", "rule.id": "remote-shell" });
        assert!(!judged(&[line(event)]).is_noticed());
    }

    #[test]
    fn alerts_without_a_namespace_fall_to_the_process_at_its_time() {
        let homeless = json!({ "event.kind": "alert", "rule.id": "a", "process.pid": 1 });
        let lines = [alert("remote-shell", 73), line(homeless)];
        let events = Events::new(&lines);
        let during = (UNIX_EPOCH, UNIX_EPOCH + Duration::from_secs(2));
        assert_eq!(events.of(7, during).len(), 2);
        let later = (UNIX_EPOCH + Duration::from_secs(2), during.1);
        assert_eq!(events.of(7, later).len(), 1);
        assert!(events.of(8, during).is_empty());
        let claimed = events.of(7, later);
        assert_eq!(strays(&lines, &claimed), ["a: "]);
    }
}
