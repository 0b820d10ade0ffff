//! Privilege, namespaces, mounts, foreign memory, modules, BPF and control groups as the real
//! sensor sees them on the real kernel. Each child does raw system calls, so that exactly one
//! thread does exactly what the test says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sensor_tests::{Event, Launch, Sensor, field, generator, text};
use serde_json::json;

const SOMEBODY: u32 = 1000;
const CAP_SETUID: u32 = 7;

fn sensor() -> Sensor {
    Launch::default()
        .with(["--events", "process,kernel,cgroup"])
        .start()
        .expect("the sensor starts")
}

/// The next event of this kind by this process.
fn event_of(sensor: &mut Sensor, kind: &str, pid: u32) -> Event {
    event_where(sensor, kind, pid, |_| true)
}

fn event_where(
    sensor: &mut Sensor,
    kind: &str,
    pid: u32,
    wanted: impl Fn(&Event) -> bool,
) -> Event {
    sensor
        .wait_for(|event| {
            text(event, "event.dataset") == kind
                && field(event, "process.pid") == pid
                && wanted(event)
        })
        .unwrap_or_else(|error| panic!("{kind} of {pid}: {error}"))
}

/// A system call that has to succeed.
macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {{
        // SAFETY: each use passes what the system call takes; pointers are to live values.
        let result = unsafe { libc::syscall(libc::$number $(, $argument as libc::c_long)*) };
        if result < 0 {
            let error = io::Error::last_os_error();
            let words = format!("{}: {error}\n", stringify!($number));
            // SAFETY: writes a live buffer, and ends this process at once.
            unsafe {
                libc::write(2, words.as_ptr().cast(), words.len());
                libc::_exit(99)
            };
        }
        result
    }};
}

/// Runs system calls in a process of their own, and gives its process id.
fn in_child(act: impl FnOnce()) -> u32 {
    // SAFETY: the child does nothing but system calls before it ends.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        act();
        // SAFETY: ends the child without running what the test harness would at its end.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: our own child.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(status, 0, "the child could not do what it had to");
    u32::try_from(pid).unwrap()
}

/// A process to do things to; it ends with this.
struct Victim(Child);

impl Victim {
    fn start() -> Self {
        let mut command = Command::new("/bin/sleep");
        Self(
            command
                .arg("1000")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The capability sets of a call to `capset` (`linux/capability.h`, version 3).
fn set_capabilities(set: u32) {
    let header = [0x2008_0522_u32, 0];
    let data = [set, set, 0, 0, 0, 0];
    call!(SYS_capset, header.as_ptr(), data.as_ptr());
}

fn become_somebody() {
    const KEEP_CAPABILITIES: libc::c_long = 8;
    call!(SYS_prctl, KEEP_CAPABILITIES, 1, 0, 0, 0);
    call!(SYS_setresuid, SOMEBODY, SOMEBODY, SOMEBODY);
}

fn uids<'e>(event: &'e Event, side: &str) -> [&'e serde_json::Value; 4] {
    ["uid", "euid", "suid", "fsuid"]
        .map(|name| field(event, &format!("sensor.credentials.{side}.{name}")))
}

#[test]
fn gaining_privilege_by_a_system_call_is_seen_and_giving_it_up_is_not() {
    let mut sensor = sensor();
    let pid = in_child(|| {
        become_somebody();
        set_capabilities(1 << CAP_SETUID);
        call!(SYS_setuid, 0);
        call!(SYS_setresuid, SOMEBODY, SOMEBODY, SOMEBODY);
    });

    let raised = event_of(&mut sensor, "process.credentials", pid);
    assert_eq!(
        field(&raised, "sensor.credentials.gain"),
        &json!(["capabilities", "regained"])
    );
    assert_eq!(
        field(&raised, "sensor.credentials.added"),
        &json!(["CAP_SETUID"])
    );
    assert_eq!(
        field(&raised, "sensor.credentials.new.effective"),
        &json!(["CAP_SETUID"])
    );
    assert_eq!(uids(&raised, "old"), [SOMEBODY; 4]);

    let root = event_where(&mut sensor, "process.credentials", pid, |event| {
        uids(event, "new")[0] == 0
    });
    assert_eq!(field(&root, "sensor.credentials.gain"), &json!(["root"]));
    assert_eq!(uids(&root, "old"), [SOMEBODY; 4]);
    assert_eq!(uids(&root, "new"), [0; 4]);
    assert_eq!(
        text(&root, "process.real_user.id"),
        "1000",
        "the event's process is the one before"
    );
    assert_eq!(
        field(&root, "sensor.credentials.old.permitted"),
        &json!(["CAP_SETUID"])
    );

    let taken_back = in_child(|| {
        call!(SYS_setresuid, u32::MAX, SOMEBODY, u32::MAX);
        call!(SYS_setresuid, u32::MAX, 0, u32::MAX);
    });
    let back = event_of(&mut sensor, "process.credentials", taken_back);
    assert_eq!(
        field(&back, "sensor.credentials.gain"),
        &json!(["root", "capabilities", "regained"])
    );

    // A set-uid program: its exec shows the new identity, and is the only event.
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("as-root");
    fs::copy(generator(), &program).unwrap();
    fs::set_permissions(&program, PermissionsExt::from_mode(0o4755)).unwrap();
    fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let mut child = Command::new(&program)
        .arg0("leaf")
        .args(["0", "0"])
        .uid(SOMEBODY)
        .spawn()
        .unwrap();
    child.wait().unwrap();
    let exec = event_of(&mut sensor, "process.exec", child.id());
    assert_eq!(
        (
            text(&exec, "process.real_user.id"),
            text(&exec, "process.user.id")
        ),
        ("1000", "0")
    );

    let own_namespace = in_child(|| {
        become_somebody();
        call!(SYS_unshare, libc::CLONE_NEWUSER);
    });
    let unshare = event_of(&mut sensor, "process.unshare", own_namespace);
    assert_eq!(field(&unshare, "sensor.unshare.types"), &json!(["user"]));
    assert!(
        unshare["process.thread.capabilities.effective"]
            .as_array()
            .unwrap()
            .len()
            > 30
    );

    let finished = sensor.stop().unwrap();
    let gains = |pid: u32| {
        let of = |event: &&Event| {
            text(event, "event.dataset") == "process.credentials"
                && field(event, "process.pid") == pid
        };
        finished.events.iter().filter(of).count()
    };
    assert_eq!(
        [
            gains(pid),
            gains(taken_back),
            gains(child.id()),
            gains(own_namespace)
        ],
        [2, 1, 0, 0]
    );
    assert!(finished.balances());
}

#[test]
fn tracing_and_writing_to_another_process_name_both() {
    let mut sensor = sensor();
    let victim = Victim::start();
    let target = victim.0.id();
    let exec = event_of(&mut sensor, "process.exec", target);
    let place = stack_of(target);

    let tracer = in_child(|| {
        call!(SYS_ptrace, libc::PTRACE_ATTACH, target, 0, 0);
        let mut status = 0;
        // SAFETY: waits for the tracee to stop.
        unsafe { libc::waitpid(target as i32, &raw mut status, 0) };
        call!(SYS_ptrace, libc::PTRACE_POKEDATA, target, place, 0x41);
        call!(SYS_ptrace, libc::PTRACE_POKEDATA, target, place, 0x42);
        call!(SYS_ptrace, libc::PTRACE_DETACH, target, 0, 0);
        call!(SYS_ptrace, libc::PTRACE_SEIZE, target, 0, 0);
    });
    let attach = event_of(&mut sensor, "process.ptrace", tracer);
    assert_eq!(text(&attach, "sensor.ptrace.request"), "PTRACE_ATTACH");
    assert_eq!(field(&attach, "sensor.target.pid"), target);
    assert_eq!(field(&attach, "sensor.target.vpid"), target);
    assert_eq!(text(&attach, "sensor.target.thread.name"), "sleep");
    assert_eq!(
        text(&attach, "sensor.target.entity_id"),
        text(&exec, "process.entity_id")
    );
    assert_eq!(
        text(&attach, "sensor.target.command_line"),
        "/bin/sleep 1000"
    );
    assert_eq!(text(&attach, "sensor.target.user.id"), "0");

    let request =
        |name: &'static str| move |event: &Event| text(event, "sensor.ptrace.request") == name;
    let poke = event_where(
        &mut sensor,
        "process.ptrace",
        tracer,
        request("PTRACE_POKEDATA"),
    );
    assert_eq!(text(&poke, "sensor.ptrace.address"), format!("{place:#x}"));
    event_where(
        &mut sensor,
        "process.ptrace",
        tracer,
        request("PTRACE_SEIZE"),
    );

    let bytes = b"overwritten";
    let writer = in_child(|| {
        let from = libc::iovec {
            iov_base: bytes.as_ptr() as *mut _,
            iov_len: bytes.len(),
        };
        let to = libc::iovec {
            iov_base: place as *mut _,
            iov_len: bytes.len(),
        };
        call!(
            SYS_process_vm_writev,
            target,
            &raw const from,
            1,
            &raw const to,
            1,
            0
        );
    });
    let write = event_of(&mut sensor, "process.vm_write", writer);
    assert_eq!(field(&write, "sensor.vm_write.bytes"), bytes.len());
    assert_eq!(
        text(&write, "sensor.vm_write.address"),
        format!("{place:#x}")
    );
    assert_eq!(field(&write, "sensor.target.pid"), target);

    drop(victim);
    let finished = sensor.stop().unwrap();
    let pokes = |event: &&Event| text(event, "sensor.ptrace.request") == "PTRACE_POKEDATA";
    assert_eq!(
        finished.events.iter().filter(pokes).count(),
        1,
        "the first of its kind only"
    );
    assert!(finished.balances());
}

/// A writable address of a process: near the top of its stack.
fn stack_of(pid: u32) -> usize {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let line = maps
        .lines()
        .find(|line| line.ends_with("[stack]"))
        .expect("it has a stack");
    let (_, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
    usize::from_str_radix(end, 16).unwrap() - 4096
}

#[test]
fn namespaces_and_mounts_are_seen_with_their_paths() {
    let mut sensor = sensor();
    let directory = tempfile::tempdir().unwrap();
    let point = directory.path().join("point");
    fs::create_dir(&point).unwrap();
    let place = CString::new(directory.path().to_str().unwrap()).unwrap();
    let ours = File::open("/proc/self/ns/mnt").unwrap();
    let inode = ours.metadata().unwrap().ino();
    let me = std::process::id();

    let pid = in_child(|| {
        call!(SYS_unshare, libc::CLONE_NEWNS | libc::CLONE_NEWUTS);
        let none = std::ptr::null::<libc::c_char>();
        call!(
            SYS_mount,
            none,
            c"/".as_ptr(),
            none,
            libc::MS_REC | libc::MS_PRIVATE,
            none
        );
        call!(SYS_chdir, place.as_ptr());
        call!(
            SYS_mount,
            c"old".as_ptr(),
            c"point".as_ptr(),
            c"tmpfs".as_ptr(),
            libc::MS_NOSUID,
            none
        );
        move_new_mount();
        call!(SYS_setns, ours.as_raw_fd(), 0);
        let other = call!(SYS_pidfd_open, me, 0);
        call!(SYS_setns, other, libc::CLONE_NEWUTS | libc::CLONE_NEWNS);
    });

    let unshare = event_of(&mut sensor, "process.unshare", pid);
    assert_eq!(
        field(&unshare, "sensor.unshare.types"),
        &json!(["mnt", "uts"])
    );
    assert_ne!(
        field(&unshare, "sensor.namespace.mnt"),
        inode,
        "the process is already in its own"
    );

    let of = |name: &'static str| move |event: &Event| text(event, "sensor.mount.source") == name;
    let mount = event_where(&mut sensor, "process.mount", pid, of("old"));
    assert_eq!(text(&mount, "sensor.mount.by"), "mount");
    assert_eq!(text(&mount, "sensor.mount.target"), point.to_str().unwrap());
    assert_eq!(text(&mount, "sensor.mount.target_raw"), "point");
    assert_eq!(text(&mount, "sensor.mount.type"), "tmpfs");
    assert_eq!(field(&mount, "sensor.mount.flags"), &json!(["MS_NOSUID"]));

    let moved = event_where(&mut sensor, "process.mount", pid, of("new"));
    assert_eq!(text(&moved, "sensor.mount.by"), "move_mount");
    assert_eq!(text(&moved, "sensor.mount.target"), point.to_str().unwrap());
    assert_eq!(text(&moved, "sensor.mount.type"), "tmpfs");

    let joined = event_of(&mut sensor, "process.setns", pid);
    assert_eq!(field(&joined, "sensor.setns.types"), &json!(["mnt"]));
    assert_eq!(field(&joined, "sensor.setns.inode"), inode);
    assert_eq!(field(&joined, "sensor.namespace.mnt"), inode);
    let followed = event_where(&mut sensor, "process.setns", pid, |event| {
        field(event, "sensor.setns.inode").is_null()
    });
    assert_eq!(
        field(&followed, "sensor.setns.types"),
        &json!(["mnt", "uts"])
    );
    assert_eq!(field(&followed, "sensor.target.pid"), me);
    assert!(sensor.stop().unwrap().balances());
}

/// Mounts a tmpfs called `new` on `point` through the newer interface.
fn move_new_mount() {
    const SET_STRING: libc::c_long = 1;
    const CREATE: libc::c_long = 6;
    const FROM_EMPTY_PATH: libc::c_long = 4;
    let none = std::ptr::null::<libc::c_char>();
    let context = call!(SYS_fsopen, c"tmpfs".as_ptr(), 0);
    call!(
        SYS_fsconfig,
        context,
        SET_STRING,
        c"source".as_ptr(),
        c"new".as_ptr(),
        0
    );
    call!(SYS_fsconfig, context, CREATE, none, none, 0);
    let mount = call!(SYS_fsmount, context, 0, 0);
    call!(
        SYS_move_mount,
        mount,
        c"".as_ptr(),
        libc::AT_FDCWD,
        c"point".as_ptr(),
        FROM_EMPTY_PATH
    );
}

#[test]
fn a_signal_to_the_sensor_names_its_sender() {
    let mut sensor = sensor();
    let target = sensor.pid();
    let pid = in_child(|| {
        call!(SYS_kill, target, libc::SIGCONT);
    });
    let event = event_of(&mut sensor, "process.signal", pid);
    assert_eq!(text(&event, "sensor.signal.name"), "SIGCONT");
    assert_eq!(text(&event, "sensor.signal.origin"), "process");
    assert!(sensor.stop().unwrap().balances());
}

#[test]
fn what_changes_the_system_is_seen_with_names() {
    let mut sensor = sensor();
    let loader = in_child(load_bpf_program);
    let load = event_of(&mut sensor, "kernel.bpf", loader);
    assert_eq!(text(&load, "sensor.bpf.name"), "harmless");
    assert_eq!(text(&load, "sensor.bpf.type"), "socket_filter");
    assert_eq!(field(&load, "sensor.bpf.instructions"), 2);
    assert_ne!(field(&load, "sensor.bpf.id"), 0);

    if let Some(root) = unified_hierarchy() {
        groups_are_known(&mut sensor, &root);
    }
    if let Some(file) = fs::read_dir("/vm/modules").ok().and_then(dummy_module) {
        modules_are_seen(&mut sensor, &file);
    }
    assert!(sensor.stop().unwrap().balances());
}

/// `BPF_PROG_LOAD` of a socket filter that returns 0.
fn load_bpf_program() {
    const PROG_LOAD: libc::c_long = 5;
    #[repr(C)]
    struct Attributes {
        kind: u32,
        count: u32,
        instructions: u64,
        license: u64,
        log: [u64; 2],
        version: u32,
        flags: u32,
        name: [u8; 16],
    }
    let instructions: [u64; 2] = [0xb7, 0x95];
    let mut name = [0; 16];
    name[..8].copy_from_slice(b"harmless");
    let attributes = Attributes {
        kind: 1,
        count: 2,
        instructions: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log: [0; 2],
        version: 0,
        flags: 0,
        name,
    };
    // Until 5.11 the memory of programs counted against a limit.
    let unlimited = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: a live value; where it may not be raised, it need not be.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const unlimited) };
    call!(
        SYS_bpf,
        PROG_LOAD,
        &raw const attributes,
        size_of::<Attributes>()
    );
}

/// Where control groups of version 2 are mounted.
fn unified_hierarchy() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    line.split(' ').nth(4).map(PathBuf::from)
}

fn groups_are_known(sensor: &mut Sensor, root: &Path) {
    let name = format!("sensor-test-{}.service", std::process::id());
    let (group, path) = (root.join(&name), format!("/{name}"));
    fs::create_dir(&group).unwrap();
    let id = group.metadata().unwrap().ino();
    let made = event_of(sensor, "cgroup.mkdir", std::process::id());
    assert_eq!(text(&made, "sensor.control_group.path"), path);
    assert_eq!(field(&made, "sensor.control_group.id"), id);
    assert_eq!(field(&made, "sensor.control_group.hierarchy"), 0);

    let procs = CString::new(group.join("cgroup.procs").to_str().unwrap()).unwrap();
    let mut command = Command::new("/bin/sleep");
    command.arg("0");
    // SAFETY: only system calls between fork and exec.
    unsafe { command.pre_exec(move || join_group(&procs)) };
    let mut child = command.spawn().unwrap();
    let exec = event_of(sensor, "process.exec", child.id());
    child.wait().unwrap();
    assert_eq!(field(&exec, "sensor.cgroup.id"), id);
    assert_eq!(text(&exec, "sensor.cgroup.path"), path);
    assert_eq!(text(&exec, "service.name"), name);

    fs::remove_dir(&group).unwrap();
    let removed = event_of(sensor, "cgroup.rmdir", std::process::id());
    assert_eq!(field(&removed, "sensor.control_group.id"), id);
}

/// Moves this process to a control group; `0` means itself.
fn join_group(procs: &CString) -> io::Result<()> {
    let fd = call!(SYS_openat, libc::AT_FDCWD, procs.as_ptr(), libc::O_WRONLY);
    call!(SYS_write, fd, c"0".as_ptr(), 1);
    call!(SYS_close, fd);
    Ok(())
}

fn dummy_module(mut files: fs::ReadDir) -> Option<PathBuf> {
    files.find_map(|entry| {
        let path = entry.ok()?.path();
        path.file_name()?
            .to_str()?
            .contains("dummy")
            .then_some(path)
    })
}

fn modules_are_seen(sensor: &mut Sensor, file: &Path) {
    let opened = File::open(file).unwrap();
    let pid = in_child(|| {
        call!(SYS_delete_module, c"dummy".as_ptr(), 0);
        call!(SYS_finit_module, opened.as_raw_fd(), c"".as_ptr(), 0);
    });
    let load = event_of(sensor, "kernel.module", pid);
    assert_eq!(text(&load, "sensor.module.name"), "dummy");
    assert_eq!(text(&load, "sensor.module.path"), file.to_str().unwrap());
}
