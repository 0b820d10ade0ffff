//! Mode, owner and size of files, as the real sensor sees them change on the real kernel: what
//! they have become, and what they were.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use sensor_tests::files::{self, Place, c_path};
use sensor_tests::{field, uses_fallback};
use serde_json::json;

#[test]
fn mode_owner_and_size_are_reported_with_what_they_were() {
    let place = Place::new().unwrap();
    let path = place.at("tool");
    fs::write(&path, "12345").unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let sensor = files::sensor().unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o4755)).unwrap();
    file.set_permissions(PermissionsExt::from_mode(0o600))
        .unwrap();
    chown(&path, Some(1), Some(2)).unwrap();
    file.set_len(3).unwrap();
    let name = c_path(&path).unwrap();
    // SAFETY: a NUL-ended path.
    assert_eq!(unsafe { libc::truncate(name.as_ptr(), 100) }, 0);
    assert!(fs::set_permissions(place.at("gone"), PermissionsExt::from_mode(0o600)).is_err());
    drop(file);
    let finished = files::stop(sensor).unwrap();

    assert_eq!(
        place.story(&finished),
        [
            "chmod tool",
            "chmod tool",
            "chown tool",
            "truncate tool",
            "truncate tool",
            "close tool"
        ]
    );
    let events = place.events(&finished);
    let column = |name: &str| {
        events
            .iter()
            .map(|event| field(event, name).clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(column("file.mode")[..2], [json!("4755"), json!("0600")]);
    assert_eq!(column("file.uid")[2], "1");
    assert_eq!(column("file.gid")[2], "2");
    let sizes = column("file.size");
    // By path, in the fallback, the size is what is found afterwards.
    assert_eq!(sizes[3], 3);
    assert_eq!(sizes[4], 100);
    if uses_fallback("file mode, owner, size").unwrap() {
        return;
    }
    assert_eq!(
        column("sensor.file.before.mode")[..2],
        [json!("0755"), json!("4755")]
    );
    assert_eq!(
        (
            &column("sensor.file.before.uid")[2],
            &column("sensor.file.before.gid")[2]
        ),
        (&json!("0"), &json!("0"))
    );
    assert_eq!(
        column("sensor.file.before.size")[3..5],
        [json!(5), json!(3)]
    );
    assert_eq!(
        field(events[0], "sensor.file.traits"),
        &json!(traits(&["executable", "setuid"], &path))
    );
}

/// Traits in their order, with `tmpfs` where the test's directory is on one.
fn traits(expected: &[&str], path: &Path) -> Vec<String> {
    let output = Command::new("/bin/stat")
        .args(["-f", "-c", "%T"])
        .arg(path)
        .output();
    let tmpfs = output.is_ok_and(|output| {
        output.stdout.starts_with(b"tmpfs") || output.stdout.starts_with(b"ramfs")
    });
    tmpfs
        .then_some("tmpfs")
        .into_iter()
        .chain(expected.iter().copied())
        .map(str::to_owned)
        .collect()
}
