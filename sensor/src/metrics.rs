//! The sensor's state as Prometheus wants it, from what `sensor status` reports. Every number here
//! is counted elsewhere. <https://prometheus.io/docs/instrumenting/exposition_formats/>

pub mod serve;

use std::fmt::Write as _;

use crate::detect::hits::LATENCY_MS;
use crate::status::Report;

/// One family of numbers.
struct Family<'t> {
    text: &'t mut String,
    name: &'static str,
}

impl Family<'_> {
    /// One number, with its labels.
    fn add(&mut self, labels: &[(&str, &str)], value: impl std::fmt::Display) -> &mut Self {
        self.text.push_str(self.name);
        for (place, (name, value)) in labels.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{name}=\"{}\"", escaped(value));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
        self
    }
}

/// A value of a label.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// All of it.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut text = String::with_capacity(32 * 1024);
    general(report, &mut text);
    events(report, &mut text);
    alerts(report, &mut text);
    delivery(report, &mut text);
    text
}

fn family<'t>(text: &'t mut String, name: &'static str, kind: &str, help: &str) -> Family<'t> {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    Family { text, name }
}

fn general(report: &Report, text: &mut String) {
    family(text, "sensor_info", "gauge", "Version of the sensor.")
        .add(&[("version", report.version)], 1);
    family(
        text,
        "sensor_uptime_seconds",
        "gauge",
        "Time since it began to watch.",
    )
    .add(&[], report.uptime_seconds);
    family(
        text,
        "sensor_healthy",
        "gauge",
        "1 when it sees all that it should, 0 when events or kinds of event are missing.",
    )
    .add(&[], u8::from(report.verdict == "healthy"));
    family(text, "sensor_processes", "gauge", "Processes in the table.").add(&[], report.processes);
    family(
        text,
        "sensor_processes_forgotten_total",
        "counter",
        "Processes forgotten for want of room.",
    )
    .add(&[], report.processes_forgotten);
    let mut hooks = family(
        text,
        "sensor_service",
        "gauge",
        "How each group of events is seen: 2 by the preferred hook, 1 by a fallback, 0 not at all.",
    );
    for service in &report.services {
        let how = match (service.hooks.is_empty(), service.fallback) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => 2,
        };
        hooks.add(&[("service", service.name)], how);
    }
}

fn events(report: &Report, text: &mut String) {
    let account = &report.account;
    let mut seen = family(
        text,
        "sensor_events_total",
        "counter",
        "Events by kind and by how far they came.",
    );
    for line in &account.lines {
        for (stage, count) in [
            ("seen", line.seen),
            ("filtered", line.filtered),
            ("submitted", line.submitted),
            ("read", line.read),
            ("delivered", line.delivered),
            ("suppressed", line.suppressed),
        ] {
            seen.add(&[("kind", line.kind), ("stage", stage)], count);
        }
    }
    let mut lost = family(
        text,
        "sensor_events_lost_total",
        "counter",
        "Events lost between the kernel and here, by kind and reason.",
    );
    for line in &account.lines {
        for (reason, count) in [
            ("ring", line.lost_ring),
            ("scratch", line.lost_scratch),
            ("begun", line.lost_begun),
        ] {
            lost.add(&[("kind", line.kind), ("reason", reason)], count);
        }
    }
    family(
        text,
        "sensor_events_malformed_total",
        "counter",
        "Records from the kernel that were not understood.",
    )
    .add(&[], account.malformed);
    family(
        text,
        "sensor_events_unwritten_total",
        "counter",
        "Events that standard output did not take.",
    )
    .add(&[], account.unwritten);
    let mut skipped = family(
        text,
        "sensor_programs_skipped_total",
        "counter",
        "Runs that the kernel skipped, by program.",
    );
    for (program, count) in &account.skipped {
        skipped.add(&[("program", program)], count);
    }
}

fn alerts(report: &Report, text: &mut String) {
    family(text, "sensor_alerts_total", "counter", "Alerts.").add(&[], report.alerts);
    let mut rules = family(
        text,
        "sensor_rule_alerts_total",
        "counter",
        "Alerts by rule; severity is that of the last one.",
    );
    for hit in &report.rules {
        rules.add(
            &[("rule", &hit.rule), ("severity", hit.severity)],
            hit.alerts,
        );
    }
    let name = "sensor_alert_latency_seconds";
    let _ = writeln!(
        text,
        "# HELP {name} From the event that decides an alert until the alert is made.\n# TYPE {name} histogram"
    );
    let mut sum = 0;
    let ends = LATENCY_MS
        .iter()
        .map(|ms| (*ms as f64 / 1000.0).to_string())
        .chain(["+Inf".to_owned()]);
    for (end, count) in ends.zip(report.latency.classes) {
        sum += count;
        let _ = writeln!(text, "{name}_bucket{{le=\"{end}\"}} {sum}");
    }
    let seconds = report.latency.sum_ns as f64 / 1e9;
    let _ = writeln!(text, "{name}_sum {seconds}\n{name}_count {sum}");
    let mut responses = family(
        text,
        "sensor_responses_total",
        "counter",
        "What was done about intruders, by what became of it.",
    );
    let counts = &report.responses;
    for (outcome, count) in [
        ("done", counts.done),
        ("dry_run", counts.dry_run),
        ("asked", counts.asked),
        ("refused", counts.refused),
        ("failed", counts.failed),
    ] {
        responses.add(&[("outcome", outcome)], count);
    }
    if let Some(content) = &report.content {
        let mut files = family(
            text,
            "sensor_files_scanned_total",
            "counter",
            "Files whose content was asked about, by what became of it.",
        );
        for (outcome, count) in [
            ("scanned", content.scanned),
            ("matched", content.matched),
            ("known", content.known),
            ("timed_out", content.timed_out),
            ("killed", content.killed),
            ("gone", content.gone),
            ("queue_full", content.queue_full),
        ] {
            files.add(&[("outcome", outcome)], count);
        }
    }
}

fn delivery(report: &Report, text: &mut String) {
    if let Some(spool) = &report.spool {
        let mut bytes = family(
            text,
            "sensor_spool_bytes",
            "gauge",
            "Bytes on disk, by lane.",
        );
        for lane in &spool.lanes {
            bytes.add(&[("lane", lane.lane)], lane.bytes);
        }
        let mut kept = family(
            text,
            "sensor_spool_events_total",
            "counter",
            "Events by lane and by what became of them on the way to disk and there.",
        );
        for lane in &spool.lanes {
            for (outcome, count) in [
                ("kept", lane.kept),
                ("queue_full", lane.queue_full),
                ("failed", lane.failed),
                ("refused", lane.refused),
                ("dropped_full", lane.dropped_full),
                ("dropped_old", lane.dropped_old),
            ] {
                kept.add(&[("lane", lane.lane), ("outcome", outcome)], count);
            }
        }
        family(
            text,
            "sensor_spool_sync_seconds_total",
            "counter",
            "Time that the disk was waited for.",
        )
        .add(&[], spool.sync_ns as f64 / 1e9);
    }
    if report.sinks.is_empty() {
        return;
    }
    let mut count = |name, kind, help, of: fn(&crate::export::sink::status::Report) -> u64| {
        let mut family = family(text, name, kind, help);
        for sink in &report.sinks {
            family.add(&[("sink", &sink.name), ("kind", sink.kind)], of(sink));
        }
    };
    count(
        "sensor_sink_events_total",
        "counter",
        "Events that have arrived.",
        |sink| sink.delivered,
    );
    count(
        "sensor_sink_bytes_total",
        "counter",
        "Bytes of events that have arrived, before packing.",
        |sink| sink.bytes,
    );
    count(
        "sensor_sink_refused_total",
        "counter",
        "Events that the receiver will never take.",
        |sink| sink.refused,
    );
    count(
        "sensor_sink_missing_total",
        "counter",
        "Events missing in the spool, of which the receiver was told.",
        |sink| sink.missing,
    );
    count(
        "sensor_sink_failures_total",
        "counter",
        "Attempts that failed.",
        |sink| sink.failures,
    );
    count(
        "sensor_sink_behind_events",
        "gauge",
        "Events in the spool that the receiver has yet to get.",
        |sink| sink.behind,
    );
    count(
        "sensor_sink_up",
        "gauge",
        "Whether the last attempt did not fail.",
        |sink| u64::from(sink.trouble.is_none()),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = String::new();
        family(&mut text, "x", "gauge", "X.").add(&[("a", "q\"b\\c\nd"), ("e", "f")], 7);
        assert_eq!(
            text,
            "# HELP x X.\n# TYPE x gauge\nx{a=\"q\\\"b\\\\c\\nd\",e=\"f\"} 7\n"
        );
    }
}
