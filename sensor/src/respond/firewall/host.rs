//! This host's interfaces, addresses and gateways, as rtnetlink(7) tells them for the network
//! namespace of the calling thread. What is to be done at an interface is not known here.

use std::io;
use std::net::IpAddr;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::netlink::{Netlink, address, attributes, fixed, name, number};

/// `struct ifinfomsg` (`include/uapi/linux/rtnetlink.h`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct LinkMessage {
    family: u8,
    padding: u8,
    kind: u16,
    index: i32,
    flags: u32,
    change: u32,
}

/// `struct ifaddrmsg` (`include/uapi/linux/if_addr.h`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct AddressMessage {
    family: u8,
    prefix: u8,
    flags: u8,
    scope: u8,
    index: u32,
}

/// `struct rtmsg` (`include/uapi/linux/rtnetlink.h`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct RouteMessage {
    family: u8,
    destination: u8,
    source: u8,
    service: u8,
    table: u8,
    protocol: u8,
    scope: u8,
    kind: u8,
    flags: u32,
}

/// Bytes of `struct rtnexthop`, before its attributes.
const NEXT_HOP: usize = 8;

// Attributes: `include/uapi/linux/if_link.h`, `if_addr.h`, `rtnetlink.h`.
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_XDP: u16 = 43;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_GATEWAY: u16 = 5;
const RTA_MULTIPATH: u16 = 9;
const RTA_VIA: u16 = 18;

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Interface {
    /// Its number in its namespace.
    pub(super) index: u32,
    /// Its name.
    pub(super) name: String,
    /// What the kernel calls its kind: `veth`, `vlan`, `bridge`; empty for devices.
    pub(super) kind: String,
    /// `ARPHRD_*` (`include/uapi/linux/if_arp.h`).
    pub(super) hardware: u16,
    /// `IFF_*`.
    pub(super) flags: u32,
    /// The bridge or bond it belongs to.
    pub(super) master: Option<u32>,
    /// What it is stacked on, in this namespace.
    pub(super) lower: Option<u32>,
    /// How XDP programs run there: `XDP_ATTACHED_*`, 0 when none does.
    pub(super) xdp: u8,
}

/// All interfaces.
pub(super) fn interfaces() -> io::Result<Vec<Interface>> {
    let mut found = Vec::new();
    let message = LinkMessage::default();
    Netlink::open(libc::NETLINK_ROUTE)?.dump(libc::RTM_GETLINK, message.as_bytes(), |body| {
        found.extend(interface(body));
    })?;
    Ok(found)
}

fn interface(body: &[u8]) -> Option<Interface> {
    let (message, rest) = fixed::<LinkMessage>(body)?;
    let mut this = Interface {
        index: u32::try_from(message.index).ok()?,
        hardware: message.kind,
        flags: message.flags,
        ..Interface::default()
    };
    let mut is_elsewhere = false;
    for (kind, content) in attributes(rest) {
        match kind {
            IFLA_IFNAME => this.name = name(content),
            IFLA_LINK => this.lower = number(content).filter(|lower| *lower != this.index),
            IFLA_LINK_NETNSID => is_elsewhere = true,
            IFLA_MASTER => this.master = number(content),
            IFLA_LINKINFO => {
                let kind = attributes(content).find(|(kind, _)| *kind == IFLA_INFO_KIND);
                this.kind = kind.map(|(_, content)| name(content)).unwrap_or_default();
            }
            IFLA_XDP => {
                let mode = attributes(content).find(|(kind, _)| *kind == IFLA_XDP_ATTACHED);
                this.xdp = mode
                    .and_then(|(_, mode)| mode.first().copied())
                    .unwrap_or(0);
            }
            _ => {}
        }
    }
    if is_elsewhere {
        this.lower = None;
    }
    Some(this)
}

/// All addresses of this host, with the interface of each.
pub(super) fn addresses() -> io::Result<Vec<(u32, IpAddr)>> {
    let mut found = Vec::new();
    let message = AddressMessage::default();
    Netlink::open(libc::NETLINK_ROUTE)?.dump(libc::RTM_GETADDR, message.as_bytes(), |body| {
        found.extend(own_address(body));
    })?;
    Ok(found)
}

/// On a point-to-point link the address is the other side's, and the local one is ours.
fn own_address(body: &[u8]) -> Option<(u32, IpAddr)> {
    let (message, rest) = fixed::<AddressMessage>(body)?;
    let of = |wanted| {
        let found = attributes(rest).find(|(kind, _)| *kind == wanted);
        found.and_then(|(_, content)| address(content))
    };
    Some((message.index, of(IFA_LOCAL).or_else(|| of(IFA_ADDRESS))?))
}

/// The gateways of all default routes, in all tables.
pub(super) fn gateways() -> io::Result<Vec<IpAddr>> {
    let mut found = Vec::new();
    let message = RouteMessage::default();
    Netlink::open(libc::NETLINK_ROUTE)?.dump(libc::RTM_GETROUTE, message.as_bytes(), |body| {
        if let Some((message, rest)) = fixed::<RouteMessage>(body)
            && message.destination == 0
        {
            gateways_in(rest, &mut found);
        }
    })?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn gateways_in(bytes: &[u8], found: &mut Vec<IpAddr>) {
    for (kind, content) in attributes(bytes) {
        match kind {
            RTA_GATEWAY => found.extend(address(content)),
            // A family, and an address of it.
            RTA_VIA => found.extend(content.get(2..).and_then(address)),
            RTA_MULTIPATH => {
                let mut hops = content;
                while let Some((length, _)) = fixed::<u16>(hops) {
                    let length = usize::from(length);
                    let Some(attributes) = hops.get(NEXT_HOP..length) else {
                        break;
                    };
                    // No route is nested in another.
                    for (kind, content) in super::netlink::attributes(attributes) {
                        if kind == RTA_GATEWAY {
                            found.extend(address(content));
                        }
                    }
                    hops = hops.get(length.next_multiple_of(4)..).unwrap_or_default();
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn loopback_is_found_with_its_address() {
        let interfaces = interfaces().unwrap();
        let lo = interfaces.iter().find(|one| one.name == "lo").unwrap();
        assert_eq!(lo.hardware, libc::ARPHRD_LOOPBACK);
        if lo.flags & libc::IFF_UP as u32 != 0 {
            let loopback = (lo.index, IpAddr::from([127, 0, 0, 1]));
            assert!(addresses().unwrap().contains(&loopback));
        }
    }

    #[test]
    fn all_hops_of_a_route_are_gateways() {
        let mut bytes = vec![8, 0, 5, 0, 203, 0, 113, 1];
        bytes.extend([36, 0, 9, 0]);
        for last in [2, 3] {
            bytes.extend([16, 0, 0, 0, 2, 0, 0, 0, 8, 0, 5, 0, 203, 0, 113, last]);
        }
        let mut found = Vec::new();
        gateways_in(&bytes, &mut found);
        let all = [1, 2, 3].map(|last| IpAddr::from([203, 0, 113, last]));
        assert_eq!(found, all);
    }

    proptest! {
        #[test]
        fn arbitrary_answers_never_panic(bytes: Vec<u8>) {
            let _ = interface(&bytes);
            let _ = own_address(&bytes);
            gateways_in(&bytes, &mut Vec::new());
        }
    }
}
