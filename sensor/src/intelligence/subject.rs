//! What an indicator points at: an address or network, a domain name, or the hash of a file; and
//! how people write these down, disarmed spellings included. No lists, no judgement.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

/// Longest text read as an indicator, in bytes; addresses of web pages are the longest.
pub const TEXT_MAX: usize = 2_048;
/// Longest domain name, in bytes as text (RFC 1035, 2.3.4).
const NAME_MAX: usize = 253;
/// Longest part of one (RFC 1035, 2.3.4).
const LABEL_MAX: usize = 63;
/// A network of fewer bits holds a large part of the Internet: a mistake, or sabotage.
const BITS_MIN_V4: u8 = 8;
/// The same for IPv6; the smallest number of bits that a registry gives to a network operator.
const BITS_MIN_V6: u8 = 19;

/// Why a text is no indicator that can be used.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unfit {
    /// It is none of the forms known.
    #[error("neither an address, nor a network, a domain name, a URL or the hash of a file")]
    Unknown,
    /// It holds a large part of the Internet.
    #[error("so large a network is refused")]
    TooBroad,
    /// It is of a private network, of this machine, or of no machine.
    #[error("an address of a private network, or of no single machine (see `private`)")]
    NotPublic,
}

/// An address, or all that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// The network of this many bits that an address is in; `None` when there are not so many.
    /// IPv4 addresses in IPv6 clothes (`::ffff:…`, RFC 4291, 2.5.5.2) become what they are.
    #[must_use]
    pub fn new(address: IpAddr, bits: u8) -> Option<Self> {
        let (address, bits) = match (address, address.to_canonical()) {
            (IpAddr::V6(_), mapped @ IpAddr::V4(_)) => (mapped, bits.checked_sub(96)?),
            _ => (address, bits),
        };
        let address = match address {
            IpAddr::V4(address) => IpAddr::V4(address & mask_v4(bits)?),
            IpAddr::V6(address) => IpAddr::V6(address & mask_v6(bits)?),
        };
        Some(Self { address, bits })
    }

    /// One address.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self {
            address,
            bits: width(address),
        }
    }

    /// Its first address.
    #[must_use]
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// How many bits all its addresses begin with.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.bits
    }

    /// Whether it is a single address.
    #[must_use]
    pub const fn is_host(self) -> bool {
        self.bits == width(self.address)
    }

    /// Whether it is of the public Internet: not of private networks, not this machine, not
    /// multicast (RFC 6890). Addresses for documentation (RFC 5737, RFC 3849) count as public.
    #[must_use]
    pub fn is_public(self) -> bool {
        match self.address {
            IpAddr::V4(address) => {
                let [first, second, ..] = address.octets();
                !(first == 0
                    || first >= 224
                    || address.is_private()
                    || address.is_loopback()
                    || address.is_link_local()
                    // Between providers and their customers (RFC 6598).
                    || (first == 100 && second & 0xc0 == 64))
            }
            IpAddr::V6(address) => {
                // All that is given out is below 2000::/3.
                address
                    .segments()
                    .first()
                    .is_some_and(|first| first >> 13 == 1)
            }
        }
    }
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn mask_v4(bits: u8) -> Option<Ipv4Addr> {
    let rest = 32_u32.checked_sub(bits.into())?;
    Some(u32::MAX.checked_shl(rest).unwrap_or(0).into())
}

fn mask_v6(bits: u8) -> Option<Ipv6Addr> {
    let rest = 128_u32.checked_sub(bits.into())?;
    Some(u128::MAX.checked_shl(rest).unwrap_or(0).into())
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_host() {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{}/{}", self.address, self.bits)
        }
    }
}

/// A domain name, in lower case and without a dot at its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain {
    /// The name.
    pub name: Box<str>,
    /// Only what is below it counts: `*.example.net`. Otherwise itself and what is below it.
    pub only_below: bool,
}

impl Domain {
    /// Reads one; `None` when no host could have that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (text, only_below) = match text.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let is_label = |label: &str| {
            (1..=LABEL_MAX).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        // A single word is a machine of one's own; a number at the end is a broken address.
        let (_, last) = name.rsplit_once('.')?;
        let is_name = name.len() <= NAME_MAX
            && name.split('.').all(is_label)
            && !last.bytes().all(|byte| byte.is_ascii_digit());
        is_name.then(|| Self {
            name: name.into(),
            only_below,
        })
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.only_below { "*." } else { "" };
        write!(f, "{star}{}", self.name)
    }
}

/// The hash of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileHash {
    /// MD5.
    Md5([u8; 16]),
    /// SHA-1.
    Sha1([u8; 20]),
    /// SHA-256, the one that the sensor computes of what runs.
    Sha256([u8; 32]),
}

impl FileHash {
    /// From hexadecimal digits, of which the number says what it is.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.len() {
            32 => bytes(text).map(Self::Md5),
            40 => bytes(text).map(Self::Sha1),
            64 => bytes(text).map(Self::Sha256),
            _ => None,
        }
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8] {
        match self {
            Self::Md5(bytes) => bytes,
            Self::Sha1(bytes) => bytes,
            Self::Sha256(bytes) => bytes,
        }
    }
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let digit = |byte: u8| char::from(byte).to_digit(16);
    for (to, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *to = u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?;
    }
    Some(bytes)
}

impl fmt::Display for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What an indicator points at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// An address or network.
    Network(Network),
    /// A domain name.
    Domain(Domain),
    /// The host of a web page. Much that is bad lies on hosts that are not, so this says less
    /// than a domain does.
    Host(Domain),
    /// A file.
    File(FileHash),
}

impl Subject {
    /// Reads what people write: `192.0.2.7`, `192.0.2.7:8080`, `192.0.2.0/24`, `2001:db8::/48`,
    /// `evil.example`, `*.evil.example`, `https://evil.example/page`, 32, 40 or 64 hexadecimal
    /// digits; also disarmed (`hxxp://`, `evil[.]example`).
    ///
    /// # Errors
    /// When it is nothing of that, or too broad to be meant.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        if text.len() > TEXT_MAX {
            return Err(Unfit::Unknown);
        }
        let armed = armed(text.trim());
        if let Some((_, rest)) = armed.split_once("://") {
            return host_of(rest);
        }
        if let Some(found) = network(&armed) {
            return found.map(Self::Network);
        }
        if let Some(hash) = FileHash::parse(&armed) {
            return Ok(Self::File(hash));
        }
        Domain::parse(&armed)
            .map(Self::Domain)
            .ok_or(Unfit::Unknown)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Domain(domain) | Self::Host(domain) => domain.fmt(f),
            Self::File(hash) => hash.fmt(f),
        }
    }
}

/// Undoes what keeps people from clicking on it.
fn armed(text: &str) -> String {
    let text = text.replace("[.]", ".").replace("[:]", ":");
    match text.strip_prefix("hxxp") {
        Some(rest) => format!("http{rest}"),
        None => text,
    }
}

/// What an address or network is, if it looks like one.
fn network(text: &str) -> Option<Result<Network, Unfit>> {
    if let Some((address, bits)) = text.split_once('/') {
        let address: IpAddr = address.parse().ok()?;
        let network = bits
            .parse()
            .ok()
            .and_then(|bits| Network::new(address, bits));
        return Some(network.ok_or(Unfit::Unknown).and_then(narrow));
    }
    address(text).map(|address| Ok(Network::host(address)))
}

/// An address, perhaps with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.split(']').next())
        .unwrap_or(text);
    bare.parse()
        .or_else(|_| text.parse::<std::net::SocketAddr>().map(|end| end.ip()))
        .ok()
}

fn narrow(network: Network) -> Result<Network, Unfit> {
    let least = match network.address {
        IpAddr::V4(_) => BITS_MIN_V4,
        IpAddr::V6(_) => BITS_MIN_V6,
    };
    if network.bits < least {
        Err(Unfit::TooBroad)
    } else {
        Ok(network)
    }
}

/// The host of a URL, from behind its scheme (RFC 3986, 3.2).
fn host_of(rest: &str) -> Result<Subject, Unfit> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    if let Some(address) = address(host) {
        return Ok(Subject::Network(Network::host(address)));
    }
    let name = host.split(':').next().unwrap_or_default();
    Domain::parse(name)
        .filter(|domain| !domain.only_below)
        .map(Subject::Host)
        .ok_or(Unfit::Unknown)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> String {
        match Subject::parse(text) {
            Ok(Subject::Host(host)) => format!("host of a page: {host}"),
            Ok(subject) => subject.to_string(),
            Err(error) => format!("{error:?}"),
        }
    }

    #[test]
    fn people_write_indicators_in_many_ways() {
        for (text, meaning) in [
            ("192.0.2.7", "192.0.2.7"),
            (" 192.0.2.7:8080 ", "192.0.2.7"),
            ("192[.]0[.]2[.]7", "192.0.2.7"),
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("192.0.2.7/32", "192.0.2.7"),
            ("2001:DB8::1", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("2001:db8:1:2::/48", "2001:db8:1::/48"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("Evil.Example.", "evil.example"),
            ("*.evil.example", "*.evil.example"),
            ("evil[.]example", "evil.example"),
            ("_dmarc.evil.example", "_dmarc.evil.example"),
            (
                "hxxps://evil.example:8443/a?b#c",
                "host of a page: evil.example",
            ),
            (
                "http://user:word@evil.example",
                "host of a page: evil.example",
            ),
            ("http://192.0.2.7/x", "192.0.2.7"),
            ("http://[2001:db8::1]/x", "2001:db8::1"),
            (
                "D41D8CD98F00B204E9800998ECF8427E",
                "d41d8cd98f00b204e9800998ecf8427e",
            ),
            ("0.0.0.0/0", "TooBroad"),
            ("2000::/3", "TooBroad"),
            ("192.0.2.0/33", "Unknown"),
            ("192.0.2.300", "Unknown"),
            ("localhost", "Unknown"),
            ("a b.example", "Unknown"),
            ("", "Unknown"),
        ] {
            assert_eq!(read(text), meaning, "{text}");
        }
    }

    #[test]
    fn private_networks_are_not_public_and_those_for_documentation_are() {
        let public = |text| match Subject::parse(text).unwrap() {
            Subject::Network(network) => network.is_public(),
            other => panic!("{other}"),
        };
        for not in [
            "10.1.2.3",
            "127.0.0.1",
            "100.64.1.1",
            "224.0.0.1",
            "::1",
            "fe80::1",
            "fd00::1",
        ] {
            assert!(!public(not), "{not}");
        }
        for is in ["192.0.2.1", "8.8.8.8", "100.128.0.1", "2001:db8::1"] {
            assert!(public(is), "{is}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic_and_what_it_means_is_read_the_same(text in "\\PC{0,80}") {
            if let Ok(subject) = Subject::parse(&text) && !matches!(subject, Subject::Host(_)) {
                prop_assert_eq!(Subject::parse(&subject.to_string()), Ok(subject));
            }
        }

        #[test]
        fn a_network_is_named_by_its_first_address(address: u128, bits in 0_u8..=128) {
            if let Some(network) = Network::new(IpAddr::V6(address.into()), bits) {
                prop_assert_eq!(Network::new(network.address(), network.bits()), Some(network));
            }
        }
    }
}
