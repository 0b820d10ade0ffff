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

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::process::Command;
use std::sync::mpsc::{TryRecvError, channel};

use sensor_tests::{Event, Finished, Launch, field, generator, plan, text, uses_fallback};
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

/// What these tests look at.
const FIELDS: &[&str] = &[
    "destination.bytes",
    "destination.ip",
    "destination.port",
    "error.code",
    "event.action",
    "event.duration",
    "event.outcome",
    "file.gid",
    "file.inode",
    "file.mode",
    "file.path",
    "file.size",
    "file.target_path",
    "file.type",
    "file.uid",
    "network.direction",
    "network.transport",
    "process.args",
    "process.args_count",
    "process.entity_id",
    "process.executable",
    "process.exit_code",
    "process.name",
    "process.parent.pid",
    "process.user.id",
    "process.working_directory",
    "sensor.boot_ns",
    "sensor.control_group.id",
    "sensor.control_group.path",
    "sensor.credentials.gain",
    "sensor.credentials.new.euid",
    "sensor.credentials.new.fsuid",
    "sensor.credentials.new.suid",
    "sensor.credentials.new.uid",
    "sensor.credentials.old.euid",
    "sensor.credentials.old.fsuid",
    "sensor.credentials.old.suid",
    "sensor.credentials.old.uid",
    "sensor.exec.arguments_truncated",
    "sensor.exit.signal",
    "sensor.file.access",
    "sensor.file.before.gid",
    "sensor.file.before.mode",
    "sensor.file.before.size",
    "sensor.file.before.uid",
    "sensor.file.flags",
    "sensor.file.linked_path",
    "sensor.file.links",
    "sensor.file.path_source",
    "sensor.file.previous_path",
    "sensor.memfd.fd",
    "sensor.memfd.flags",
    "sensor.memfd.name",
    "sensor.mount.flags",
    "sensor.mount.source",
    "sensor.mount.target",
    "sensor.mount.type",
    "sensor.namespace.mnt",
    "sensor.network.inode",
    "sensor.unshare.types",
    "source.bytes",
    "source.ip",
    "source.port",
];

/// Lets the sensor watch the generator do one kind of thing, and gives both accounts of it.
/// Where the kernel can skip programs (see the limits in README), it is tried again.
fn watch(kind: &str, events: &str) -> (Truth, Finished) {
    const ATTEMPTS: usize = 8;
    let mut attempts = (0..ATTEMPTS).map(|_| observe(kind, events, count()));
    let (truth, finished) = attempts
        .find(|(_, finished)| finished.skipped() == 0)
        .expect("an attempt in which the kernel skipped nothing");
    assert_eq!(finished.lost(), 0, "{}", finished.account);
    (truth, finished)
}

/// How many operations of each kind.
fn count() -> u64 {
    std::env::var("GROUND_TRUTH_COUNT").map_or(500, |count| count.parse().expect("a number"))
}

/// Pause after each operation, in microseconds: `GROUND_TRUTH_PAUSE`. This test reads every event
/// on one of the CPUs that the operations are done on, and emulated machines have slow ones.
fn pause(count: u64) -> String {
    let default = if count > 10_000 { "100" } else { "0" };
    std::env::var("GROUND_TRUTH_PAUSE").unwrap_or_else(|_| default.to_owned())
}

fn observe(kind: &str, events: &str, count: u64) -> (Truth, Finished) {
    let seed = 7;
    let dir = tempfile::tempdir().unwrap();
    let sensor = Launch::default()
        .with(["--events", events])
        .keeping(FIELDS)
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
            "--pause",
            &pause(count),
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
    let (truth, finished) = watch("exec", "process");
    check_execs(&truth, &finished);
}

#[test]
fn a_storm_of_opened_files_costs_no_event_of_a_process() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("opened");
    let (storm, end) = channel::<()>();
    // Each is an event to be read here, and test machines are slow.
    let most = if std::env::var_os("SENSOR_VM").is_some() {
        10_000
    } else {
        usize::MAX
    };
    let opener = std::thread::spawn(move || {
        // Until the other end is gone, however the test ends.
        for _ in (0..most).take_while(|_| end.try_recv() == Err(TryRecvError::Empty)) {
            File::create(&path).expect("a file can be opened");
        }
    });
    let (truth, finished) = observe("exec", "process,file", count() / 5);
    drop(storm);
    opener.join().expect("the storm ends");
    check_execs(&truth, &finished);
    for kind in ["process.fork", "process.exec", "process.exit"] {
        let lost =
            ["lost_ring", "lost_scratch", "lost_begun"].map(|reason| finished.count(kind, reason));
        assert_eq!(lost, [0, 0, 0], "{kind}");
    }
    println!(
        "beside {} opens, of which {} were lost",
        finished.count("file.open", "seen"),
        finished.count("file.open", "lost_ring"),
    );
}

fn check_execs(truth: &Truth, finished: &Finished) {
    let of = |kind| ByPid::new(events(finished, kind, is_child_of(truth.pid)));
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
    let (truth, finished) = watch("fork", "process");
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
    let (truth, finished) = watch("memfd", "process");
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
    let (truth, finished) = watch("setuid", "process");
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
    let (truth, finished) = watch("mount", "process");
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
    let (truth, finished) = watch("cgroup", "cgroup");
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

#[test]
fn every_connection_is_reported_at_both_ends_with_its_bytes() {
    let (truth, finished) = watch("connect", "network");
    let port = &truth.said["port"];
    let mine = |kind: &str, direction: &str| {
        let mine = |event: &Event| {
            is_by(truth.pid)(event)
                && field(event, "destination.port") == port
                && text(event, "network.direction") == direction
        };
        let events = events(&finished, kind, mine);
        assert_eq!(events.len() as u64, truth.count, "{kind} {direction}");
        events
    };
    let connects = mine("network.connect", "egress");
    let accepts = mine("network.accept", "ingress");
    // Nobody holds them any more then, so they have no inode.
    let mut closes =
        ["egress", "ingress"].map(|direction| by_port(mine("network.close", direction)));
    let sockets = truth.said["sockets"].as_array().unwrap();
    for (index, socket) in (0..).zip(sockets) {
        let at = index as usize;
        let [source, here, there] = [0, 1, 2].map(|at| &socket[at]);
        assert_eq!(field(connects[at], "sensor.network.inode"), here);
        assert_eq!(field(accepts[at], "sensor.network.inode"), there);
        let closes = closes
            .each_mut()
            .map(|ends| ends.get_mut(&source.as_u64()).unwrap().pop_front().unwrap());
        for event in [connects[at], accepts[at], closes[0], closes[1]] {
            assert_eq!(field(event, "source.port"), source);
            assert_eq!(text(event, "source.ip"), "127.0.0.1");
            assert_eq!(text(event, "destination.ip"), "127.0.0.1");
            assert_eq!(text(event, "network.transport"), "tcp");
            assert!(field(event, "error.code").is_null(), "{event}");
        }
        assert_eq!(text(connects[at], "event.outcome"), "success");
        for close in closes {
            let sent = plan::message_bytes(truth.seed, index);
            assert_eq!(field(close, "source.bytes"), sent, "{close}");
            assert_eq!(field(close, "destination.bytes"), 0);
            assert!(field(close, "event.duration").as_u64() > Some(0));
        }
    }
}

/// Ends of connections by their source port, the earliest first: the last packets of one connection
/// may overtake those of another.
fn by_port(ends: Vec<&Event>) -> BTreeMap<Option<u64>, VecDeque<&Event>> {
    let mut by_port = BTreeMap::<_, VecDeque<_>>::new();
    for end in ends {
        let port = field(end, "source.port").as_u64();
        by_port.entry(port).or_default().push_back(end);
    }
    by_port
}

#[test]
fn every_file_is_reported_from_its_making_to_its_end() {
    let (truth, finished) = watch("file", "file");
    let path = |name: String| format!("{}/{name}", truth.dir);
    let mine = |kind: &str| {
        let events = events(&finished, kind, is_by(truth.pid));
        assert_eq!(events.len() as u64, truth.count, "{kind}");
        events
    };
    let (opens, closes) = (mine("file.open"), mine("file.close"));
    let (renames, unlinks) = (mine("file.rename"), mine("file.unlink"));
    let by_path = uses_fallback("file rename").unwrap();
    for (index, inode) in truth.list("inodes").into_iter().enumerate() {
        let (old, new) = (
            path(plan::file_name(truth.seed, index as u64)),
            path(plan::file_new_name(truth.seed, index as u64)),
        );
        let size = plan::file_bytes(truth.seed, index as u64);
        for (event, size) in [(opens[index], 0), (closes[index], size)] {
            assert_eq!(text(event, "file.path"), old);
            assert_eq!(text(event, "file.inode"), inode.to_string());
            assert_eq!(field(event, "file.size"), size);
            assert_eq!(text(event, "file.mode"), "0644");
            assert_eq!(text(event, "file.uid"), "0");
            assert_eq!(text(event, "file.type"), "file");
            assert_eq!(
                field(event, "sensor.file.access"),
                &json!(["read", "write", "created"])
            );
        }
        assert_eq!(text(renames[index], "sensor.file.previous_path"), old);
        assert_eq!(text(renames[index], "file.path"), new);
        assert_eq!(text(unlinks[index], "file.path"), new);
        if !by_path {
            for event in [renames[index], unlinks[index]] {
                assert_eq!(text(event, "file.inode"), inode.to_string());
                assert_eq!(field(event, "file.size"), size);
                assert_eq!(field(event, "sensor.file.links"), 1);
            }
        }
    }
}

/// What `chown` leaves of a file's permissions (chown(2)).
const fn after_a_new_owner(mode: u32) -> u32 {
    let mode = mode & !libc::S_ISUID;
    if mode & libc::S_IXGRP == 0 {
        mode
    } else {
        mode & !libc::S_ISGID
    }
}

#[test]
fn every_change_of_a_file_is_reported_with_what_it_was_before() {
    let (truth, finished) = watch("change", "file");
    let changed = format!("{}/changed", truth.dir);
    let other = format!("{}/other", truth.dir);
    let mine = |kind: &str, times: u64| {
        let events = events(&finished, kind, is_by(truth.pid));
        assert_eq!(events.len() as u64, times * truth.count, "{kind}");
        events
    };
    let (chowns, chmods) = (mine("file.chown", 1), mine("file.chmod", 1));
    let (truncates, links) = (mine("file.truncate", 1), mine("file.link", 1));
    let (symlinks, directories) = (mine("file.symlink", 1), mine("file.mkdir", 1));
    let removals = mine("file.unlink", 3);
    let with_before = !uses_fallback("file mode, owner, size").unwrap();
    let kernel_paths = !uses_fallback("file unlink").unwrap();
    let inode = truth.said["inode"].as_u64().unwrap().to_string();
    let mut before = (0o644, (0, 0), 1);
    let octal = |mode: u32| format!("{mode:04o}");
    for index in 0..truth.count {
        let (at, seed) = (index as usize, truth.seed);
        let (user, group) = plan::file_owner(seed, index);
        let mode = plan::file_mode(seed, index);
        let length = plan::file_length(seed, index);

        for event in [chowns[at], chmods[at], truncates[at]] {
            assert_eq!(text(event, "file.path"), changed);
            assert_eq!(text(event, "file.inode"), inode);
        }
        assert_eq!(text(chowns[at], "file.uid"), user.to_string());
        assert_eq!(text(chowns[at], "file.gid"), group.to_string());
        assert_eq!(text(chmods[at], "file.mode"), octal(mode));
        assert_eq!(field(truncates[at], "file.size"), length);
        if with_before {
            let (mode, (user, group), length) = before;
            let was =
                |event, name: &str| text(event, &format!("sensor.file.before.{name}")).to_owned();
            assert_eq!(was(chowns[at], "uid"), user.to_string());
            assert_eq!(was(chowns[at], "gid"), group.to_string());
            assert_eq!(was(chmods[at], "mode"), octal(after_a_new_owner(mode)));
            assert_eq!(field(truncates[at], "sensor.file.before.size"), length);
        }
        before = (mode, (user, group), length);

        assert_eq!(text(links[at], "sensor.file.linked_path"), changed);
        assert_eq!(
            text(symlinks[at], "file.target_path"),
            plan::file_name(seed, index)
        );
        for event in [links[at], symlinks[at], directories[at]] {
            assert_eq!(text(event, "file.path"), other);
        }
        for (event, kind) in removals[3 * at..].iter().zip(["file", "symlink", "dir"]) {
            assert_eq!(text(event, "file.path"), other);
            if kernel_paths {
                assert_eq!(text(event, "file.type"), kind);
            }
        }
    }
}
