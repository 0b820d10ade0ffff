//! The rooms import only rooms to their left (ARCHITECTURE.md), and every file says first what
//! it is for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Per room, what it may import besides itself.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("event", &["identity"]),
    (
        "probe",
        &["event", "clock", "detached", "priority", "cgroup"],
    ),
    ("track", &["event", "detached", "glance"]),
    ("content", &["event", "prctl"]),
    ("intelligence", &["event", "net", "random"]),
    ("net", &["event", "random"]),
    ("decoy", &["event", "clock", "intelligence"]),
    (
        "detect",
        &[
            "event",
            "track",
            "content",
            "intelligence",
            "decoy",
            "glance",
            "state",
        ],
    ),
    (
        "respond",
        &[
            "event",
            "track",
            "cgroup",
            "clock",
            "detached",
            "door",
            "glance",
            "intelligence",
            "priority",
            "state",
        ],
    ),
    ("export", &["event", "identity", "net", "random"]),
    ("cgroup", &[]),
    ("clock", &[]),
    ("detached", &[]),
    ("door", &[]),
    ("glance", &[]),
    ("identity", &["random", "state"]),
    ("lifeline", &["event", "clock"]),
    ("priority", &[]),
    ("prctl", &[]),
    ("random", &[]),
    ("service", &[]),
    ("shed", &["prctl"]),
    ("state", &[]),
];

fn sources(room: &Path) -> Vec<PathBuf> {
    if room.with_extension("rs").is_file() {
        return vec![room.with_extension("rs")];
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(room).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Rooms named after `crate::` in the code of a file; its tests may reach anywhere.
fn imports(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    code.split("crate::")
        .skip(1)
        .map(|rest| {
            rest.chars()
                .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                .collect()
        })
        .collect()
}

#[test]
fn rooms_import_only_to_their_left() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (room, allowed) in MAY_IMPORT {
        for file in sources(&root.join(room)) {
            if file.ends_with("tests.rs") {
                continue;
            }
            for import in imports(&fs::read_to_string(&file).unwrap()) {
                assert!(
                    import == *room || allowed.contains(&import.as_str()),
                    "{} imports {import}",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for krate in [
        "sensor-common/src",
        "sensor-ebpf/src",
        "sensor/src",
        "xtask/src",
        "tests/src",
        "tests/tests",
    ] {
        for file in sources(&workspace.join(krate)) {
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.starts_with("//! "), "{} does not", file.display());
        }
    }
}
