//! What counts as touching a decoy.

use super::*;
use crate::decoy::Options;
use crate::event::file::Name;
use crate::event::made_up;
use crate::event::process::{Parent, ProcessKey};

fn decoys() -> Decoys {
    let options: Options =
        toml::from_str("files = ['/srv/passwords']\nexclude_programs = ['/usr/bin/restic']")
            .unwrap();
    Decoys::of(&options.check().unwrap(), None)
}

fn by(program: &str) -> Process {
    let mut process = made_up::process(ProcessKey {
        pid: 7,
        start_ticks: 7,
    });
    process.program = Some(made_up::program(&[program]));
    process
}

fn access(kind: AccessKind, path: &str, writes: bool) -> Action {
    Action::FileAccess(Box::new(Access {
        kind,
        path: path.into(),
        file: made_up::file(1),
        flags: 0,
        reads: !writes,
        writes,
        created: false,
        truncated: false,
    }))
}

fn change(kind: ChangeKind, name: &str, target: Option<&str>) -> Action {
    Action::FileChange(Box::new(Change {
        kind,
        name: Name::of_kernel(name.into()),
        target: target.map(|path| Name::of_kernel(path.into())),
        text: None,
        file: None,
        replaced: None,
        before: None,
        asked: None,
        flags: 0,
    }))
}

fn said(process: Process, action: Action) -> Option<String> {
    let mut found = Vec::new();
    decoys().observe(&made_up::event(process, 1, action), &mut found);
    found.pop().map(|finding| finding.message)
}

#[test]
fn whatever_is_done_to_a_decoy_file_is_told_of() {
    for (action, did) in [
        (access(AccessKind::Read, "/srv/passwords", false), "read"),
        (
            access(AccessKind::Open, "/srv/passwords", true),
            "opened for writing",
        ),
        (
            change(ChangeKind::Rename, "/srv/passwords", Some("/tmp/x")),
            "renamed",
        ),
        (
            change(ChangeKind::Rename, "/tmp/x", Some("/srv/passwords")),
            "renamed",
        ),
        (
            change(ChangeKind::Unlink, "/srv/passwords", None),
            "removed",
        ),
        (
            change(ChangeKind::Link, "/srv/passwords", Some("/tmp/x")),
            "gave another name to",
        ),
    ] {
        let said = said(by("/usr/bin/cat"), action).unwrap();
        assert!(
            said.contains(&format!("cat {did} the decoy /srv/passwords")),
            "{said}"
        );
    }
}

#[test]
fn other_files_and_programs_that_may_are_not() {
    let read = || access(AccessKind::Read, "/srv/passwords", false);
    assert_eq!(said(by("/usr/bin/restic"), read()), None);
    assert!(said(by("/tmp/restic"), read()).is_some());
    assert_eq!(
        said(
            by("/usr/bin/cat"),
            access(AccessKind::Read, "/srv/other", false)
        ),
        None
    );
    assert_eq!(
        said(
            by("/usr/bin/cat"),
            access(AccessKind::Close, "/srv/passwords", true)
        ),
        None
    );
    let mut helper = by("/usr/sbin/sensor");
    helper.parent = Some(Parent {
        key: ProcessKey {
            pid: std::process::id(),
            start_ticks: 1,
        },
        program: made_up::program(&["/usr/sbin/sensor"]),
        ancestors: Box::default(),
    });
    assert_eq!(said(helper, read()), None);
}
