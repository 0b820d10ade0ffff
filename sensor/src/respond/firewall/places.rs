//! Which interfaces the guard goes to. Sockets of this host are judged at their control group,
//! wherever their packets come from; at interfaces it meets what has no socket here, and drops
//! early what has. So each packet from outside should meet it once, and it should not be where
//! that does nothing but cost. How it is attached is not known here.

use std::net::IpAddr;

use super::host::Interface;

/// Kinds that carry the packets of the interface they are stacked on, which meet the guard there.
const STACKED: [&str; 4] = ["vlan", "macvlan", "macvtap", "ipvlan"];
/// Kinds that carry nothing from outside.
const IDLE: [&str; 3] = ["dummy", "ifb", "nlmon"];
/// Kinds whose ports carry what meets the guard at the master.
const JOINED: [&str; 2] = ["bond", "team"];
/// Kinds of port that lead from a bridge to containers and machines of this host.
const INNER: [&str; 2] = ["veth", "tun"];

/// What packets begin with at an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    /// An Ethernet header.
    Ethernet,
    /// An IP header.
    Ip,
}

/// Whether the guard goes to an interface that is up.
pub(super) fn wanted(
    one: &Interface,
    all: &[Interface],
    addresses: &[(u32, IpAddr)],
) -> Option<Layer> {
    let kind = one.kind.as_str();
    let is_up = one.flags & libc::IFF_UP as u32 != 0;
    if !is_up || one.hardware == libc::ARPHRD_LOOPBACK || IDLE.contains(&kind) {
        return None;
    }
    if one.lower.is_some() && STACKED.contains(&kind) {
        return None;
    }
    let master = one
        .master
        .and_then(|master| all.iter().find(|other| other.index == master));
    if master.is_some_and(|master| JOINED.contains(&master.kind.as_str())) {
        return None;
    }
    let is_inner = INNER.contains(&kind);
    if is_inner && master.is_some() {
        return None;
    }
    // One end of a cable into a container; with an address it is this host's own cable.
    if kind == "veth" && !has_address(one.index, addresses) {
        return None;
    }
    Some(match one.hardware {
        libc::ARPHRD_ETHER => Layer::Ethernet,
        _ => Layer::Ip,
    })
}

/// Whether an interface has an address that reaches beyond the cable.
fn has_address(index: u32, addresses: &[(u32, IpAddr)]) -> bool {
    addresses.iter().any(|(at, address)| {
        *at == index
            && match address {
                IpAddr::V4(address) => !address.is_link_local(),
                IpAddr::V6(address) => !address.is_unicast_link_local(),
            }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(index: u32, kind: &str, master: Option<u32>) -> Interface {
        Interface {
            index,
            name: format!("{kind}{index}"),
            kind: kind.to_owned(),
            hardware: libc::ARPHRD_ETHER,
            flags: libc::IFF_UP as u32,
            master,
            ..Interface::default()
        }
    }

    fn chosen(all: &[Interface], addresses: &[(u32, IpAddr)]) -> Vec<u32> {
        let wanted = |one: &&Interface| wanted(one, all, addresses).is_some();
        all.iter().filter(wanted).map(|one| one.index).collect()
    }

    #[test]
    fn packets_from_outside_meet_the_guard_once() {
        let all = [
            interface(2, "", Some(5)),
            interface(3, "bridge", None),
            interface(4, "veth", Some(3)),
            interface(5, "bond", None),
            Interface {
                lower: Some(5),
                ..interface(6, "vlan", None)
            },
            interface(7, "", Some(3)),
            interface(8, "dummy", None),
        ];
        assert_eq!(chosen(&all, &[]), [3, 5, 7]);
    }

    #[test]
    fn a_cable_is_ours_when_it_has_an_address() {
        let all = [interface(2, "veth", None), interface(3, "veth", None)];
        let addresses = [
            (2, "203.0.113.1".parse().unwrap()),
            (3, "fe80::1".parse().unwrap()),
        ];
        assert_eq!(chosen(&all, &addresses), [2]);
    }

    #[test]
    fn loopback_and_what_is_down_are_left_alone() {
        let lo = Interface {
            hardware: libc::ARPHRD_LOOPBACK,
            ..interface(1, "", None)
        };
        let down = Interface {
            flags: 0,
            ..interface(2, "", None)
        };
        assert!(chosen(&[lo, down], &[]).is_empty());
    }

    #[test]
    fn tunnels_carry_ip() {
        let tunnel = Interface {
            hardware: 65_534,
            ..interface(2, "wireguard", None)
        };
        assert_eq!(wanted(&tunnel, &[], &[]), Some(Layer::Ip));
    }
}
