//! Lists as they come and go: what is in force, what stays when a list breaks, what is blocked.

use std::fs;
use std::sync::mpsc::{Receiver, Sender, channel};

use tempfile::TempDir;

use super::super::source::{self, Options};
use super::super::subject::Network;
use super::*;

struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn start(&self, options: &str, blocker: Option<Box<dyn Blocker>>) -> Intelligence {
        let state = self.directory.path().join("state");
        Intelligence::start(sources(options), &state, blocker).unwrap()
    }
}

fn sources(text: &str) -> Vec<Source> {
    #[derive(serde::Deserialize)]
    struct All {
        intelligence: Vec<Options>,
    }
    let all: All = toml::from_str(text).unwrap();
    source::check(&all.intelligence).unwrap()
}

fn eventually(intelligence: &Intelligence, wanted: impl Fn(&Report) -> bool) -> Report {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let report = intelligence.report();
        if wanted(&report) {
            return report;
        }
        assert!(Instant::now() < deadline, "{report:#?}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn is_listed(intelligence: &Intelligence, text: &str) -> bool {
    checked(intelligence, text).list.is_some()
}

fn checked(intelligence: &Intelligence, text: &str) -> Checked {
    intelligence.check(&Subject::parse(text).unwrap())
}

#[test]
fn a_list_that_breaks_or_vanishes_takes_nothing_away() {
    let place = Place::new();
    let path = place.write(
        "bad.txt",
        "198.51.100.7\nevil.example\n10.0.0.1\nwhat is this\n",
    );
    let lists = place.start(
        &format!("[[intelligence]]\nname = 'x'\nlist = '{path}'"),
        None,
    );
    let report = eventually(&lists, |report| report.sizes.addresses == 1);
    let counts = &report.sources[0].counts;
    assert_eq!((counts.indicators, counts.unfit), (2, 2));
    assert!(is_listed(&lists, "http://evil.example/x") && !is_listed(&lists, "10.0.0.1"));

    fs::write(&path, "<html>\nNot found\n</html>\n").unwrap();
    assert!(lists.refresh());
    let report = eventually(&lists, |report| report.sources[0].failures > 0);
    assert!(
        report.sources[0]
            .error
            .as_deref()
            .unwrap()
            .contains("none of them is an indicator")
    );
    fs::remove_file(&path).unwrap();
    assert!(lists.refresh());
    eventually(&lists, |report| report.sources[0].failures > 1);
    assert!(is_listed(&lists, "198.51.100.7"));

    // A start without it goes by the copy.
    drop(lists);
    let lists = place.start(
        &format!("[[intelligence]]\nname = 'x'\nlist = '{path}'"),
        None,
    );
    eventually(&lists, |report| report.sizes.addresses == 1);

    fs::write(&path, "203.0.113.9\n").unwrap();
    assert!(lists.refresh());
    eventually(&lists, |report| report.sources[0].failures == 0);
    assert!(is_listed(&lists, "203.0.113.9") && !is_listed(&lists, "198.51.100.7"));
    assert!(lists.renew(Vec::new()));
    eventually(&lists, |report| {
        report.sources.is_empty() && report.sizes == Sizes::default()
    });
}

#[test]
fn only_the_newest_version_of_an_indicator_counts_and_only_while_it_is_valid() {
    let place = Place::new();
    let indicator = |id: &str, modified: &str, address: &str, more: &str| {
        format!(
            r#"{{"type":"indicator","id":"indicator--{id}","modified":"{modified}T00:00:00Z","pattern":"[ipv4-addr:value = '{address}']","valid_from":"2020-01-01T00:00:00Z"{more}}}"#
        )
    };
    let objects = [
        indicator("a", "2026-01-02", "198.51.100.2", ""),
        indicator("a", "2026-01-01", "198.51.100.1", ""),
        indicator("b", "2026-01-01", "198.51.100.3", ""),
        indicator("b", "2026-01-02", "198.51.100.3", r#","revoked":true"#),
        indicator(
            "c",
            "2026-01-01",
            "198.51.100.4",
            r#","valid_until":"2021-01-01T00:00:00Z""#,
        ),
        indicator(
            "d",
            "2026-01-01",
            "198.51.100.5",
            r#","indicator_types":["benign"]"#,
        ),
        indicator(
            "e",
            "2026-01-01",
            "198.51.100.6' AND network-traffic:dst_port = '1",
            "",
        ),
    ];
    let path = place.write(
        "bundle.json",
        &format!(r#"{{"type":"bundle","objects":[{}]}}"#, objects.join(",")),
    );
    let lists = place.start(
        &format!("[[intelligence]]\nname = 'x'\nstix = '{path}'"),
        None,
    );
    let report = eventually(&lists, |report| report.sizes.addresses > 0);
    let counts = &report.sources[0].counts;
    assert_eq!(
        (
            counts.indicators,
            counts.revoked,
            counts.expired,
            counts.benign,
            counts.unsupported
        ),
        (1, 1, 1, 1, 1)
    );
    assert!(is_listed(&lists, "198.51.100.2"));
}

/// Writes down what it is told.
struct Told(Sender<Change>);

impl Blocker for Told {
    fn take_up(&mut self, _: &dyn Fn(Network) -> bool) -> Result<(), String> {
        Ok(())
    }

    fn change(&mut self, change: &Change) -> Result<(), String> {
        self.0
            .send(change.clone())
            .map_err(|error| error.to_string())
    }
}

fn networks(told: &Receiver<Change>) -> (Vec<String>, Vec<String>) {
    let change = told.recv_timeout(Duration::from_secs(60)).unwrap();
    let mut add: Vec<_> = change
        .add
        .iter()
        .map(|block| block.network.to_string())
        .collect();
    add.sort();
    (add, change.remove.iter().map(ToString::to_string).collect())
}

#[test]
fn what_a_list_may_block_is_blocked_and_what_leaves_it_is_not_any_more() {
    let place = Place::new();
    let path = place.write("bad.txt", "198.51.100.7\n203.0.113.0/24\nevil.example\n");
    let (sender, told) = channel();
    let options = format!(
        "[[intelligence]]\nname = 'x'\nlist = '{path}'\nconfidence = 90\nblock = true\n\
         [[intelligence]]\nname = 'unsure'\nlist = '{path}'\nconfidence = 10\nblock = true\n"
    );
    let lists = place.start(&options, Some(Box::new(Told(sender))));
    assert_eq!(
        networks(&told),
        (vec!["198.51.100.7".into(), "203.0.113.0/24".into()], vec![])
    );
    assert!(checked(&lists, "198.51.100.7").blocks);
    fs::write(&path, "198.51.100.8\n203.0.113.0/24\n").unwrap();
    assert!(lists.refresh());
    let (add, remove) = networks(&told);
    assert!(add.contains(&"198.51.100.8".to_owned()), "{add:?}");
    assert_eq!(remove, ["198.51.100.7"]);
}

#[test]
fn a_server_that_fails_is_asked_later_and_later_but_not_too_late() {
    let mut list = List {
        source: sources(
            "[[intelligence]]\nname = 'x'\nlist = 'https://x.example/'\nevery_minutes = 60",
        )
        .remove(0),
        due: Instant::now(),
        failures: 0,
        error: None,
        counts: Counts::default(),
    };
    let mut wait = |wait: Option<u64>| {
        let error = FetchError::Http(HttpError::Busy {
            url: "x".to_owned(),
            status: 429,
            wait: wait.map(Duration::from_secs),
        });
        list.failed(&error);
        list.due
            .saturating_duration_since(Instant::now())
            .as_secs_f64()
    };
    let first = wait(None);
    assert!((26.0..=33.1).contains(&first), "{first}");
    let second = wait(None);
    assert!((53.0..=66.1).contains(&second), "{second}");
    for _ in 0..50 {
        assert!(wait(None) <= 3_960.1);
    }
    assert!(wait(Some(7_200)) > 7_000.0);
}

#[test]
fn questions_are_answered_and_what_is_none_is_refused() {
    let place = Place::new();
    let path = place.write("bad.txt", "198.51.100.0/24\n");
    let lists = place.start(
        &format!("[[intelligence]]\nname = 'x'\nlist = '{path}'"),
        None,
    );
    eventually(&lists, |report| report.sizes.networks == 1);
    let answer = |text: &str| -> serde_json::Value {
        let question = Question::parse(text).unwrap();
        serde_json::from_str(&lists.answer(&question).unwrap()).unwrap()
    };
    assert_eq!(answer("check 198.51.100.9")["indicator"], "198.51.100.0/24");
    assert_eq!(answer("")["sources"][0]["name"], "x");
    assert_eq!(answer("refresh")["started"], true);
    assert!(
        Question::parse("check so what")
            .unwrap_err()
            .contains("so what")
    );
    assert!(Question::parse("dance").is_err() && Question::parse("refresh now").is_err());
}
