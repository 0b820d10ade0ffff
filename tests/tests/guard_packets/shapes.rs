//! Packets of every shape there is, one of each; and random ones, with entries that are about them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use proptest::sample::select;
use sensor_common::guard::{EGRESS, INGRESS, LOCAL_PORT, REMOTE_PORT};

use crate::model::{Entry, Life, World};
use crate::packet::{Body, Extension, Fragment, OUTER_TAG, Packet, SCTP, TAG, TCP, UDP};

/// Who is denied in most tests, and this host.
pub const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
pub const PEER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7));
pub const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
pub const HOST6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1));
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 8));
const OTHER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 8));

/// Denies an address altogether.
pub fn deny(address: IpAddr) -> Entry {
    Entry {
        allows: false,
        network: address,
        prefix: if address.is_ipv4() { 32 } else { 128 },
        protocol: 0,
        port: 0,
        directions: INGRESS | EGRESS,
        flags: 0,
        life: Life::Forever,
    }
}

/// Allows an address altogether.
pub fn allow(address: IpAddr) -> Entry {
    Entry {
        allows: true,
        ..deny(address)
    }
}

/// Only what is talked on a port.
pub fn service(entry: Entry, protocol: u8, port: u16) -> Entry {
    Entry {
        protocol,
        port,
        ..entry
    }
}

/// The network around it.
pub fn network(entry: Entry, prefix: u8) -> Entry {
    let network = match entry.network {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    };
    Entry {
        network,
        prefix,
        ..entry
    }
}

/// Between the peer and this host, in both directions.
fn between(body: Body, is_v4: bool) -> Vec<Packet> {
    let (peer, host) = if is_v4 { (PEER, HOST) } else { (PEER6, HOST6) };
    vec![
        Packet::new(peer, host, body.clone()),
        Packet::new(host, peer, body),
    ]
}

/// One of each shape.
pub fn every_shape() -> Vec<Packet> {
    let tcp = Body::Ports(TCP, 40_000, 443);
    let mut shapes = Vec::new();
    for is_v4 in [true, false] {
        let plain = |body: &Body| between(body.clone(), is_v4);
        for body in [
            tcp.clone(),
            Body::Ports(TCP, 443, 40_000),
            Body::Ports(UDP, 53, 5_353),
            Body::Ports(SCTP, 7, 8),
            Body::Ports(UDP, 67, 68),
            Body::Ports(UDP, 68, 67),
            Body::Ports(UDP, 547, 546),
            Body::Ports(UDP, 546, 547),
            Body::Other(47),
            Body::Other(50),
            Body::Other(59),
        ] {
            shapes.extend(plain(&body));
        }
        for kind in [
            0, 1, 3, 4, 5, 8, 11, 12, 128, 130, 133, 135, 136, 137, 138, 143,
        ] {
            shapes.extend(plain(&Body::Icmp(kind)));
        }
        let (peer, host) = if is_v4 { (PEER, HOST) } else { (PEER6, HOST6) };
        let other = if is_v4 { OTHER } else { OTHER6 };
        for kind in [1, 2, 3, 11, 12] {
            let ours = Packet::new(host, peer, Body::Ports(TCP, 22, 40_000));
            shapes.push(Packet::new(other, host, Body::Error(kind, Box::new(ours))));
        }
        for tags in [vec![TAG], vec![OUTER_TAG, TAG], vec![OUTER_TAG, TAG, TAG]] {
            shapes.extend(plain(&tcp).into_iter().map(|packet| Packet {
                tags: tags.clone(),
                ..packet
            }));
        }
    }
    for options in 1..=10 {
        shapes.extend(
            between(tcp.clone(), true)
                .into_iter()
                .map(|packet| Packet { options, ..packet }),
        );
    }
    for fragment in [Fragment::First, Fragment::Later] {
        shapes.extend(
            between(tcp.clone(), true)
                .into_iter()
                .map(|packet| Packet { fragment, ..packet }),
        );
    }
    use Extension::{Authentication, Destination, First, HopByHop, Later, Mobility, Routing};
    for extensions in [
        vec![HopByHop(0)],
        vec![Routing(2)],
        vec![Authentication(4)],
        vec![
            HopByHop(1),
            Destination(0),
            Routing(3),
            First,
            Authentication(1),
            Destination(5),
        ],
        vec![HopByHop(0), Later],
        vec![First],
        vec![Later, Destination(0)],
        vec![Mobility(1), Destination(31)],
        vec![Destination(0); 7],
        vec![Destination(0); 8],
        vec![Destination(0); 9],
    ] {
        for body in [tcp.clone(), Body::Icmp(135), Body::Other(50)] {
            shapes.extend(between(body, false).into_iter().map(|packet| Packet {
                extensions: extensions.clone(),
                ..packet
            }));
        }
    }
    shapes
}

/// Situations that every shape is put into.
pub fn worlds() -> Vec<World> {
    let world = |entries: Vec<Entry>| World {
        entries,
        ..World::default()
    };
    let both = |of: fn(IpAddr) -> Entry| vec![of(PEER), of(PEER6)];
    let https = both(|peer| service(deny(peer), TCP, 443));
    let nets = both(|peer| network(deny(peer), if peer.is_ipv4() { 24 } else { 64 }));
    let mut worlds = vec![
        world(Vec::new()),
        world(both(deny)),
        world(nets.clone()),
        world(https.clone()),
        world(both(|peer| service(network(deny(peer), 16), TCP, 0))),
        world([nets, both(allow)].concat()),
        world([both(deny), both(|peer| service(allow(peer), TCP, 443))].concat()),
    ];
    let isolations = [
        vec![],
        both(allow),
        both(|peer| service(allow(peer), TCP, 22)),
        both(|peer| service(allow(peer), UDP, 0)),
    ];
    for entries in isolations {
        for (isolated, group) in [
            (Some(Life::Forever), None),
            (None, Some(Life::Ahead)),
            (Some(Life::Over), Some(Life::Over)),
        ] {
            worlds.push(World {
                entries: entries.clone(),
                isolated,
                group,
                dry_run: false,
            });
        }
    }
    worlds.push(World {
        isolated: Some(Life::Ahead),
        dry_run: true,
        ..world(https)
    });
    worlds
}

fn address(is_v4: bool) -> BoxedStrategy<IpAddr> {
    if is_v4 {
        let last = select(vec![1_u8, 7, 8, 200]);
        (
            select(vec![[192, 0, 2], [198, 51, 100], [203, 0, 113]]),
            last,
        )
            .prop_map(|([a, b, c], last)| Ipv4Addr::new(a, b, c, last).into())
            .boxed()
    } else {
        (select(vec![0_u16, 1, 0x8000]), select(vec![1_u16, 7, 8]))
            .prop_map(|(net, last)| Ipv6Addr::new(0x2001, 0xdb8, net, 0, 0, 0, 0, last).into())
            .boxed()
    }
}

fn port() -> impl Strategy<Value = u16> {
    select(vec![0_u16, 22, 53, 67, 68, 443, 546, 547, 40_000])
}

fn extension() -> impl Strategy<Value = Extension> {
    use Extension::{Authentication, Destination, First, HopByHop, Later, Mobility, Routing};
    (0..8_u8, select(vec![0_usize, 1, 2, 3, 4, 5, 6])).prop_map(|(length, kind)| match kind {
        0 => HopByHop(length),
        1 => Routing(length),
        2 => Destination(length),
        3 => Mobility(length),
        4 => Authentication(length),
        5 => First,
        _ => Later,
    })
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        4 => (select(vec![TCP, UDP, SCTP]), port(), port())
            .prop_map(|(protocol, from, to)| Body::Ports(protocol, from, to)),
        1 => any::<u8>().prop_map(Body::Icmp),
        1 => select(vec![2_u8, 47, 50, 59, 112]).prop_map(Body::Other),
    ]
}

fn bare(is_v4: bool) -> impl Strategy<Value = Packet> {
    let extensions = proptest::collection::vec(extension(), if is_v4 { 0..1 } else { 0..10 });
    let fragment = select(vec![
        Fragment::Whole,
        Fragment::Whole,
        Fragment::First,
        Fragment::Later,
    ]);
    (
        address(is_v4),
        address(is_v4),
        0..=10_u8,
        fragment,
        extensions,
        body(),
    )
        .prop_map(
            move |(source, destination, options, fragment, extensions, body)| Packet {
                options: if is_v4 { options } else { 0 },
                fragment,
                extensions,
                ..Packet::new(source, destination, body)
            },
        )
}

/// Any packet.
pub fn packet() -> impl Strategy<Value = Packet> {
    let tags = proptest::collection::vec(select(vec![TAG, OUTER_TAG]), 0..4);
    any::<bool>().prop_flat_map(move |is_v4| {
        let error = (bare(is_v4), bare(is_v4), 0..13_u8).prop_map(|(outer, quoted, kind)| Packet {
            body: Body::Error(kind, Box::new(quoted)),
            ..outer
        });
        let packet = prop_oneof![3 => bare(is_v4), 1 => error];
        (packet, tags.clone()).prop_map(|(packet, tags)| Packet { tags, ..packet })
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    let what = any::<bool>().prop_flat_map(|is_v4| {
        let prefixes = if is_v4 {
            vec![0, 1, 8, 22, 24, 30, 31, 32, 32, 32]
        } else {
            vec![0, 1, 32, 47, 64, 127, 128, 128, 128]
        };
        (address(is_v4), select(prefixes))
    });
    let talk = prop_oneof![
        Just((0, 0)),
        select(vec![TCP, UDP, 50]).prop_map(|protocol| (protocol, 0)),
        (select(vec![TCP, UDP]), port()),
    ];
    let flags = select(vec![0, 0, LOCAL_PORT, REMOTE_PORT]);
    let life = select(vec![Life::Forever, Life::Ahead, Life::Over]);
    (any::<bool>(), what, talk, 1..=3_u8, flags, life).prop_map(
        |(allows, (address, prefix), (protocol, port), directions, flags, life)| {
            let entry = Entry {
                allows,
                directions,
                flags: if port == 0 { 0 } else { flags },
                life,
                ..deny(address)
            };
            network(service(entry, protocol, port), prefix)
        },
    )
}

/// Anything that may be in force. No two entries have one key.
pub fn world() -> impl Strategy<Value = World> {
    let life = || proptest::option::of(select(vec![Life::Forever, Life::Ahead, Life::Over]));
    let entries = proptest::collection::vec(entry(), 0..12);
    (entries, life(), life(), any::<bool>()).prop_map(|(mut entries, isolated, group, dry_run)| {
        let key = |e: &Entry| (e.allows, e.network, e.prefix, e.protocol, e.port);
        entries.sort_by_key(key);
        entries.dedup_by_key(|entry| key(entry));
        World {
            entries,
            isolated,
            group,
            dry_run,
        }
    })
}
