//! Statements about what is made of a record of the network family.

use std::mem::offset_of;

use sensor_common::kind;
use sensor_common::record::VERSION;
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::*;
use crate::event::{Event, EventId};
use crate::probe::decode::{Clock, Decoder};

fn decode(kind: u16, record: &[u8]) -> Event {
    let mut bytes = record.to_vec();
    let header = Header {
        len: u32::try_from(bytes.len()).unwrap(),
        kind,
        version: VERSION,
        lane: 0,
        cpu: 0,
        flags: u32::from_ne_bytes(record[offset_of!(Header, flags)..][..4].try_into().unwrap()),
        boot_ns: 1_000,
    };
    bytes[..size_of::<Header>()].copy_from_slice(header.as_bytes());
    Decoder {
        clock: Clock::now(),
    }
    .decode(
        &bytes,
        EventId {
            run: 1,
            sequence: 0,
        },
    )
    .unwrap()
}

#[test]
fn v4_in_v6_is_shown_as_v4() {
    let mut record = raw::Connect::new_zeroed();
    record.flow.family = u8::try_from(libc::AF_INET6).unwrap();
    record.flow.remote_address[10..].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 1]);
    record.flow.remote_port = 443;
    let Action::TcpConnect(connect) = decode(kind::TCP_CONNECT, record.as_bytes()).action else {
        panic!()
    };
    assert_eq!(connect.flow.remote.to_string(), "192.0.2.1:443");
    assert_eq!(connect.outcome, Outcome::Success);
    assert_eq!(connect.started, None);
}

#[test]
fn giving_up_is_no_failure() {
    let mut record = raw::Connect::new_zeroed();
    record.started_boot_ns = 400;
    record.flags = raw::CONNECT_ABANDONED;
    let Action::TcpConnect(connect) = decode(kind::TCP_CONNECT, record.as_bytes()).action else {
        panic!()
    };
    assert_eq!(connect.outcome, Outcome::Abandoned);
    assert_eq!(connect.took_ns, 600);
    record.flags = 0;
    record.error = 111;
    let Action::TcpConnect(connect) = decode(kind::TCP_CONNECT, record.as_bytes()).action else {
        panic!()
    };
    assert_eq!(connect.outcome, Outcome::Failure(111));
}

#[test]
fn an_event_without_an_owner_has_no_process() {
    let mut record = raw::Close::new_zeroed();
    assert!(decode(kind::TCP_CLOSE, record.as_bytes()).process.is_some());
    record.header.flags = HEADER_OWNER_UNKNOWN;
    let event = decode(kind::TCP_CLOSE, record.as_bytes());
    assert!(event.process.is_none());
    let Action::TcpClose(close) = event.action else {
        panic!()
    };
    assert_eq!((close.direction, close.opened), (Direction::Unknown, None));
}

#[test]
fn the_protocol_of_a_packet_socket_is_turned_around() {
    let mut record = raw::RawSocket::new_zeroed();
    record.family = u16::try_from(libc::AF_PACKET).unwrap();
    record.protocol = u32::from(0x0003_u16.to_be());
    let Action::RawSocket(socket) = decode(kind::RAW_SOCKET, record.as_bytes()).action else {
        panic!()
    };
    assert_eq!(socket.protocol, 3);
}

#[test]
fn a_unix_name_is_a_path_or_abstract() {
    let record = raw::UnixConnect::new_zeroed();
    let with = |tag: u8, bytes: &[u8]| {
        let mut all = record.as_bytes().to_vec();
        all.extend([tag, 0, u8::try_from(bytes.len()).unwrap(), 0]);
        all.extend(bytes);
        let Action::UnixConnect(connect) = decode(kind::UNIX_CONNECT, &all).action else {
            panic!()
        };
        connect.peer
    };
    assert_eq!(with(tail::PATH, b"/run/x"), UnixName::Path("/run/x".into()));
    assert_eq!(
        with(tail::NAME, b"bus\0a"),
        UnixName::Abstract("bus\0a".into())
    );
    let Action::UnixConnect(connect) = decode(kind::UNIX_CONNECT, record.as_bytes()).action else {
        panic!()
    };
    assert_eq!(connect.peer, UnixName::Unnamed);
}

#[test]
fn a_dns_message_is_read_as_far_as_it_goes() {
    let mut record = raw::Dns::new_zeroed();
    record.direction = raw::DNS_RECEIVED;
    record.message_bytes = 700;
    let Action::Dns(dns) = decode(kind::DNS, record.as_bytes()).action else {
        panic!()
    };
    assert_eq!(dns.direction, Direction::Ingress);
    assert_eq!(dns.message, Err(crate::event::dns::DnsError::Short(0)));
}
