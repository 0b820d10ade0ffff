//! Isolation on the real kernel: the operator's ssh session lives, the attacker's dies, and there
//! is a way back by command, by time and by hand, whoever runs or does not. In namespaces, a
//! control group and pins of our own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::process::{Command, Stdio};

use sensor_tests::field::login::{self, Sshd};
use sensor_tests::field::probe::Lane;
use sensor_tests::field::probe::Way::{In, Out};
use sensor_tests::field::{Field, Side, at, netlink, said};
use sensor_tests::{Launch, Sensor, eventually, field as value, skip, text};

/// With whom traffic goes on, so that one can see that others' does not.
const SENTINELS: &str = "allow = ['192.0.2.2', '2001:db8:1::2']";

/// An sshd here; none where it is not installed.
fn sshd(field: &Field) -> Option<Sshd> {
    if !login::is_installed() {
        skip("openssh is not installed");
        return None;
    }
    Some(Sshd::start(field).unwrap())
}

/// A command line of the sensor, as somebody who is logged in types it.
fn typed(field: &Field, arguments: &str) -> String {
    let sensor = sensor_tests::sensor_binary().unwrap();
    format!(
        "{} {arguments} --config {}",
        sensor.display(),
        field.config().display()
    )
}

fn daemon(field: &Field) -> Sensor {
    let config = field.config().display().to_string();
    let launch = Launch::default().with(["--config", &config, "--events", "alert"]);
    field.on(Side::Here, || launch.start()).unwrap()
}

fn is_gone(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

#[test]
fn the_operators_session_lives_and_the_attackers_dies() {
    let field = Field::new(SENTINELS).unwrap();
    let Some(sshd) = sshd(&field) else { return };
    let mut operator = sshd.login(&field, at::FRIEND).unwrap();
    let attacker = sshd.login(&field, at::FOE).unwrap();

    let plan = operator.says(&typed(&field, "isolate --dry-run")).unwrap();
    assert!(plan.contains("allowed: 198.51.100.9"), "{plan}");
    assert!(
        plan.contains("203.0.113.7") && plan.contains("sshd"),
        "{plan}"
    );
    assert!(!is_gone(attacker.shell), "a rehearsal changes nothing");

    let done = operator
        .says(&typed(&field, "isolate --reason 'web shell'"))
        .unwrap();
    assert!(done.contains("isolated host"), "{done}");
    assert!(
        done.contains("the operator's connection is alive"),
        "{done}"
    );
    assert!(done.contains("undo: sensor release"), "{done}");
    eventually("the attacker's session ends", || is_gone(attacker.shell));
    assert_eq!(operator.says("echo alive").unwrap(), "alive\n");

    for way in [In, Out] {
        for foe in [at::FOE, at::FOE6] {
            assert!(!field.passes(Lane::Udp, way, foe, false).unwrap());
        }
    }
    let listing = operator.says(&typed(&field, "blocks")).unwrap();
    for part in [
        "THIS HOST IS ISOLATED without end",
        "web shell",
        "(you)",
        "192.0.2.2 ",
    ] {
        assert!(listing.contains(part), "{listing}");
    }
    // The way in is not closed by accident either.
    let refused = operator
        .says(&typed(&field, "disallow 198.51.100.9"))
        .unwrap();
    assert!(refused.contains("will not disallow"), "{refused}");
    let refused = operator
        .says(&typed(&field, "block 198.51.100.0/24 --force"))
        .unwrap();
    assert!(refused.contains("where you are connected"), "{refused}");

    let released = operator.says(&typed(&field, "release")).unwrap();
    assert!(released.contains("released host"), "{released}");
    assert!(field.passes(Lane::Udp, In, at::FOE, true).unwrap());
    assert!(!field.pins().exists());
    assert_eq!(operator.says("echo alive").unwrap(), "alive\n");
}

#[test]
fn it_ends_by_itself_whether_the_daemon_was_killed_or_is_back() {
    let field = Field::new(SENTINELS).unwrap();
    let Some(sshd) = sshd(&field) else { return };
    let mut operator = sshd.login(&field, at::FRIEND).unwrap();
    let mut first = daemon(&field);
    let isolate = typed(&field, "isolate --confirm-within 15s");
    let isolate = format!(
        "{isolate} --runtime-directory {}",
        first.directory().display()
    );
    let done = operator.says(&isolate).unwrap();
    assert!(done.contains("it ends in 15s by itself"), "{done}");
    let event = first
        .wait_for(|event| text(event, "event.dataset") == "response.isolate")
        .unwrap();
    assert_eq!(value(&event, "sensor.response.outcome"), "done");

    // SAFETY: no memory is passed; the child is ours and not yet waited for.
    unsafe { libc::kill(first.pid().cast_signed(), libc::SIGKILL) };
    drop(first);
    let passes = || field.passes(Lane::Udp, In, at::FOE, false).unwrap();
    assert!(!passes(), "nobody runs, and it holds");

    let mut second = daemon(&field);
    assert!(!passes(), "another runs, and it holds");
    assert_eq!(operator.says("echo alive").unwrap(), "alive\n");
    eventually("it ends by itself", passes);
    let event = second
        .wait_for(|event| text(event, "event.dataset") == "response.release")
        .unwrap();
    assert_eq!(value(&event, "sensor.response.origin"), "timer");
    assert_eq!(operator.says("echo alive").unwrap(), "alive\n");
}

#[test]
fn an_isolation_that_cuts_the_operator_off_is_taken_back() {
    let field = Field::new("").unwrap();
    let Some(sshd) = sshd(&field) else { return };
    let mut operator = sshd.login(&field, at::FRIEND).unwrap();
    // What comes back over the cable no longer does, whatever the firewall thinks.
    let script = format!(
        "(sleep 1; {} > {}/said 2>&1; touch {}/done) &",
        typed(&field, "isolate"),
        field.directory().display(),
        field.directory().display()
    );
    operator.says(&script).unwrap();
    field
        .on(Side::There, || netlink::set_up("cable", false))
        .unwrap();
    let done = field.directory().join("done");
    eventually("the self-test ends", || done.exists());
    let told = fs::read_to_string(field.directory().join("said")).unwrap();
    field
        .on(Side::There, || netlink::set_up("cable", true))
        .unwrap();
    if told.contains("was not tested") {
        // Nothing was sent over it in that time; then nothing speaks against it either.
        field.done(&["release"]).unwrap();
        return;
    }
    assert!(told.contains("did not survive"), "{told}");
    assert!(!field.pins().exists());
}

#[test]
fn without_being_known_the_operator_has_to_say_who_they_are() {
    let field = Field::new("").unwrap();
    let Some(sshd) = sshd(&field) else { return };
    let _somebody = sshd.login(&field, at::FRIEND).unwrap();
    let refused = field.run(&["isolate"]).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    for part in ["198.51.100.9", "--allow", "--no-operator"] {
        assert!(said(&refused).contains(part), "{}", said(&refused));
    }
    field.done(&["isolate", "--allow", "198.51.100.9"]).unwrap();
    field.done(&["release"]).unwrap();
    field.done(&["isolate", "--no-operator"]).unwrap();
}

#[test]
fn an_isolated_control_group_is_cut_off_and_no_other() {
    let field = Field::new("").unwrap();
    let inner = field.group().join("inner");
    fs::create_dir(&inner).unwrap();
    let mut cat = Command::new("/bin/cat");
    cat.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut inmate = field.start_here(&mut cat).spawn().unwrap();
    fs::write(inner.join("cgroup.procs"), inmate.id().to_string()).unwrap();

    let path = inner.to_str().unwrap();
    let done = field.done(&["isolate", "--control-group", path]).unwrap();
    assert!(
        done[0]["target"].as_str().unwrap().ends_with("/inner"),
        "{done:?}"
    );
    assert!(field.passes(Lane::Udp, Out, at::FOE, true).unwrap());
    assert_eq!(
        field.blocks().unwrap()["groups"].as_array().unwrap().len(),
        1
    );

    // What is sent from inside does not come out.
    let sent = field.on(Side::Here, || sent_from(path));
    assert_eq!(sent, Some(libc::EPERM));

    // Groups whose isolation would lock somebody out are not.
    let whole = field.group().to_str().unwrap();
    for (arguments, says) in [
        (["isolate", "--control-group", whole], "whoever asks"),
        (["isolate", "--control-group", "/"], "leave the group out"),
        (
            ["isolate", "--control-group", "/no/such"],
            "no control group",
        ),
        (["isolate", "--container", "abcdef012345"], "no container"),
        (["isolate", "--container", "x"], "hexadecimal"),
    ] {
        let refused = field.run(&arguments).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}");
        assert!(said(&refused).contains(says), "{}", said(&refused));
    }
    field.done(&["release", "--control-group", path]).unwrap();
    assert_eq!(field.on(Side::Here, || sent_from(path)), None);
    inmate.kill().unwrap();
    inmate.wait().unwrap();
}

/// What a process in a group that sends a datagram is told: the errno, none for success.
fn sent_from(group: &str) -> Option<i32> {
    let to = std::net::SocketAddr::new(at::FOE, 7_000);
    // SAFETY: the child makes system calls only, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let send = || -> std::io::Result<usize> {
            fs::write(format!("{group}/cgroup.procs"), "0")?;
            std::net::UdpSocket::bind("0.0.0.0:0")?.send_to(b"x", to)
        };
        let code = send()
            .err()
            .map_or(0, |error| error.raw_os_error().unwrap_or(255));
        // SAFETY: ends this process and nothing else.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: the child is ours; the status outlives the call.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    match libc::WEXITSTATUS(status) {
        0 => None,
        code => Some(code),
    }
}
