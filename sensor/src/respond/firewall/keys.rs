//! Targets as keys of the guard's maps, and back; and what one look-up bit stands for. The
//! layouts are those of `sensor-common/src/guard.rs`.

use std::net::IpAddr;
use std::num::NonZeroU16;

use sensor_common::guard::{
    ANY_PORT, ANY_PROTOCOL, BITS_BEFORE_ADDRESS, LOOK_DENY_NETS4, LOOK_DENY_NETS4_SERVICE,
    LOOK_DENY4, LOOK_DENY4_SERVICE, LOOK_V6_SHIFT, Who4, Who6,
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::network::Network;
use super::target::{Protocol, Service, Target};

/// Key of a trie (`struct bpf_lpm_trie_key`): IPv4.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub(super) struct Net4 {
    /// Bits that count, of all that follows.
    bits: u32,
    who: Who4,
}

/// The same for IPv6.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub(super) struct Net6 {
    bits: u32,
    who: Who6,
}

/// The key of a target, by the kind of map that it belongs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A single IPv4 address.
    Address4(Who4),
    /// A single IPv6 address.
    Address6(Who6),
    /// An IPv4 network.
    Net4(Net4),
    /// An IPv6 network.
    Net6(Net6),
}

impl Key {
    /// For maps that have single addresses apart from networks.
    pub(super) fn exact(target: &Target) -> Self {
        if !target.network.is_address() {
            return Self::net(target);
        }
        let (port, protocol) = service(target.service);
        match target.network.address() {
            IpAddr::V4(address) => Self::Address4(Who4 {
                port,
                protocol,
                reserved: 0,
                address: address.octets(),
            }),
            IpAddr::V6(address) => Self::Address6(Who6 {
                port,
                protocol,
                address: address.octets(),
                ..Who6::default()
            }),
        }
    }

    /// For maps that have addresses as networks of one.
    pub(super) fn net(target: &Target) -> Self {
        let bits = BITS_BEFORE_ADDRESS + u32::from(target.network.prefix());
        let (port, protocol) = service(target.service);
        match target.network.address() {
            IpAddr::V4(address) => Self::Net4(Net4 {
                bits,
                who: Who4 {
                    port,
                    protocol,
                    reserved: 0,
                    address: address.octets(),
                },
            }),
            IpAddr::V6(address) => Self::Net6(Net6 {
                bits,
                who: Who6 {
                    port,
                    protocol,
                    address: address.octets(),
                    ..Who6::default()
                },
            }),
        }
    }

    /// What it stands for; nothing when the key is none of ours.
    pub(super) fn target(&self) -> Option<Target> {
        let (port, protocol, address, bits) = match *self {
            Self::Address4(who) => (who.port, who.protocol, IpAddr::from(who.address), None),
            Self::Address6(who) => (who.port, who.protocol, IpAddr::from(who.address), None),
            Self::Net4(Net4 { bits, who }) => {
                (who.port, who.protocol, who.address.into(), Some(bits))
            }
            Self::Net6(Net6 { bits, who }) => {
                (who.port, who.protocol, who.address.into(), Some(bits))
            }
        };
        let network = match bits {
            None => Network::from(address),
            Some(bits) => {
                let prefix = bits.checked_sub(BITS_BEFORE_ADDRESS)?;
                Network::around(address, prefix.try_into().ok()?)
            }
        };
        let service = match (Protocol::new(protocol), NonZeroU16::new(port)) {
            (None, _) => Service::Any,
            (Some(protocol), None) => Service::Protocol(protocol),
            (Some(protocol), Some(port)) => Service::port(protocol, port).ok()?,
        };
        Some(Target { network, service })
    }
}

fn service(service: Service) -> (u16, u8) {
    (
        service.port_number().map_or(ANY_PORT, NonZeroU16::get),
        service.protocol().map_or(ANY_PROTOCOL, Protocol::number),
    )
}

/// The look-up that finds a denied target.
pub(super) fn look(target: &Target) -> u32 {
    let is_any = target.service == Service::Any;
    let look = match (target.network.is_address(), is_any) {
        (true, true) => LOOK_DENY4,
        (true, false) => LOOK_DENY4_SERVICE,
        (false, true) => LOOK_DENY_NETS4,
        (false, false) => LOOK_DENY_NETS4_SERVICE,
    };
    match target.network.address() {
        IpAddr::V4(_) => look,
        IpAddr::V6(_) => look << LOOK_V6_SHIFT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn target(text: &str) -> Target {
        text.parse().unwrap()
    }

    #[test]
    fn the_bytes_are_those_the_programs_compare() {
        let Key::Net4(key) = Key::exact(&target("203.0.113.0/24 tcp/443")) else {
            panic!("not a network");
        };
        let mut bytes = 56_u32.to_ne_bytes().to_vec();
        bytes.extend(443_u16.to_ne_bytes());
        bytes.extend([6, 0, 203, 0, 113, 0]);
        assert_eq!(key.as_bytes(), bytes);
        let Key::Address6(key) = Key::exact(&target("2001:db8::7")) else {
            panic!("not an address");
        };
        assert_eq!(
            key.as_bytes(),
            [
                0, 0, 0, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0
            ]
        );
    }

    #[test]
    fn an_exception_of_one_address_is_a_network_of_one() {
        let Key::Net4(key) = Key::net(&target("203.0.113.7")) else {
            panic!("not a network");
        };
        assert_eq!(key.bits, BITS_BEFORE_ADDRESS + 32);
    }

    #[test]
    fn each_look_up_has_a_bit_of_its_own() {
        let texts = [
            "203.0.113.7",
            "203.0.113.7 udp",
            "203.0.113.0/24",
            "203.0.113.0/24 tcp/22",
            "2001:db8::7",
            "2001:db8::7 udp",
            "2001:db8::/32",
            "2001:db8::/32 tcp/22",
        ];
        let bits = texts.map(|text| look(&target(text)));
        assert_eq!(bits.iter().fold(0, |all, bit| all | bit), 0xff);
        assert!(bits.iter().all(|bit| bit.is_power_of_two()));
    }

    proptest! {
        #[test]
        fn a_key_stands_for_its_target(
            bytes: [u8; 16],
            six: bool,
            prefix in 0_u8..=128,
            number: u8,
            port: u16,
        ) {
            let [a, b, c, d, ..] = bytes;
            let address = if six { IpAddr::from(bytes) } else { IpAddr::from([a, b, c, d]) };
            let service = match (Protocol::new(number), NonZeroU16::new(port)) {
                (None, _) => Service::Any,
                (Some(protocol), None) => Service::Protocol(protocol),
                (Some(protocol), Some(port)) =>
                    Service::port(protocol, port).unwrap_or(Service::Protocol(protocol)),
            };
            let target = Target::new(Network::around(address, prefix), service);
            prop_assert_eq!(Key::exact(&target).target(), Some(target));
            prop_assert_eq!(Key::net(&target).target(), Some(target));
        }
    }
}
