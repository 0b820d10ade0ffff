//! Files as the real sensor sees them on the real kernel: exactly one event for each thing that
//! was done, none for what failed or only looked, and the true path whatever was passed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sensor_tests::{Event, Finished, Launch, Sensor, field, skip, text, uring, uses_fallback};
use serde_json::json;
use tempfile::TempDir;

/// A directory of the test's own, by its true path.
struct Place {
    path: PathBuf,
    _directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            path: fs::canonicalize(directory.path()).unwrap(),
            _directory: directory,
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn text(&self, name: &str) -> String {
        self.at(name).to_str().unwrap().to_owned()
    }

    /// Events about files in it, in the order they happened.
    fn events<'f>(&self, finished: &'f Finished) -> Vec<&'f Event> {
        let inside = |event: &&Event| {
            text(event, "event.dataset").starts_with("file.")
                && Path::new(text(event, "file.path")).starts_with(&self.path)
        };
        let mut events: Vec<&Event> = finished.events.iter().filter(inside).collect();
        events.sort_by_key(|event| field(event, "sensor.boot_ns").as_u64());
        events
    }

    /// What happened to which file, by names in this directory.
    fn story(&self, finished: &Finished) -> Vec<String> {
        let short = |path: &str| {
            path.strip_prefix(self.path.to_str().unwrap())
                .unwrap_or(path)
                .trim_start_matches('/')
                .to_owned()
        };
        self.events(finished)
            .iter()
            .map(|event| {
                let before = ["sensor.file.previous_path", "sensor.file.linked_path"]
                    .map(|name| text(event, name));
                let before = before.into_iter().find(|path| !path.is_empty());
                let path = short(text(event, "file.path"));
                let action = text(event, "event.action")
                    .trim_start_matches("file_")
                    .to_owned();
                before.map_or_else(
                    || format!("{action} {path}"),
                    |before| format!("{action} {} {path}", short(before)),
                )
            })
            .collect()
    }
}

fn sensor() -> Sensor {
    Launch::default()
        .with(["--events", "file,process.exec"])
        .start()
        .expect("the sensor starts")
}

/// A sensor with this configuration.
fn sensor_with(place: &Place, configuration: &str) -> Sensor {
    let file = place.at("sensor.toml");
    fs::write(&file, configuration).unwrap();
    Launch::default()
        .with(["--events", "file", "--config", file.to_str().unwrap()])
        .start()
        .expect("the sensor starts")
}

fn stop(sensor: Sensor) -> Finished {
    let finished = sensor.stop().expect("the sensor stops");
    assert!(finished.balances(), "{}", finished.account);
    finished
}

fn c(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

/// Whether events of this service come by the tracepoints of system calls here.
fn by_system_calls(service: &str) -> bool {
    uses_fallback(service).unwrap()
}

#[test]
fn opens_for_writing_are_told_by_what_they_did_and_closes_by_what_was_written() {
    let place = Place::new();
    let sensor = sensor();
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
    let finished = stop(sensor);

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
fn names_that_were_given_moved_and_removed_are_reported_once_and_failures_not_at_all() {
    let place = Place::new();
    for name in ["a", "b", "kept"] {
        fs::write(place.at(name), name).unwrap();
    }
    fs::write(place.at("target"), "12345").unwrap();
    let target = fs::metadata(place.at("target")).unwrap().ino().to_string();
    let sensor = sensor();
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
    let finished = stop(sensor);

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
    if by_system_calls("file rename") {
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
    if by_system_calls("file rename") {
        return skip("a system call that did nothing looks like one that did");
    }
    let place = Place::new();
    fs::write(place.at("a"), "").unwrap();
    fs::hard_link(place.at("a"), place.at("b")).unwrap();
    let sensor = sensor();
    fs::rename(place.at("a"), place.at("b")).unwrap();
    assert!(place.story(&stop(sensor)).is_empty());
}

#[test]
fn mode_owner_and_size_are_reported_with_what_they_were() {
    let place = Place::new();
    let path = place.at("tool");
    fs::write(&path, "12345").unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let sensor = sensor();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o4755)).unwrap();
    file.set_permissions(PermissionsExt::from_mode(0o600))
        .unwrap();
    chown(&path, Some(1), Some(2)).unwrap();
    file.set_len(3).unwrap();
    let name = c(&path);
    // SAFETY: a NUL-ended path.
    assert_eq!(unsafe { libc::truncate(name.as_ptr(), 100) }, 0);
    assert!(fs::set_permissions(place.at("gone"), PermissionsExt::from_mode(0o600)).is_err());
    drop(file);
    let finished = stop(sensor);

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
    if by_system_calls("file mode, owner, size") {
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

#[test]
fn whatever_was_passed_the_path_is_the_true_one() {
    let place = Place::new();
    fs::create_dir_all(place.at("real/deep")).unwrap();
    symlink("real", place.at("way")).unwrap();
    fs::write(place.at("real/old"), "").unwrap();
    let directory = File::open(place.at("real/deep")).unwrap();
    let sensor = sensor();
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
    let finished = stop(sensor);
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

#[test]
fn a_file_is_closed_when_its_last_holder_is_gone() {
    let place = Place::new();
    let sensor = sensor();
    let path = place.text("f");
    // By dup2 (the end of a redirection), by the end of the process, and by that of a child which
    // inherited it.
    for script in [
        "{ echo 1; } > $1; :",
        "exec 3> $1; echo 12 >&3",
        "exec 3> $1; (sleep 0.2; echo 123 >&3) & exit",
    ] {
        // The last holder also holds our pipe, and lets go of it after the file.
        let ended = Command::new("/bin/sh")
            .args(["-c", script, "sh", &path])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
            .wait_with_output()
            .unwrap();
        assert!(ended.status.success());
    }
    let finished = stop(sensor);
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
    let place = Place::new();
    fs::create_dir_all(place.at("users/eve/.keys")).unwrap();
    for name in ["secret", "public", "users/eve/.keys/id", "users/eve/other"] {
        fs::write(place.at(name), "x").unwrap();
    }
    let configuration = format!(
        "[files]\nwatch = [{:?}, {:?}]\n",
        place.text("secret"),
        place.text("users") + "/*/.keys/"
    );
    let mut sensor = sensor_with(&place, &configuration);
    for name in ["secret", "public", "users/eve/.keys/id", "users/eve/other"] {
        fs::read(place.at(name)).unwrap();
    }
    // Replaced, it is still watched; and so is a directory that comes later. The sensor learns of
    // both by their events.
    fs::write(place.at("new"), "y").unwrap();
    fs::rename(place.at("new"), place.at("secret")).unwrap();
    fs::create_dir_all(place.at("users/bob/.keys")).unwrap();
    fs::write(place.at("users/bob/.keys/id"), "z").unwrap();
    sensor
        .wait_for(|event| text(event, "file.path") == place.text("users/bob/.keys/id"))
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    fs::read(place.at("secret")).unwrap();
    fs::read(place.at("users/bob/.keys/id")).unwrap();
    let finished = stop(sensor);

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
    let place = Place::new();
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
    let sensor = sensor_with(&place, &configuration);
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
    let finished = stop(sensor);
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
    let sensor = sensor();
    let open = |path: &str| OpenOptions::new().write(true).open(path);
    let telling = "/proc/sys/kernel/core_pattern";
    if open(telling).is_err() {
        return skip("core_pattern cannot be opened for writing here");
    }
    open("/proc/self/oom_score_adj").unwrap();
    let finished = stop(sensor);
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
    let place = Place::new();
    if by_system_calls("file open") || by_system_calls("file unlink") {
        return skip("the tracepoints of system calls do not see io_uring");
    }
    let sensor = sensor();
    for flags in [0, uring::ASYNC] {
        let (path, moved) = (c(&place.at("f")), c(&place.at("g")));
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
    let finished = stop(sensor);
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
    let place = Place::new();
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
    let sensor = sensor();
    let script = format!(
        "{mount} echo x >> changed; echo y > new; cat lower 2>/dev/null || :; mv moved there; chmod 4711 there; rm removed; mkdir d"
    );
    assert!(in_mount_namespace(&script, &place));
    let finished = stop(sensor);
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
    let place = Place::new();
    for name in ["source/sub", "point"] {
        fs::create_dir_all(place.at(name)).unwrap();
    }
    let sensor = sensor();
    let script = "mount --bind $1/source/sub $1/point; echo x > $1/point/f; mv $1/point/f $1/point/g; rm $1/point/g";
    if !in_mount_namespace(script, &place) {
        return skip("no bind mounts here");
    }
    assert_eq!(
        place.story(&stop(sensor)),
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
    let place = Place::new();
    let odd = "new\nline \u{202e}grün".to_owned();
    let long = "n".repeat(255);
    let mut deep = place.path.clone();
    for depth in 0..30 {
        deep.push(depth.to_string());
    }
    fs::create_dir_all(&deep).unwrap();
    let sensor = sensor();
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
    let finished = stop(sensor);
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

#[test]
fn many_files_at_once_are_all_there_and_the_account_balances() {
    const EACH: usize = 500;
    let place = Place::new();
    let sensor = sensor();
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
    let finished = stop(sensor);
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
