//! The firewall on the real kernel, with real traffic: what is blocked does not pass, what is not
//! does, in each direction and of each protocol, over and past time limits, and without anybody
//! who runs. All of it in namespaces, a control group and pins of our own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::io::Read as _;
use std::net::IpAddr;
use std::time::Duration;

use sensor_tests::field::probe::Way::{In, Out};
use sensor_tests::field::probe::{Lane, TCP_PORT, Way};
use sensor_tests::field::{Field, Side, at, said};
use sensor_tests::{eventually, skip};
use serde_json::Value;

/// One row of the table: what is ordered, and which traffic then does not pass.
struct Row {
    /// Orders, in this sequence.
    orders: &'static [&'static [&'static str]],
    /// What does not pass.
    stops: fn(Lane, Way) -> bool,
}

const FOES: [&str; 3] = ["203.0.113.7", "203.0.113.71", "2001:db8:2::7"];

const fn is_tcp(lane: Lane) -> bool {
    matches!(lane, Lane::New | Lane::Established)
}

/// A connection is made of packets both ways, of which the first may be the one that is stopped.
fn stops_any(lane: Lane, way: Way, stopped: Way) -> bool {
    way == stopped || lane == Lane::New && stopped == Out
}

const ROWS: &[Row] = &[
    Row {
        orders: &[&["block"]],
        stops: |_, _| true,
    },
    Row {
        orders: &[&["block", "--direction", "in"]],
        // Who connects from here gets no answer, but what is sent arrives there.
        stops: |lane, way| way == In || (lane == Lane::New),
    },
    Row {
        orders: &[&["block", "--direction", "out"]],
        stops: |lane, way| stops_any(lane, way, Out),
    },
    Row {
        orders: &[&["block", "--protocol", "udp"]],
        stops: |lane, _| !is_tcp(lane) && lane != Lane::Icmp,
    },
    Row {
        orders: &[&["block", "--protocol", "tcp", "--port", "7001"]],
        stops: |lane, _| is_tcp(lane),
    },
    Row {
        orders: &[&["block", "--protocol", "tcp", "--port", "7002"]],
        stops: |_, _| false,
    },
    Row {
        orders: &[&["block", "--protocol", "icmp"]],
        stops: |lane, _| lane == Lane::Icmp,
    },
    Row {
        orders: &[&["block"], &["allow"]],
        stops: |_, _| false,
    },
    Row {
        orders: &[&["block"], &["allow", "--protocol", "tcp"]],
        stops: |lane, _| !is_tcp(lane),
    },
    Row {
        orders: &[&["block"], &["unblock"]],
        stops: |_, _| false,
    },
];

#[test]
fn what_is_blocked_does_not_pass_and_what_is_not_does() {
    let field = Field::new("").unwrap();
    if !field.has_vlan {
        skip("this kernel has no VLANs");
    }
    let mut wrong = Vec::new();
    for row in ROWS {
        for order in row.orders {
            let mut arguments = order.to_vec();
            arguments.extend(FOES);
            if order[0] == "block" {
                arguments.push("--keep-connections");
            }
            field.done(&arguments).unwrap();
        }
        for foe in [at::FOE, at::FOE6] {
            wrong.extend(try_all(&field, row, foe));
        }
        let _ = field.run(&["disallow", "--all"]).unwrap();
        let _ = field.run(&["unblock", "--all"]).unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is not as a row says.
fn try_all(field: &Field, row: &Row, foe: IpAddr) -> Vec<String> {
    let mut wrong = Vec::new();
    for lane in [
        Lane::Udp,
        Lane::Fragments,
        Lane::Vlan,
        Lane::Icmp,
        Lane::New,
    ] {
        if lane == Lane::Vlan && (!field.has_vlan || foe.is_ipv6()) {
            continue;
        }
        for way in [In, Out] {
            let expected = !(row.stops)(lane, way);
            let passed = field.passes(lane, way, foe, expected).unwrap();
            if passed != expected {
                wrong.push(format!(
                    "{:?}: {foe} {lane:?} {way:?} passed: {passed}",
                    row.orders
                ));
            }
        }
    }
    wrong
}

#[test]
fn connections_that_there_are_do_not_outlive_a_block() {
    let field = Field::new("").unwrap();
    for (foe, options, stopped) in [
        (at::FOE, &["--direction", "out"][..], Some(Out)),
        (at::FOE6, &["--direction", "in"], Some(In)),
        (at::FOE, &["--protocol", "tcp", "--port", "7001"], None),
    ] {
        let pair = field.connect(foe).unwrap();
        assert!(field.data(Out, &pair, true).unwrap() && field.data(In, &pair, true).unwrap());
        let foe = foe.to_string();
        let mut arguments = vec!["block", &foe, "--keep-connections"];
        arguments.extend(options);
        field.done(&arguments).unwrap();
        let other = |way| if way == Out { In } else { Out };
        if let Some(way) = stopped {
            assert!(
                field.data(other(way), &pair, true).unwrap(),
                "{foe} {way:?}"
            );
        }
        assert!(
            !field.data(stopped.unwrap_or(Out), &pair, false).unwrap(),
            "{foe} {options:?}"
        );
        field.done(&["unblock", "--all"]).unwrap();
    }
}

#[test]
fn whoever_talks_to_a_blocked_peer_is_told_at_once() {
    let field = Field::new("").unwrap();
    let mut pair = field.connect(at::FOE).unwrap();
    let mut other = field.connect(at::THERE).unwrap();
    pair.here.set_nonblocking(false).unwrap();
    pair.here
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();

    // Only connections of the group that is judged are ended, and this process is not in it.
    let run = |arguments: &[&str]| field.on(Side::Here, || field.run(arguments).unwrap());
    let plan = said(&run(&["block", "203.0.113.7", "--dry-run"]));
    assert!(
        plan.contains("would end tcp") && plan.contains("1 connection would be"),
        "{plan}"
    );
    assert!(
        field.data(Out, &pair, true).unwrap(),
        "a rehearsal changes nothing"
    );

    let done = said(&run(&["block", "203.0.113.7", "--reason", "beacon"]));
    assert!(done.contains("1 connection ended"), "{done}");
    // Destroyed where the kernel can, else shut down.
    match pair.here.read(&mut [0; 8]) {
        Ok(0) => {}
        Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ECONNABORTED)),
        read => panic!("{read:?}"),
    }
    let refused = field
        .on(Side::Here, || {
            std::net::TcpStream::connect((at::FOE, TCP_PORT))
        })
        .unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EPERM));
    other.here.set_nonblocking(true).unwrap();
    assert!(field.data(Out, &other, true).unwrap());
    assert!(other.here.read(&mut [0]).is_err());

    let blocks = field.blocks().unwrap();
    let line = &blocks["blocked"][0];
    assert_eq!(line["target"], "203.0.113.7");
    assert_eq!(line["by"], "operator root");
    assert_eq!(line["reason"], "beacon");
    assert!(line["packets"].as_u64() > Some(0), "{line}");
    assert!(line["last_wall_ns"].as_u64() > Some(0), "{line}");
}

#[test]
fn a_network_is_blocked_but_for_what_is_excepted_and_longer_ones_decide() {
    let field = Field::new("").unwrap();
    let passes = |expected| field.passes(Lane::Udp, In, at::FOE, expected).unwrap();
    field.done(&["block", "203.0.113.0/24"]).unwrap();
    assert!(!passes(false));
    field
        .done(&["block", "203.0.113.0/28", "--ttl", "1s"])
        .unwrap();
    assert!(!passes(false));
    // What is over does not hide what is not.
    eventually("the shorter one is over", || {
        field.blocks().unwrap()["blocked"].as_array().unwrap().len() == 1
    });
    assert!(!passes(false));
    field.done(&["allow", "203.0.113.4/30"]).unwrap();
    assert!(passes(true));
    let refused = field.run(&["unblock", "203.0.113.7"]).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        said(&refused).contains("203.0.113.0/24"),
        "{}",
        said(&refused)
    );
}

#[test]
fn a_time_limit_needs_nobody_to_keep_it() {
    let field = Field::new("").unwrap();
    // The first must not be over before the second is entered, which takes seconds where the machine
    // is emulated.
    let is_slow = std::env::var_os("SENSOR_VM").is_some();
    let limit = if is_slow { "20s" } else { "3s" };
    field
        .done(&["block", "203.0.113.7", "--ttl", limit])
        .unwrap();
    field
        .done(&["block", "2001:db8:2::7", "--confirm-within", limit])
        .unwrap();
    let foes = [at::FOE, at::FOE6];
    // Nothing of the sensor runs from here on.
    for foe in foes {
        eventually("it passes again", || {
            field.passes(Lane::Udp, In, foe, false).unwrap()
        });
    }
    let told = said(&field.run(&["blocks"]).unwrap());
    for part in [
        "its time was over",
        "it was not confirmed in time",
        "nothing is blocked",
    ] {
        assert!(told.contains(part), "{told}");
    }
    let state = field.directory().join("state/responses.jsonl");
    let journal = fs::read_to_string(state).unwrap();
    assert_eq!(
        journal.matches("\"origin\":\"timer\"").count(),
        2,
        "{journal}"
    );
    assert!(!field.pins().exists(), "and nothing of it is left");
}

#[test]
fn what_is_confirmed_stays() {
    let field = Field::new("").unwrap();
    field
        .done(&[
            "block",
            "203.0.113.7",
            "--confirm-within",
            "20s",
            "--ttl",
            "2h",
        ])
        .unwrap();
    let unconfirmed = field.blocks().unwrap()["blocked"][0].clone();
    assert_eq!(unconfirmed["unconfirmed"], true);
    let confirmed = field.done(&["confirm"]).unwrap();
    assert_eq!(confirmed[0]["target"], "203.0.113.7");
    let line = field.blocks().unwrap()["blocked"][0].clone();
    assert_eq!(line["unconfirmed"], false);
    let gained = until(&line) - until(&unconfirmed);
    assert!(gained > 3_600_000_000_000, "{line}");
    assert_eq!(field.run(&["confirm"]).unwrap().status.code(), Some(1));
}

fn until(line: &Value) -> u64 {
    line["until_wall_ns"].as_u64().unwrap()
}

#[test]
fn removing_the_pins_by_hand_lifts_everything() {
    let field = Field::new("").unwrap();
    field.done(&["block", "203.0.113.0/24"]).unwrap();
    assert!(!field.passes(Lane::Udp, In, at::FOE, false).unwrap());
    fs::remove_dir_all(field.pins()).unwrap();
    eventually("it passes again", || {
        field.passes(Lane::Udp, In, at::FOE, false).unwrap()
    });
    assert!(said(&field.run(&["blocks"]).unwrap()).contains("nothing is blocked"));
}

#[test]
fn another_build_takes_the_place_of_the_old_one_without_a_gap() {
    let field = Field::new("").unwrap();
    field.done(&["block", "203.0.113.7"]).unwrap();
    let programs = field.pins().join("programs");
    let mark = fs::read_dir(&programs)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_dir())
        .unwrap();
    fs::remove_dir(&mark).unwrap();
    fs::create_dir(programs.join("build_0")).unwrap();
    let mut passed = 0;
    std::thread::scope(|scope| {
        let upgrade = scope.spawn(|| field.done(&["block", "203.0.113.8"]).unwrap());
        while !upgrade.is_finished() {
            passed += usize::from(field.passes(Lane::Udp, In, at::FOE, false).unwrap());
        }
    });
    assert_eq!(passed, 0);
    assert!(mark.is_dir(), "this build is pinned");
    assert!(!field.passes(Lane::Udp, In, at::FOE, false).unwrap());
}

#[test]
fn many_are_blocked_at_once_and_what_is_protected_is_left_out() {
    let field = Field::new("addresses = 300000\nprotect = ['198.18.0.5']").unwrap();
    let list = field.directory().join("list");
    let mut text: String = (0..50_000_u32)
        .map(|n| format!("{}\n", std::net::Ipv4Addr::from(0xc612_0000 + n)))
        .collect();
    text.push_str("# the foe\n203.0.113.0/24 tcp/7001 # and why\n127.0.0.1\nevil.example\n");
    fs::write(&list, text).unwrap();
    let output = field
        .run(&["block", "--from", list.to_str().unwrap(), "--json"])
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let response: Value = serde_json::from_slice(&output.stdout).unwrap();
    let detail = response["detail"].as_str().unwrap();
    for part in [
        "50000 of them",
        "2 left out",
        "198.18.0.5",
        "127.0.0.1",
        "a second",
    ] {
        assert!(detail.contains(part), "{detail}");
    }
    assert!(said(&output).contains("line 50004"), "{}", said(&output));
    println!("{detail}");
    let blocks = field.blocks().unwrap();
    assert_eq!(blocks["blocked"].as_array().unwrap().len(), 50_000);
    assert!(!field.passes(Lane::New, Out, at::FOE, false).unwrap());
    assert!(field.passes(Lane::Udp, Out, at::FOE, true).unwrap());
    field.done(&["unblock", "--by", "operator root"]).unwrap();
    assert!(!field.pins().exists());
}

#[test]
fn a_full_table_says_so_and_what_to_do() {
    let field = Field::new("addresses = 10").unwrap();
    let list: String = (0..64).map(|n| format!("198.18.0.{n}\n")).collect();
    let path = field.directory().join("list");
    fs::write(&path, list).unwrap();
    let output = field
        .run(&["block", "--from", path.to_str().unwrap()])
        .unwrap();
    assert_ne!(output.status.code(), Some(0));
    for part in ["full", "respond.addresses", "10"] {
        assert!(said(&output).contains(part), "{}", said(&output));
    }
}

#[test]
fn only_root_can_use_it_or_see_it() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;
    let field = Field::new("").unwrap();
    field.done(&["block", "203.0.113.7"]).unwrap();
    fs::set_permissions(field.directory(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = field.command(&["block", "203.0.113.8"]).unwrap();
    // SAFETY: only system calls are made between fork and exec; after those that need root.
    unsafe {
        command.pre_exec(|| {
            libc::setgid(65_534);
            libc::setuid(65_534);
            Ok(())
        })
    };
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("only root"), "{}", said(&output));
    for path in ["", "maps", "links", "programs"] {
        let mode = fs::metadata(field.pins().join(path))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{path}");
    }
    // A directory that somebody else made first is not trusted.
    fs::remove_dir_all(field.pins()).unwrap();
    fs::create_dir(field.pins()).unwrap();
    fs::set_permissions(field.pins(), fs::Permissions::from_mode(0o777)).unwrap();
    let output = field.run(&["block", "203.0.113.8"]).unwrap();
    assert!(
        said(&output).contains("not root's alone"),
        "{}",
        said(&output)
    );
}
