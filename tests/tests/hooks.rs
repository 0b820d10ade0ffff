//! The two ways to an event: where the kernel allows the preferred hook, it and the fallback
//! must say the same.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::process::Command;

use sensor_tests::{Event, Finished, Launch, field, generator, skip, text, uses_fallback};
use serde_json::Value;

/// What is of the observation and not of what was observed; and the hash, which comes when it
/// has been computed.
const OF_THE_OBSERVER: &[&str] = &[
    "@timestamp",
    "agent.ephemeral_id",
    "agent.id",
    "event.id",
    "event.sequence",
    "event.duration",
    "event.start",
    "process.hash.sha256",
    // A time since boot, to which each sensor adds its own reading of the clock.
    "process.start",
    "sensor.boot_ns",
    "sensor.cpu",
    "sensor.exit.run_ns",
];

/// What system calls do not say of a file that a name was given to or taken from: they pass
/// names, and when they return the file may be gone.
const NOT_IN_A_CALL: &[&str] = &["file.", "sensor.file."];

/// Of these, the fallback knows at least the path.
const BY_NAME: &[&str] = &[
    "file.rename",
    "file.unlink",
    "file.link",
    "file.symlink",
    "file.mkdir",
    "file.chmod",
    "file.chown",
    "file.truncate",
];

const KINDS: &str = "exec,memfd,setuid,mount,cgroup,connect,file,change";

#[test]
fn the_preferred_hooks_and_the_fallback_give_the_same_fields() {
    if uses_fallback("connect").unwrap() {
        return skip("this kernel has the fallback only");
    }
    let directory = tempfile::tempdir().unwrap();
    let start = |arguments: &[&str]| Launch::default().with(arguments.iter().copied()).start();
    let preferred = start(&[]).unwrap();
    let fallback = start(&["--no-trampolines"]).unwrap();
    let mut generator = Command::new(generator())
        .args(["--kind", KINDS, "--count", "25", "--dir"])
        .arg(directory.path())
        .spawn()
        .unwrap();
    let pid = generator.id();
    assert!(generator.wait().unwrap().success());
    let preferred = preferred.stop().unwrap();
    let fallback = fallback.stop().unwrap();
    assert!(preferred.balances() && fallback.balances());
    if preferred.skipped() + fallback.skipped() > 0 {
        return skip("the kernel skipped programs, so the two cannot be compared one by one");
    }

    let mut compared = 0;
    let mut differences = BTreeMap::new();
    for kind in kinds(&preferred, pid) {
        let (ours, theirs) = (of(&preferred, &kind, pid), of(&fallback, &kind, pid));
        assert_eq!(ours.len(), theirs.len(), "{kind}");
        for (a, b) in ours.iter().zip(&theirs) {
            compare(&kind, a, b, &mut differences);
            compared += 1;
        }
    }
    println!("{compared} events compared");
    assert!(differences.is_empty(), "{differences:#?}");
    assert!(compared > 25 * 20, "{compared}");
}

/// Kinds of the events of the generator and its children.
fn kinds(finished: &Finished, pid: u32) -> Vec<String> {
    let mut kinds: Vec<String> = finished
        .events
        .iter()
        .filter(|event| is_of(event, pid))
        .map(|event| text(event, "event.dataset").to_owned())
        .collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

fn is_of(event: &Event, pid: u32) -> bool {
    field(event, "process.pid") == pid || field(event, "process.parent.pid") == pid
}

fn of<'f>(finished: &'f Finished, kind: &str, pid: u32) -> Vec<&'f Event> {
    let mut events: Vec<&Event> = finished
        .events
        .iter()
        .filter(|event| text(event, "event.dataset") == kind && is_of(event, pid))
        .collect();
    events.sort_by_key(|event| field(event, "sensor.boot_ns").as_u64());
    events
}

/// Adds what differs, by kind and field.
fn compare(
    kind: &str,
    preferred: &Event,
    fallback: &Event,
    differences: &mut BTreeMap<(String, String), [Value; 2]>,
) {
    let (Value::Object(a), Value::Object(b)) = (preferred, fallback) else {
        panic!("not objects");
    };
    for name in a.keys().chain(b.keys()) {
        let [ours, theirs] = [preferred, fallback].map(|event| field(event, name).clone());
        if ours != theirs && !is_excused(kind, name) {
            differences.insert((kind.to_owned(), name.clone()), [ours, theirs]);
        }
    }
}

fn is_excused(kind: &str, name: &str) -> bool {
    let paths = [
        "file.path",
        "file.target_path",
        "sensor.file.previous_path",
        "sensor.file.linked_path",
    ];
    OF_THE_OBSERVER.contains(&name)
        || (BY_NAME.contains(&kind)
            && NOT_IN_A_CALL.iter().any(|prefix| name.starts_with(prefix))
            && !paths.contains(&name))
}
