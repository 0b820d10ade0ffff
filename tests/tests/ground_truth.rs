//! Every operation of the generator against every event of the sensor, field by field: nothing
//! missing, nothing twice, nothing that did not happen, and an account that balances. How many
//! operations: `GROUND_TRUTH_COUNT`, 500 unless said otherwise.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::{HashMap, VecDeque};
use std::process::Command;

use sensor_tests::{Event, Finished, Launch, field, generator, plan, text};
use serde_json::{Value, json};

/// What the generator said it did.
struct Truth {
    said: Value,
    count: u64,
    seed: u64,
    pid: u32,
    dir: String,
}

impl Truth {
    /// A list it gave, one element per operation.
    fn list(&self, name: &str) -> Vec<u64> {
        let list: Vec<u64> = self.said[name]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item.as_u64().unwrap())
            .collect();
        assert_eq!(list.len() as u64, self.count);
        list
    }
}

/// Lets the sensor watch the generator do one kind of thing, and gives both accounts of it.
fn watch(kind: &str) -> (Truth, Finished) {
    let count =
        std::env::var("GROUND_TRUTH_COUNT").map_or(500, |count| count.parse().expect("a number"));
    let seed = 7;
    let dir = tempfile::tempdir().unwrap();
    let sensor = Launch::default()
        .with(["--events", "process,cgroup"])
        .start()
        .expect("the sensor starts");
    let output = Command::new(generator())
        .args([
            "--kind",
            kind,
            "--count",
            &count.to_string(),
            "--seed",
            &seed.to_string(),
            "--dir",
        ])
        .arg(dir.path())
        .output()
        .expect("the generator runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let finished = sensor.stop().expect("the sensor stops");
    assert!(finished.balances(), "{}", finished.account);

    let said: Value = serde_json::from_slice(&output.stdout).expect("the generator prints JSON");
    let pid = u32::try_from(said["pid"].as_u64().unwrap()).unwrap();
    let dir = said["dir"].as_str().unwrap().to_owned();
    (
        Truth {
            said,
            count,
            seed,
            pid,
            dir,
        },
        finished,
    )
}

/// Events of one kind that a test wants, in the order they happened.
fn events<'f>(
    finished: &'f Finished,
    kind: &str,
    wanted: impl Fn(&Event) -> bool,
) -> Vec<&'f Event> {
    let mut events: Vec<&Event> = finished
        .events
        .iter()
        .filter(|event| text(event, "event.dataset") == kind && wanted(event))
        .collect();
    events.sort_by_key(|event| field(event, "sensor.boot_ns").as_u64());
    assert_eq!(
        finished.count(kind, "lost_ring") + finished.count(kind, "lost_scratch"),
        0,
        "{kind}"
    );
    events
}

/// By process, because pids may come round again.
struct ByPid<'f>(HashMap<u64, VecDeque<&'f Event>>);

impl<'f> ByPid<'f> {
    fn new(events: Vec<&'f Event>) -> Self {
        let mut map: HashMap<u64, VecDeque<&Event>> = HashMap::new();
        for event in events {
            map.entry(field(event, "process.pid").as_u64().unwrap())
                .or_default()
                .push_back(event);
        }
        Self(map)
    }

    /// The next event of a process.
    fn next(&mut self, pid: u64, kind: &str, index: u64) -> &'f Event {
        self.0
            .get_mut(&pid)
            .and_then(VecDeque::pop_front)
            .unwrap_or_else(|| panic!("no {kind} of {pid}, child {index}"))
    }

    /// Nothing may be left.
    fn end(self, kind: &str) {
        let left: Vec<&Event> = self.0.into_values().flatten().collect();
        assert!(
            left.is_empty(),
            "{} {kind} that did not happen, such as {:?}",
            left.len(),
            left.first()
        );
    }
}

fn is_child_of(pid: u32) -> impl Fn(&Event) -> bool {
    move |event| field(event, "process.parent.pid") == pid
}

fn is_by(pid: u32) -> impl Fn(&Event) -> bool {
    move |event| field(event, "process.pid") == pid
}

#[test]
fn every_exec_is_reported_with_every_argument_and_its_exit_status() {
    let (truth, finished) = watch("exec");
    let of = |kind| ByPid::new(events(&finished, kind, is_child_of(truth.pid)));
    let (mut forks, mut execs, mut exits) =
        (of("process.fork"), of("process.exec"), of("process.exit"));
    for (index, pid) in (0..).zip(truth.list("pids")) {
        let fork = forks.next(pid, "fork", index);
        let exec = execs.next(pid, "exec", index);
        let exit = exits.next(pid, "exit", index);

        let mut arguments = vec!["leaf".to_owned()];
        arguments.extend(plan::arguments(truth.seed, index));
        assert_eq!(
            field(exec, "process.args"),
            &json!(arguments),
            "child {index}"
        );
        assert_eq!(field(exec, "process.args_count"), arguments.len());
        assert_eq!(field(exec, "process.executable"), &truth.said["executable"]);
        assert_eq!(text(exec, "process.working_directory"), truth.dir);
        assert_eq!(field(exec, "sensor.exec.arguments_truncated"), false);
        assert_eq!(text(exec, "process.user.id"), "0");
        assert_eq!(field(exit, "process.exit_code"), plan::exit_status(index));
        assert!(field(exit, "sensor.exit.signal").is_null());

        let entity = text(exec, "process.entity_id");
        assert!(!entity.is_empty());
        assert_eq!(
            [
                text(fork, "process.entity_id"),
                text(exit, "process.entity_id")
            ],
            [entity; 2]
        );
        let times =
            [fork, exec, exit].map(|event| field(event, "sensor.boot_ns").as_u64().unwrap());
        assert!(times.is_sorted(), "{times:?}");
    }
    forks.end("forks");
    execs.end("execs");
    exits.end("exits");
}

#[test]
fn every_fork_is_reported_with_its_exit_status() {
    let (truth, finished) = watch("fork");
    let of = |kind| ByPid::new(events(&finished, kind, is_child_of(truth.pid)));
    let (mut forks, mut exits) = (of("process.fork"), of("process.exit"));
    for (index, pid) in (0..).zip(truth.list("pids")) {
        let fork = forks.next(pid, "fork", index);
        let exit = exits.next(pid, "exit", index);
        assert_eq!(
            text(fork, "process.name"),
            "generate",
            "it runs what its parent runs"
        );
        assert_eq!(field(exit, "process.exit_code"), plan::exit_status(index));
        assert_eq!(
            text(fork, "process.entity_id"),
            text(exit, "process.entity_id")
        );
    }
    forks.end("forks");
    exits.end("exits");
}

#[test]
fn every_memory_file_is_reported_with_its_name() {
    let (truth, finished) = watch("memfd");
    let made = events(&finished, "process.memfd", is_by(truth.pid));
    assert_eq!(made.len() as u64, truth.count);
    for ((index, fd), event) in (0..).zip(truth.list("fds")).zip(made) {
        assert_eq!(
            text(event, "sensor.memfd.name"),
            plan::memfd_name(truth.seed, index)
        );
        assert_eq!(field(event, "sensor.memfd.fd"), fd);
        let flags = field(event, "sensor.memfd.flags")
            .as_array()
            .map_or(0, Vec::len);
        assert_eq!(flags, plan::memfd_flags(index).count_ones() as usize);
    }
}

#[test]
fn every_gain_of_privilege_is_reported_with_both_identities() {
    let (truth, finished) = watch("setuid");
    let from = &truth.said["from_uid"];
    let mut gains = ByPid::new(events(
        &finished,
        "process.credentials",
        is_child_of(truth.pid),
    ));
    for (index, pid) in (0..).zip(truth.list("pids")) {
        let raised = gains.next(pid, "capset", index);
        assert_eq!(
            field(raised, "sensor.credentials.gain"),
            &json!(["capabilities", "regained"])
        );
        assert_eq!(field(raised, "sensor.credentials.new.uid"), from);
        let root = gains.next(pid, "setuid", index);
        assert_eq!(field(root, "sensor.credentials.gain"), &json!(["root"]));
        for name in ["uid", "euid", "suid", "fsuid"] {
            assert_eq!(field(root, &format!("sensor.credentials.old.{name}")), from);
            assert_eq!(field(root, &format!("sensor.credentials.new.{name}")), 0);
        }
    }
    gains.end("gains");
}

#[test]
fn every_mount_is_reported_with_source_and_target() {
    let (truth, finished) = watch("mount");
    let unshares = events(&finished, "process.unshare", is_by(truth.pid));
    assert_eq!(unshares.len(), 1);
    assert_eq!(field(unshares[0], "sensor.unshare.types"), &json!(["mnt"]));
    let mounts = events(&finished, "process.mount", is_by(truth.pid));
    // The first one makes the namespace private.
    assert_eq!(mounts.len() as u64, truth.count + 1);
    for (index, mount) in (0..).zip(&mounts[1..]) {
        assert_eq!(
            text(mount, "sensor.mount.source"),
            plan::mount_source(truth.seed, index)
        );
        assert_eq!(text(mount, "sensor.mount.target"), truth.dir);
        assert_eq!(text(mount, "sensor.mount.type"), "tmpfs");
        assert_eq!(field(mount, "sensor.mount.flags"), &json!(["MS_NODEV"]));
        assert_eq!(
            field(mount, "sensor.namespace.mnt"),
            field(unshares[0], "sensor.namespace.mnt")
        );
    }
}

#[test]
fn every_control_group_is_reported_with_id_and_path() {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    if !mounts.contains(" - cgroup2 ") {
        return sensor_tests::skip("control groups of version 2 are not mounted");
    }
    let (truth, finished) = watch("cgroup");
    let made = events(&finished, "cgroup.mkdir", is_by(truth.pid));
    let removed = events(&finished, "cgroup.rmdir", is_by(truth.pid));
    assert_eq!([made.len() as u64, removed.len() as u64], [truth.count; 2]);
    for (index, id) in (0..).zip(truth.list("ids")) {
        for event in [made[index as usize], removed[index as usize]] {
            assert_eq!(field(event, "sensor.control_group.id"), id);
            let path = format!("/{}", plan::group_name(truth.seed, index));
            assert_eq!(text(event, "sensor.control_group.path"), path);
        }
    }
}
