//! Content scanning on live events: what is written into a web root and what is executed, a
//! helper that is killed or stopped, rules that are renewed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sensor_tests::{Launch, Sensor, eventually, sensor_binary, skip, text};
use serde_json::Value;
use tempfile::TempDir;

/// A program that ends at once, to be copied elsewhere.
const HARMLESS: &str = "/bin/true";
/// Time for an alert that may not come.
const SOON: Duration = Duration::from_millis(500);

/// A rule on a text that nobody else writes.
fn rule(name: &str, mark: &str) -> String {
    format!(
        "rule {name} {{\n  meta:\n    description = \"a mark\"\n    severity = \"high\"\n    \
         attack = \"T1505.003\"\n  strings:\n    $mark = \"{mark}\"\n  condition:\n    $mark\n}}\n"
    )
}

/// A sensor with these rules and no others.
fn start(directory: &TempDir, more: &str) -> Sensor {
    let rules = directory.path().join("rules");
    fs::create_dir_all(&rules).unwrap();
    let config = directory.path().join("sensor.toml");
    let text = format!(
        "[content]\nbuiltin = false\nrules = ['{}']\n{more}",
        rules.display()
    );
    fs::write(&config, text).unwrap();
    let mut sensor = Launch::default()
        .detecting()
        .with(["--events", "alert", "--config", config.to_str().unwrap()])
        .start()
        .unwrap();
    eventually("no scanner is ready", || count(&mut sensor, "rules") > 0);
    sensor
}

/// A number that `sensor status` gives of scanned files.
fn count(sensor: &mut Sensor, name: &str) -> u64 {
    let output = Command::new(sensor_binary().unwrap())
        .args(["status", "--json", "--runtime-directory"])
        .arg(sensor.directory())
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    report["content"][name].as_u64().unwrap_or(0)
}

/// A program with a text at its end, which is executed.
fn execute(directory: &TempDir, name: &str, mark: &str) {
    let program = directory.path().join(name);
    let mut content = fs::read(HARMLESS).unwrap();
    content.extend(mark.as_bytes());
    fs::write(&program, content).unwrap();
    fs::set_permissions(
        &program,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    // Where it is one of many in one file (busybox), it goes by its first argument.
    assert!(
        Command::new(&program)
            .arg0("true")
            .status()
            .unwrap()
            .success()
    );
}

/// Sends a signal to the scanner.
fn signal_helper(sensor: &mut Sensor, signal: i32) -> u64 {
    let helper = count(sensor, "helper");
    assert!(helper > 1, "no helper");
    // SAFETY: no memory is passed; the process is one that our own sensor started.
    unsafe { libc::kill(i32::try_from(helper).unwrap(), signal) };
    helper
}

fn alert_of(sensor: &mut Sensor, name: &str) -> Value {
    let id = format!("yara.{name}");
    sensor
        .wait_for(|event| text(event, "rule.id") == id)
        .unwrap()
}

#[test]
fn a_program_from_elsewhere_with_a_mark_in_it_is_an_alert_that_names_it() {
    if !Path::new(HARMLESS).exists() {
        return skip("/bin/true is not here");
    }
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("rules")).unwrap();
    fs::write(
        directory.path().join("rules/a.yar"),
        rule("marked", "mark-of-a-test-1"),
    )
    .unwrap();
    let mut sensor = start(&directory, "");
    execute(&directory, "clean", "nothing");
    execute(&directory, "odd", "mark-of-a-test-1");
    let alert = alert_of(&mut sensor, "marked");
    assert_eq!(text(&alert, "rule.ruleset"), "yara");
    assert_eq!(text(&alert, "process.name"), "odd");
    assert!(text(&alert, "file.path").ends_with("/odd"));
    assert_eq!(text(&alert, "file.hash.sha256").len(), 64);
    assert_eq!(alert["sensor.content.rules"][0], "marked");
    assert_eq!(text(&alert, "sensor.alert.severity"), "high");
    assert_eq!(alert["threat.technique.subtechnique.id"][0], "T1505.003");
    assert!(count(&mut sensor, "scanned") >= 2);
    let finished = sensor.stop().unwrap();
    assert!(finished.balances());
    let own = |event: &&Value| text(event, "process.thread.name").starts_with("content-scan");
    assert_eq!(
        finished.events.iter().filter(own).count(),
        0,
        "alarmed about itself"
    );
}

/// A web server, and that it ends.
struct Server(std::process::Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_script_with_a_mark_in_it_that_is_renamed_into_a_web_root_is_an_alert() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("rules")).unwrap();
    fs::write(
        directory.path().join("rules/a.yar"),
        rule("marked", "mark-of-a-test-8"),
    )
    .unwrap();
    let root = directory.path().join("pages");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("index.php"), "a page").unwrap();
    let mut sensor = start(&directory, "");
    let mut server = Command::new("busybox");
    server.args(["httpd", "-f", "-p", "127.0.0.1:8983", "-h"]);
    let Ok(server) = server.arg(&root).spawn() else {
        return skip("there is no busybox");
    };
    let _server = Server(server);
    // Where its pages are is found out about once a second.
    let mut tries = 0..200;
    let found = tries.find_map(|number| {
        let (temporary, page) = (
            directory.path().join("upload.tmp"),
            root.join(format!("page{number}.php")),
        );
        fs::write(&temporary, format!("mark-of-a-test-8 {number}")).unwrap();
        fs::rename(&temporary, &page).unwrap();
        let is_it = |event: &Value| text(event, "rule.id") == "yara.marked";
        sensor.wait_within(SOON, is_it).ok()
    });
    let alert = found.expect("no alert");
    assert!(text(&alert, "file.path").contains("/pages/page"));
    assert!(text(&alert, "message").contains(" wrote "));
    assert!(sensor.stop().unwrap().balances());
}

#[test]
fn a_helper_that_is_killed_is_replaced_and_files_are_scanned_again() {
    if !Path::new(HARMLESS).exists() {
        return skip("/bin/true is not here");
    }
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("rules")).unwrap();
    fs::write(
        directory.path().join("rules/a.yar"),
        rule("marked", "mark-of-a-test-2"),
    )
    .unwrap();
    let mut sensor = start(&directory, "");
    let before = signal_helper(&mut sensor, libc::SIGKILL);
    eventually("no new helper", || {
        let now = count(&mut sensor, "helper");
        now > 1 && now != before
    });
    assert!(count(&mut sensor, "restarts") >= 1);
    execute(&directory, "odd", "mark-of-a-test-2");
    alert_of(&mut sensor, "marked");
    assert!(sensor.stop().unwrap().balances());
}

#[test]
fn a_helper_that_hangs_is_given_up_and_the_file_is_named() {
    if !Path::new(HARMLESS).exists() {
        return skip("/bin/true is not here");
    }
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("rules")).unwrap();
    fs::write(
        directory.path().join("rules/a.yar"),
        rule("marked", "mark-of-a-test-3"),
    )
    .unwrap();
    let mut sensor = start(&directory, "");
    signal_helper(&mut sensor, libc::SIGSTOP);
    execute(&directory, "first", "anything");
    let alert = sensor
        .wait_for(|event| text(event, "rule.id") == "content.not_scanned")
        .unwrap();
    assert!(text(&alert, "message").contains("was not scanned"));
    assert!(count(&mut sensor, "timed_out") >= 1);
    execute(&directory, "odd", "mark-of-a-test-3");
    alert_of(&mut sensor, "marked");
    assert!(sensor.stop().unwrap().balances());
}

#[test]
fn new_rules_are_taken_while_it_runs_and_a_broken_set_is_not() {
    if !Path::new(HARMLESS).exists() {
        return skip("/bin/true is not here");
    }
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("rules");
    fs::create_dir(&rules).unwrap();
    fs::write(rules.join("a.yar"), rule("first", "mark-of-a-test-4")).unwrap();
    let mut sensor = start(&directory, "");

    fs::write(
        rules.join("b.yar"),
        "rule broken {\n  condition: $nowhere\n}\n",
    )
    .unwrap();
    sensor.hang_up();
    eventually("the broken set is not refused", || {
        count(&mut sensor, "refused") == 1
    });
    execute(&directory, "one", "mark-of-a-test-4");
    alert_of(&mut sensor, "first");

    fs::write(rules.join("b.yar"), rule("second", "mark-of-a-test-5")).unwrap();
    sensor.hang_up();
    eventually("the new set is not taken", || {
        count(&mut sensor, "rules") == 2
    });
    execute(&directory, "two", "mark-of-a-test-5");
    alert_of(&mut sensor, "second");
    assert!(sensor.stop().unwrap().balances());
}

#[test]
fn only_the_beginning_of_a_large_file_is_looked_at_and_that_is_counted() {
    if !Path::new(HARMLESS).exists() {
        return skip("/bin/true is not here");
    }
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("rules")).unwrap();
    fs::write(
        directory.path().join("rules/a.yar"),
        rule("marked", "mark-of-a-test-6"),
    )
    .unwrap();
    let mut sensor = start(&directory, "max_size = 1024\n");
    execute(&directory, "odd", "mark-of-a-test-6");
    eventually("it is not looked at", || count(&mut sensor, "too_big") >= 1);
    let found = sensor.wait_within(SOON, |event| text(event, "rule.ruleset") == "yara");
    assert!(found.is_err());
    assert!(sensor.stop().unwrap().balances());
}

#[test]
fn the_helper_has_no_privileges_and_ends_with_the_sensor() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("rules")).unwrap();
    fs::write(
        directory.path().join("rules/a.yar"),
        rule("marked", "mark-of-a-test-7"),
    )
    .unwrap();
    let mut sensor = start(&directory, "");
    let helper = count(&mut sensor, "helper");
    let status = fs::read_to_string(format!("/proc/{helper}/status")).unwrap();
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    assert_eq!(line("Uid:"), "65534\t65534\t65534\t65534");
    assert_eq!(line("Gid:"), "65534\t65534\t65534\t65534");
    assert_eq!(line("Groups:"), "");
    assert_eq!(line("CapEff:"), "0000000000000000");
    assert_eq!(line("CapPrm:"), "0000000000000000");
    assert_eq!(line("CapBnd:"), "0000000000000000");
    assert_eq!(line("NoNewPrivs:"), "1");
    assert_eq!(line("Seccomp:"), "2");
    drop(sensor);
    eventually("the helper outlives the sensor", || {
        !Path::new(&format!("/proc/{helper}/exe")).exists()
    });
}
