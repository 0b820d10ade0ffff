//! Files opened, read, written and closed, as the real sensor sees them on the real kernel:
//! exactly one event for each thing that was done, and none for what failed, only looked, or is
//! not asked for. Names and paths are in `file_names.rs`, attributes in `file_attributes.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};

use sensor_tests::files::{self, Place, c_path};
use sensor_tests::{field, skip, text, uring, uses_fallback};
use serde_json::json;

#[test]
fn opens_for_writing_are_told_by_what_they_did_and_closes_by_what_was_written() {
    let place = Place::new().unwrap();
    let sensor = files::sensor().unwrap();
    let path = place.at("a");
    File::create(&path).unwrap().write_all(b"12345").unwrap();
    OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(b"678")
        .unwrap();
    OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    // None of these writes anything.
    File::open(&path)
        .unwrap()
        .read_to_end(&mut Vec::new())
        .unwrap();
    fs::metadata(&path).unwrap();
    assert!(File::create_new(&path).is_err());
    assert!(File::create(place.at("no/such")).is_err());
    assert!(OpenOptions::new().write(true).open(&place.path).is_err());
    OpenOptions::new().write(true).open("/dev/null").unwrap();
    let finished = files::stop(sensor).unwrap();

    assert_eq!(
        place.story(&finished),
        [
            "create a",
            "close a",
            "open a",
            "close a",
            "truncate_open a",
            "close a"
        ]
    );
    let events = place.events(&finished);
    let inode = fs::metadata(&path).unwrap().ino().to_string();
    for event in &events {
        assert_eq!(text(event, "file.inode"), inode);
        assert_eq!(text(event, "file.type"), "file");
        assert_eq!(text(event, "sensor.file.path_source"), "kernel");
        assert_eq!(field(event, "process.pid"), std::process::id());
    }
    let sizes: Vec<_> = events
        .iter()
        .map(|event| field(event, "file.size").as_u64().unwrap())
        .collect();
    assert_eq!(sizes, [0, 5, 5, 8, 0, 0]);
    assert_eq!(
        field(events[0], "sensor.file.access"),
        &json!(["write", "created"])
    );
    assert_eq!(
        field(events[2], "sensor.file.flags"),
        &json!(["O_WRONLY", "O_APPEND"])
    );
    assert_eq!(
        field(events[4], "sensor.file.access"),
        &json!(["write", "truncated"])
    );
}

#[test]
fn a_file_is_closed_when_its_last_holder_is_gone() {
    let place = Place::new().unwrap();
    let sensor = files::sensor().unwrap();
    let path = place.text("f");
    // By dup2 (the end of a redirection), by the end of the process, and by that of a child which
    // inherited it.
    for script in [
        "{ echo 1; } > $1; :",
        "exec 3> $1; echo 12 >&3",
        "exec 3> $1 4<&0; (read word <&4; echo 123 >&3) & exit",
    ] {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", script, "sh", &path])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (kept_waiting, mut held) = (shell.stdin.take(), shell.stdout.take().unwrap());
        assert!(shell.wait().unwrap().success());
        // Now a child that outlives the shell may go on.
        drop(kept_waiting);
        // The last holder also holds our pipe, and lets go of it after the file.
        held.read_to_end(&mut Vec::new()).unwrap();
    }
    let finished = files::stop(sensor).unwrap();
    assert_eq!(
        place.story(&finished),
        [
            "create f",
            "close f",
            "truncate_open f",
            "close f",
            "truncate_open f",
            "close f"
        ]
    );
    let sizes: Vec<_> = place
        .events(&finished)
        .iter()
        .map(|event| field(event, "file.size").as_u64().unwrap())
        .collect();
    assert_eq!([sizes[1], sizes[3], sizes[5]], [2, 3, 4]);
}

#[test]
fn reads_of_watched_files_are_reported_and_of_others_not() {
    let place = Place::new().unwrap();
    fs::create_dir_all(place.at("users/eve/.keys")).unwrap();
    for name in ["secret", "public", "users/eve/.keys/id", "users/eve/other"] {
        fs::write(place.at(name), "x").unwrap();
    }
    let configuration = format!(
        "[files]\nwatch = [{:?}, {:?}]\n",
        place.text("secret"),
        place.text("users") + "/*/.keys/"
    );
    let mut sensor = files::sensor_with(&place, &configuration).unwrap();
    for name in ["secret", "public", "users/eve/.keys/id", "users/eve/other"] {
        fs::read(place.at(name)).unwrap();
    }
    // Replaced, it is still watched; and so is a directory that comes later. The sensor learns of
    // both by their events.
    fs::write(place.at("new"), "y").unwrap();
    fs::rename(place.at("new"), place.at("secret")).unwrap();
    fs::create_dir_all(place.at("users/bob/.keys")).unwrap();
    fs::write(place.at("users/bob/.keys/id"), "z").unwrap();
    // An event is told after the sensor has learned from it and from all before it.
    sensor
        .wait_for(|event| text(event, "file.path") == place.text("users/bob/.keys/id"))
        .unwrap();
    fs::read(place.at("secret")).unwrap();
    fs::read(place.at("users/bob/.keys/id")).unwrap();
    let finished = files::stop(sensor).unwrap();

    let reads: Vec<_> = place
        .story(&finished)
        .into_iter()
        .filter(|line| line.starts_with("read"))
        .collect();
    assert_eq!(
        reads,
        [
            "read secret",
            "read users/eve/.keys/id",
            "read secret",
            "read users/bob/.keys/id"
        ]
    );
}

#[test]
fn filters_drop_by_path_ending_and_process_and_the_more_telling_one_wins() {
    let place = Place::new().unwrap();
    for name in ["noise/kept", "www"] {
        fs::create_dir_all(place.at(name)).unwrap();
    }
    let configuration = format!(
        "[files]\ndrop = [{:?}, '*.swp']\nreport = [{:?}, '*.php', {:?}]\ndrop_processes = ['quiet']\n",
        place.text("noise") + "/",
        place.text("noise/kept") + "/",
        place.text("noise/exact"),
    );
    fs::copy("/bin/sh", place.at("quiet")).unwrap();
    let sensor = files::sensor_with(&place, &configuration).unwrap();
    for name in [
        "noise/x",
        "noise/kept/x",
        "noise/shell.php",
        "noise/exact",
        "noise/exactly",
        "www/x",
        "www/x.swp",
        "noise/kept/x.swp",
    ] {
        drop(File::create(place.at(name)).unwrap());
        fs::remove_file(place.at(name)).unwrap();
    }
    let quiet = Command::new(place.at("quiet"))
        .args(["-c", "echo > $0", &place.text("www/quiet")])
        .status()
        .unwrap();
    assert!(quiet.success());
    let finished = files::stop(sensor).unwrap();
    let names: Vec<_> = place
        .story(&finished)
        .into_iter()
        .filter_map(|line| line.strip_prefix("create ").map(str::to_owned))
        .collect();
    assert_eq!(
        names,
        [
            "noise/kept/x",
            "noise/shell.php",
            "noise/exact",
            "www/x",
            "noise/kept/x.swp"
        ]
    );
    let removed = place
        .story(&finished)
        .iter()
        .filter(|line| line.starts_with("unlink"))
        .count();
    assert_eq!(removed, names.len());
    assert!(finished.count("file.open", "filtered") >= 4);
}

#[test]
fn writes_to_the_kernel_s_own_files_are_reported_where_they_matter() {
    let sensor = files::sensor().unwrap();
    let open = |path: &str| OpenOptions::new().write(true).open(path);
    let telling = "/proc/sys/kernel/core_pattern";
    if open(telling).is_err() {
        return skip("core_pattern cannot be opened for writing here");
    }
    open("/proc/self/oom_score_adj").unwrap();
    let finished = files::stop(sensor).unwrap();
    let paths: Vec<_> = finished
        .events
        .iter()
        .filter(|event| {
            text(event, "event.dataset") == "file.open"
                && field(event, "process.pid") == std::process::id()
        })
        .map(|event| text(event, "file.path"))
        .filter(|path| path.starts_with("/proc/"))
        .collect();
    assert_eq!(paths, [telling]);
}

#[test]
fn what_io_uring_does_is_seen() {
    let place = Place::new().unwrap();
    if uses_fallback("file open").unwrap() || uses_fallback("file unlink").unwrap() {
        return skip("the tracepoints of system calls do not see io_uring");
    }
    let sensor = files::sensor().unwrap();
    for flags in [0, uring::ASYNC] {
        let (path, moved) = (
            c_path(&place.at("f")).unwrap(),
            c_path(&place.at("g")).unwrap(),
        );
        let fd = match uring::open(&path, libc::O_WRONLY | libc::O_CREAT, flags) {
            Ok(fd) if fd >= 0 => fd,
            Ok(error) => panic!("io_uring open: {error}"),
            Err(error) => return skip(&format!("no io_uring: {error}")),
        };
        // SAFETY: the descriptor is ours.
        unsafe { libc::close(fd) };
        if uring::rename(&path, &moved, flags).unwrap() == -libc::EINVAL {
            skip("this kernel's io_uring renames nothing");
            fs::remove_file(place.at("f")).unwrap();
            continue;
        }
        assert_eq!(uring::unlink(&moved, flags).unwrap(), 0);
    }
    let finished = files::stop(sensor).unwrap();
    let story = place.story(&finished);
    assert_eq!(
        story.iter().filter(|line| *line == "create f").count(),
        2,
        "{story:?}"
    );
    assert_eq!(
        story.iter().filter(|line| *line == "close f").count(),
        2,
        "{story:?}"
    );
    assert_eq!(
        story
            .iter()
            .filter(|line| line.starts_with("unlink"))
            .count(),
        2,
        "{story:?}"
    );
    for event in place.events(&finished) {
        assert_eq!(field(event, "process.pid"), std::process::id(), "{event}");
    }
}

#[test]
fn many_files_at_once_are_all_there_and_the_account_balances() {
    const EACH: usize = 500;
    let place = Place::new().unwrap();
    let sensor = files::sensor().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let place = &place;
            scope.spawn(move || {
                for number in 0..EACH {
                    let path = place.at(&format!("{thread}-{number}"));
                    fs::write(&path, "x").unwrap();
                    let moved = path.with_extension("m");
                    fs::rename(&path, &moved).unwrap();
                    fs::remove_file(&moved).unwrap();
                }
            });
        }
    });
    let finished = files::stop(sensor).unwrap();
    assert_eq!(finished.lost(), 0, "{}", finished.account);
    for (kind, action) in [
        ("file.open", "create "),
        ("file.close", "close "),
        ("file.rename", "rename "),
        ("file.unlink", "unlink "),
    ] {
        let mut lines: Vec<_> = place
            .story(&finished)
            .into_iter()
            .filter(|line| line.starts_with(action))
            .collect();
        lines.sort();
        lines.dedup();
        assert!(
            finished.has_all(lines.len(), 4 * EACH),
            "{kind}: {}",
            lines.len()
        );
    }
}
