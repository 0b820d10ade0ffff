//! Processes and files acted on by the real commands, with and without a sensor that runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use sensor_tests::{Launch, eventually, sensor_binary, skip, text};
use serde_json::Value;

/// Directories of a sensor that need not run.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn sensor(&self, arguments: &[&str]) -> Output {
        Command::new(sensor_binary().unwrap())
            .args(arguments)
            .arg("--runtime-directory")
            .arg(self.at("run"))
            .arg("--state-directory")
            .arg(self.at("state"))
            .output()
            .unwrap()
    }

    /// What a command did, which it has to have done without a word of complaint.
    fn done(&self, arguments: &[&str]) -> Value {
        let output = self.sensor(&[arguments, &["--json"]].concat());
        assert!(
            output.status.success(),
            "{} {}",
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&output.stdout)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Nothing of ours stays frozen, whatever went wrong.
        let _ = self.sensor(&["thaw", "--all"]);
    }
}

/// A process with descendants, all of which hold its standard output open; killed in the end.
struct Family(Child);

impl Family {
    fn start(script: &str) -> Self {
        Self::of(
            Command::new("/bin/sh")
                .args(["-c", script])
                .stdin(Stdio::piped()),
        )
    }

    /// A command that says when it is ready. In a process group of its own: when the leader of a
    /// stopped one dies, the kernel sends SIGHUP to all of it.
    fn of(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap();
        let mut first = [0];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut first)
            .unwrap();
        Self(child)
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    /// Waits for the last of them.
    fn all_end(&mut self) {
        let mut rest = Vec::new();
        self.0
            .stdout
            .as_mut()
            .unwrap()
            .read_to_end(&mut rest)
            .unwrap();
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn state_of(pid: &str) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(')')
        .unwrap()
        .1
        .trim_start()
        .chars()
        .next()
        .unwrap()
}

#[test]
fn a_tree_that_starts_more_without_end_is_killed_to_the_last() {
    let home = Home::new();
    // Each starts another one like it, and then more and more; fewer where one processor is emulated.
    let is_slow = std::env::var_os("SENSOR_VM").is_some();
    let many = if is_slow { 5 } else { 40 };
    let bomb = format!(
        "f() {{ [ $1 -gt {many} ] || f $(($1 + 1)) & while :; do sh -c : ; done; }}; echo; f 0"
    );
    let mut family = Family::start(&bomb);
    let done = home.done(&["kill", "--tree", &family.pid(), "--reason", "a test"]);
    assert_eq!(text(&done, "outcome"), "done", "{done}");
    family.all_end();
    assert_eq!(family.0.wait().unwrap().signal(), Some(libc::SIGKILL));
}

#[test]
fn a_rehearsal_names_all_and_touches_none() {
    let home = Home::new();
    let mut family = Family::start("sh -c 'echo; exec sleep 100' & wait");
    let would = home.done(&["kill", "--tree", &family.pid(), "--dry-run"]);
    assert_eq!(text(&would, "outcome"), "dry_run");
    assert_eq!(
        text(&would, "detail").matches("(pid ").count(),
        2,
        "{would}"
    );
    assert!(family.0.try_wait().unwrap().is_none());
    home.done(&["kill", "--tree", &family.pid()]);
    family.all_end();
}

#[test]
fn a_frozen_process_does_nothing_until_it_is_thawed() {
    let home = Home::new();
    let mut family = Family::start("echo; while read line; do echo got $line; done");
    let frozen = home.done(&["freeze", &family.pid(), "--reason", "evidence"]);
    assert_eq!(text(&frozen, "outcome"), "done", "{frozen}");
    writeln!(family.0.stdin.as_mut().unwrap(), "one").unwrap();
    let list = home.done(&["frozen"]);
    assert_eq!(list["pid"], family.0.id());
    assert_eq!(text(&list, "reason"), "evidence");
    if text(&frozen, "detail").contains("SIGSTOP") {
        assert_eq!(state_of(&family.pid()), 'T');
    } else {
        // No signal of the intruder's leads out of it.
        // SAFETY: no memory is passed; the child is ours and not yet waited for.
        unsafe { libc::kill(family.0.id().cast_signed(), libc::SIGCONT) };
        let group = fs::read_to_string(format!("/proc/{}/cgroup", family.pid())).unwrap();
        assert!(group.contains("sensor.frozen"), "{group}");
    }
    let thawed = home.done(&["thaw", &family.pid()]);
    assert_eq!(text(&thawed, "outcome"), "done", "{thawed}");
    let mut answer = String::new();
    BufReader::new(family.0.stdout.as_mut().unwrap())
        .read_line(&mut answer)
        .unwrap();
    assert_eq!(answer, "got one\n");
    let group = fs::read_to_string(format!("/proc/{}/cgroup", family.pid())).unwrap();
    assert!(!group.contains("sensor.frozen"), "{group}");
    assert_eq!(home.sensor(&["frozen"]).status.code(), Some(1));
}

#[test]
fn a_frozen_process_can_be_killed_and_leaves_no_group_behind() {
    let home = Home::new();
    let mut family = Family::start("echo; sleep 100 & wait");
    home.done(&["freeze", "--tree", &family.pid()]);
    home.done(&["kill", "--tree", &family.pid()]);
    family.all_end();
    family.0.wait().unwrap();
    assert_eq!(home.sensor(&["frozen"]).status.code(), Some(1));
}

#[test]
fn what_the_machine_hangs_on_is_refused_with_the_reason() {
    let home = Home::new();
    let own = std::process::id().to_string();
    for (pid, reason) in [
        ("1", "it is init"),
        ("2", "kernel"),
        (&*own, "this command runs below it"),
    ] {
        if !Path::new("/proc").join(pid).exists() {
            continue;
        }
        for command in ["kill", "freeze"] {
            let output = home.sensor(&[command, pid]);
            let words = String::from_utf8_lossy(&output.stderr);
            // In a container, 2 is nobody special.
            if pid == "2" && !words.contains(reason) {
                skip("pid 2 is not the kernel's");
                continue;
            }
            assert_eq!(output.status.code(), Some(1), "{words}");
            assert!(words.contains(reason), "{words}");
        }
    }
    assert_eq!(home.sensor(&["kill", "4000000"]).status.code(), Some(2));
}

#[test]
fn an_sshd_that_waits_for_logins_is_protected_and_its_logins_are_not() {
    let home = Home::new();
    // A program of that name that holds the socket we give it, and waits.
    let (sshd, fifo) = (home.at("sshd"), home.at("fifo"));
    fs::copy(fs::canonicalize("/bin/sh").unwrap(), &sshd).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let wait = format!("echo; read line < {}", fifo.display());
    let config = home.at("sensor.toml");
    let protect = format!(
        "[respond]\nprotect_processes = [{:?}]\n",
        sshd.to_str().unwrap()
    );
    fs::write(&config, protect).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let login = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let start = |socket: std::os::fd::OwnedFd| {
        let mut command = Command::new(&sshd);
        Family::of(command.args(["-c", &wait]).stdin(socket))
    };
    let waiting = start(listener.into());
    let mut logged_in = start(login.into());
    let config = config.to_str().unwrap();
    let output = home.sensor(&["kill", &waiting.pid(), "--config", config]);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("waits for logins"), "{words}");
    home.done(&["kill", &logged_in.pid(), "--config", config]);
    assert_eq!(logged_in.0.wait().unwrap().signal(), Some(libc::SIGKILL));
}

/// A new process of this very pid, in the initial pid namespace (`clone3` with `set_tid`), which
/// waits until it is killed.
fn process_of_pid(pid: i32) -> std::io::Result<()> {
    #[repr(C)]
    #[derive(Default)]
    struct Arguments {
        flags: u64,
        pidfd: u64,
        child_tid: u64,
        parent_tid: u64,
        exit_signal: u64,
        stack: u64,
        stack_size: u64,
        tls: u64,
        set_tid: u64,
        set_tid_size: u64,
        cgroup: u64,
    }
    let arguments = Arguments {
        exit_signal: libc::SIGCHLD as u64,
        set_tid: (&raw const pid) as u64,
        set_tid_size: 1,
        ..Arguments::default()
    };
    // SAFETY: as fork, with a structure of the size said; the child only makes system calls.
    let result = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const arguments,
            size_of::<Arguments>(),
        )
    };
    match result {
        0 => loop {
            // SAFETY: no preconditions.
            unsafe { libc::pause() };
        },
        -1 => Err(std::io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[test]
fn a_pid_that_is_used_again_is_never_hit() {
    let home = Home::new();
    let mut family = Family::start("echo; exec sleep 100");
    let pid = family.0.id().cast_signed();
    home.done(&["freeze", &family.pid()]);
    let frozen = home.done(&["frozen"]);
    family.0.kill().unwrap();
    family.0.wait().unwrap();
    // The same number, another process; what was frozen under it is not this one.
    if let Err(error) = process_of_pid(pid) {
        return skip(&format!("no process of a given pid: {error}"));
    }
    assert_eq!(frozen["pid"], pid);
    let thawed = home.sensor(&["thaw", &pid.to_string()]);
    assert_eq!(thawed.status.code(), Some(3), "{thawed:?}");
    assert_eq!(home.sensor(&["frozen"]).status.code(), Some(1));
    // SAFETY: no memory is passed; the child is ours and not yet waited for.
    let waited = unsafe {
        let alive = libc::kill(pid, 0) == 0;
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, std::ptr::null_mut(), 0);
        alive
    };
    assert!(waited);
}

#[test]
fn a_file_is_put_away_and_comes_back_and_both_are_events() {
    let home = Home::new();
    let file = home.at("shell.php");
    fs::write(&file, "<?php eval($_POST[0]);").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let mut sensor = Launch::default()
        .with(["--events", "alert"])
        .start()
        .unwrap();
    let run = |arguments: &[&str]| -> Value {
        let output = Command::new(sensor_binary().unwrap())
            .args(arguments)
            .arg("--json")
            .arg("--runtime-directory")
            .arg(sensor.directory())
            .arg("--state-directory")
            .arg(home.at("state"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let away = run(&["quarantine", file.to_str().unwrap(), "--reason", "webshell"]);
    assert!(!file.exists());
    let undo = text(&away, "undo").to_owned();
    let back = run(&undo.split(' ').skip(1).collect::<Vec<_>>());
    assert_eq!(text(&back, "outcome"), "done", "{back}");
    assert_eq!(fs::read(&file).unwrap(), b"<?php eval($_POST[0]);");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o7777,
        0o640
    );
    for dataset in ["response.quarantine", "response.restore"] {
        let told = sensor
            .wait_for(|event| text(event, "event.dataset") == dataset)
            .unwrap();
        assert_eq!(text(&told, "sensor.response.outcome"), "done");
    }
}

#[test]
fn the_running_sensor_is_not_killed_by_its_own_command() {
    let sensor = Launch::default()
        .with(["--events", "alert"])
        .start()
        .unwrap();
    let output = Command::new(sensor_binary().unwrap())
        .args(["kill", &sensor.pid().to_string(), "--runtime-directory"])
        .arg(sensor.directory())
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("it is the sensor"), "{words}");
    eventually("it still runs", || {
        Path::new("/proc").join(sensor.pid().to_string()).exists()
    });
    assert!(sensor.stop().unwrap().balances());
}
