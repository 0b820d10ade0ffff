//! Ten thousand command lines, drawn at random and made to hurt, run one after the other on the
//! real kernel: none of them may panic, say nothing, or lock anybody out. In a process, a network
//! namespace, a control group and pins of its own; only the parsing of arguments is ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::{Failure, block, blocks, isolate};
use crate::config::Config;
use crate::respond::firewall::Firewall;
use crate::respond::firewall::listing::Listing;
use crate::respond::firewall::network::Network;

/// Command lines tried.
const LINES: usize = 10_000;
/// Says to the test's child that it is that.
const CHILD: &str = "SENSOR_LOCKOUT_TEST";
/// From where the operator comes.
const OPERATOR: &str = "198.51.100.9";
/// This host's own address.
const OWN: &str = "192.0.2.10";

#[derive(Debug, Parser)]
enum Line {
    Block(block::Enter),
    Unblock(block::TakeBack),
    Allow(block::Enter),
    Disallow(block::TakeBack),
    Blocks(blocks::Arguments),
    Isolate(isolate::Arguments),
    Confirm(isolate::Confirm),
    Release(isolate::Release),
}

impl Line {
    fn run(&self) -> Result<u8, Failure> {
        match self {
            Self::Block(arguments) => block::block(arguments),
            Self::Unblock(arguments) => block::unblock(arguments),
            Self::Allow(arguments) => block::allow(arguments),
            Self::Disallow(arguments) => block::disallow(arguments),
            Self::Blocks(arguments) => blocks::run(arguments),
            Self::Isolate(arguments) => isolate::isolate(arguments),
            Self::Confirm(arguments) => isolate::confirm(arguments),
            Self::Release(arguments) => isolate::release(arguments),
        }
    }
}

/// A network, often one that must not be blocked, or one that holds it.
fn network() -> impl Strategy<Value = String> {
    let vital = prop::sample::select(vec![
        "127.0.0.1",
        "::1",
        OWN,
        OPERATOR,
        "0.0.0.0",
        "255.255.255.255",
        "192.0.2.1",
        "2001:db8::10",
        "::ffff:198.51.100.9",
        "203.0.113.7",
    ]);
    let prefix = prop_oneof![
        Just(String::new()),
        (0_u8..140).prop_map(|n| format!("/{n}"))
    ];
    let around = (vital.clone(), 0_u8..33).prop_map(|(address, prefix)| {
        let address = address
            .parse()
            .unwrap_or(std::net::IpAddr::from([203, 0, 113, 7]));
        Network::around(address, prefix).to_string()
    });
    prop_oneof![
        3 => around,
        2 => (vital, prefix).prop_map(|(address, prefix)| format!("{address}{prefix}")),
        2 => any::<u32>().prop_map(|n| std::net::Ipv4Addr::from(n).to_string()),
        1 => any::<u128>().prop_map(|n| std::net::Ipv6Addr::from(n).to_string()),
        1 => "[0-9a-f:./%]{0,24}",
        1 => "\\PC{0,12}",
    ]
}

fn word() -> impl Strategy<Value = Vec<String>> {
    let one = |text: &'static str| Just(vec![text.to_owned()]);
    let with = |option: &'static str, values: Vec<&'static str>| {
        prop::sample::select(values)
            .prop_map(move |value| vec![option.to_owned(), value.to_owned()])
    };
    prop_oneof![
        8 => network().prop_map(|network| vec![network]),
        1 => with("--protocol", vec!["tcp", "udp", "icmp", "0", "256", "gre", "-1"]),
        1 => with("--port", vec!["22", "443", "0", "65536", "x"]),
        1 => with("--direction", vec!["in", "out", "both", "up"]),
        1 => with("--ttl", vec!["1s", "1h", "0s", "9999999d", "soon"]),
        1 => with("--confirm-within", vec!["1s", "60s", "-1"]),
        1 => with("--by", vec!["operator root", "", "playbook x"]),
        1 => with("--from", vec!["/no/such", "/", "/etc/hostname"]),
        1 => with("--control-group", vec!["/", "/no", "..", "/proc", "\u{1b}[2J"]),
        1 => with("--container", vec!["abcdef", "", "../../x"]),
        1 => "\\PC{0,400}".prop_map(|reason| vec![format!("--reason={reason}")]),
        2 => network().prop_map(|network| vec!["--allow".to_owned(), network]),
        2 => one("--force"),
        1 => one("--all"),
        1 => one("--no-dns"),
        1 => one("--dry-run"),
        1 => one("--json"),
        1 => one("--keep-connections"),
    ]
}

/// Without `--no-operator`, which is there to be locked out by.
fn line() -> impl Strategy<Value = Vec<String>> {
    let verb = prop_oneof![
        6 => Just("block"), 1 => Just("unblock"), 2 => Just("allow"), 1 => Just("disallow"),
        1 => Just("blocks"), 3 => Just("isolate"), 1 => Just("confirm"), 1 => Just("release"),
    ];
    (verb, prop::collection::vec(word(), 0..5)).prop_map(|(verb, words)| {
        let mut line = vec!["sensor".to_owned(), verb.to_owned()];
        line.extend(words.into_iter().flatten());
        line
    })
}

/// Whether traffic with an address passes, in plain words: what is excepted passes; else what is
/// blocked, or not excepted from an isolation, does not.
fn passes(listing: &Listing, address: &str) -> bool {
    let address = address.parse().unwrap();
    let has = |lines: &[crate::respond::firewall::listing::Line]| {
        lines
            .iter()
            .any(|line| line.target.network.contains(address))
    };
    let is_spared = listing.allowed.iter().any(|line| {
        line.target.network.contains(address) && line.target.service.protocol().is_none()
    });
    is_spared || (!has(&listing.blocked) && listing.isolated.is_none())
}

#[test]
fn ten_thousand_hostile_command_lines_lock_nobody_out() {
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        return eprintln!("only root has a firewall to be locked out by");
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args([
            "--exact",
            "cli::lockout::in_a_process_of_its_own",
            "--ignored",
        ])
        .env(CHILD, "1")
        .env("SSH_CONNECTION", format!("{OPERATOR} 50022 {OWN} 22"))
        .env("SENSOR_LOG", "off");
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

/// A control group and pins, gone when dropped.
struct Place {
    group: PathBuf,
    pins: PathBuf,
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.pins);
        let _ = fs::remove_dir(&self.group);
    }
}

#[test]
#[ignore = "started by another"]
fn in_a_process_of_its_own() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    crate::drill::net::own_network().unwrap();
    crate::drill::net::take_address(OWN.parse().unwrap()).unwrap();
    let name = format!("sensor-lockout-{}", std::process::id());
    let place = Place {
        group: crate::cgroup::mount_point().unwrap().join(&name),
        pins: Path::new("/sys/fs/bpf").join(&name),
    };
    fs::create_dir(&place.group).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sensor.toml");
    let text = format!(
        "runtime_directory = {0:?}\nstate_directory = {0:?}\n\
         [respond]\npins = {1:?}\ncontrol_group = {2:?}\n",
        directory.path(),
        place.pins,
        place.group
    );
    fs::write(&path, text).unwrap();
    let config = Config::load(&path).unwrap();
    let mut firewall = Firewall::open(config.respond.firewall()).unwrap();
    // Loaded once, and not ten thousand times.
    firewall.arm().unwrap();

    let mut runner = TestRunner::default();
    let (mut understood, mut done) = (0, 0);
    for _ in 0..LINES {
        let mut line = line().new_tree(&mut runner).unwrap().current();
        let Ok(parsed) = Line::try_parse_from(&line) else {
            continue;
        };
        understood += 1;
        drop(parsed);
        line.extend(["--config".to_owned(), path.display().to_string()]);
        match Line::try_parse_from(&line).unwrap().run() {
            Ok(code) => done += usize::from(code == super::OK),
            Err(failure) => assert!(!failure.error.to_string().is_empty(), "{line:?}"),
        }
        let listing = firewall.list().unwrap();
        for address in ["127.0.0.1", "::1", OWN, OPERATOR] {
            let is_blocked = listing
                .blocked
                .iter()
                .any(|one| one.target.network.contains(address.parse().unwrap()));
            assert!(!is_blocked, "{address} is blocked by {line:?}");
        }
        assert!(
            passes(&listing, OPERATOR),
            "locked out by {line:?}: {listing:?}"
        );
    }
    assert!(
        understood > LINES / 10 && done > LINES / 40,
        "{understood} understood, {done} done"
    );
}
