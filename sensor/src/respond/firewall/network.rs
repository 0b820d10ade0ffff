//! Addresses and networks, and what is talked with them: what a block or an exception is for.
//! What is done with them is not known here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest text looked at; the longest network has 43 bytes.
const TEXT_MAX: usize = 64;
/// Prefix of IPv4 addresses in IPv6 (RFC 4291, 2.5.5.2).
const MAPPED_PREFIX: u8 = 96;

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NetworkError {
    /// There is no address in it.
    #[error(
        "{0:?} is neither an address nor a network; write 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32 \
         (names are not looked up: whoever answers for one would decide what is blocked)"
    )]
    Unreadable(Box<str>),
    /// Its prefix is longer than an address.
    #[error("{text:?}: the prefix length goes from 0 to {max}")]
    Prefix {
        /// What was given.
        text: Box<str>,
        /// Bits of an address.
        max: u8,
    },
    /// There is more in it than the network.
    #[error(
        "{text:?} has bits behind its prefix; did you mean the network {network} or the address {address}?"
    )]
    Behind {
        /// What was given.
        text: Box<str>,
        /// The network in which that is.
        network: Network,
        /// The address alone.
        address: IpAddr,
    },
    /// It names an interface.
    #[error("{0:?}: an address cannot be tied to an interface; leave out what follows the %")]
    Zone(Box<str>),
}

/// A network, or a single address. Nothing is set behind its prefix, and IPv4 is IPv4, however it
/// was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The network of that size which an address is in; of all bits when the size is too large.
    #[must_use]
    pub fn around(address: IpAddr, prefix: u8) -> Self {
        match address {
            IpAddr::V4(address) => {
                let prefix = prefix.min(32);
                let masked = u32::from(address) & mask(prefix, 32) as u32;
                Self {
                    address: Ipv4Addr::from(masked).into(),
                    prefix,
                }
            }
            IpAddr::V6(address) => {
                let prefix = prefix.min(128);
                let masked = Ipv6Addr::from(u128::from(address) & mask(prefix, 128));
                match masked.to_ipv4_mapped() {
                    Some(mapped) if prefix >= MAPPED_PREFIX => Self {
                        address: mapped.into(),
                        prefix: prefix - MAPPED_PREFIX,
                    },
                    _ => Self {
                        address: masked.into(),
                        prefix,
                    },
                }
            }
        }
    }

    /// Its first address.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Bits that all its addresses have in common.
    #[must_use]
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether it is one address.
    #[must_use]
    pub const fn is_address(&self) -> bool {
        self.prefix == bits(self.address)
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && Self::around(address, self.prefix) == *self
    }

    /// Whether they have an address in common.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }
}

/// Bits of an address.
const fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The first bits of an address of that width.
fn mask(prefix: u8, width: u8) -> u128 {
    let all = u128::MAX >> (128 - u32::from(width));
    let behind = all.checked_shr(u32::from(prefix)).unwrap_or(0);
    all & !behind
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self::around(address, bits(address))
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let shown = || text.chars().take(TEXT_MAX).collect::<Box<str>>();
        let unreadable = || NetworkError::Unreadable(shown());
        if text.len() > TEXT_MAX {
            return Err(unreadable());
        }
        if text.contains('%') {
            return Err(NetworkError::Zone(shown()));
        }
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| unreadable())?;
        let Some(prefix) = prefix else {
            return Ok(Self::from(address));
        };
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(unreadable());
        }
        let max = bits(address);
        let prefix = prefix.parse().ok().filter(|prefix| *prefix <= max);
        let prefix = prefix.ok_or_else(|| NetworkError::Prefix { text: shown(), max })?;
        let network = Self::around(address, prefix);
        if network.address == Self::from(address).address {
            Ok(network)
        } else {
            Err(NetworkError::Behind {
                text: shown(),
                network,
                address,
            })
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_address() {
            return self.address.fmt(f);
        }
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Serialize for Network {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_and_networks_of_both_families_are_read() {
        for text in [
            "203.0.113.7",
            "203.0.113.0/24",
            "0.0.0.0/0",
            "2001:db8::7",
            "2001:db8::/32",
            "::/0",
        ] {
            assert_eq!(network(text).to_string(), text);
        }
        assert!(network("203.0.113.7/32").is_address());
        assert!(!network("203.0.113.0/24").is_address());
    }

    #[test]
    fn ipv4_in_ipv6_is_ipv4() {
        assert_eq!(network("::ffff:203.0.113.7"), network("203.0.113.7"));
        assert_eq!(network("::ffff:203.0.113.0/120"), network("203.0.113.0/24"));
        assert!(network("203.0.113.0/24").contains("::ffff:203.0.113.9".parse().unwrap()));
    }

    #[test]
    fn what_is_no_network_is_refused_and_says_why() {
        for (text, says) in [
            ("", "neither an address nor a network"),
            ("evil.example", "names are not looked up"),
            ("203.0.113.7:443", "neither"),
            ("203.0.113", "neither"),
            ("010.0.0.1", "neither"),
            ("203.0.113.0/", "neither"),
            ("203.0.113.0/+24", "neither"),
            ("203.0.113.0/33", "from 0 to 32"),
            ("2001:db8::/129", "from 0 to 128"),
            ("203.0.113.7/24", "203.0.113.0/24"),
            ("fe80::1%eth0", "interface"),
        ] {
            let error = text.parse::<Network>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn networks_overlap_when_one_holds_the_other() {
        assert!(network("0.0.0.0/0").overlaps(&network("203.0.113.7")));
        assert!(network("203.0.113.7").overlaps(&network("203.0.113.0/24")));
        assert!(!network("203.0.113.0/25").overlaps(&network("203.0.113.128/25")));
        assert!(!network("::/0").overlaps(&network("203.0.113.7")));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_again(bytes: [u8; 16], six: bool, prefix in 0_u8..=130) {
            let [a, b, c, d, ..] = bytes;
            let address = if six { IpAddr::from(bytes) } else { IpAddr::from([a, b, c, d]) };
            let network = Network::around(address, prefix);
            prop_assert!(network.contains(address));
            prop_assert_eq!(network.to_string().parse(), Ok(network));
        }

        #[test]
        fn arbitrary_texts_never_panic(text: String) {
            let _ = text.parse::<Network>();
        }

        #[test]
        fn texts_like_networks_never_panic(text in "[0-9a-f:./%]{0,50}") {
            let _ = text.parse::<Network>();
        }
    }
}
