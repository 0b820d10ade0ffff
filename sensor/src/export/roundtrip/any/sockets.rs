//! Arbitrary events of sockets and of the domain name system.

use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::{endpoint, long, stamp, text};
use crate::event::Action;
use crate::event::dns;
use crate::event::network::dns::Dns;
use crate::event::network::{
    Accept, Bind, Close, Connect, Direction, Flow, Listen, Outcome, RawSocket, Send, UnixConnect,
    UnixName,
};

pub(super) fn action() -> BoxedStrategy<Action> {
    let listen = (flow(), any::<u32>()).prop_map(|(flow, backlog)| Listen { flow, backlog });
    prop_oneof![
        connect().prop_map(|connect| Action::TcpConnect(Box::new(connect))),
        connect().prop_map(|connect| Action::UdpConnect(Box::new(connect))),
        flow().prop_map(|flow| Action::TcpAccept(Box::new(Accept(flow)))),
        listen.prop_map(|listen| Action::TcpListen(Box::new(listen))),
        flow().prop_map(|flow| Action::Bind(Box::new(Bind(flow)))),
        close().prop_map(|close| Action::TcpClose(Box::new(close))),
        flow().prop_map(|flow| Action::UdpSend(Box::new(Send(flow)))),
        raw_socket().prop_map(Action::RawSocket),
        unix_connect().prop_map(|connect| Action::UnixConnect(Box::new(connect))),
        message().prop_map(|dns| Action::Dns(Box::new(dns))),
    ]
    .boxed()
}

fn direction() -> impl Strategy<Value = Direction> {
    select(vec![
        Direction::Ingress,
        Direction::Egress,
        Direction::Unknown,
    ])
}

fn flow() -> impl Strategy<Value = Flow> {
    let protocol = prop_oneof![Just(6), Just(17), any::<u8>()];
    let inode = of(any::<u64>());
    (endpoint(), endpoint(), protocol, any::<u32>(), inode).prop_map(
        |(local, remote, protocol, net_ns, inode)| Flow {
            local,
            remote,
            protocol,
            net_ns,
            inode,
        },
    )
}

fn connect() -> BoxedStrategy<Connect> {
    let outcome = prop_oneof![
        Just(Outcome::Success),
        any::<u32>().prop_map(Outcome::Failure),
        (1_u32..130).prop_map(Outcome::Failure),
        Just(Outcome::Abandoned),
    ];
    (flow(), of(stamp()), any::<u64>(), outcome)
        .prop_map(|(flow, started, took_ns, outcome)| Connect {
            flow,
            started,
            took_ns,
            outcome,
        })
        .boxed()
}

fn close() -> BoxedStrategy<Close> {
    let numbers = (any::<u64>(), long(), long());
    (flow(), direction(), of(stamp()), numbers, of(0_u32..130))
        .prop_map(
            |(flow, direction, opened, (lasted_ns, sent, received), error)| Close {
                flow,
                direction,
                opened,
                lasted_ns,
                sent,
                received,
                error,
            },
        )
        .boxed()
}

fn raw_socket() -> impl Strategy<Value = RawSocket> {
    (0_u16..20, 0_u16..12, any::<u32>(), any::<u64>()).prop_map(
        |(family, socket_type, protocol, inode)| RawSocket {
            family,
            socket_type,
            protocol,
            inode,
        },
    )
}

fn unix_connect() -> impl Strategy<Value = UnixConnect> {
    let name = prop_oneof![
        text().prop_map(UnixName::Path),
        text().prop_map(UnixName::Abstract),
        Just(UnixName::Unnamed),
    ];
    let peer = (of(any::<u64>()), of(any::<u32>()));
    (name, 0_u16..12, any::<u64>(), peer).prop_map(
        |(name, socket_type, inode, (peer_inode, peer_pid))| UnixConnect {
            peer: name,
            socket_type,
            inode,
            peer_inode,
            peer_pid,
        },
    )
}

/// Messages from bytes, as the kernel gives them: with questions, addresses and other records,
/// cut short, or no messages at all.
fn message() -> BoxedStrategy<Dns> {
    (flow(), direction(), any::<u32>(), bytes())
        .prop_map(|(flow, direction, length, bytes)| Dns {
            flow,
            direction,
            bytes: length,
            message: dns::parse(&bytes),
        })
        .boxed()
}

/// A name of a few labels, as it is sent.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let label = prop::collection::vec(any::<u8>(), 1..6);
    prop::collection::vec(label, 0..3).prop_map(|labels| {
        let mut wire = Vec::new();
        for label in labels {
            wire.push(label.len() as u8);
            wire.extend(label);
        }
        wire.push(0);
        wire
    })
}

/// A record of the root, with data that fits its type or does not.
fn record() -> impl Strategy<Value = Vec<u8>> {
    let data = prop_oneof![
        prop::collection::vec(any::<u8>(), 4),
        prop::collection::vec(any::<u8>(), 16),
        prop::collection::vec(any::<u8>(), 0..9),
    ];
    let kind = select(vec![1_u16, 28, 5, 16, 15, 65_280]);
    (kind, any::<u16>(), any::<u32>(), data).prop_map(|(kind, class, ttl, data)| {
        let mut wire = vec![0];
        wire.extend(kind.to_be_bytes());
        wire.extend(class.to_be_bytes());
        wire.extend(ttl.to_be_bytes());
        wire.extend((data.len() as u16).to_be_bytes());
        wire.extend(data);
        wire
    })
}

fn bytes() -> BoxedStrategy<Vec<u8>> {
    let records = prop::collection::vec(record(), 0..4);
    let whole = (any::<[u16; 4]>(), name(), records).prop_map(
        |([id, flags, kind, class], name, records)| {
            let counts = [1, records.len() as u16, 0, 0];
            let head = [id, flags].into_iter().chain(counts);
            let mut wire: Vec<u8> = head.flat_map(u16::to_be_bytes).collect();
            wire.extend(name);
            wire.extend(kind.to_be_bytes());
            wire.extend(class.to_be_bytes());
            wire.extend(records.concat());
            wire
        },
    );
    (whole, 4_usize..200)
        .prop_map(|(mut wire, keep)| {
            wire.truncate(keep);
            wire
        })
        .boxed()
}
