//! `sensor rules` as people call it: what it prints and its exit codes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::process::Command;

const RULE: &str = "title: Netcat\nid: 4f1c0b6e-6f0a-4a51-9d5c-0a2c5b5f9d11\nlevel: low\n\
    logsource: {product: linux, category: process_creation}\n\
    detection: {selection: {Image|endswith: /nc}, condition: selection}\n";

/// Exit code and standard output.
fn rules(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sensor"))
        .arg("rules")
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), text)
}

#[test]
fn the_built_in_rules_pass_their_samples_and_all_can_fire() {
    let (code, text) = rules(&["test"]);
    assert_eq!(code, 0, "{text}");
    let (code, text) = rules(&["list", "--json"]);
    assert_eq!(code, 0);
    assert!(text.lines().count() >= 13);
    for line in text.lines() {
        let listed: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(listed["fires"], true, "{line}");
    }
}

#[test]
fn a_broken_rule_is_named_with_its_line_and_the_answer_is_no() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("good.yml"), RULE).unwrap();
    let path = directory.path().to_str().unwrap();
    assert_eq!(rules(&["lint", path]), (0, "1 rules, 0 problems\n".into()));
    let broken = RULE.replace("|endswith", "|re|contains");
    fs::write(directory.path().join("broken.yml"), broken).unwrap();
    let (code, text) = rules(&["lint", path]);
    assert_eq!(code, 1);
    assert!(
        text.contains("broken.yml:1: invalid modifier combination"),
        "{text}"
    );
}

#[test]
fn a_sample_that_does_not_do_what_it_says_is_an_answer_of_no() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    fs::write(directory.path().join("nc.yml"), RULE).unwrap();
    // Without samples, nothing was shown to work.
    assert_eq!(rules(&["test", path]).0, 1);
    let line = |fires: bool, image: &str| {
        let event =
            serde_json::json!({"event.dataset": "process.exec", "process.executable": image});
        serde_json::json!({"fires": fires, "event": event}).to_string()
    };
    let samples = directory.path().join("nc.samples.jsonl");
    fs::write(
        &samples,
        line(true, "/bin/nc") + "\n" + &line(false, "/bin/cat"),
    )
    .unwrap();
    assert_eq!(rules(&["test", path]).0, 0);
    fs::write(&samples, line(false, "/bin/nc")).unwrap();
    let (code, text) = rules(&["test", path]);
    assert_eq!(code, 1);
    assert!(text.contains("fires, and should not"), "{text}");
}

#[test]
fn wrong_usage_is_told_from_a_no() {
    assert_eq!(rules(&["lint"]).0, 2);
    assert_eq!(rules(&["polish"]).0, 2);
}
