//! Sigma rules on live events: the built-in ones, those of a directory, and their renewal.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sensor_tests::{Launch, Sensor, skip, text};
use tempfile::TempDir;

/// A program that ends at once, to be copied under another name and place.
const HARMLESS: &str = "/bin/true";
/// Time for an alert that may not come.
const SOON: Duration = Duration::from_millis(300);

fn rule(title: &str, ending: &str) -> String {
    format!(
        "title: {title}\nid: 6d1f0b0e-0000-4000-8000-000000000001\nstatus: test\n\
         logsource:\n    product: linux\n    category: process_creation\n\
         detection:\n    selection:\n        Image|endswith: '{ending}'\n    condition: selection\n\
         level: medium\ntags:\n    - attack.t1059\n"
    )
}

/// A sensor with these rules and no others.
fn start(rules: &Path, config: &Path) -> Sensor {
    fs::write(
        config,
        format!(
            "[rules]\nbuiltin = false\ndirectories = ['{}']\n",
            rules.display()
        ),
    )
    .unwrap();
    Launch::default()
        .detecting()
        .with(["--events", "alert", "--config", config.to_str().unwrap()])
        .start()
        .unwrap()
}

fn run_as(directory: &TempDir, name: &str) {
    let program = directory.path().join(name);
    fs::copy(HARMLESS, &program).unwrap();
    // Where it is one of many in one file (busybox), it goes by its first argument.
    let status = Command::new(&program).arg0("true").status().unwrap();
    assert!(status.success());
}

#[test]
fn a_rule_of_a_directory_fires_once_for_the_same_thing() {
    if !Path::new(HARMLESS).exists() {
        return skip("/bin/true is not here");
    }
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("rules");
    fs::create_dir(&rules).unwrap();
    fs::write(rules.join("odd.yml"), rule("An Odd Name", "/odd-name")).unwrap();
    let mut sensor = start(&rules, &directory.path().join("sensor.toml"));
    run_as(&directory, "odd-name");
    run_as(&directory, "odd-name");
    run_as(&directory, "even-name");
    let alert = sensor
        .wait_for(|event| text(event, "rule.name") == "An Odd Name")
        .unwrap();
    assert_eq!(text(&alert, "sensor.alert.severity"), "medium");
    assert_eq!(text(&alert, "rule.ruleset"), "sigma");
    assert_eq!(text(&alert, "process.name"), "odd-name");
    assert_eq!(alert["threat.technique.id"][0], "T1059");
    let finished = sensor.stop().unwrap();
    assert!(finished.balances());
    let alerts = finished
        .events
        .iter()
        .filter(|event| text(event, "event.kind") == "alert");
    assert_eq!(alerts.count(), 1, "repeated");
}

#[test]
fn new_rules_are_taken_while_it_runs_and_a_broken_set_is_not() {
    if !Path::new(HARMLESS).exists() {
        return skip("/bin/true is not here");
    }
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("rules");
    fs::create_dir(&rules).unwrap();
    fs::write(rules.join("a.yml"), rule("First", "/first")).unwrap();
    let mut sensor = start(&rules, &directory.path().join("sensor.toml"));

    // Broken: the old rule stays.
    fs::write(rules.join("b.yml"), "title: [").unwrap();
    sensor.hang_up();
    run_as(&directory, "first");
    sensor
        .wait_for(|event| text(event, "rule.name") == "First")
        .unwrap();

    // Mended: the new one is in force as soon as it fires.
    fs::remove_file(rules.join("b.yml")).unwrap();
    fs::write(rules.join("a.yml"), rule("Second", "/second")).unwrap();
    sensor.hang_up();
    let fires = |sensor: &mut Sensor| {
        run_as(&directory, "second");
        sensor
            .wait_within(SOON, |event| text(event, "rule.name") == "Second")
            .is_ok()
    };
    assert!((0..50).any(|_| fires(&mut sensor)), "never in force");
    assert!(sensor.stop().unwrap().balances());
}

#[test]
fn the_built_in_rules_are_in_force() {
    let shared = Path::new("/dev/shm");
    if !Path::new(HARMLESS).exists() || !shared.is_dir() {
        return skip("/bin/true or /dev/shm is not here");
    }
    let mut sensor = Launch::default()
        .detecting()
        .with(["--events", "alert"])
        .start()
        .unwrap();
    let directory = tempfile::tempdir_in(shared).unwrap();
    run_as(&directory, "hidden");
    sensor
        .wait_for(|event| {
            text(event, "rule.ruleset") == "sigma" && text(event, "process.name") == "hidden"
        })
        .unwrap();
    assert!(sensor.stop().unwrap().balances());
}
