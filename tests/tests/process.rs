//! Processes as the real sensor sees them on the real kernel.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use sensor_tests::{Event, Launch, Sensor, field, text};

fn sensor() -> Sensor {
    Launch::default()
        .with(["--events", "process"])
        .start()
        .expect("the sensor starts")
}

/// The exec event of a process.
fn exec_of(sensor: &mut Sensor, pid: u32) -> Event {
    sensor
        .wait_for(|event| {
            text(event, "event.dataset") == "process.exec" && field(event, "process.pid") == pid
        })
        .expect("its exec is seen")
}

#[test]
fn an_exec_shows_who_what_and_where() {
    let mut sensor = sensor();
    let mut child = Command::new("/bin/sh")
        .args(["-c", "exit 7", "two words", "new\nline"])
        .env_clear()
        .env("LD_PRELOAD", "")
        .env("SECRET", "hidden")
        .current_dir("/proc")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let event = exec_of(&mut sensor, child.id());
    assert_eq!(
        field(&event, "process.args"),
        &serde_json::json!(["/bin/sh", "-c", "exit 7", "two words", "new\nline"])
    );
    assert_eq!(
        text(&event, "process.executable"),
        std::fs::canonicalize("/bin/sh").unwrap().to_str().unwrap()
    );
    assert_eq!(text(&event, "process.working_directory"), "/proc");
    assert_eq!(field(&event, "process.parent.pid"), std::process::id());
    assert_eq!(text(&event, "process.user.id"), "0");
    assert_eq!(
        field(&event, "process.env_vars"),
        &serde_json::json!(["LD_PRELOAD="])
    );
    assert_eq!(text(&event, "sensor.stdio.stdin.kind"), "null");
    assert_eq!(field(&event, "sensor.exec.arguments_truncated"), false);

    child.wait().unwrap();
    let exit = sensor
        .wait_for(|event| {
            text(event, "event.dataset") == "process.exit"
                && field(event, "process.pid") == child.id()
        })
        .unwrap();
    assert_eq!(field(&exit, "process.exit_code"), 7);
    assert_eq!(
        text(&exit, "process.entity_id"),
        text(&event, "process.entity_id")
    );
    assert!(sensor.stop().unwrap().balances());
}

#[test]
fn a_script_is_named_with_its_interpreter() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("deploy");
    std::fs::write(&script, "#!/bin/sh\nexit 0\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut sensor = sensor();
    let mut child = Command::new("./deploy")
        .current_dir(directory.path())
        .spawn()
        .unwrap();
    let event = exec_of(&mut sensor, child.id());
    child.wait().unwrap();
    assert_eq!(text(&event, "sensor.exec.interpreter"), "/bin/sh");
    assert_eq!(text(&event, "sensor.exec.script"), script.to_str().unwrap());
}

#[test]
fn standard_streams_are_what_the_kernel_says() {
    let mut sensor = sensor();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let ours = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (theirs, peer) = listener.accept().unwrap();
    let (unix_here, unix_there) = UnixStream::pair().unwrap();
    let mut child = Command::new("/bin/true")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::from(OwnedFd::from(unix_there)))
        .spawn()
        .unwrap();
    let event = exec_of(&mut sensor, child.id());
    assert_eq!(text(&event, "sensor.stdio.stdin.kind"), "inet_socket");
    assert_eq!(text(&event, "sensor.stdio.stdin.peer"), "127.0.0.1");
    assert_eq!(field(&event, "sensor.stdio.stdin.peer_port"), peer.port());
    assert_eq!(
        text(&event, "sensor.stdio.stdin.description"),
        format!("tcp:127.0.0.1:{port}->127.0.0.1:{}", peer.port())
    );
    assert_eq!(text(&event, "sensor.stdio.stdout.kind"), "pipe");
    let pipe = child.stdout.as_ref().unwrap();
    let link = std::fs::read_link(format!("/proc/self/fd/{}", pipe.as_raw_fd())).unwrap();
    assert_eq!(
        text(&event, "sensor.stdio.stdout.description"),
        link.to_str().unwrap()
    );
    assert_eq!(text(&event, "sensor.stdio.stderr.kind"), "unix_socket");
    let peer_link = std::fs::read_link(format!("/proc/self/fd/{}", unix_here.as_raw_fd())).unwrap();
    let peer_inode = peer_link.to_str().unwrap().trim_start_matches("socket:");
    assert!(text(&event, "sensor.stdio.stderr.description").ends_with(&format!("->{peer_inode}")));
    child.wait().unwrap();
    drop(ours);
}

#[test]
fn a_terminal_is_told_from_its_master() {
    let mut sensor = sensor();
    let (mut master, mut slave) = (0, 0);
    // SAFETY: both are valid places for descriptors; the rest may be null.
    let opened = unsafe {
        libc::openpty(
            &raw mut master,
            &raw mut slave,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        )
    };
    assert_eq!(opened, 0);
    // SAFETY: both were just opened and belong to nobody else.
    let (master, slave) = unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    let name = std::fs::read_link(format!("/proc/self/fd/{}", slave.as_raw_fd())).unwrap();
    let index: u32 = name.file_name().unwrap().to_str().unwrap().parse().unwrap();
    let mut child = Command::new("/bin/true")
        .stdin(Stdio::from(slave))
        .stdout(Stdio::from(master.try_clone().unwrap()))
        .spawn()
        .unwrap();
    let event = exec_of(&mut sensor, child.id());
    child.wait().unwrap();
    assert_eq!(text(&event, "sensor.stdio.stdin.kind"), "tty");
    assert_eq!(
        text(&event, "sensor.stdio.stdin.description"),
        format!("/dev/pts/{index}")
    );
    assert_eq!(text(&event, "sensor.stdio.stdout.kind"), "pty_master");
    assert_eq!(
        text(&event, "sensor.stdio.stdout.description"),
        format!("ptmx:{index}")
    );
}

#[test]
fn a_fileless_program_is_flagged() {
    let mut sensor = sensor();
    // SAFETY: the name is a C string; the result is checked.
    let fd = unsafe { libc::memfd_create(c"kworker".as_ptr(), 0) };
    assert!(fd >= 0);
    // SAFETY: just made, and ours.
    let mut file = unsafe { std::fs::File::from_raw_fd(fd) };
    file.write_all(&std::fs::read("/bin/true").unwrap())
        .unwrap();
    let created = sensor
        .wait_for(|event| {
            text(event, "event.dataset") == "process.memfd"
                && field(event, "process.pid") == std::process::id()
        })
        .unwrap();
    assert_eq!(text(&created, "sensor.memfd.name"), "kworker");
    assert_eq!(field(&created, "sensor.memfd.fd"), fd);

    let mut child = Command::new(format!("/proc/self/fd/{fd}")).spawn().unwrap();
    let event = exec_of(&mut sensor, child.id());
    child.wait().unwrap();
    drop(file);
    let flags = field(&event, "sensor.exec.flags").as_array().unwrap();
    assert!(flags.iter().any(|flag| flag == "memfd"), "{flags:?}");
}

#[test]
fn hostile_arguments_stay_one_line_and_cuts_are_marked() {
    let mut sensor = sensor();
    let long = "x".repeat(100_000);
    let hostile = "\x1b]0;owned\x07\r\n{\"event.dataset\":\"fake\"}\u{202e}";
    let mut child = Command::new("/bin/true")
        .args([hostile, &long])
        .spawn()
        .unwrap();
    let event = exec_of(&mut sensor, child.id());
    child.wait().unwrap();
    let arguments = field(&event, "process.args").as_array().unwrap();
    assert_eq!(arguments[1], hostile);
    assert_eq!(field(&event, "sensor.exec.arguments_truncated"), true);
    assert_eq!(
        field(&event, "sensor.exec.argument_bytes"),
        10 + hostile.len() as u64 + 1 + 100_001
    );
}

#[test]
fn a_burst_of_processes_balances_to_the_last() {
    const RUNS: u64 = 300;
    let sensor = sensor();
    for _ in 0..RUNS {
        assert!(Command::new("/bin/true").status().unwrap().success());
    }
    let finished = sensor.stop().unwrap();
    assert!(finished.balances(), "{}", finished.account);
    let mine = |dataset: &str| {
        finished
            .events
            .iter()
            .filter(|event| {
                text(event, "event.dataset") == dataset
                    && field(event, "process.parent.pid") == std::process::id()
            })
            .count() as u64
    };
    for kind in ["process.exec", "process.fork"] {
        let found = mine(kind).min(RUNS) as usize;
        assert!(finished.has_all(found, RUNS as usize), "{kind}: {found}");
    }
    assert_eq!(finished.count("process.exec", "lost_ring"), 0);
}
