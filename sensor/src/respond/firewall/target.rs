//! What traffic is meant: with whom, and which service. As it is written at the command line and
//! shown to people.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use sensor_common::guard::{EGRESS, INGRESS};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::network::{Network, NetworkError};

/// Protocols that have names, those with ports first
/// (<https://www.iana.org/assignments/protocol-numbers>).
const PROTOCOLS: [(&str, u8); 9] = [
    ("tcp", 6),
    ("udp", 17),
    ("sctp", 132),
    ("udplite", 136),
    ("icmp", 1),
    ("icmpv6", 58),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
];
/// How many of them have ports.
const WITH_PORTS: usize = 4;
/// What [`Protocol::ICMP`] is called in IPv6.
const ICMPV6: Protocol = Protocol(58);

/// Why a service or a target makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TargetError {
    /// The address or network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The protocol.
    #[error(
        "{0:?} is no protocol; use tcp, udp, icmp, sctp, gre, esp, ah or a number from 1 to 255"
    )]
    Protocol(Box<str>),
    /// The port.
    #[error("{0:?} is no port; use a number from 1 to 65535, as in tcp/443")]
    Port(Box<str>),
    /// A port of what has none.
    #[error("{0} has no ports; leave the port out, or use tcp, udp, sctp or udplite")]
    NoPorts(Protocol),
}

/// Number of an IP protocol, never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Protocol(u8);

impl Protocol {
    /// Of IPv4; for IPv6 it stands for its like.
    pub const ICMP: Self = Self(1);
    /// Transmission Control Protocol.
    pub const TCP: Self = Self(6);
    /// User Datagram Protocol.
    pub const UDP: Self = Self(17);

    /// The protocol with this number; 0 is none.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        match number {
            0 => None,
            number => Some(Self(number)),
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    fn has_ports(self) -> bool {
        let with_ports = PROTOCOLS.iter().take(WITH_PORTS);
        with_ports.into_iter().any(|(_, number)| *number == self.0)
    }
}

impl FromStr for Protocol {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let named = PROTOCOLS
            .iter()
            .find(|(name, _)| text.eq_ignore_ascii_case(name));
        let number = match named {
            Some((_, number)) => Some(*number),
            None => text.parse().ok(),
        };
        number
            .and_then(Self::new)
            .ok_or_else(|| TargetError::Protocol(text.chars().take(32).collect()))
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match PROTOCOLS.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

/// What is talked: all of it, one protocol, or one service. A port is that of the service, at
/// whichever end that is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// Anything.
    #[default]
    Any,
    /// One protocol.
    Protocol(Protocol),
    /// One port of a protocol that has ports.
    Port(Protocol, NonZeroU16),
}

impl Service {
    /// One port of a protocol.
    ///
    /// # Errors
    /// When the protocol has no ports.
    pub fn port(protocol: Protocol, port: NonZeroU16) -> Result<Self, TargetError> {
        if protocol.has_ports() {
            Ok(Self::Port(protocol, port))
        } else {
            Err(TargetError::NoPorts(protocol))
        }
    }

    /// The protocol, if it is only one.
    #[must_use]
    pub const fn protocol(self) -> Option<Protocol> {
        match self {
            Self::Any => None,
            Self::Protocol(protocol) | Self::Port(protocol, _) => Some(protocol),
        }
    }

    /// The port, if it is only one.
    #[must_use]
    pub const fn port_number(self) -> Option<NonZeroU16> {
        match self {
            Self::Port(_, port) => Some(port),
            _ => None,
        }
    }
}

/// `any`, `tcp`, `tcp/443`.
impl FromStr for Service {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        match text.split_once('/') {
            None if text.eq_ignore_ascii_case("any") => Ok(Self::Any),
            None => Ok(Self::Protocol(text.parse()?)),
            Some((protocol, port)) => {
                let unreadable = || TargetError::Port(port.chars().take(32).collect());
                let number = port.parse().map_err(|_| unreadable())?;
                Self::port(protocol.parse()?, number)
            }
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Protocol(protocol) => protocol.fmt(f),
            Self::Port(protocol, port) => write!(f, "{protocol}/{port}"),
        }
    }
}

/// Traffic with an address or network: all of it, or of one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// The other side.
    pub network: Network,
    /// What is talked.
    pub service: Service,
}

impl Target {
    /// It; the name of ICMP is taken for what carries it in IPv6.
    #[must_use]
    pub fn new(network: Network, service: Service) -> Self {
        let service = match service {
            Service::Protocol(Protocol::ICMP) if network.address().is_ipv6() => {
                Service::Protocol(ICMPV6)
            }
            service => service,
        };
        Self { network, service }
    }

    /// Arguments of `sensor block` and its like that mean this.
    #[must_use]
    pub fn arguments(&self) -> String {
        let network = self.network;
        match self.service {
            Service::Any => network.to_string(),
            Service::Protocol(protocol) => format!("{network} --protocol {protocol}"),
            Service::Port(protocol, port) => {
                format!("{network} --protocol {protocol} --port {port}")
            }
        }
    }
}

impl From<Network> for Target {
    fn from(network: Network) -> Self {
        Self::new(network, Service::Any)
    }
}

/// A network, and behind a blank a service: `203.0.113.0/24 tcp/443`.
impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        match text.trim().split_once(char::is_whitespace) {
            None => Ok(text.trim().parse::<Network>()?.into()),
            Some((network, service)) => Ok(Self::new(network.parse()?, service.trim().parse()?)),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.service {
            Service::Any => self.network.fmt(f),
            service => write!(f, "{} {service}", self.network),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Which packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Directions {
    /// Those that come in.
    In,
    /// Those that go out, and what would open a connection.
    Out,
    /// All.
    #[default]
    Both,
}

impl Directions {
    /// As the programs take it.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::In => INGRESS,
            Self::Out => EGRESS,
            Self::Both => INGRESS | EGRESS,
        }
    }

    /// From what the programs take.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        match bits & (INGRESS | EGRESS) {
            INGRESS => Self::In,
            EGRESS => Self::Out,
            _ => Self::Both,
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
            Self::Both => "both",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn services_are_read_as_they_are_shown() {
        for text in ["any", "tcp", "udp", "icmp", "47", "89", "tcp/443", "udp/53"] {
            let service: Service = text.parse().unwrap();
            let again: Service = service.to_string().parse().unwrap();
            assert_eq!(service, again, "{text}");
        }
        assert_eq!("TCP/22".parse::<Service>().unwrap().to_string(), "tcp/22");
    }

    #[test]
    fn a_port_needs_a_protocol_that_has_ports() {
        for (text, says) in [
            ("icmp/8", "icmp has no ports"),
            ("tcp/0", "no port"),
            ("tcp/65536", "no port"),
            ("443", "no protocol"),
            ("0", "no protocol"),
            ("http", "no protocol"),
        ] {
            let error = text.parse::<Service>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn icmp_means_the_icmp_of_the_family() {
        let six: Target = "2001:db8::7 icmp".parse().unwrap();
        assert_eq!(six.service.protocol(), Some(ICMPV6));
        let four: Target = "203.0.113.7 icmp".parse().unwrap();
        assert_eq!(four.service.protocol(), Some(Protocol::ICMP));
    }

    #[test]
    fn the_command_that_takes_it_back_names_the_service() {
        let target: Target = "203.0.113.0/24 tcp/443".parse().unwrap();
        assert_eq!(
            target.arguments(),
            "203.0.113.0/24 --protocol tcp --port 443"
        );
    }

    #[test]
    fn directions_are_bits_of_the_programs() {
        for directions in [Directions::In, Directions::Out, Directions::Both] {
            assert_eq!(Directions::from_bits(directions.bits()), directions);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_texts_never_panic(text: String) {
            let _ = text.parse::<Target>();
            let _ = text.parse::<Service>();
        }
    }
}
