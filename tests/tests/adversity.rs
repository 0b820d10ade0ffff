//! Bad input and bad times: what the sensor does when it is not let, not fed, or not read.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use sensor_tests::{Launch, eventually, field, sensor_binary, skip, text};

fn sensor(arguments: &[&str]) -> Output {
    Command::new(sensor_binary().unwrap())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Ids of all BPF links the kernel has.
fn links() -> Vec<u32> {
    #[repr(C)]
    struct Next {
        start: u32,
        next: u32,
        flags: u32,
    }
    const BPF_LINK_GET_NEXT_ID: libc::c_int = 31;
    let mut ids = Vec::new();
    let mut attr = Next {
        start: 0,
        next: 0,
        flags: 0,
    };
    loop {
        // SAFETY: `attr` is the beginning of `union bpf_attr` for this command, and lives
        // through the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                BPF_LINK_GET_NEXT_ID,
                &raw mut attr,
                size_of::<Next>(),
            )
        };
        if result < 0 {
            return ids;
        }
        ids.push(attr.next);
        attr.start = attr.next;
    }
}

#[test]
fn without_root_it_says_so() {
    let output = Command::new(sensor_binary().unwrap())
        .args(["run"])
        .uid(65534)
        .gid(65534)
        .output();
    let Ok(output) = output else {
        return skip("the binary is not readable for others here");
    };
    assert_eq!(output.status.code(), Some(3));
    assert!(
        stderr(&output).contains("needs root"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_one_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sensor.toml");
    std::fs::write(&path, "[limits]\nfile_ring_kb = 64\n").unwrap();
    let output = sensor(&["run", "--config", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("did you mean `file_ring_kib`?"),
        "{}",
        stderr(&output)
    );
    assert!(stderr(&output).contains("sensor.toml"));
}

#[test]
fn an_unknown_kind_of_event_is_refused() {
    let output = sensor(&["run", "--events", "proces.exec"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("process.exec"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_second_sensor_names_the_first() {
    let running = Launch::default()
        .with(["--events", "process.exec"])
        .start()
        .unwrap();
    let output = sensor(&[
        "run",
        "--runtime-directory",
        running.directory().to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(3));
    let message = stderr(&output);
    assert!(
        message.contains("already running") && message.contains(&running.pid().to_string()),
        "{message}"
    );
}

#[test]
fn status_answers_and_balances() {
    let running = Launch::default()
        .with(["--events", "process.exec"])
        .start()
        .unwrap();
    let output = sensor(&[
        "status",
        "--json",
        "--runtime-directory",
        running.directory().to_str().unwrap(),
    ]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["pid"], running.pid());
    assert!(!report["services"].as_array().unwrap().is_empty());
    let none = sensor(&["status", "--runtime-directory", "/nonexistent"]);
    assert_eq!(none.status.code(), Some(3));
    assert!(stderr(&none).contains("no sensor answers"));
}

#[test]
fn nothing_stays_attached_after_a_kill() {
    let before = links();
    let running = Launch::default()
        .with(["--events", "process.exec"])
        .start()
        .unwrap();
    assert!(links().len() > before.len());
    let pid = i32::try_from(running.pid()).unwrap();
    // SAFETY: no memory is passed; the child is ours and not yet waited for.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    drop(running);
    eventually("links of the killed sensor remain", || {
        links().iter().all(|id| before.contains(id))
    });
}

/// A sensor that writes to a pipe of ours, and has written the first byte.
fn writing_to_us(directory: &Path, events: &str) -> (Child, ChildStdout) {
    let mut child = Command::new(sensor_binary().unwrap())
        .args(["run", "--no-detection", "--output", "json"])
        .args(["--events", events])
        .arg("--runtime-directory")
        .arg(directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 1]).unwrap();
    (child, stdout)
}

#[test]
fn it_starts_again_after_a_kill_in_the_same_directory() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let (mut child, _stdout) = writing_to_us(directory.path(), "process.exec");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn it_ends_when_nobody_reads_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let (mut child, stdout) = writing_to_us(directory.path(), "process.exec");
    drop(stdout);
    eventually("it went on without a reader", || {
        let _ = Command::new("/bin/true").status();
        child.try_wait().unwrap().is_some()
    });
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Once hung: the reader of the pipe stays, but reads no more.
#[test]
fn it_stops_when_the_reader_has_stopped_reading() {
    let directory = tempfile::tempdir().unwrap();
    let (mut child, stdout) = writing_to_us(directory.path(), "file.open,file.close");
    // More than pipe, queue and ring hold: nobody of the sensor's own can go on either.
    for _ in 0..25_000 {
        std::fs::File::create(directory.path().join("x")).unwrap();
    }
    let pid = i32::try_from(child.id()).unwrap();
    // SAFETY: no memory is passed; the child is ours and not yet waited for.
    unsafe { libc::kill(pid, libc::SIGTERM) };
    eventually("it does not stop", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(3));
    drop(stdout);
}

#[test]
fn a_full_disk_is_counted_and_survived() {
    let directory = tempfile::tempdir().unwrap();
    let running = Command::new(sensor_binary().unwrap())
        .args([
            "run",
            "--no-detection",
            "--events",
            "process",
            "--output",
            "json",
            "--duration",
            "3s",
            "--runtime-directory",
        ])
        .arg(directory.path())
        .stdout(
            std::fs::OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .unwrap(),
        )
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    for _ in 0..100 {
        let _ = Command::new("/bin/true").status();
    }
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(
        stderr(&output).contains("cannot be written"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_ring_that_is_too_small_loses_visibly_and_to_the_last_event() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sensor.toml");
    std::fs::write(&path, "[limits]\nprocess_ring_kib = 64\n").unwrap();
    let mut running = Launch::default()
        .with([
            "--events",
            "process.exec",
            "--config",
            path.to_str().unwrap(),
        ])
        .start()
        .unwrap();
    let pid = i32::try_from(running.pid()).unwrap();
    // SAFETY: no memory is passed; the child is ours. Stopped, it cannot read its rings.
    unsafe { libc::kill(pid, libc::SIGSTOP) };
    for _ in 0..200 {
        let _ = Command::new("/bin/true").arg("x".repeat(500)).status();
    }
    // SAFETY: as above.
    unsafe { libc::kill(pid, libc::SIGCONT) };
    let lost = running
        .wait_for(|event| text(event, "event.dataset") == "sensor.lost")
        .unwrap();
    assert_eq!(text(&lost, "sensor.lost.reason"), "ring buffer full");
    assert!(field(&lost, "sensor.lost.count").as_u64().unwrap() > 0);
    let finished = running.stop().unwrap();
    assert!(finished.balances(), "{}", finished.account);
    assert!(finished.lost() > 0);
}

#[test]
fn hostile_names_do_not_reach_the_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let evil = directory.path().join("\x1b[31mls\r\n");
    std::fs::copy("/bin/true", &evil).unwrap();
    let mut child = Command::new(sensor_binary().unwrap())
        .args([
            "run",
            "--output",
            "pretty",
            "--duration",
            "2s",
            "--events",
            "process.exec",
            "--runtime-directory",
        ])
        .arg(directory.path().join("run"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut first = vec![0; 4];
    stdout.read_exact(&mut first).unwrap();
    let mut everything = first;
    let mut tries = 0;
    while child.try_wait().unwrap().is_none() && tries < 20 {
        let _ = Command::new(&evil)
            .args(["\x1b]0;x\x07", "\u{202e}"])
            .status();
        tries += 1;
    }
    stdout.read_to_end(&mut everything).unwrap();
    child.wait().unwrap();
    let shown = String::from_utf8(everything).unwrap();
    assert!(shown.contains("\\x1b[31mls"), "{shown}");
    assert!(
        !shown
            .chars()
            .any(|c| (c.is_control() && c != '\n') || c == '\u{202e}')
    );
    std::io::stderr().flush().unwrap();
}

#[test]
fn a_changed_configuration_is_taken_over_while_it_runs_and_a_broken_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("sensor.toml");
    let quiet = directory.path().join("quiet");
    std::fs::create_dir(&quiet).unwrap();
    std::fs::write(&config, "").unwrap();
    let mut running = Launch::default()
        .with(["--events", "file", "--config", config.to_str().unwrap()])
        .start()
        .unwrap();
    let pid = i32::try_from(running.pid()).unwrap();
    // SAFETY: no memory is passed; the child is ours and not yet waited for.
    let reload = || unsafe { libc::kill(pid, libc::SIGHUP) };
    let mut number = 0;
    // Writes a file in the quiet directory, then one outside, and says if the first was seen.
    let mut is_seen = |running: &mut sensor_tests::Sensor| {
        number += 1;
        let (inside, outside) = (
            quiet.join(number.to_string()),
            directory.path().join(number.to_string()),
        );
        std::fs::write(&inside, "x").unwrap();
        std::fs::write(&outside, "x").unwrap();
        let is_at = |event: &sensor_tests::Event, path: &Path| {
            text(event, "file.path") == path.to_str().unwrap()
        };
        running.wait_for(|event| is_at(event, &outside)).unwrap();
        running
            .wait_for(|event| is_at(event, &inside) || is_at(event, &outside))
            .is_ok_and(|event| is_at(&event, &inside))
    };
    assert!(is_seen(&mut running));
    std::fs::write(&config, format!("files.drop = ['{}/']", quiet.display())).unwrap();
    reload();
    eventually("the new filter is not in force", || !is_seen(&mut running));
    std::fs::write(&config, "files.drop = 7").unwrap();
    reload();
    assert!(!is_seen(&mut running));
    assert!(running.stop().unwrap().balances());
}
