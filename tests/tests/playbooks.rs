//! Playbooks on the real kernel: a reverse shell to a documentation address in a network of its
//! own, and what is done about it, or is not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use sensor_tests::network::{private, take_address};
use sensor_tests::{Event, Launch, Sensor, eventually, field, sensor_binary, skip, text};

const SHELL: &str = "/bin/sh";

/// Who is blocked and whose shell is killed.
const ENEMY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
/// Who is only rehearsed for.
const REHEARSED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 17);
/// Who is asked for first.
const ASKED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 27);
/// Because of whom a program is run.
const PAGED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 37);
/// Whose shells are killed once an hour.
const LIMITED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 47);
/// Who is taken to be this host.
const OURSELVES: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A directory, and the pins of a firewall, that are gone when the test is, whatever comes.
struct Home {
    directory: tempfile::TempDir,
    pins: PathBuf,
}

impl Home {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let name = directory.path().file_name().unwrap().to_str().unwrap();
        let pins = Path::new("/sys/fs/bpf").join(format!("test-{}", name.trim_start_matches('.')));
        Self { directory, pins }
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("sensor.toml")
    }

    fn configure(&self, playbooks: &str) {
        let pins = self.pins.display();
        let text = format!("[respond]\nmode = 'enforce'\npins = '{pins}'\n{playbooks}");
        fs::write(self.config(), text).unwrap();
    }

    fn start(&self) -> Sensor {
        Launch::default()
            .detecting()
            .with([
                "--events",
                "alert",
                "--config",
                self.config().to_str().unwrap(),
            ])
            .start()
            .unwrap()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.pins);
    }
}

fn playbook(name: &str, peer: Ipv4Addr, rest: &str) -> String {
    format!(
        "[[respond.playbook]]\nname = '{name}'\nmode = 'enforce'\n\
         when = {{ rules = ['remote-shell.*'], peers = ['{peer}'] }}\n{rest}\n"
    )
}

/// A shell that obeys somebody on the network.
struct Attack {
    shell: Child,
    master: TcpStream,
    peer: SocketAddr,
}

impl Attack {
    fn by(peer: Ipv4Addr) -> Self {
        let listener = TcpListener::bind((peer, 0)).unwrap();
        let peer = listener.local_addr().unwrap();
        // A process of its own calls its master and becomes a shell.
        let shell = Command::new(sensor_binary().unwrap())
            .args([
                "drill",
                "--act",
                "called-shell",
                "--master",
                &peer.to_string(),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (master, _) = listener.accept().unwrap();
        Self {
            shell,
            master,
            peer,
        }
    }

    fn obeys(&mut self) -> bool {
        self.master
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let mut answer = [0; 3];
        self.master.write_all(b"echo $((6*7))\n").is_ok()
            && self.master.read_exact(&mut answer).is_ok()
            && &answer == b"42\n"
    }

    fn was_killed(&mut self) -> bool {
        self.shell.wait().unwrap().signal() == Some(libc::SIGKILL)
    }

    fn is_about(&self, event: &Event) -> bool {
        field(event, "process.pid") == self.shell.id()
    }

    /// The response of this kind to this attack.
    fn response(&self, sensor: &mut Sensor, dataset: &str, outcome: &str) -> Event {
        sensor
            .wait_for(|event| {
                text(event, "event.dataset") == dataset
                    && self.is_about(event)
                    && text(event, "sensor.response.outcome") == outcome
            })
            .unwrap_or_else(|error| panic!("{dataset} {outcome}: {error}"))
    }

    fn end(mut self) {
        let _ = self.master.write_all(b"exit\n");
        let _ = self.shell.wait();
    }
}

fn sensor_command(arguments: &[&str]) -> Output {
    let mut command = Command::new(sensor_binary().unwrap());
    command
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn approve(sensor: &Sensor, arguments: &[&str]) -> (Option<i32>, String) {
    let directory = sensor.directory().to_str().unwrap();
    let all = [&["approve", "--runtime-directory", directory], arguments].concat();
    let output = sensor_command(&all);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), said)
}

#[test]
fn playbooks_do_what_they_say_and_no_more() {
    if !Path::new(SHELL).exists() {
        return skip("there is no shell here");
    }
    let home = Home::new();
    home.configure(
        &[
            playbook(
                "cut-off",
                ENEMY,
                "actions = ['kill-tree', 'block-peer']\nttl = '10m'",
            ),
            playbook("rehearsed", REHEARSED, "actions = ['kill', 'block-peer']")
                .replace("'enforce'", "'dry-run'"),
            playbook("asked", ASKED, "actions = ['kill']\nask = true"),
            playbook(
                "paged",
                PAGED,
                &format!(
                    "actions = [{{ run = ['{SHELL}', '-c', 'grep -c remote-shell; echo $0 $*', \
                     '{{peer}}', '{{pid}}'], user = 'root' }}]"
                ),
            ),
            playbook("limited", LIMITED, "actions = ['kill']\nper_hour = 1"),
            playbook("foolish", OURSELVES, "actions = ['block-peer']"),
        ]
        .concat(),
    );
    let mut sensor = home.start();
    private().unwrap();
    for (number, address) in (1..).zip([ENEMY, REHEARSED, ASKED, PAGED, LIMITED]) {
        take_address(number, address).unwrap();
    }

    // Enforced: the shell is dead, its peer is cut off, and the record says why.
    let mut attack = Attack::by(ENEMY);
    assert!(attack.was_killed());
    let kill = attack.response(&mut sensor, "response.kill", "done");
    let block = attack.response(&mut sensor, "response.block", "done");
    assert_eq!(text(&block, "sensor.response.target"), ENEMY.to_string());
    let alert = sensor
        .wait_for(|event| text(event, "event.kind") == "alert" && attack.is_about(event))
        .unwrap();
    for response in [&kill, &block] {
        assert_eq!(text(response, "sensor.response.origin"), "playbook");
        assert_eq!(text(response, "sensor.response.by"), "cut-off");
        assert_eq!(
            field(response, "sensor.response.alert"),
            field(&alert, "event.id")
        );
        let incident = "sensor.alert.incident";
        assert_eq!(field(response, incident), field(&alert, incident));
        assert!(field(response, "sensor.response.latency").as_u64().unwrap() > 0);
    }
    assert!(
        text(&block, "sensor.response.undo").contains("unblock"),
        "{block}"
    );
    assert!(TcpStream::connect_timeout(&attack.peer, Duration::from_millis(300)).is_err());

    // Rehearsed: said, and not done.
    let mut attack = Attack::by(REHEARSED);
    attack.response(&mut sensor, "response.kill", "dry_run");
    attack.response(&mut sensor, "response.block", "dry_run");
    assert!(attack.obeys());
    attack.end();

    // Asked for: nothing happens until somebody says yes.
    assert_eq!(approve(&sensor, &[]).0, Some(1));
    let mut attack = Attack::by(ASKED);
    let asked = attack.response(&mut sensor, "response.kill", "asked");
    assert!(
        text(&asked, "sensor.response.detail").contains("sensor approve 1"),
        "{asked}"
    );
    assert!(attack.obeys());
    let (code, list) = approve(&sensor, &[]);
    assert!(code == Some(0) && list.contains("playbook asked"), "{list}");
    assert_eq!(approve(&sensor, &["7"]).0, Some(1));
    assert_eq!(approve(&sensor, &["1"]).0, Some(0));
    assert!(attack.was_killed());
    attack.response(&mut sensor, "response.kill", "done");
    let mut attack = Attack::by(ASKED);
    attack.response(&mut sensor, "response.kill", "asked");
    assert_eq!(approve(&sensor, &["2", "--deny"]).0, Some(0));
    attack.response(&mut sensor, "response.kill", "refused");
    assert!(attack.obeys());
    attack.end();

    // A program is run with the alert on its standard input.
    let attack = Attack::by(PAGED);
    let run = attack.response(&mut sensor, "response.run", "done");
    let said = format!("1\n{PAGED} {}", attack.shell.id());
    assert!(
        text(&run, "sensor.response.detail").contains(&said),
        "{run}"
    );
    attack.end();

    // Once an hour, and no more.
    assert!(Attack::by(LIMITED).was_killed());
    let mut attack = Attack::by(LIMITED);
    let refused = attack.response(&mut sensor, "response.kill", "refused");
    assert!(
        text(&refused, "sensor.response.detail").contains("its limit"),
        "{refused}"
    );
    assert!(attack.obeys());
    attack.end();

    // This host is never blocked, whatever a playbook says.
    let mut attack = Attack::by(OURSELVES);
    attack.response(&mut sensor, "response.block", "refused");
    assert!(attack.obeys());
    attack.end();

    assert!(sensor.stop().unwrap().balances());
}

#[test]
fn a_broken_playbook_leaves_the_old_ones_in_force() {
    if !Path::new(SHELL).exists() {
        return skip("there is no shell here");
    }
    let home = Home::new();
    home.configure(&playbook("first", ENEMY, "actions = ['kill']"));
    let sensor = home.start();
    let directory = sensor.directory().to_str().unwrap().to_owned();
    let names = || {
        let output = sensor_command(&["playbooks", "--json", "--runtime-directory", &directory]);
        let lines = String::from_utf8(output.stdout).unwrap();
        let listing = |line| serde_json::from_str::<Event>(line).unwrap();
        let names = lines
            .lines()
            .map(|line| text(&listing(line), "name").to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(), ["first"]);

    home.configure(&playbook("second", ENEMY, "actions = ['kil']"));
    let check = sensor_command(&["playbooks", "--check", home.config().to_str().unwrap()]);
    assert_eq!(check.status.code(), Some(2));
    let error = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(error.contains("did you mean `kill`?"), "{error}");
    sensor.hang_up();

    // The signal after it is handled after it: once this one is in force, the broken one was read.
    home.configure(&playbook("third", ENEMY, "actions = ['freeze']"));
    sensor.hang_up();
    eventually("the third playbook does not come into force", || {
        let names = names();
        assert_ne!(names, ["second"]);
        names == ["third"]
    });
    assert!(sensor.stop().unwrap().balances());
}

fn ask(directory: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(directory.join("control.sock")).unwrap();
    // It may hang up before it has read all of what is too long.
    let _ = stream.write_all(request);
    let _ = stream.write_all(b"\n");
    let mut answer = String::new();
    let _ = BufReader::new(stream).read_line(&mut answer);
    answer
}

#[test]
fn what_the_command_line_did_is_an_event_whether_or_not_a_sensor_ran() {
    let home = Home::new();
    home.configure("");
    let state = home.directory.path().join("state");
    fs::create_dir(&state).unwrap();
    let response = |target: &str| {
        format!(
            "{{\"verb\":\"block\",\"outcome\":\"done\",\"target\":\"{target}\",\
             \"origin\":\"operator\",\"by\":\"root\",\"reason\":\"because\"}}"
        )
    };
    let journal = state.join("responses.jsonl");
    let entry = response("192.0.2.1");
    fs::write(
        &journal,
        format!("{{\"wall_ns\":1700000000000000000,\"response\":{entry}}}\n"),
    )
    .unwrap();
    let mut sensor = Launch::default()
        .with([
            "--events",
            "alert",
            "--config",
            home.config().to_str().unwrap(),
        ])
        .remembering(&state)
        .start()
        .unwrap();
    let earlier = sensor
        .wait_for(|event| text(event, "event.dataset") == "response.block")
        .unwrap();
    assert_eq!(text(&earlier, "sensor.response.target"), "192.0.2.1");
    assert_eq!(
        text(&earlier, "@timestamp"),
        "2023-11-14T22:13:20.000000000Z"
    );
    eventually("the journal is not emptied", || {
        fs::metadata(&journal).unwrap().len() == 0
    });

    let answer = ask(
        sensor.directory(),
        format!("report {}", response("192.0.2.2")).as_bytes(),
    );
    assert!(answer.contains("\"taken\":true"), "{answer}");
    sensor
        .wait_for(|event| text(event, "sensor.response.target") == "192.0.2.2")
        .unwrap();
    assert!(sensor.stop().unwrap().balances());
}

/// A number that looks random, and is the same in every run.
fn scramble(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

#[test]
fn hostile_requests_are_answered_with_an_error_and_change_nothing() {
    let home = Home::new();
    home.configure("");
    let sensor = home.start();
    let words = [
        "report",
        "approve",
        "deny",
        "asked",
        "playbooks",
        "status",
        " ",
        "{",
        "}",
        "\"verb\":",
        "\"kill\"",
        "[",
        "18446744073709551616",
        "-1",
        "\u{0}",
        "\u{1b}[2J",
        "null",
        "é",
    ];
    // `HOSTILE_COUNT` for more of them.
    let count = std::env::var("HOSTILE_COUNT").map_or(1_000, |count| count.parse().unwrap());
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..count {
        let mut request = String::from("x");
        for _ in 0..scramble(&mut seed) % 8 {
            let word = scramble(&mut seed) as usize % words.len();
            request.push_str(words[word]);
        }
        let from = usize::from(scramble(&mut seed).is_multiple_of(3));
        let request = &request.as_bytes()[from.min(request.len())..];
        let answer = ask(sensor.directory(), request);
        serde_json::from_str::<Event>(&answer).unwrap_or_else(|_| panic!("{request:?} {answer:?}"));
    }
    // Longer than any request, without an end, and nothing at all.
    assert!(!ask(sensor.directory(), &vec![b'a'; 1 << 20]).contains("taken"));
    drop(UnixStream::connect(sensor.directory().join("control.sock")).unwrap());
    // Who says nothing keeps nobody waiting.
    let silent: Vec<_> = (0..4)
        .map(|_| UnixStream::connect(sensor.directory().join("control.sock")).unwrap())
        .collect();
    assert!(ask(sensor.directory(), b"status").contains("\"verdict\":"));
    drop(silent);
    let finished = sensor.stop().unwrap();
    let responses = finished
        .events
        .iter()
        .filter(|event| text(event, "event.dataset").starts_with("response."));
    assert_eq!(responses.count(), 0);
}

#[test]
fn only_root_is_heard() {
    let home = Home::new();
    home.configure("");
    let sensor = home.start();
    // Its directory, and the binary, have to be in reach of everybody for this.
    let reach = tempfile::tempdir().unwrap();
    let binary = reach.path().join("sensor");
    fs::copy(sensor_binary().unwrap(), &binary).unwrap();
    for path in [reach.path(), sensor.directory()] {
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(path, everybody).unwrap();
    }
    let output = Command::new(&binary)
        .args(["status", "--runtime-directory"])
        .arg(sensor.directory())
        .uid(65_534)
        .gid(65_534)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("Permission denied"), "{error}");
    // Also where somebody changed the mode of the socket.
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(sensor.directory().join("control.sock"), everybody).unwrap();
    let output = Command::new(&binary)
        .args(["approve", "1", "--runtime-directory"])
        .arg(sensor.directory())
        .uid(65_534)
        .gid(65_534)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("only root may ask"), "{error}");
    assert_eq!(output.status.code(), Some(1));
    sensor.stop().unwrap();
}
