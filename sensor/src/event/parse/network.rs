//! Sockets and DNS messages, read back.

use std::net::{IpAddr, Ipv4Addr};

use super::ParseError;
use super::row::{Digits, Object, Objects, Row, Wall};
use crate::event::dns::{
    Answer, DnsError, Message, Question, class_number, opcode_number, rcode_number, type_number,
};
use crate::event::field::Field;
use crate::event::flags::{self, ERRNO};
use crate::event::network::dns::{DNS, Dns};
use crate::event::network::{
    self, Accept, Bind, Close, Connect, Direction, Flow, Listen, Outcome, RawSocket, Send,
    UnixConnect, UnixName,
};
use crate::event::{Action, Endpoint, Label, Stamp};

/// A family or type of socket that has no name in fields.
const OTHER: u16 = u16::MAX;

/// What happened; `None` for a kind that is not known.
pub(super) fn action(
    dataset: &str,
    row: &Row<'_>,
    time: Stamp,
) -> Result<Option<Action>, ParseError> {
    let is = |label: Label| dataset == label.name;
    Ok(Some(if is(network::TCP_CONNECT) {
        Action::TcpConnect(Box::new(connect(row, time)?))
    } else if is(network::UDP_CONNECT) {
        Action::UdpConnect(Box::new(connect(row, time)?))
    } else if is(network::TCP_ACCEPT) {
        Action::TcpAccept(Box::new(Accept(flow(row, Direction::Ingress)?)))
    } else if is(network::TCP_LISTEN) {
        Action::TcpListen(Box::new(Listen {
            flow: unconnected(row, Field::ServerIp, Field::ServerPort)?,
            backlog: row.get(Field::SensorNetworkBacklog)?,
        }))
    } else if is(network::BIND) {
        let flow = unconnected(row, Field::SourceIp, Field::SourcePort)?;
        Action::Bind(Box::new(Bind(flow)))
    } else if is(network::TCP_CLOSE) {
        Action::TcpClose(Box::new(close(row, time)?))
    } else if is(network::UDP_SEND) {
        Action::UdpSend(Box::new(Send(flow(row, Direction::Egress)?)))
    } else if is(network::RAW_SOCKET) {
        Action::RawSocket(raw_socket(row)?)
    } else if is(network::UNIX_CONNECT) {
        Action::UnixConnect(Box::new(unix_connect(row)?))
    } else if is(DNS) {
        Action::Dns(Box::new(dns(row)?))
    } else {
        return Ok(None);
    }))
}

fn end(row: &Row<'_>, address: Field, port: Field) -> Result<Endpoint, ParseError> {
    Ok(Endpoint {
        address: row.get(address)?,
        port: row.get(port)?,
    })
}

fn socket(row: &Row<'_>, local: Endpoint, remote: Endpoint) -> Result<Flow, ParseError> {
    Ok(Flow {
        local,
        remote,
        protocol: row.get::<Digits<u8>>(Field::NetworkIanaNumber)?.0,
        net_ns: row.get(Field::SensorNetworkNamespace)?,
        inode: row.find(Field::SensorNetworkInode)?,
    })
}

/// A socket with both ends, the one that began as the source.
fn flow(row: &Row<'_>, direction: Direction) -> Result<Flow, ParseError> {
    let source = end(row, Field::SourceIp, Field::SourcePort)?;
    let destination = end(row, Field::DestinationIp, Field::DestinationPort)?;
    match direction {
        Direction::Ingress => socket(row, destination, source),
        Direction::Egress | Direction::Unknown => socket(row, source, destination),
    }
}

/// A socket of which only this end is told.
fn unconnected(row: &Row<'_>, address: Field, port: Field) -> Result<Flow, ParseError> {
    let nobody = Endpoint {
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        port: 0,
    };
    socket(row, end(row, address, port)?, nobody)
}

fn direction(row: &Row<'_>) -> Result<Direction, ParseError> {
    let name: &str = row.get(Field::NetworkDirection)?;
    [Direction::Ingress, Direction::Egress, Direction::Unknown]
        .into_iter()
        .find(|direction| direction.name() == name)
        .ok_or_else(|| ParseError::wrong(Field::NetworkDirection, "ingress, egress or unknown"))
}

/// When something began that has ended, and how long it took.
fn began(row: &Row<'_>, time: Stamp) -> Result<(Option<Stamp>, u64), ParseError> {
    let start: Option<Wall> = row.find(Field::EventStart)?;
    let duration: Option<u64> = row.find(Field::EventDuration)?;
    Ok((
        start.map(|start| time.at_wall(start.0)),
        duration.unwrap_or(0),
    ))
}

fn error(row: &Row<'_>) -> Result<Option<u32>, ParseError> {
    let Some(name) = row.find::<&str>(Field::ErrorCode)? else {
        return Ok(None);
    };
    flags::number(name, ERRNO)
        .and_then(|number| u32::try_from(number).ok())
        .map(Some)
        .ok_or_else(|| ParseError::wrong(Field::ErrorCode, "the name of an errno"))
}

fn connect(row: &Row<'_>, time: Stamp) -> Result<Connect, ParseError> {
    let (started, took_ns) = began(row, time)?;
    let outcome = match row.get(Field::EventOutcome)? {
        "success" => Outcome::Success,
        "failure" => Outcome::Failure(error(row)?.ok_or(ParseError::Missing("error.code"))?),
        "unknown" => Outcome::Abandoned,
        _ => {
            return Err(ParseError::wrong(
                Field::EventOutcome,
                "success, failure or unknown",
            ));
        }
    };
    Ok(Connect {
        flow: flow(row, Direction::Egress)?,
        started,
        took_ns,
        outcome,
    })
}

fn close(row: &Row<'_>, time: Stamp) -> Result<Close, ParseError> {
    let direction = direction(row)?;
    let source = row.get(Field::SourceBytes)?;
    let destination = row.get(Field::DestinationBytes)?;
    let (sent, received) = match direction {
        Direction::Ingress => (destination, source),
        Direction::Egress | Direction::Unknown => (source, destination),
    };
    let (opened, lasted_ns) = began(row, time)?;
    Ok(Close {
        flow: flow(row, direction)?,
        direction,
        opened,
        lasted_ns,
        sent,
        received,
        error: error(row)?,
    })
}

fn raw_socket(row: &Row<'_>) -> Result<RawSocket, ParseError> {
    Ok(RawSocket {
        family: match row.get(Field::SensorSocketFamily)? {
            "inet" => libc::AF_INET as u16,
            "inet6" => libc::AF_INET6 as u16,
            "packet" => libc::AF_PACKET as u16,
            _ => OTHER,
        },
        socket_type: socket_type(row)?,
        protocol: row.get(Field::SensorSocketProtocol)?,
        inode: row.get(Field::SensorNetworkInode)?,
    })
}

fn socket_type(row: &Row<'_>) -> Result<u16, ParseError> {
    Ok(match row.get(Field::SensorSocketType)? {
        "stream" => libc::SOCK_STREAM as u16,
        "dgram" => libc::SOCK_DGRAM as u16,
        "raw" => libc::SOCK_RAW as u16,
        "seqpacket" => libc::SOCK_SEQPACKET as u16,
        "packet" => 10,
        _ => OTHER,
    })
}

fn unix_connect(row: &Row<'_>) -> Result<UnixConnect, ParseError> {
    let path = row.find(Field::SensorUnixPath)?.map(UnixName::Path);
    let name = row.find(Field::SensorUnixAbstractName)?;
    Ok(UnixConnect {
        peer: path
            .or(name.map(UnixName::Abstract))
            .unwrap_or(UnixName::Unnamed),
        socket_type: socket_type(row)?,
        inode: row.get(Field::SensorNetworkInode)?,
        peer_inode: row.find(Field::SensorUnixPeerInode)?,
        peer_pid: row.find(Field::SensorUnixPeerPid)?,
    })
}

fn dns(row: &Row<'_>) -> Result<Dns, ParseError> {
    let direction = direction(row)?;
    let message = match row.find(Field::SensorDnsMalformed)? {
        Some(words) => Err(malformed(words).ok_or_else(|| {
            ParseError::wrong(Field::SensorDnsMalformed, "what is wrong with a message")
        })?),
        None => Ok(message(row)?),
    };
    Ok(Dns {
        flow: flow(row, direction)?,
        direction,
        bytes: row.get(Field::NetworkBytes)?,
        message,
    })
}

/// An error by its own words.
fn malformed(words: &str) -> Option<DnsError> {
    let number = words.split(' ').find_map(|word| word.parse().ok())?;
    [DnsError::Short(number), DnsError::Name(number)]
        .into_iter()
        .find(|error| error.to_string() == words)
}

fn message(row: &Row<'_>) -> Result<Message, ParseError> {
    let flags = row.words(Field::DnsHeaderFlags)?;
    let is_response = row.get::<&str>(Field::DnsType)? == "answer";
    let (questions, cut_name) = question(row)?;
    let set = flags::bits(flags.iter().copied(), Message::FLAGS) as u16;
    Ok(Message {
        id: row.get::<Digits<u16>>(Field::DnsId)?.0,
        is_response,
        opcode: number(row, Field::DnsOpCode, opcode_number)?.unwrap_or(0),
        rcode: number(row, Field::DnsResponseCode, rcode_number)?.unwrap_or(0),
        truncated: flags.contains(&"TC"),
        flags: set | u16::from(is_response) << 15,
        dnssec_ok: flags.contains(&"DO"),
        questions,
        answers: answers(row)?,
        incomplete: row.find(Field::SensorDnsIncomplete)?.unwrap_or(false),
        cut_name,
    })
}

/// A number by its name, if the field is there.
fn number<N>(
    row: &Row<'_>,
    field: Field,
    of: impl Fn(&str) -> Option<N>,
) -> Result<Option<N>, ParseError> {
    let Some(name) = row.find(field)? else {
        return Ok(None);
    };
    of(name)
        .map(Some)
        .ok_or_else(|| ParseError::wrong(field, "a name of the domain name system's numbers"))
}

/// The first question, or what there was of its name.
fn question(row: &Row<'_>) -> Result<(Vec<Question>, Option<String>), ParseError> {
    let name: Option<&str> = row.find(Field::DnsQuestionName)?;
    let name = name.map(str::to_owned);
    let qtype = number(row, Field::DnsQuestionType, type_number)?;
    let qclass = number(row, Field::DnsQuestionClass, class_number)?;
    Ok(match (name, qtype, qclass) {
        (Some(name), Some(qtype), Some(qclass)) => {
            let question = Question {
                name,
                qtype,
                qclass,
            };
            (vec![question], None)
        }
        (name, _, _) => (Vec::new(), name),
    })
}

fn answers(row: &Row<'_>) -> Result<Vec<Answer>, ParseError> {
    let Some(Objects(objects)) = row.find(Field::DnsAnswers)? else {
        return Ok(Vec::new());
    };
    objects
        .iter()
        .map(answer)
        .collect::<Option<_>>()
        .ok_or_else(|| ParseError::wrong(Field::DnsAnswers, "a list of records"))
}

fn answer(record: &Object<'_>) -> Option<Answer> {
    let rtype = record.get("type")?;
    let data: &str = record.get("data")?;
    Some(Answer {
        name: record.get::<&str>("name")?.to_owned(),
        rtype: type_number(rtype)?,
        class: class_number(record.get("class")?)?,
        ttl: record.get("ttl")?,
        address: ["A", "AAAA"]
            .contains(&rtype)
            .then(|| data.parse().ok())
            .flatten(),
        data: data.to_owned(),
    })
}
