//! `sensor replay`: what was recorded while drills ran raises the same alerts again, without a
//! kernel, always the same; and what is no recording is told.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use sensor_tests::{Event, Launch, field, sensor_binary, skip, text};

/// Everything that detection concludes from.
const TELLING: &str = "process,network,file";

fn replay(recording: &Path, arguments: &[&str]) -> Output {
    Command::new(sensor_binary().unwrap())
        .arg("replay")
        .arg(recording)
        .args(["--output", "json", "--schema", "native"])
        .args(arguments)
        .output()
        .unwrap()
}

fn events(output: &Output) -> Vec<Event> {
    assert!(output.status.success(), "{}", complaints(output));
    String::from_utf8(output.stdout.clone())
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn complaints(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What an alert says, apart from its own id and how long it took. Not what was found, or not
/// looked for in time, inside a file: a recording has no files.
fn alerts(events: &[Event]) -> Vec<Vec<String>> {
    events
        .iter()
        .filter(|event| text(event, "event.dataset") == "alert")
        .filter(|event| !text(event, "rule.id").starts_with("content."))
        .map(|alert| {
            [
                "rule.id",
                "sensor.alert.severity",
                "process.entity_id",
                "sensor.alert.path",
                "sensor.alert.ancestry",
                "sensor.alert.evidence",
                "sensor.alert.incident",
                "message",
                "@timestamp",
            ]
            .map(|name| field(alert, name).to_string())
            .to_vec()
        })
        .collect()
}

/// Runs every drill while a sensor records.
fn record_drills() -> Vec<Event> {
    let sensor = Launch::default()
        .detecting()
        .with(["--events", TELLING])
        .start()
        .unwrap();
    // It brings a sensor of its own, so both have to see the same.
    let drill = Command::new(sensor_binary().unwrap())
        .args(["drill", "--json"])
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(drill.success());
    let finished = sensor.stop().unwrap();
    assert!(finished.balances());
    finished.events
}

fn write(path: &Path, events: &[Event]) {
    let lines: Vec<_> = events.iter().map(Event::to_string).collect();
    fs::write(path, lines.join("\n") + "\n").unwrap();
}

#[test]
fn recorded_drills_raise_the_same_alerts_again() {
    if !Path::new("/bin/sh").exists() {
        return skip("there is no shell here");
    }
    let recorded = record_drills();
    let directory = tempfile::tempdir().unwrap();
    let recording = directory.path().join("drills.ndjson");
    write(&recording, &recorded);

    let output = replay(&recording, &["--strict"]);
    let before = alerts(&recorded);
    assert!(before.len() >= 13, "{}", before.len());
    assert_eq!(before, alerts(&events(&output)));
    assert!(
        !complaints(&output).contains("not know"),
        "{}",
        complaints(&output)
    );

    // The same to the byte, also with the events, and with them as they were recorded.
    assert_eq!(output.stdout, replay(&recording, &["--strict"]).stdout);
    let whole = replay(&recording, &["--events", TELLING]);
    assert_eq!(
        whole.stdout,
        replay(&recording, &["--events", TELLING]).stdout
    );
    let happened = |events: &[Event]| -> Vec<Event> {
        let happened = |event: &&Event| text(event, "event.dataset") != "alert";
        events.iter().filter(happened).cloned().collect()
    };
    let (recorded, replayed) = (happened(&recorded), happened(&events(&whole)));
    assert_eq!(recorded.len(), replayed.len());
    for (recorded, replayed) in recorded.iter().zip(&replayed) {
        assert_eq!(recorded["event.id"], replayed["event.id"]);
        assert_eq!(recorded["process.entity_id"], replayed["process.entity_id"]);
        assert_eq!(recorded["process.args"], replayed["process.args"]);
    }
}

#[test]
fn a_line_that_is_no_event_is_told_and_the_rest_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let recording = directory.path().join("broken.ndjson");
    let good = r#"{"@timestamp":"2026-01-01T00:00:00Z","event.id":"00000001-0","event.dataset":"cgroup.mkdir","sensor.boot_ns":1,"sensor.cpu":0,"sensor.control_group.id":1,"sensor.control_group.path":"/a","sensor.control_group.hierarchy":0,"sensor.control_group.level":1}"#;
    fs::write(&recording, format!("{good}\nnonsense\n\n{{}}\n{good}\n")).unwrap();

    let output = replay(&recording, &["--events", "cgroup"]);
    assert_eq!(events(&output).len(), 2);
    let said = complaints(&output);
    assert!(
        said.contains("broken.ndjson:2: ") && said.contains("JSON"),
        "{said}"
    );
    assert!(
        said.contains("broken.ndjson:4: ") && said.contains("event.dataset"),
        "{said}"
    );
    assert!(said.contains("2 lines were not understood"), "{said}");

    assert_eq!(replay(&recording, &["--strict"]).status.code(), Some(1));
    fs::write(&recording, format!("{good}\n")).unwrap();
    assert_eq!(replay(&recording, &["--strict"]).status.code(), Some(0));
    let missing = replay(&directory.path().join("none"), &[]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(complaints(&missing).contains("cannot open"));
}
