//! Statements about what events of sockets say.

use serde_json::{Value as Json, json};

use super::dns::Dns;
use super::*;
use crate::event::ecs_check::assert_ecs;
use crate::event::{Action, Event, EventId, dns as message};
use crate::export::json::ecs;

fn end(address: &str, port: u16) -> Endpoint {
    Endpoint {
        address: address.parse().unwrap(),
        port,
    }
}

fn flow(protocol: i32) -> Flow {
    Flow {
        local: end("10.0.0.5", 40_000),
        remote: end("203.0.113.7", 4444),
        protocol: u8::try_from(protocol).unwrap(),
        net_ns: 1,
        inode: Some(77),
    }
}

fn tcp() -> Flow {
    flow(libc::IPPROTO_TCP)
}

fn stamp(boot_ns: u64) -> Stamp {
    Stamp {
        boot_ns,
        wall_ns: boot_ns,
    }
}

fn written(action: Action) -> Json {
    let event = Event {
        id: EventId {
            run: 1,
            sequence: 0,
        },
        cpu: 0,
        time: stamp(9),
        process: None,
        action,
    };
    let written = serde_json::from_str(&ecs(&event.fields()).unwrap()).unwrap();
    assert_ecs(&written);
    written
}

fn connect(outcome: Outcome) -> Connect {
    Connect {
        flow: tcp(),
        started: Some(stamp(5)),
        took_ns: 4,
        outcome,
    }
}

#[test]
fn a_connect_has_its_process_as_the_source() {
    let event = written(Action::TcpConnect(Box::new(connect(Outcome::Success))));
    assert_eq!(event["source"], json!({"ip": "10.0.0.5", "port": 40_000}));
    assert_eq!(
        event["destination"],
        json!({"ip": "203.0.113.7", "port": 4444})
    );
    assert_eq!(event["network"]["direction"], "egress");
    assert_eq!(event["network"]["transport"], "tcp");
    assert_eq!(event["event"]["outcome"], "success");
    assert_eq!(event["event"]["duration"], 4);
}

#[test]
fn a_connect_that_fails_says_why() {
    let refused = connect(Outcome::Failure(111));
    assert_eq!(
        refused.summary(),
        "10.0.0.5:40000 -> 203.0.113.7:4444 !ECONNREFUSED"
    );
    let event = written(Action::TcpConnect(Box::new(refused)));
    assert_eq!(event["event"]["outcome"], "failure");
    assert_eq!(event["error"]["code"], "ECONNREFUSED");
    assert_eq!(event["event"]["type"], json!(["connection", "start"]));

    let forbidden = written(Action::TcpConnect(Box::new(connect(Outcome::Failure(13)))));
    assert_eq!(forbidden["event"]["type"], json!(["connection", "denied"]));

    let given_up = written(Action::TcpConnect(Box::new(connect(Outcome::Abandoned))));
    assert_eq!(given_up["event"]["outcome"], "unknown");
}

#[test]
fn an_accepted_connection_has_the_client_as_the_source() {
    let event = written(Action::TcpAccept(Box::new(Accept(tcp()))));
    assert_eq!(event["source"]["ip"], "203.0.113.7");
    assert_eq!(event["destination"]["port"], 40_000);
    assert_eq!(event["network"]["direction"], "ingress");
}

#[test]
fn bytes_go_with_the_end_that_sent_them() {
    let close = |direction| Close {
        flow: tcp(),
        direction,
        opened: Some(stamp(1)),
        lasted_ns: 8,
        sent: 10,
        received: 3,
        error: Some(104),
    };
    let ours = written(Action::TcpClose(Box::new(close(Direction::Egress))));
    assert_eq!(
        (&ours["source"]["bytes"], &ours["destination"]["bytes"]),
        (&json!(10), &json!(3))
    );
    assert_eq!(ours["network"]["bytes"], 13);
    assert_eq!(ours["error"]["code"], "ECONNRESET");
    let theirs = written(Action::TcpClose(Box::new(close(Direction::Ingress))));
    assert_eq!(
        (&theirs["source"]["bytes"], &theirs["destination"]["bytes"]),
        (&json!(3), &json!(10))
    );
}

#[test]
fn what_listens_is_a_server() {
    let event = written(Action::TcpListen(Box::new(Listen {
        flow: tcp(),
        backlog: 128,
    })));
    assert_eq!(event["server"], json!({"ip": "10.0.0.5", "port": 40_000}));
    assert_eq!(event["sensor"]["network"]["backlog"], 128);
    let event = written(Action::Bind(Box::new(Bind(flow(libc::IPPROTO_UDP)))));
    assert_eq!(event["source"]["port"], 40_000);
    assert_eq!(event["network"]["transport"], "udp");
}

#[test]
fn datagrams_raw_and_unix_sockets_are_described() {
    let udp = connect(Outcome::Success);
    let udp = Connect {
        flow: flow(libc::IPPROTO_UDP),
        ..udp
    };
    assert_eq!(udp.summary(), "udp 10.0.0.5:40000 -> 203.0.113.7:4444");
    written(Action::UdpConnect(Box::new(udp)));
    written(Action::UdpSend(Box::new(Send(flow(libc::IPPROTO_UDP)))));

    let raw = RawSocket {
        family: 17,
        socket_type: 3,
        protocol: 3,
        inode: 5,
    };
    assert_eq!(raw.summary(), "packet raw protocol 0x3");
    written(Action::RawSocket(raw));

    let unix = UnixConnect {
        peer: UnixName::Abstract("x\u{1b}".into()),
        socket_type: 1,
        inode: 4,
        peer_inode: None,
        peer_pid: Some(12),
    };
    assert_eq!(unix.summary(), "unix:@x\u{1b} of pid 12");
    let event = written(Action::UnixConnect(Box::new(unix)));
    assert_eq!(
        event["sensor"]["unix"],
        json!({"abstract_name": "x\u{1b}", "peer": {"pid": 12}})
    );
}

/// `example.org A`, answered with 127.1.2.3.
const ANSWER: &[u8] = b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0\x07example\x03org\0\0\x01\0\x01\
    \xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x7f\x01\x02\x03";

#[test]
fn an_answer_is_taken_apart() {
    let dns = Dns {
        flow: flow(libc::IPPROTO_UDP),
        direction: Direction::Ingress,
        bytes: 45,
        message: message::parse(ANSWER),
    };
    assert_eq!(
        dns.summary(),
        "10.0.0.5:40000 <- 203.0.113.7:4444 answer A example.org NOERROR 127.1.2.3"
    );
    let event = written(Action::Dns(Box::new(dns)));
    assert_eq!(event["dns"]["question"]["name"], "example.org");
    assert_eq!(event["dns"]["answers"][0]["data"], "127.1.2.3");
    assert_eq!(event["dns"]["answers"][0]["ttl"], 60);
    assert_eq!(event["dns"]["resolved_ip"], json!(["127.1.2.3"]));
    assert_eq!(event["dns"]["response_code"], "NOERROR");
    assert_eq!(event["network"]["protocol"], "dns");
}

#[test]
fn bytes_that_are_no_dns_are_still_an_event() {
    let dns = Dns {
        flow: flow(libc::IPPROTO_UDP),
        direction: Direction::Egress,
        bytes: 3,
        message: message::parse(b"\xff\0\x01"),
    };
    assert!(dns.summary().contains("!3 bytes are too few"));
    let event = written(Action::Dns(Box::new(dns)));
    assert!(
        event["sensor"]["dns"]["malformed"]
            .as_str()
            .unwrap()
            .starts_with("3 bytes")
    );
    assert_eq!(event.get("dns"), None);
}
