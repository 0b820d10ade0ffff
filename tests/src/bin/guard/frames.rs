//! The packets: UDP, from an address that is told, to one and the same port of one host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The receiver, in networks kept for documentation.
pub const HOST: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
pub const HOST6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
/// Port there.
pub const PORT: u16 = 9;
/// Ethernet address of the receiver.
pub const HOST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// The address of an entry, by its number: spread over a /8, or a /64.
pub fn denied(number: u32, is_v4: bool) -> IpAddr {
    if is_v4 {
        Ipv4Addr::from_bits(0x0a00_0000 + number * 4).into()
    } else {
        Ipv6Addr::from_bits(HOST6.to_bits() + (7 << 64) + u128::from(number)).into()
    }
}

/// An address that no entry is about.
pub fn allowed(number: u32, is_v4: bool) -> IpAddr {
    if is_v4 {
        Ipv4Addr::from_bits(0x0b00_0000 + number * 4).into()
    } else {
        Ipv6Addr::from_bits(HOST6.to_bits() + (8 << 64) + u128::from(number)).into()
    }
}

/// A frame of 64 bytes and some.
pub fn udp(from: IpAddr) -> Vec<u8> {
    const PAYLOAD: [u8; 22] = [0; 22];
    let length = 8 + PAYLOAD.len() as u16;
    let mut frame = HOST_MAC.to_vec();
    frame.extend([2, 0, 0, 0, 0, 2]);
    match from {
        IpAddr::V4(from) => {
            frame.extend([0x08, 0x00]);
            let mut header = vec![0x45, 0];
            header.extend((20 + length).to_be_bytes());
            header.extend([0, 1, 0x40, 0, 64, 17, 0, 0]);
            header.extend(from.octets());
            header.extend(HOST.octets());
            let sum = checksum(&header).to_be_bytes();
            header.splice(10..12, sum);
            frame.extend(header);
        }
        IpAddr::V6(from) => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(length.to_be_bytes());
            frame.extend([17, 64]);
            frame.extend(from.octets());
            frame.extend(HOST6.octets());
        }
    }
    frame.extend(40_000_u16.to_be_bytes());
    frame.extend(PORT.to_be_bytes());
    frame.extend(length.to_be_bytes());
    // No checksum, which IPv4 allows; IPv6 packets are only run, not received.
    frame.extend([0, 0]);
    frame.extend(PAYLOAD);
    frame
}

/// RFC 1071.
fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks(2).map(|pair| {
        let [high, low] = [0, 1].map(|at| pair.get(at).copied().unwrap_or(0));
        u32::from(u16::from_be_bytes([high, low]))
    });
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}
