//! UDP, DNS, raw and unix sockets as the real sensor sees them on the real kernel. As for TCP,
//! every test has a network namespace of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::net::{Ipv4Addr, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};

use sensor_tests::network::{self, has_ends, inode, is_ours, of, socket};
use sensor_tests::{field, skip, text};

#[test]
fn udp_peers_are_reported_once_each() {
    let sensor = network::sensor().unwrap();
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = receiver.local_addr().unwrap();
    let connected = UdpSocket::bind("127.0.0.1:0").unwrap();
    connected.connect(to).unwrap();
    for _ in 0..3 {
        connected.send(b"x").unwrap();
    }
    let loose = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..5 {
        loose.send_to(b"x", to).unwrap();
    }
    let mapped = UdpSocket::bind("[::]:0").unwrap();
    mapped
        .send_to(b"x", format!("[::ffff:127.0.0.1]:{}", to.port() ^ 1))
        .unwrap();

    let finished = sensor.stop().unwrap();
    let connects = of(&finished, "network.udp_connect", inode(&connected));
    assert_eq!(connects.len(), 1);
    assert!(is_ours(connects[0]) && has_ends(connects[0], connected.local_addr().unwrap(), to));
    let sends = of(&finished, "network.udp_send", inode(&loose));
    assert_eq!(sends.len(), 1);
    assert!(is_ours(sends[0]));
    assert_eq!(field(sends[0], "destination.port"), to.port());
    assert_eq!(
        field(sends[0], "source.port"),
        loose.local_addr().unwrap().port()
    );
    let sends = of(&finished, "network.udp_send", inode(&mapped));
    assert_eq!(sends.len(), 1);
    assert_eq!(text(sends[0], "destination.ip"), "127.0.0.1");
    let binds = of(&finished, "network.bind", inode(&receiver));
    assert_eq!(field(binds[0], "source.port"), to.port());
    assert_eq!(text(binds[0], "network.transport"), "udp");
    assert!(finished.count("network.udp_send", "filtered") >= 4);
    assert!(finished.balances());
}

#[test]
fn raw_packet_and_unix_sockets_are_reported() {
    let sensor = network::sensor().unwrap();
    let wanted = [
        (
            libc::AF_INET,
            libc::SOCK_RAW,
            libc::IPPROTO_ICMP,
            "inet",
            "raw",
            1,
        ),
        (libc::AF_INET6, libc::SOCK_RAW, 58, "inet6", "raw", 58),
        (
            libc::AF_PACKET,
            libc::SOCK_DGRAM,
            i32::from(3_u16.to_be()),
            "packet",
            "dgram",
            3,
        ),
    ];
    let sockets = wanted.map(|(family, kind, protocol, ..)| socket(family, kind, protocol));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap().join("control");
    let _listener = UnixListener::bind(&path).unwrap();
    let by_path = UnixStream::connect(&path).unwrap();
    assert!(UnixStream::connect(directory.path().join("nobody")).is_err());
    let name = SocketAddr::from_abstract_name("sensor-test").unwrap();
    let receiver = UnixDatagram::bind_addr(&name).unwrap();
    let sender = UnixDatagram::unbound().unwrap();
    sender.connect_addr(&name).unwrap();
    let harmless = socket(libc::AF_INET, libc::SOCK_STREAM, 0).unwrap();
    let finished = sensor.stop().unwrap();
    for (socket, (.., family, kind, protocol)) in sockets.iter().zip(wanted) {
        let Some(socket) = socket else {
            skip(&format!("this kernel has no {family} sockets"));
            continue;
        };
        let events = of(&finished, "network.raw_socket", inode(socket));
        assert_eq!(events.len(), 1, "{family}");
        assert!(is_ours(events[0]));
        assert_eq!(text(events[0], "sensor.socket.family"), family);
        assert_eq!(text(events[0], "sensor.socket.type"), kind);
        assert_eq!(field(events[0], "sensor.socket.protocol"), protocol);
    }
    assert!(of(&finished, "network.raw_socket", inode(&harmless)).is_empty());

    let stream = of(&finished, "network.unix_connect", inode(&by_path));
    assert_eq!(stream.len(), 1);
    assert!(is_ours(stream[0]));
    assert_eq!(text(stream[0], "sensor.unix.path"), path.to_str().unwrap());
    assert_eq!(field(stream[0], "sensor.unix.peer.pid"), std::process::id());
    assert_eq!(text(stream[0], "sensor.socket.type"), "stream");
    let datagrams = of(&finished, "network.unix_connect", inode(&sender));
    assert_eq!(datagrams.len(), 1);
    assert_eq!(
        text(datagrams[0], "sensor.unix.abstract_name"),
        "sensor-test"
    );
    assert_eq!(
        field(datagrams[0], "sensor.unix.peer.inode"),
        inode(&receiver)
    );
    assert!(finished.balances());
}

/// `example.org A?`
const QUESTION: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03org\0\0\x01\0\x01";
/// `127.1.2.3`, after the question.
const ANSWER: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x7f\x01\x02\x03";

/// Answers one question on port 53 of this thread's network.
fn answer_one(server: &UdpSocket) {
    let mut question = [0; 512];
    let (len, from) = server.recv_from(&mut question).unwrap();
    let mut answer = question[..len].to_vec();
    answer[2..4].copy_from_slice(b"\x81\x80");
    answer[7] = 1;
    answer.extend(ANSWER);
    server.send_to(&answer, from).unwrap();
}

#[test]
fn dns_is_tied_to_who_asks_and_who_answers() {
    let sensor = network::sensor().unwrap();
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).unwrap();
    let mut buffer = [0; 512];

    let connected = UdpSocket::bind("127.0.0.1:0").unwrap();
    connected.connect("127.0.0.1:53").unwrap();
    let loose = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mapped = UdpSocket::bind("[::]:0").unwrap();
    connected.send(QUESTION).unwrap();
    answer_one(&server);
    assert_eq!(connected.peek(&mut buffer).unwrap(), 45);
    // A buffer that is filled to the last byte.
    assert_eq!(connected.recv(&mut buffer[..45]).unwrap(), 45);
    loose.send_to(QUESTION, "127.0.0.1:53").unwrap();
    answer_one(&server);
    loose.recv_from(&mut buffer).unwrap();
    mapped.send_to(QUESTION, "[::ffff:127.0.0.1]:53").unwrap();
    answer_one(&server);
    mapped.recv_from(&mut buffer).unwrap();

    let finished = sensor.stop().unwrap();
    for socket in [inode(&connected), inode(&loose), inode(&mapped)] {
        let events = of(&finished, "network.dns", socket);
        assert_eq!(events.len(), 2, "{events:?}");
        for event in &events {
            assert!(is_ours(event), "{event}");
            assert_eq!(text(event, "dns.question.name"), "example.org");
            assert_eq!(text(event, "dns.question.type"), "A");
        }
        assert_eq!(text(events[0], "dns.type"), "query");
        assert_eq!(text(events[0], "network.direction"), "egress");
        assert_eq!(field(events[0], "destination.port"), 53);
        assert_eq!(text(events[0], "destination.ip"), "127.0.0.1");
        assert_eq!(field(events[0], "network.bytes"), 29);
        assert_eq!(text(events[1], "dns.type"), "answer");
        assert_eq!(text(events[1], "network.direction"), "ingress");
        assert_eq!(field(events[1], "source.port"), 53);
        assert_eq!(
            field(events[1], "dns.resolved_ip"),
            &serde_json::json!(["127.1.2.3"])
        );
    }
    let answered = of(&finished, "network.dns", inode(&server));
    assert_eq!(answered.len(), 6);
    assert!(answered.iter().filter(|event| is_ours(event)).count() >= 5);
    assert!(finished.balances());
}
