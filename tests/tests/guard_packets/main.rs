//! The firewall's programs in the real kernel, packet by packet, held against a model that says in
//! plain words what has to become of each. Attached to nothing but a control group of the test's
//! own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod model;
mod packet;
mod rig;
mod shapes;

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use aya::programs::CgroupAttachMode;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use sensor_common::guard::{EGRESS, INGRESS, tally};

use model::{Entry, Life, World};
use packet::{Body, Packet, TAG, TCP, UDP};
use rig::{Hook, Rig};
use shapes::{HOST, HOST6, PEER, PEER6, allow, deny, network, service};

/// The link layer, without which nothing is a frame.
const ETHERNET: usize = 14;

/// The shortest that the kernel runs: in a socket buffer, what says that it is IP has to have the
/// first header of it (`bpf_prog_test_run_skb` of `net/bpf/test_run.c`, since 6.17).
fn shortest(hook: Hook, packet: &Packet) -> usize {
    let header = if packet.source.is_ipv4() { 20 } else { 40 };
    match hook {
        Hook::Xdp | Hook::XdpFrags => ETHERNET,
        _ if packet.tags.is_empty() => ETHERNET + header,
        _ => ETHERNET + 4,
    }
}

/// Runs a packet, cut off after so many bytes, at a hook, and says what is not as it should be.
fn check(
    rig: &mut Rig,
    world: &World,
    hook: Hook,
    packet: &Packet,
    length: usize,
) -> Result<(), String> {
    let built = packet.build();
    let view = if hook.sees_ethernet() {
        packet.view(&built, length)
    } else {
        packet.network_view(&built, length)
    };
    let wanted = world.judge(&view, hook.place());
    let before = rig.told;
    let passes = rig.run(hook, &built, length).unwrap();
    let after = rig.tallies().unwrap();
    rig.told = after;
    let counted = |reason: u32| after[reason as usize].0 - before[reason as usize].0;
    let told = format!("{hook:?}, {length} bytes of {packet:?}\nknown: {view:?}\nin {world:?}");
    if passes != wanted.passes {
        return Err(format!(
            "passes: {passes}, and should {}; {told}",
            wanted.passes
        ));
    }
    for reason in 0..tally::LIMIT {
        let wanted = match reason {
            // What an error quotes is read only if need be.
            tally::MALFORMED | tally::FRAGMENT if view.quoted.is_some() => continue,
            tally::MALFORMED => u64::from(view.is_malformed),
            tally::FRAGMENT => u64::from(view.is_later_fragment),
            _ => u64::from(wanted.reason == Some(reason)),
        };
        let idle = world.entries.iter().all(|entry| entry.allows)
            && world.isolated.is_none()
            && world.group.is_none();
        if counted(reason) != if idle { 0 } else { wanted } {
            return Err(format!("counts {} for {reason}; {told}", counted(reason)));
        }
    }
    Ok(())
}

/// Of so many shapes one is taken: on emulated machines everything takes ten times as long, and
/// what differs from kernel to kernel shows with fewer.
fn share() -> usize {
    match std::env::var_os("SENSOR_VM") {
        Some(_) => 5,
        None => 1,
    }
}

/// Whether a packet can be shown to a hook as it is.
fn fits(hook: Hook, packet: &Packet) -> bool {
    hook.sees_ethernet() || packet.tags.is_empty()
}

#[test]
fn packets_of_every_shape_get_the_verdict_that_is_due() {
    let mut rig = Rig::new().unwrap();
    let hooks = rig.hooks().unwrap();
    for (number, world) in shapes::worlds().into_iter().enumerate() {
        rig.set(&world).unwrap();
        let shapes = shapes::every_shape().into_iter().skip(number % share());
        for packet in shapes.step_by(share()) {
            for hook in hooks.clone() {
                if fits(hook, &packet) {
                    let length = packet.build().frame.len();
                    check(&mut rig, &world, hook, &packet, length).unwrap();
                }
            }
        }
    }
}

#[test]
fn packets_cut_off_anywhere_are_judged_by_what_is_left() {
    let mut rig = Rig::new().unwrap();
    let denied = vec![
        service(deny(PEER), TCP, 443),
        service(deny(PEER6), TCP, 443),
        allow(HOST),
        allow(HOST6),
    ];
    for isolated in [None, Some(Life::Forever)] {
        let world = World {
            entries: denied.clone(),
            isolated,
            ..World::default()
        };
        rig.set(&world).unwrap();
        for packet in shapes::every_shape().into_iter().step_by(share()) {
            let whole = packet.build().frame.len();
            for length in ETHERNET..whole.min(220) {
                check(&mut rig, &world, Hook::Xdp, &packet, length).unwrap();
            }
        }
        // These go through other code to read a packet.
        for packet in shapes::every_shape().iter().step_by(7 * share()) {
            for hook in [Hook::TcEgress, Hook::SocketIngress] {
                if !fits(hook, packet) {
                    continue;
                }
                for length in shortest(hook, packet)..packet.build().frame.len().min(120) {
                    check(&mut rig, &world, hook, packet, length).unwrap();
                }
            }
        }
    }
}

#[test]
fn random_packets_meet_random_entries_as_the_model_says() {
    let mut rig = Rig::new().unwrap();
    let hooks = rig.hooks().unwrap();
    let rig = RefCell::new(rig);
    let config = Config {
        cases: 400 / share() as u32,
        failure_persistence: None,
        ..Config::default()
    };
    let packets = proptest::collection::vec((shapes::packet(), proptest::prelude::any::<u16>()), 8);
    TestRunner::new(config)
        .run(&(shapes::world(), packets), |(world, packets)| {
            let rig = &mut *rig.borrow_mut();
            rig.set(&world).unwrap();
            for (packet, cut) in packets {
                let whole = packet.build().frame.len();
                for hook in hooks.clone() {
                    if !fits(hook, &packet) {
                        continue;
                    }
                    let shortest = shortest(hook, &packet);
                    // Three of four are whole.
                    let length = match cut % 4 {
                        0 => shortest + usize::from(cut / 4) % (whole - shortest),
                        _ => whole,
                    };
                    check(rig, &world, hook, &packet, length).map_err(TestCaseError::fail)?;
                }
            }
            Ok(())
        })
        .unwrap();
}

/// Whether a whole packet passes at a hook.
fn passes(rig: &mut Rig, hook: Hook, packet: &Packet) -> bool {
    let built = packet.build();
    rig.run(hook, &built, built.frame.len()).unwrap()
}

fn tcp(from: IpAddr, to: IpAddr, ports: (u16, u16)) -> Packet {
    Packet::new(from, to, Body::Ports(TCP, ports.0, ports.1))
}

#[test]
fn arp_neighbours_and_dhcp_work_on_an_isolated_host_and_nothing_else_does() {
    let mut rig = Rig::new().unwrap();
    rig.set(&World {
        entries: vec![network(deny(PEER6), 0)],
        isolated: Some(Life::Forever),
        ..World::default()
    })
    .unwrap();
    let mut arp = tcp(PEER, HOST, (1, 2)).build();
    arp.frame[ETHERNET - 2..ETHERNET].copy_from_slice(&[0x08, 0x06]);
    assert!(rig.run(Hook::Xdp, &arp, arp.frame.len()).unwrap());
    assert!(rig.run(Hook::TcEgress, &arp, arp.frame.len()).unwrap());
    for kind in 133..=137 {
        let packet = Packet::new(PEER6, HOST6, Body::Icmp(kind));
        assert!(passes(&mut rig, Hook::Xdp, &packet));
        assert!(passes(&mut rig, Hook::SocketIngress, &packet));
        assert!(passes(&mut rig, Hook::TcEgress, &packet));
    }
    let offer = Packet::new(PEER, HOST, Body::Ports(UDP, 67, 68));
    assert!(passes(&mut rig, Hook::Xdp, &offer));
    assert!(!passes(&mut rig, Hook::TcEgress, &offer), "it is no server");
    for body in [
        Body::Icmp(8),
        Body::Ports(UDP, 53, 53),
        Body::Ports(TCP, 22, 22),
        Body::Other(47),
    ] {
        let packet = Packet::new(PEER, HOST, body);
        assert!(!passes(&mut rig, Hook::Xdp, &packet));
        assert!(!passes(&mut rig, Hook::TcEgress, &packet));
    }
}

#[test]
fn a_service_at_this_end_does_not_open_the_same_port_elsewhere() {
    let mut rig = Rig::new().unwrap();
    let https_here = Entry {
        flags: sensor_common::guard::LOCAL_PORT,
        ..service(network(allow(PEER), 0), TCP, 443)
    };
    rig.set(&World {
        entries: vec![https_here],
        isolated: Some(Life::Forever),
        ..World::default()
    })
    .unwrap();
    assert!(passes(&mut rig, Hook::Xdp, &tcp(PEER, HOST, (40_000, 443))));
    assert!(passes(
        &mut rig,
        Hook::SocketEgress,
        &tcp(HOST, PEER, (443, 40_000))
    ));
    let reverse_shell = tcp(HOST, PEER, (40_000, 443));
    assert!(!passes(&mut rig, Hook::SocketEgress, &reverse_shell));
}

#[test]
fn an_entry_that_is_over_or_of_the_other_direction_does_not_hide_a_wider_one() {
    let mut rig = Rig::new().unwrap();
    let over = Entry {
        life: Life::Over,
        ..network(deny(PEER), 30)
    };
    let outwards = Entry {
        directions: EGRESS,
        ..network(deny(PEER), 28)
    };
    let inwards = Entry {
        directions: INGRESS,
        ..network(deny(PEER), 8)
    };
    rig.set(&World {
        entries: vec![over, outwards, inwards],
        ..World::default()
    })
    .unwrap();
    assert!(!passes(&mut rig, Hook::Xdp, &tcp(PEER, HOST, (1, 2))));
    assert!(!passes(
        &mut rig,
        Hook::SocketEgress,
        &tcp(HOST, PEER, (1, 2))
    ));
}

#[test]
fn entries_count_what_they_decide() {
    let mut rig = Rig::new().unwrap();
    rig.set(&World {
        entries: vec![deny(PEER)],
        ..World::default()
    })
    .unwrap();
    let IpAddr::V4(address) = PEER else {
        unreachable!("the peer has an IPv4 address")
    };
    let packet = tcp(PEER, HOST, (1, 2));
    let length = packet.build().frame.len() as u64;
    assert!(!passes(&mut rig, Hook::Xdp, &packet));
    assert!(!passes(
        &mut rig,
        Hook::Xdp,
        &Packet {
            tags: vec![TAG],
            ..packet
        }
    ));
    let entry = rig.counted(address.octets()).unwrap();
    assert_eq!((entry.packets, entry.bytes), (2, 2 * length + 4));
    assert!(entry.last_boot_ns > 0);
    let tallies = rig.tallies().unwrap();
    assert_eq!(tallies[tally::DENIED_IN as usize], (2, 2 * length + 4));
}

/// What the kernel says to a process that wants to talk to somebody from a network without routes:
/// refused, or that it does not know the way.
fn call(to: SocketAddr, connected: bool) -> ErrorKind {
    let from: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((from, 0)).unwrap();
    let result = if connected {
        socket.connect(to)
    } else {
        socket.send_to(b"?", to).map(drop)
    };
    result.expect_err("there is no way to anywhere").kind()
}

#[test]
fn a_process_that_calls_somebody_denied_is_refused_at_once() {
    let mut rig = Rig::new().unwrap();
    let group = rig.cgroup().unwrap();
    for name in [
        "guard_connect4",
        "guard_connect6",
        "guard_sendmsg4",
        "guard_sendmsg6",
    ] {
        let program = rig.guard.calls(name).unwrap();
        program.attach(&group, CgroupAttachMode::Single).unwrap();
    }
    let other = IpAddr::from(Ipv4Addr::new(203, 0, 113, 9));
    let mapped = IpAddr::from(Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped());
    let other6: IpAddr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 9).into();
    let refused = |to: IpAddr, port: u16| {
        let to = SocketAddr::new(to, port);
        let [connect, send] =
            [call(to, true), call(to, false)].map(|e| e == ErrorKind::PermissionDenied);
        assert_eq!(connect, send, "{to}");
        connect
    };
    let set = |rig: &mut Rig, entries: Vec<Entry>, isolated, group| {
        rig.set(&World {
            entries,
            isolated,
            group,
            dry_run: false,
        })
        .unwrap();
    };

    set(&mut rig, vec![deny(PEER), deny(PEER6)], None, None);
    assert!(refused(PEER, 53) && refused(PEER6, 53) && refused(mapped, 53));
    assert!(!refused(other, 53) && !refused(other6, 53));
    assert_eq!(rig.tallies().unwrap()[tally::REFUSED as usize], (6, 0));

    set(&mut rig, vec![service(deny(PEER), UDP, 53)], None, None);
    assert!(refused(PEER, 53) && !refused(PEER, 54));

    let coming_in = Entry {
        directions: INGRESS,
        ..deny(PEER)
    };
    set(&mut rig, vec![coming_in], None, None);
    assert!(!refused(PEER, 53));

    set(&mut rig, vec![allow(PEER)], Some(Life::Forever), None);
    assert!(!refused(PEER, 53) && !refused(mapped, 53));
    assert!(refused(other, 53) && refused(other6, 53) && refused(PEER6, 53));

    set(&mut rig, vec![allow(PEER)], None, Some(Life::Ahead));
    assert!(!refused(PEER, 53) && refused(other, 53) && refused(other6, 53));

    set(&mut rig, vec![deny(PEER)], None, Some(Life::Over));
    assert!(refused(PEER, 53) && !refused(other, 53));
}

#[test]
fn every_program_is_verified_within_its_budget() {
    /// Instructions; a million is where the kernel gives up.
    const BUDGET: u32 = 100_000;
    let mut rig = Rig::new().unwrap();
    rig.hooks().unwrap();
    for name in [
        "guard_connect4",
        "guard_connect6",
        "guard_sendmsg4",
        "guard_sendmsg6",
    ] {
        rig.guard.calls(name).unwrap();
    }
    for (name, program) in rig.guard.0.programs() {
        let Ok(info) = program.info() else {
            assert_eq!(name, "guard_xdp_frags", "all others are loaded");
            continue;
        };
        if let Some(count) = info.verified_instruction_count() {
            assert!(count <= BUDGET, "{name}: {count}");
        }
    }
}
