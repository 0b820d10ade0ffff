//! Processes of our own, ended, stopped and let go on.

use super::*;
use crate::event::response::Outcome;
use std::io::Read as _;
use std::process::{Child, Command, Stdio};

fn options(state: &std::path::Path) -> Options {
    Options {
        origin: Origin::Operator,
        by: "root".into(),
        reason: "a test".into(),
        dry_run: false,
        signal: Signal::Kill,
        protected: Arc::new(Protected::default()),
        state: state.to_owned(),
    }
}

/// A shell that has started two others below each other, and said so.
fn family() -> Child {
    let mut child = Command::new("/bin/sh")
        .args([
            "-c",
            "sh -c 'sh -c \"echo; exec sleep 60\"; true' & wait; true",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut byte = [0];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut byte)
        .unwrap();
    child
}

fn key(child: &Child) -> ProcessKey {
    proc::Stat::of(child.id()).unwrap().key
}

/// All of a family hold its standard output; when the last is gone, it ends.
fn assert_all_end(mut child: Child) {
    let mut rest = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut rest).unwrap();
    child.wait().unwrap();
}

#[test]
fn a_tree_dies_as_a_whole() {
    let state = tempfile::tempdir().unwrap();
    let child = family();
    let target = Target::one(key(&child)).with_tree();
    let mut rehearsal = options(state.path());
    rehearsal.dry_run = true;
    let response = kill(&target, &rehearsal);
    assert_eq!(response.outcome, Outcome::DryRun, "{response}");
    let response = kill(&target, &options(state.path()));
    assert_eq!(response.outcome, Outcome::Done, "{response}");
    assert_eq!(response.detail.matches("(pid ").count(), 3, "{response}");
    assert_all_end(child);
}

#[test]
fn who_had_the_pid_before_is_not_who_has_it_now() {
    let state = tempfile::tempdir().unwrap();
    let mut child = family();
    let mut former = key(&child);
    former.start_ticks -= 1;
    let response = kill(&Target::one(former), &options(state.path()));
    assert_eq!(response.outcome, Outcome::Failed);
    assert!(response.detail.contains("belongs to"), "{response}");
    assert!(child.try_wait().unwrap().is_none());
    let _ = kill(
        &Target::one(key(&child)).with_tree(),
        &options(state.path()),
    );
    assert_all_end(child);
}

#[test]
fn a_zombie_is_called_one() {
    let state = tempfile::tempdir().unwrap();
    let mut child = Command::new("/bin/true").spawn().unwrap();
    let target = Target::one(key(&child));
    let handle = handle::Handle::open(key(&child)).unwrap();
    assert!(handle.has_ended_within(Duration::from_secs(60)).unwrap());
    let response = kill(&target, &options(state.path()));
    assert!(response.detail.contains("zombie"), "{response}");
    child.wait().unwrap();
    let response = kill(&target, &options(state.path()));
    assert_eq!(response.outcome, Outcome::Failed);
    assert!(response.detail.contains("already ended"), "{response}");
}

#[test]
fn a_frozen_tree_stands_still_until_it_is_let_go_on() {
    let state = tempfile::tempdir().unwrap();
    let options = options(state.path());
    let child = family();
    let home = proc::group(child.id()).unwrap();
    let target = Target::one(key(&child)).with_tree();
    let response = freeze(&target, &options);
    assert_eq!(response.outcome, Outcome::Done, "{response}");
    let undo = format!("sensor thaw {}", child.id());
    assert_eq!(response.undo.as_deref(), Some(&*undo));
    let list = frozen(state.path());
    assert_eq!(
        list.iter().map(|f| f.members.len()).collect::<Vec<_>>(),
        [3]
    );
    assert!(freeze(&target, &options).detail.contains("frozen already"));

    let response = thaw(child.id(), &options);
    assert_eq!(response.outcome, Outcome::Done, "{response}");
    assert_eq!(proc::group(child.id()).unwrap(), home);
    assert!(frozen(state.path()).is_empty());
    assert_eq!(thaw(child.id(), &options).outcome, Outcome::Failed);
    let _ = kill(&target, &options);
    assert_all_end(child);
}

#[test]
fn init_is_refused_with_the_reason() {
    let state = tempfile::tempdir().unwrap();
    let target = Target::pid(1).unwrap();
    for response in [
        kill(&target, &options(state.path())),
        freeze(&target, &options(state.path())),
    ] {
        assert_eq!(response.outcome, Outcome::Refused);
        assert!(response.detail.contains("it is init"), "{response}");
    }
}
