//! What of a packet decides about it: the other side's address, what is talked, on which ports.
//! Headers are looked at as far as that needs, never further than the packet reaches, and what is
//! odd about them is counted. Whether the packet passes is not known here.

use sensor_common::guard::{Who4, Who6, tally};

use crate::maps::count;
use crate::source::{Direction, REACH, Source, opaque};

// `include/uapi/linux/if_ether.h`.
const ETH_P_IP: u16 = 0x0800;
const ETH_P_IPV6: u16 = 0x86dd;
const ETH_P_8021Q: u16 = 0x8100;
const ETH_P_8021AD: u16 = 0x88a8;
/// Where the type of an Ethernet frame is.
const ETHERTYPE: usize = 12;
/// VLAN tags that are looked behind; with more, a frame is not taken for IP. The kernel itself
/// often takes one off before.
const TAGS_MAX: usize = 2;

// IANA's protocol numbers.
const HOP_BY_HOP: u8 = 0;
const ICMP: u8 = 1;
const TCP: u8 = 6;
pub const UDP: u8 = 17;
const DCCP: u8 = 33;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const ICMPV6: u8 = 58;
const DESTINATION: u8 = 60;
const SCTP: u8 = 132;
const MOBILITY: u8 = 135;
const UDP_LITE: u8 = 136;
const HOST_IDENTITY: u8 = 139;
const SHIM6: u8 = 140;
/// The headers end before the one that would say.
const UNKNOWN: u8 = 0;

/// Extension headers that are looked behind; real packets have two or three.
const EXTENSIONS_MAX: usize = 8;

/// What follows the link layer, and where.
pub enum Network {
    V4(usize),
    V6(usize),
    /// ARP, and whatever else is not IP.
    Other,
    /// The frame is too short to say, or is nothing that belongs here.
    Malformed,
}

/// Goes through Ethernet and its tags.
#[inline(always)]
pub fn behind_ethernet(source: &impl Source) -> Network {
    let mut at = ETHERTYPE;
    for _ in 0..=TAGS_MAX {
        let Some([word]) = source.words(at) else {
            return Network::Malformed;
        };
        let [high, low, _, _] = word.to_ne_bytes();
        match u16::from_be_bytes([high, low]) {
            ETH_P_IP => return Network::V4(at + 2),
            ETH_P_IPV6 => return Network::V6(at + 2),
            // The tag, and the type of what is tagged.
            ETH_P_8021Q | ETH_P_8021AD => at += 4,
            _ => return Network::Other,
        }
    }
    Network::Other
}

/// Where there is no link layer.
#[inline(always)]
pub fn at_start(source: &impl Source) -> Network {
    let Some([word]) = source.words(0) else {
        return Network::Malformed;
    };
    let [version, ..] = word.to_ne_bytes();
    match version >> 4 {
        4 => Network::V4(0),
        6 => Network::V6(0),
        _ => Network::Malformed,
    }
}

/// What the first header of a packet says.
pub struct Head<W> {
    /// The other side, whatever it talks.
    pub who: W,
    /// Of what follows.
    protocol: u8,
    /// Where that is.
    at: usize,
    /// It is in an earlier fragment.
    is_later_fragment: bool,
}

/// What is talked.
pub struct Talk {
    /// Protocol, or [`UNKNOWN`].
    pub protocol: u8,
    /// Port at this host, 0 when there is none.
    pub local_port: u16,
    /// Port at the other side.
    pub remote_port: u16,
    /// Without such packets an IPv6 network does not work: neighbour discovery, and telling
    /// switches what multicast is wanted, without which that does not arrive.
    pub is_vital: bool,
    /// This host is given its address.
    pub is_dhcp: bool,
    /// An ICMP error: where the packet that it is about begins.
    pub quoted: Option<usize>,
}

impl Talk {
    /// Neither ports nor anything else is known of it.
    #[inline(always)]
    pub fn plain(protocol: u8) -> Self {
        Self {
            protocol,
            local_port: 0,
            remote_port: 0,
            is_vital: false,
            is_dhcp: false,
            quoted: None,
        }
    }

    /// One whose headers cannot be followed to the end.
    #[inline(always)]
    fn malformed(protocol: u8, source: &impl Source) -> Self {
        count(tally::MALFORMED, source.bytes());
        Self::plain(protocol)
    }

    #[inline(always)]
    fn later_fragment(protocol: u8, source: &impl Source) -> Self {
        count(tally::FRAGMENT, source.bytes());
        Self::plain(protocol)
    }

    /// What the transport header says.
    #[inline(always)]
    fn read<L: Layer>(protocol: u8, at: usize, source: &impl Source) -> Self {
        if !matches!(protocol, TCP | UDP | DCCP | SCTP | UDP_LITE) && protocol != L::ICMP {
            return Self::plain(protocol);
        }
        let Some([word]) = source.words(at) else {
            return Self::malformed(protocol, source);
        };
        let mut talk = Self::plain(protocol);
        let [a, b, c, d] = word.to_ne_bytes();
        if protocol == L::ICMP {
            talk.is_vital = L::is_vital(a);
            talk.quoted = L::is_error(a).then_some(at + ICMP_HEADER);
            return talk;
        }
        let (from, to) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        (talk.local_port, talk.remote_port) = match source.direction() {
            Direction::In => (to, from),
            Direction::Out => (from, to),
        };
        talk.is_dhcp = protocol == UDP && (talk.local_port, talk.remote_port) == L::DHCP;
        talk
    }
}

/// RFC 792 and RFC 4443: what an error is about follows this many bytes.
const ICMP_HEADER: usize = 8;

/// IPv4 or IPv6, by its kind of address.
pub trait Layer: Copy + 'static {
    /// Number of its ICMP.
    const ICMP: u8;
    /// Ports of a host that is given its address, and of who gives it.
    const DHCP: (u16, u16);

    /// Reads the first header; none when there is none of this version.
    fn head(source: &impl Source, at: usize) -> Option<Head<Self>>;
    /// Follows it to the transport header.
    fn talk(head: &Head<Self>, source: &impl Source) -> Talk;
    /// Destination of the packet that begins there.
    fn destination(source: &impl Source, at: usize) -> Option<Self>;
    /// Whether a type of ICMP is [`Talk::is_vital`].
    fn is_vital(kind: u8) -> bool;
    /// Whether a type of ICMP quotes a packet.
    fn is_error(kind: u8) -> bool;
}

impl Layer for Who4 {
    const ICMP: u8 = ICMP;
    const DHCP: (u16, u16) = (68, 67);

    /// RFC 791, 3.1.
    #[inline(always)]
    fn head(source: &impl Source, at: usize) -> Option<Head<Self>> {
        let [first, fragment, third, from, to]: [u32; 5] = source.words(at)?;
        let [version_length, ..] = first.to_ne_bytes();
        let [_, _, high, low] = fragment.to_ne_bytes();
        let [_, protocol, _, _] = third.to_ne_bytes();
        let length = usize::from(version_length & 0xf) * 4;
        if version_length >> 4 != 4 || length < 20 {
            return None;
        }
        Some(Head {
            who: v4(match source.direction() {
                Direction::In => from,
                Direction::Out => to,
            }),
            protocol,
            at: at + length,
            is_later_fragment: (high & 0x1f) | low != 0,
        })
    }

    #[inline(always)]
    fn talk(head: &Head<Self>, source: &impl Source) -> Talk {
        if head.is_later_fragment {
            return Talk::later_fragment(head.protocol, source);
        }
        Talk::read::<Self>(head.protocol, head.at, source)
    }

    #[inline(always)]
    fn destination(source: &impl Source, at: usize) -> Option<Self> {
        let [address] = source.words(at + 16)?;
        Some(v4(address))
    }

    #[inline(always)]
    fn is_vital(_: u8) -> bool {
        false
    }

    /// RFC 792: unreachable, which also tells what length would pass; time exceeded; parameter
    /// problem.
    #[inline(always)]
    fn is_error(kind: u8) -> bool {
        matches!(kind, 3 | 11 | 12)
    }
}

impl Layer for Who6 {
    const ICMP: u8 = ICMPV6;
    const DHCP: (u16, u16) = (546, 547);

    /// RFC 8200, 3.
    #[inline(always)]
    fn head(source: &impl Source, at: usize) -> Option<Head<Self>> {
        let [first, second, a, b, c, d, e, f, g, h]: [u32; 10] = source.words(at)?;
        let [version, ..] = first.to_ne_bytes();
        let [_, _, protocol, _] = second.to_ne_bytes();
        if version >> 4 != 6 {
            return None;
        }
        Some(Head {
            who: v6(match source.direction() {
                Direction::In => [a, b, c, d],
                Direction::Out => [e, f, g, h],
            }),
            protocol,
            at: at + 40,
            is_later_fragment: false,
        })
    }

    /// RFC 8200, 4; authentication headers: RFC 4302, 2.
    #[inline(always)]
    fn talk(head: &Head<Self>, source: &impl Source) -> Talk {
        let (mut protocol, mut at) = (head.protocol, head.at);
        for _ in 0..EXTENSIONS_MAX {
            if !is_extension(protocol) {
                return Talk::read::<Self>(protocol, at, source);
            }
            let Some([word]) = source.words(at) else {
                return Talk::malformed(UNKNOWN, source);
            };
            let [next, length, high, low] = word.to_ne_bytes();
            let length = usize::from(length);
            at += match protocol {
                FRAGMENT if high | (low & 0xf8) != 0 => {
                    return Talk::later_fragment(next, source);
                }
                FRAGMENT => 8,
                AUTHENTICATION => (length + 2) * 4,
                _ => (length + 1) * 8,
            };
            at = forget(at, word);
            protocol = next;
        }
        if is_extension(protocol) {
            return Talk::malformed(UNKNOWN, source);
        }
        Talk::read::<Self>(protocol, at, source)
    }

    #[inline(always)]
    fn destination(source: &impl Source, at: usize) -> Option<Self> {
        Some(v6(source.words(at + 24)?))
    }

    /// Multicast listeners (RFC 2710, RFC 3810) and neighbours (RFC 4861).
    #[inline(always)]
    fn is_vital(kind: u8) -> bool {
        matches!(kind, 130..=137 | 143)
    }

    /// RFC 4443: unreachable, too big, time exceeded, parameter problem.
    #[inline(always)]
    fn is_error(kind: u8) -> bool {
        matches!(kind, 1..=4)
    }
}

#[inline(always)]
fn is_extension(protocol: u8) -> bool {
    matches!(
        protocol,
        HOP_BY_HOP
            | ROUTING
            | FRAGMENT
            | AUTHENTICATION
            | DESTINATION
            | MOBILITY
            | HOST_IDENTITY
            | SHIM6
    )
}

/// Anybody at an address, given as it is in a packet.
#[inline(always)]
pub fn v4(address: u32) -> Who4 {
    Who4 {
        port: 0,
        protocol: 0,
        reserved: 0,
        address: address.to_ne_bytes(),
    }
}

/// The same for IPv6.
#[inline(always)]
pub fn v6(words: [u32; 4]) -> Who6 {
    let mut address = [0; 16];
    for (to, word) in address.chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    Who6 {
        port: 0,
        protocol: 0,
        reserved: 0,
        address,
    }
}

/// The same number, of which the verifier knows nothing but that it is within reach: it would
/// go through all that follows once for each way of getting there otherwise.
///
/// VERIFIER: `unknown` has to be something it does not know.
#[inline(always)]
fn forget(at: usize, unknown: u32) -> usize {
    let unknown = unknown as usize;
    (opaque(at ^ unknown) ^ unknown) & REACH
}
