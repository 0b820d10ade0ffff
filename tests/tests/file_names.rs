//! Names that files are given and lose, as the real sensor sees them on the real kernel: exactly
//! one event for each change, none for what failed, and the true path whatever was passed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, symlink};
use std::path::PathBuf;
use std::process::Command;

use sensor_tests::files::{self, Place};
use sensor_tests::{field, skip, text, uses_fallback};

#[test]
fn names_that_were_given_moved_and_removed_are_reported_once_and_failures_not_at_all() {
    let place = Place::new().unwrap();
    for name in ["a", "b", "kept"] {
        fs::write(place.at(name), name).unwrap();
    }
    fs::write(place.at("target"), "12345").unwrap();
    let target = fs::metadata(place.at("target")).unwrap().ino().to_string();
    let sensor = files::sensor().unwrap();
    fs::rename(place.at("a"), place.at("a2")).unwrap();
    fs::rename(place.at("b"), place.at("target")).unwrap();
    fs::hard_link(place.at("kept"), place.at("link")).unwrap();
    symlink("../wherever/it is", place.at("soft")).unwrap();
    fs::create_dir(place.at("dir")).unwrap();
    fs::rename(place.at("dir"), place.at("dir2")).unwrap();
    fs::remove_dir(place.at("dir2")).unwrap();
    fs::remove_file(place.at("soft")).unwrap();
    fs::remove_file(place.at("link")).unwrap();
    assert!(fs::rename(place.at("gone"), place.at("x")).is_err());
    assert!(fs::remove_file(place.at("gone")).is_err());
    assert!(fs::remove_dir(place.at("a2")).is_err());
    assert!(fs::create_dir(&place.path).is_err());
    assert!(fs::hard_link(place.at("gone"), place.at("x")).is_err());
    assert!(symlink("x", place.at("a2")).is_err());
    let finished = files::stop(sensor).unwrap();

    assert_eq!(
        place.story(&finished),
        [
            "rename a a2",
            "rename b target",
            "link kept link",
            "symlink soft",
            "directory_create dir",
            "rename dir dir2",
            "directory_remove dir2",
            "unlink soft",
            "unlink link",
        ]
    );
    let events = place.events(&finished);
    assert_eq!(text(events[3], "file.target_path"), "../wherever/it is");
    if uses_fallback("file rename").unwrap() {
        assert!(
            events
                .iter()
                .all(|event| text(event, "sensor.file.path_source") == "resolved")
        );
        return;
    }
    assert!(
        events
            .iter()
            .all(|event| text(event, "sensor.file.path_source") == "kernel")
    );
    assert!(field(events[0], "sensor.file.replaced.inode").is_null());
    assert_eq!(text(events[1], "sensor.file.replaced.inode"), target);
    assert_eq!(field(events[1], "sensor.file.replaced.size"), 5);
    assert_eq!(field(events[2], "sensor.file.links"), 2);
    assert_eq!(text(events[3], "file.type"), "symlink");
    assert_eq!(text(events[4], "file.type"), "dir");
    assert_eq!(text(events[6], "file.type"), "dir");
    assert_eq!(
        field(events[8], "sensor.file.links"),
        2,
        "as it was before the removal"
    );
}

#[test]
fn a_rename_between_two_names_of_one_file_does_nothing_and_is_none() {
    if uses_fallback("file rename").unwrap() {
        return skip("a system call that did nothing looks like one that did");
    }
    let place = Place::new().unwrap();
    fs::write(place.at("a"), "").unwrap();
    fs::hard_link(place.at("a"), place.at("b")).unwrap();
    let sensor = files::sensor().unwrap();
    fs::rename(place.at("a"), place.at("b")).unwrap();
    assert!(place.story(&files::stop(sensor).unwrap()).is_empty());
}

#[test]
fn whatever_was_passed_the_path_is_the_true_one() {
    let place = Place::new().unwrap();
    fs::create_dir_all(place.at("real/deep")).unwrap();
    symlink("real", place.at("way")).unwrap();
    fs::write(place.at("real/old"), "").unwrap();
    let directory = File::open(place.at("real/deep")).unwrap();
    let sensor = files::sensor().unwrap();
    // Links, dots, double slashes; relative to a directory.
    drop(File::create(place.at("way/./deep/..//file")).unwrap());
    fs::rename(place.at("way/old"), place.at("way/deep/../new")).unwrap();
    fs::create_dir(place.at("way/deep/../made")).unwrap();
    let name = CString::new("../made").unwrap();
    // SAFETY: an open directory and a NUL-ended path.
    let removed =
        unsafe { libc::unlinkat(directory.as_raw_fd(), name.as_ptr(), libc::AT_REMOVEDIR) };
    assert_eq!(removed, 0);
    let mut child = Command::new("/bin/sh");
    child
        .args(["-c", "echo x > file2; rm -f file2"])
        .current_dir(place.at("way/deep"));
    assert!(child.status().unwrap().success());
    let finished = files::stop(sensor).unwrap();
    assert_eq!(
        place.story(&finished),
        [
            "create real/file",
            "close real/file",
            "rename real/old real/new",
            "directory_create real/made",
            "directory_remove real/made",
            "create real/deep/file2",
            "close real/deep/file2",
            "unlink real/deep/file2",
        ]
    );
}

/// Runs a script in a mount namespace of its own.
fn in_mount_namespace(script: &str, place: &Place) -> bool {
    let mut child = Command::new("/bin/sh");
    child.args(["-ec", script, "sh", place.path.to_str().unwrap()]);
    let unshare = || {
        // SAFETY: system calls without memory but constants; between fork and exec.
        let done = unsafe {
            libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(
                    std::ptr::null(),
                    c"/".as_ptr(),
                    std::ptr::null(),
                    libc::MS_REC | libc::MS_PRIVATE,
                    std::ptr::null(),
                ) == 0
        };
        if done {
            Ok(())
        } else {
            Err(std::io::Error::last_os_error())
        }
    };
    // SAFETY: what runs before the exec does nothing but system calls.
    unsafe { std::os::unix::process::CommandExt::pre_exec(&mut child, unshare) };
    child.status().is_ok_and(|status| status.success())
}

#[test]
fn one_open_on_an_overlay_is_one_event_with_the_path_the_program_sees() {
    let place = Place::new().unwrap();
    for name in ["lower", "upper", "work", "merged"] {
        fs::create_dir(place.at(name)).unwrap();
    }
    for name in ["changed", "moved", "removed"] {
        fs::write(place.at("lower").join(name), "12345").unwrap();
    }
    let mount = "mount -t overlay overlay -o lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work $1/merged; cd $1/merged; ";
    if !in_mount_namespace(mount, &place) {
        return skip("no overlay file system here");
    }
    let sensor = files::sensor().unwrap();
    let script = format!(
        "{mount} echo x >> changed; echo y > new; cat lower 2>/dev/null || :; mv moved there; chmod 4711 there; rm removed; mkdir d"
    );
    assert!(in_mount_namespace(&script, &place));
    let finished = files::stop(sensor).unwrap();
    assert_eq!(
        place.story(&finished),
        [
            "open merged/changed",
            "close merged/changed",
            "create merged/new",
            "close merged/new",
            "rename merged/moved merged/there",
            "chmod merged/there",
            "unlink merged/removed",
            "directory_create merged/d",
        ]
    );
}

#[test]
fn a_path_leads_across_mounts_as_the_process_sees_them() {
    let place = Place::new().unwrap();
    for name in ["source/sub", "point"] {
        fs::create_dir_all(place.at(name)).unwrap();
    }
    let sensor = files::sensor().unwrap();
    let script = "mount --bind $1/source/sub $1/point; echo x > $1/point/f; mv $1/point/f $1/point/g; rm $1/point/g";
    if !in_mount_namespace(script, &place) {
        return skip("no bind mounts here");
    }
    assert_eq!(
        place.story(&files::stop(sensor).unwrap()),
        [
            "create point/f",
            "close point/f",
            "rename point/f point/g",
            "unlink point/g"
        ]
    );
}

#[test]
fn deep_and_odd_names_are_kept() {
    let place = Place::new().unwrap();
    let odd = "new\nline \u{202e}grün".to_owned();
    let long = "n".repeat(255);
    let mut deep = place.path.clone();
    for depth in 0..30 {
        deep.push(depth.to_string());
    }
    fs::create_dir_all(&deep).unwrap();
    let sensor = files::sensor().unwrap();
    let paths = [place.at(&odd), place.at(&long), deep.join("f")];
    for path in &paths {
        drop(
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(path)
                .unwrap(),
        );
        let renamed = path.with_extension("renamed-to-something-else");
        if fs::rename(path, &renamed).is_err() {
            // The name is as long as it can be.
            continue;
        }
        fs::remove_file(&renamed).unwrap();
    }
    let finished = files::stop(sensor).unwrap();
    let created: Vec<_> = place
        .events(&finished)
        .into_iter()
        .filter(|event| text(event, "event.action") == "file_create")
        .map(|event| PathBuf::from(text(event, "file.path")))
        .collect();
    assert_eq!(created, paths);
    let renamed: Vec<_> = place
        .events(&finished)
        .into_iter()
        .filter(|event| text(event, "event.action") == "file_rename")
        .map(|event| PathBuf::from(text(event, "sensor.file.previous_path")))
        .collect();
    assert_eq!(renamed, [paths[0].clone(), paths[2].clone()]);
}
