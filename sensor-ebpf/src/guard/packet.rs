//! What of a packet decides about it: the other side's address, what is talked, on which ports.
//! Headers are looked at as far as that needs, never further than the packet reaches, and what is
//! odd about them is counted. Whether the packet passes is not known here.

use sensor_common::guard::{Who4, Who6, tally};

use crate::maps::count;
use crate::source::{Direction, REACH, Source, forget, opaque};

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

/// Headers that are looked at; real packets have two or three before the last.
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

/// What decides about a packet.
pub struct Packet<W> {
    /// The other side, whatever it talks.
    pub who: W,
    /// What is talked.
    pub talk: Talk,
}

/// What is talked. Fits into a register.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Talk {
    /// Port at this host, 0 when there is none.
    pub local_port: u16,
    /// Port at the other side.
    pub remote_port: u16,
    /// Where the packet that an ICMP error is about begins; 0 for anything else.
    pub quoted: u16,
    /// Protocol, or [`UNKNOWN`].
    pub protocol: u8,
    /// One of `ORDINARY`, `VITAL`, `DHCP`.
    pub rank: u8,
}

impl Talk {
    /// Nothing special.
    pub const ORDINARY: u8 = 0;
    /// Without such packets an IPv6 network does not work: neighbour discovery, and telling
    /// switches what multicast is wanted, without which that does not arrive.
    pub const VITAL: u8 = 1;
    /// This host is given its address.
    pub const DHCP: u8 = 2;

    /// As a number, for global functions.
    #[inline(always)]
    pub fn pack(self) -> u64 {
        // SAFETY: plain data of this size without padding.
        unsafe { core::mem::transmute(self) }
    }

    /// What was packed.
    #[inline(always)]
    pub fn unpack(packed: u64) -> Self {
        // SAFETY: as above; any bits will do.
        unsafe { core::mem::transmute(packed) }
    }

    /// Neither ports nor anything else is known of it.
    #[inline(always)]
    pub fn plain(protocol: u8) -> Self {
        Self {
            local_port: 0,
            remote_port: 0,
            quoted: 0,
            protocol,
            rank: Self::ORDINARY,
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
            if L::is_vital(a) {
                talk.rank = Self::VITAL;
            }
            if L::is_error(a) {
                talk.quoted = (at + ICMP_HEADER) as u16;
            }
            return talk;
        }
        let (from, to) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        (talk.local_port, talk.remote_port) = match source.direction() {
            Direction::In => (to, from),
            Direction::Out => (from, to),
        };
        if protocol == UDP && (talk.local_port, talk.remote_port) == L::DHCP {
            talk.rank = Self::DHCP;
        }
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

    /// Reads the headers that begin there; none when they are not of this version.
    fn read(source: &impl Source, at: usize) -> Option<Packet<Self>>;
    /// Whether a type of ICMP is [`Talk::VITAL`].
    fn is_vital(kind: u8) -> bool;
    /// Whether a type of ICMP quotes a packet.
    fn is_error(kind: u8) -> bool;
}

impl Layer for Who4 {
    const ICMP: u8 = ICMP;
    const DHCP: (u16, u16) = (68, 67);

    /// RFC 791, 3.1.
    #[inline(always)]
    fn read(source: &impl Source, at: usize) -> Option<Packet<Self>> {
        let [first, second, third, from, to]: [u32; 5] = source.words(at)?;
        let [version_length, ..] = first.to_ne_bytes();
        let [_, _, high, low] = second.to_ne_bytes();
        let [_, protocol, _, _] = third.to_ne_bytes();
        let length = usize::from(version_length & 0xf) * 4;
        if version_length >> 4 != 4 || length < 20 {
            return None;
        }
        let talk = if (high & 0x1f) | low != 0 {
            Talk::later_fragment(protocol, source)
        } else {
            Talk::read::<Self>(protocol, at + length, source)
        };
        let who = v4(match source.direction() {
            Direction::In => from,
            Direction::Out => to,
        });
        Some(Packet { who, talk })
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
    fn read(source: &impl Source, at: usize) -> Option<Packet<Self>> {
        let [first, second, a, b, c, d, e, f, g, h]: [u32; 10] = source.words(at)?;
        let [version, ..] = first.to_ne_bytes();
        let [_, _, protocol, _] = second.to_ne_bytes();
        if version >> 4 != 6 {
            return None;
        }
        let who = v6(match source.direction() {
            Direction::In => [a, b, c, d],
            Direction::Out => [e, f, g, h],
        });
        let talk = behind_extensions(protocol, at + 40, source);
        Some(Packet { who, talk })
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

/// RFC 8200, 4; authentication headers: RFC 4302, 2.
#[inline(always)]
fn behind_extensions(mut protocol: u8, mut at: usize, source: &impl Source) -> Talk {
    for _ in 0..opaque(EXTENSIONS_MAX) {
        if !is_extension(protocol) {
            return Talk::read::<Who6>(protocol, at, source);
        }
        let Some([word]) = source.words(at) else {
            break;
        };
        let [next, length, high, low] = word.to_ne_bytes();
        let length = usize::from(length);
        at += match protocol {
            FRAGMENT if high | (low & 0xf8) != 0 => return Talk::later_fragment(next, source),
            FRAGMENT => 8,
            AUTHENTICATION => (length + 2) * 4,
            _ => (length + 1) * 8,
        };
        at = forget(at, word as usize) & REACH;
        protocol = next;
    }
    Talk::malformed(UNKNOWN, source)
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
        reserved_tail: [0; 4],
    }
}

/// The same address in two numbers, as they are in memory.
#[inline(always)]
pub fn v6_of_halves(halves: [u64; 2]) -> Who6 {
    let mut address = [0; 16];
    for (to, half) in address.chunks_exact_mut(8).zip(halves) {
        to.copy_from_slice(&half.to_ne_bytes());
    }
    Who6 {
        port: 0,
        protocol: 0,
        reserved: 0,
        address,
        reserved_tail: [0; 4],
    }
}
