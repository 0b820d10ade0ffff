//! Tests of what is learned and of the search: the same in whatever order things happen.

use super::*;
use crate::event::network::{Accept, Close, Connect};
use crate::event::object::InetSocket;
use crate::event::process::{Exec, FileIdentity, Process, Program};
use crate::event::{Endpoint, EventId, Stamp};
use std::net::IpAddr;
use std::sync::Arc;

const TIME: Stamp = Stamp {
    boot_ns: 1,
    wall_ns: 1,
};

fn key(pid: u32) -> ProcessKey {
    ProcessKey {
        pid,
        start_ticks: 0,
    }
}

fn event(pid: u32, ppid: u32, action: Action) -> Event {
    Event {
        id: EventId {
            run: 0,
            sequence: 0,
        },
        cpu: 0,
        time: TIME,
        process: Some(Process {
            key: key(pid),
            start: TIME,
            tid: pid,
            ppid,
            ns_pid: pid,
            ids: Default::default(),
            capabilities: 0,
            login_uid: None,
            audit_session: None,
            session: 1,
            tty: None,
            comm: "".into(),
            namespaces: Default::default(),
            cgroup_id: 0,
            entity: None,
            program: None,
            parent: None,
            parent_entity: None,
            depth: 0,
            names: Default::default(),
            home: Default::default(),
            lineage: Default::default(),
        }),
        action,
    }
}

fn object(kind: Kind, inode: u64) -> Object {
    Object {
        kind,
        inode,
        device: 0,
        stands_for: 0,
        flags: 0,
        path: None,
        inet: None,
        peer_inode: None,
    }
}

fn end(address: [u8; 4], port: u16) -> Endpoint {
    Endpoint {
        address: IpAddr::from(address),
        port,
    }
}

const HERE: [u8; 4] = [10, 0, 0, 1];
const THERE: [u8; 4] = [203, 0, 113, 7];

fn flow(inode: u64) -> Flow {
    Flow {
        local: end(HERE, 40_000),
        remote: end(THERE, 4444),
        protocol: libc::IPPROTO_TCP as u8,
        net_ns: 0,
        inode: Some(inode),
    }
}

fn socket(inode: u64) -> Object {
    Object {
        inet: Some(InetSocket {
            local: flow(inode).local,
            remote: flow(inode).remote,
            protocol: libc::IPPROTO_TCP as u8,
            state: 1,
        }),
        ..object(Kind::InetSocket, inode)
    }
}

fn terminal(kind: Kind, index: u32) -> Object {
    let major = if kind == Kind::PtyMaster { 128 } else { 136 };
    Object {
        stands_for: (major << 20) | index,
        ..object(kind, 3)
    }
}

fn null() -> Object {
    object(Kind::Null, 5)
}

fn exec(pid: u32, ppid: u32, stdio: [Object; 3]) -> Event {
    let executable = FileIdentity {
        inode: 1,
        device: 1,
        size: 1,
        mode: 0o755,
        uid: 0,
        gid: 0,
        links: 1,
        mtime_ns: 0,
        ctime_ns: 0,
        fs_magic: 0,
        memfd: false,
        deleted: false,
        overlay_upper: false,
    };
    let exec = Exec {
        program: Arc::new(Program::default()),
        executable,
        filename: None,
        interpreter: None,
        working_directory: None,
        carried: None,
        argument_bytes: 0,
        environment: Box::default(),
        environment_truncated: false,
        stdio,
    };
    event(pid, ppid, Action::Exec(Box::new(exec)))
}

fn connect(pid: u32, ppid: u32, inode: u64) -> Event {
    let connect = Connect {
        flow: flow(inode),
        started: None,
        took_ns: 0,
        outcome: Outcome::Success,
    };
    event(pid, ppid, Action::TcpConnect(Box::new(connect)))
}

fn stream(pid: u32, object: Object, reads: bool, writes: bool) -> Event {
    let stream = Stream {
        object,
        reads,
        writes,
    };
    event(pid, 1, Action::StreamOpen(Box::new(stream)))
}

fn learn<'e>(events: impl IntoIterator<Item = &'e Event>) -> Streams {
    let mut streams = Streams::new(1_000);
    streams.apply(&event(1, 0, Action::Fork));
    for event in events {
        streams.apply(event);
    }
    streams
}

/// Every order of a few events.
fn orders(events: &[Event]) -> Vec<Vec<&Event>> {
    if events.is_empty() {
        return vec![Vec::new()];
    }
    (0..events.len())
        .flat_map(|first| {
            let mut rest = events.to_vec();
            rest.remove(first);
            orders(&rest)
                .into_iter()
                .map(|order| {
                    let rest = order
                        .into_iter()
                        .map(|event| find(events, event))
                        .collect::<Vec<_>>();
                    [vec![&events[first]], rest].concat()
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

fn find<'e>(events: &'e [Event], wanted: &Event) -> &'e Event {
    let same = |event: &&Event| {
        format!("{:?}", event.action) == format!("{:?}", wanted.action)
            && event.process.as_ref().map(|process| process.key)
                == wanted.process.as_ref().map(|process| process.key)
    };
    events.iter().find(same).unwrap()
}

fn hops(streams: &Streams, pid: u32, way: Way) -> Vec<u32> {
    let links = streams.links(key(pid), way);
    assert_eq!(links.len(), 1, "{links:?}");
    links[0].hops.iter().map(|hop| hop.relay.pid).collect()
}

#[test]
fn a_socket_as_standard_stream_leads_to_its_peer_at_once() {
    let streams = learn([&exec(2, 1, [socket(7), socket(7), socket(7)])]);
    assert_eq!(hops(&streams, 2, Way::In), [0; 0]);
    assert_eq!(hops(&streams, 2, Way::Out), [0; 0]);
    let known = streams.connections().get(7).unwrap();
    assert_eq!(known.remote, end(THERE, 4444));
    assert_eq!(known.direction, Direction::Unknown);
}

#[test]
fn a_relay_between_pipes_is_found_in_whatever_order_it_all_happens() {
    let (there, back) = (object(Kind::Pipe, 10), object(Kind::Pipe, 11));
    let events = [
        exec(2, 1, [there.clone(), back.clone(), back.clone()]),
        exec(3, 1, [back, there, null()]),
        connect(3, 1, 7),
    ];
    let all = orders(&events);
    assert_eq!(all.len(), 6);
    for order in all {
        // A connection from before the exec may have been closed by it.
        let connects_last = matches!(order[2].action, Action::TcpConnect(_))
            || matches!(order[0].action, Action::Exec(_))
                && order[0].process.as_ref().unwrap().key == key(3);
        let streams = learn(order.iter().copied());
        for way in [Way::In, Way::Out] {
            assert_eq!(hops(&streams, 2, way), [3]);
            assert!(streams.links(key(2), way)[0].certain || !connects_last);
        }
    }
}

#[test]
fn a_fifo_joins_whoever_opened_it_for_the_other_way() {
    let (fifo, pipe) = (object(Kind::Fifo, 20), object(Kind::Pipe, 11));
    let streams = learn([
        &exec(2, 1, [pipe.clone(), null(), null()]),
        &exec(3, 1, [null(), pipe, null()]),
        &stream(3, fifo.clone(), true, false),
        &exec(4, 1, [null(), fifo, null()]),
        &connect(4, 1, 7),
    ]);
    assert_eq!(hops(&streams, 2, Way::In), [3, 4]);
    assert!(streams.links(key(2), Way::Out).is_empty());
}

#[test]
fn whoever_has_the_master_is_behind_the_terminal() {
    let slave = terminal(Kind::Tty, 4);
    let streams = learn([
        &connect(3, 1, 7),
        &stream(3, terminal(Kind::PtyMaster, 4), true, true),
        &event(2, 3, Action::Fork),
        &exec(2, 3, [slave.clone(), slave.clone(), slave]),
    ]);
    assert_eq!(hops(&streams, 2, Way::In), [3]);
    assert!(streams.links(key(2), Way::Out)[0].certain);
    let other = terminal(Kind::Tty, 5);
    let streams = learn([
        &connect(3, 1, 7),
        &exec(2, 3, [other.clone(), other.clone(), other]),
    ]);
    assert!(streams.links(key(2), Way::In).is_empty());
}

#[test]
fn a_pipe_nobody_is_seen_to_hold_is_its_maker_s_and_not_certain() {
    let (there, back) = (object(Kind::Pipe, 10), object(Kind::Pipe, 11));
    let streams = learn([
        &event(3, 1, Action::Fork),
        &connect(3, 1, 7),
        &event(4, 3, Action::Fork),
        &exec(4, 3, [there.clone(), back.clone(), null()]),
        &event(5, 4, Action::Fork),
        &exec(5, 4, [there, back, null()]),
    ]);
    for pid in [4, 5] {
        assert_eq!(hops(&streams, pid, Way::In), [3], "{pid}");
        assert!(!streams.links(key(pid), Way::In)[0].certain);
    }
}

#[test]
fn a_closed_connection_leads_nowhere() {
    let mut streams = learn([&exec(2, 1, [socket(7), socket(7), socket(7)])]);
    let close = Close {
        flow: Flow {
            inode: None,
            ..flow(7)
        },
        direction: Direction::Egress,
        opened: None,
        lasted_ns: 0,
        sent: 0,
        received: 0,
        error: None,
    };
    streams.apply(&event(2, 1, Action::TcpClose(Box::new(close))));
    assert!(streams.links(key(2), Way::In).is_empty());
    assert!(streams.connections().is_empty());
}

#[test]
fn what_ended_is_forgotten_and_bounds_hold() {
    let mut streams = Streams::new(8);
    streams.apply(&event(1, 0, Action::Fork));
    for pid in 2..100 {
        streams.apply(&event(pid, 1, Action::Fork));
        streams.apply(&exec(
            pid,
            1,
            [object(Kind::Pipe, 1), object(Kind::Pipe, 2), null()],
        ));
    }
    assert_eq!(streams.nodes.len(), 8);
    assert!(streams.dropped() > 0);
    for pid in 1..100 {
        streams.ended(key(pid));
    }
    assert!(streams.nodes.is_empty() && streams.holders.is_empty() && streams.live.is_empty());
}

#[test]
fn the_acceptor_has_the_connection_with_its_direction() {
    let streams = learn([
        &event(2, 1, Action::Fork),
        &event(2, 1, Action::TcpAccept(Box::new(Accept(flow(9))))),
        &event(3, 2, Action::Fork),
    ]);
    assert_eq!(
        streams.connections().get(9).unwrap().direction,
        Direction::Ingress
    );
    assert!(streams.holds_connection(key(2), 9) && streams.holds_connection(key(3), 9));
    assert!(!streams.holds_connection(key(1), 9));
}
