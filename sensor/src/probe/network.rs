//! Decodes the records of `sensor-ebpf/src/network.rs` and `dns.rs` into `event/network.rs`.

use sensor_common::network as raw;
use sensor_common::record::{HEADER_OWNER_UNKNOWN, Header, Subject};
use sensor_common::tail;

use super::decode::{Decoded, Raw, Sections, owned};
use crate::event::network::dns::Dns;
use crate::event::network::{
    Accept, Bind, Close, Connect, Direction, Flow, Listen, Outcome, RawSocket, Send, UnixConnect,
    UnixName,
};
use crate::event::object::address;
use crate::event::process::Process;
use crate::event::{Action, Endpoint, dns as message};

/// [`sensor_common::kind::TCP_CONNECT`].
pub fn tcp_connect(raw: &Raw<'_>) -> Decoded {
    let (process, connect) = connect(raw)?;
    Ok((process, Action::TcpConnect(Box::new(connect))))
}

/// [`sensor_common::kind::UDP_CONNECT`].
pub fn udp_connect(raw: &Raw<'_>) -> Decoded {
    let (process, connect) = connect(raw)?;
    Ok((process, Action::UdpConnect(Box::new(connect))))
}

fn connect(raw: &Raw<'_>) -> Result<(Option<Process>, Connect), super::decode::DecodeError> {
    let (record, _) = raw.parts::<raw::Connect>()?;
    let outcome = match record.error {
        _ if record.flags & raw::CONNECT_ABANDONED != 0 => Outcome::Abandoned,
        0 => Outcome::Success,
        error => Outcome::Failure(error),
    };
    let connect = Connect {
        flow: flow(&record.flow),
        started: (record.started_boot_ns != 0).then(|| raw.clock.stamp(record.started_boot_ns)),
        took_ns: record.header.boot_ns.saturating_sub(record.started_boot_ns),
        outcome,
    };
    Ok((owner(raw, &record.header, &record.subject), connect))
}

/// [`sensor_common::kind::TCP_ACCEPT`].
pub fn tcp_accept(raw: &Raw<'_>) -> Decoded {
    let (process, flow) = socket(raw)?;
    Ok((process, Action::TcpAccept(Box::new(Accept(flow)))))
}

/// [`sensor_common::kind::BIND`].
pub fn bind(raw: &Raw<'_>) -> Decoded {
    let (process, flow) = socket(raw)?;
    Ok((process, Action::Bind(Box::new(Bind(flow)))))
}

/// [`sensor_common::kind::UDP_SEND`].
pub fn udp_send(raw: &Raw<'_>) -> Decoded {
    let (process, flow) = socket(raw)?;
    Ok((process, Action::UdpSend(Box::new(Send(flow)))))
}

fn socket(raw: &Raw<'_>) -> Result<(Option<Process>, Flow), super::decode::DecodeError> {
    let (record, _) = raw.parts::<raw::Socket>()?;
    Ok((
        owner(raw, &record.header, &record.subject),
        flow(&record.flow),
    ))
}

/// [`sensor_common::kind::TCP_LISTEN`].
pub fn tcp_listen(raw: &Raw<'_>) -> Decoded {
    let (record, _) = raw.parts::<raw::Listen>()?;
    let listen = Listen {
        flow: flow(&record.flow),
        backlog: record.backlog,
    };
    Ok((
        owner(raw, &record.header, &record.subject),
        Action::TcpListen(Box::new(listen)),
    ))
}

/// [`sensor_common::kind::TCP_CLOSE`].
pub fn tcp_close(raw: &Raw<'_>) -> Decoded {
    let (record, _) = raw.parts::<raw::Close>()?;
    let direction = match record.flags & (raw::CLOSE_INBOUND | raw::CLOSE_OUTBOUND) {
        raw::CLOSE_INBOUND => Direction::Ingress,
        raw::CLOSE_OUTBOUND => Direction::Egress,
        _ => Direction::Unknown,
    };
    let close = Close {
        flow: flow(&record.flow),
        direction,
        opened: (record.opened_boot_ns != 0).then(|| raw.clock.stamp(record.opened_boot_ns)),
        lasted_ns: record.header.boot_ns.saturating_sub(record.opened_boot_ns),
        sent: record.sent_bytes,
        received: record.received_bytes,
        error: (record.error != 0).then_some(record.error),
    };
    Ok((
        owner(raw, &record.header, &record.subject),
        Action::TcpClose(Box::new(close)),
    ))
}

/// [`sensor_common::kind::RAW_SOCKET`].
pub fn raw_socket(raw: &Raw<'_>) -> Decoded {
    let (record, _) = raw.parts::<raw::RawSocket>()?;
    let protocol = if i32::from(record.family) == libc::AF_PACKET {
        // Passed in network order, in the low half.
        u32::from(u16::from_be(record.protocol as u16))
    } else {
        record.protocol
    };
    let socket = RawSocket {
        family: record.family,
        socket_type: record.socket_type,
        protocol,
        inode: record.inode,
    };
    Ok((
        owner(raw, &record.header, &record.subject),
        Action::RawSocket(socket),
    ))
}

/// [`sensor_common::kind::UNIX_CONNECT`].
pub fn unix_connect(raw: &Raw<'_>) -> Decoded {
    let (record, sections) = raw.parts::<raw::UnixConnect>()?;
    let connect = UnixConnect {
        peer: unix_name(&sections),
        socket_type: record.socket_type,
        inode: record.inode,
        peer_inode: (record.peer_inode != 0).then_some(record.peer_inode),
        peer_pid: (record.peer_pid != 0).then_some(record.peer_pid),
    };
    Ok((
        owner(raw, &record.header, &record.subject),
        Action::UnixConnect(Box::new(connect)),
    ))
}

fn unix_name(sections: &Sections<'_>) -> UnixName {
    match (sections.text(tail::PATH), sections.get(tail::NAME)) {
        (Some(path), _) => UnixName::Path(path),
        (None, Some(name)) => UnixName::Abstract(owned(name.bytes)),
        (None, None) => UnixName::Unnamed,
    }
}

/// [`sensor_common::kind::DNS`].
pub fn dns(raw: &Raw<'_>) -> Decoded {
    let (record, sections) = raw.parts::<raw::Dns>()?;
    let payload = sections.get(tail::PAYLOAD).unwrap_or_default();
    let direction = match record.direction {
        raw::DNS_SENT => Direction::Egress,
        raw::DNS_RECEIVED => Direction::Ingress,
        _ => Direction::Unknown,
    };
    let dns = Dns {
        flow: flow(&record.flow),
        direction,
        bytes: record.message_bytes,
        message: message::parse(payload.bytes),
    };
    Ok((
        owner(raw, &record.header, &record.subject),
        Action::Dns(Box::new(dns)),
    ))
}

/// Whose event it is, if that is known.
fn owner(raw: &Raw<'_>, header: &Header, subject: &Subject) -> Option<Process> {
    (header.flags & HEADER_OWNER_UNKNOWN == 0).then(|| raw.process(subject))
}

fn flow(raw: &raw::Flow) -> Flow {
    Flow {
        local: Endpoint {
            address: address(raw.family, &raw.local_address),
            port: raw.local_port,
        },
        remote: Endpoint {
            address: address(raw.family, &raw.remote_address),
            port: raw.remote_port,
        },
        protocol: raw.protocol,
        net_ns: raw.net_ns,
        inode: (raw.inode != 0).then_some(raw.inode),
    }
}

#[cfg(test)]
mod tests;
