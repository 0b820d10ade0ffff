//! Holds `packaging/sensor.toml`, the configuration that packages install, to the options there
//! really are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::Config;

/// Every table of the configuration, with what begins it.
const TABLES: &[(&str, &str)] = &[
    ("", ""),
    ("identity", "[identity]"),
    ("files", "[files]"),
    ("rules", "[rules]"),
    ("content", "[content]"),
    ("decoys", "[decoys]"),
    ("respond", "[respond]"),
    ("spool", "[spool]"),
    ("metrics", "[metrics]"),
    ("limits", "[limits]"),
    ("sinks", "[[sinks]]"),
    ("intelligence", "[[intelligence]]"),
    ("respond.playbook", "[[respond.playbook]]"),
    ("respond.prevent", "[[respond.prevent]]"),
];

fn shipped() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_to_string(root.join("packaging/sensor.toml")).unwrap()
}

/// With all in force that is commented out; prose has a blank behind its `#`, and lists four.
fn uncommented() -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') || rest.starts_with("    ") => rest.to_owned(),
        _ => line.to_owned(),
    };
    let lines: Vec<String> = shipped().lines().map(line).collect();
    lines.join("\n")
}

fn parse(text: &str) -> Config {
    Config::parse(text, Path::new("packaging/sensor.toml")).unwrap()
}

/// The default, but for what the journal is spared.
fn expected() -> Config {
    Config {
        events: vec!["alert".to_owned()],
        ..Config::default()
    }
}

#[test]
fn the_shipped_file_changes_nothing_but_what_goes_to_the_journal() {
    assert_eq!(parse(&shipped()), expected());
}

#[test]
fn what_is_commented_out_is_what_holds() {
    let mut config = parse(&uncommented());
    // What has no default, and the examples.
    config.output = None;
    config.respond.control_group = None;
    config.respond.protect_processes = None;
    config.spool.directory = None;
    config.metrics.listen = None;
    for examples in [
        config.respond.playbook.len(),
        config.respond.prevent.len(),
        config.intelligence.len(),
        config.sinks.len(),
    ] {
        assert!(examples > 0);
    }
    config.respond.playbook.clear();
    config.respond.prevent.clear();
    config.intelligence.clear();
    config.sinks.clear();
    assert_eq!(config, expected());
}

#[test]
fn every_option_there_is_stands_in_it() {
    let mut sections: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in uncommented().lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_matches(['[', ']']).to_owned();
            sections.entry(section.clone()).or_default();
        } else if let Some((key, _)) = line.split_once(" =") {
            let keys = sections.entry(section.clone()).or_default();
            keys.insert(key.to_owned());
        }
    }
    for (table, begin) in TABLES {
        let wrong = format!("{begin}\nno_such_option = 1\n");
        let error = Config::parse(&wrong, Path::new("x")).unwrap_err();
        let message = error.to_string();
        let (_, options) = message.split_once("expected ").unwrap();
        let options: Vec<&str> = options.split('`').skip(1).step_by(2).collect();
        assert!(!options.is_empty(), "{message}");
        for option in options {
            let as_table = format!("{table}.{option}");
            let is_there = sections[*table].contains(option)
                || sections.contains_key(as_table.trim_start_matches('.'));
            assert!(
                is_there,
                "packaging/sensor.toml lacks {option} in [{table}]"
            );
        }
    }
}
