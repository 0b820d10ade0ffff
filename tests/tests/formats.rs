//! What every event says of where it is from, and the formats it can be had in, from a recording.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

use sensor_tests::{Event, Launch, field, sensor_binary, text};
use serde_json::{Value, json};

/// Runs a sensor that sees one program, with tags and labels of the operator's.
fn record(directory: &Path) -> Vec<Event> {
    let config = directory.join("sensor.toml");
    fs::write(
        &config,
        "[identity]\ntags = ['web']\nlabels = { site = 'fra' }\n",
    )
    .unwrap();
    let mut sensor = Launch::default()
        .remembering(directory.join("state"))
        .with(["--events", "process.exec", "--config"])
        .with([config.to_str().unwrap()])
        .start()
        .unwrap();
    let mut child = Command::new("/bin/true").spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    sensor
        .wait_for(|event| {
            text(event, "event.dataset") == "process.exec" && field(event, "process.pid") == pid
        })
        .unwrap();
    sensor.stop().unwrap().events
}

fn replay(recording: &Path, schema: &str) -> String {
    let output = Command::new(sensor_binary().unwrap())
        .arg("replay")
        .arg(recording)
        .args([
            "--output",
            "json",
            "--events",
            "process.exec",
            "--schema",
            schema,
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn machine(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[test]
fn every_event_says_where_it_is_from_and_a_replay_says_it_again_in_every_format() {
    let directory = tempfile::tempdir().unwrap();
    let first = record(directory.path());
    let second = record(directory.path());

    let host = machine("/proc/sys/kernel/hostname").unwrap();
    let boot = machine("/proc/sys/kernel/random/boot_id").unwrap();
    let id = text(&first[0], "agent.id").to_owned();
    assert_eq!(id.len(), 36, "{id:?}");
    for event in first.iter().chain(&second) {
        assert_eq!(text(event, "host.name"), host);
        assert_eq!(text(event, "host.boot.id"), boot);
        assert_eq!(text(event, "agent.id"), id);
        assert_eq!(field(event, "tags"), &json!(["web"]));
        assert_eq!(field(event, "labels"), &json!({"site": "fra"}));
    }
    let run = |events: &[Event]| text(&events[0], "agent.ephemeral_id").to_owned();
    assert_ne!(run(&first), run(&second));

    // What another host has recorded stays with that host.
    let recording = directory.path().join("recording");
    let of_another = |mut event: Event| {
        event["host.name"] = json!("other|host");
        event.to_string() + "\n"
    };
    let lines: String = first.into_iter().map(of_another).collect();
    fs::write(&recording, lines).unwrap();

    let native = replay(&recording, "native");
    assert_eq!(native, replay(&recording, "native"));
    assert!(!native.is_empty());
    for line in native.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(text(&event, "host.name"), "other|host");
        assert_eq!(text(&event, "agent.id"), id);
    }
    for line in replay(&recording, "ecs").lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["host"]["name"], "other|host");
        assert_eq!(event["labels"]["site"], "fra");
    }
    let ocsf = replay(&recording, "ocsf");
    let exec = ocsf
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|event| event["process"]["cmd_line"] == "/bin/true")
        .expect("the program is there");
    assert_eq!(exec["type_uid"], 100_701);
    assert_eq!(exec["device"]["name"], "other|host");
    assert_eq!(exec["metadata"]["labels"], json!(["web"]));
    for line in replay(&recording, "cef").lines() {
        assert!(line.starts_with("CEF:0|sensor|sensor|"), "{line}");
        assert!(line.contains(" dvchost=other|host "), "{line}");
    }
}
