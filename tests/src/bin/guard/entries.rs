//! The guard with a number of entries in it.

use std::net::IpAddr;

use anyhow::{Context as _, Result, anyhow};
use aya::maps::{Array, HashMap, LpmTrie, lpm_trie::Key};
use sensor::respond::firewall::object::{self, Guard, Sizes};
use sensor_common::guard::{
    BITS_BEFORE_ADDRESS, EGRESS, Entry, FOREVER, INGRESS, LAYOUT, LOOK_DENY_NETS4, LOOK_DENY4,
    LOOK_V6_SHIFT, State, Who4, Who6,
};
use zerocopy::{Immutable, IntoBytes};

use crate::frames::denied;

/// What is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Hosts4,
    Hosts6,
    /// Each of 4 addresses.
    Networks4,
    /// Each of one address but one.
    Networks6,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Hosts4, Self::Hosts6, Self::Networks4, Self::Networks6];

    pub fn name(self) -> &'static str {
        match self {
            Self::Hosts4 => "IPv4 addresses",
            Self::Hosts6 => "IPv6 addresses",
            Self::Networks4 => "IPv4 networks",
            Self::Networks6 => "IPv6 networks",
        }
    }

    pub fn is_v4(self) -> bool {
        matches!(self, Self::Hosts4 | Self::Networks4)
    }

    pub fn is_network(self) -> bool {
        matches!(self, Self::Networks4 | Self::Networks6)
    }
}

type Value = [u8; size_of::<Entry>()];

/// Loads the guard and denies so many; nothing is in force when these are none.
pub fn guard(kind: Kind, count: u32) -> Result<Guard> {
    let room = count.max(1);
    let mut guard = object::load(
        Sizes {
            addresses: room,
            networks: room,
        },
        None,
    )?;
    let prefix = match kind {
        Kind::Hosts4 => 32,
        Kind::Networks4 => 30,
        Kind::Hosts6 => 128,
        Kind::Networks6 => 127,
    };
    let entry: Value = bytes(&Entry {
        until_boot_ns: FOREVER,
        directions: INGRESS | EGRESS,
        prefix,
        ..Entry::default()
    })?;
    let (look, name) = match kind {
        Kind::Hosts4 => (LOOK_DENY4, "DENY4"),
        Kind::Hosts6 => (LOOK_DENY4 << LOOK_V6_SHIFT, "DENY6"),
        Kind::Networks4 => (LOOK_DENY_NETS4, "DENY_NETS4"),
        Kind::Networks6 => (LOOK_DENY_NETS4 << LOOK_V6_SHIFT, "DENY_NETS6"),
    };
    let bits = BITS_BEFORE_ADDRESS + u32::from(prefix);
    let map = guard.0.map_mut(name).context("no such map")?;
    // Of every second address of IPv6, so that networks of two hold one each.
    let addresses = (0..count).map(|number| denied(number * kind.step(), kind.is_v4()));
    match kind {
        Kind::Hosts4 => {
            let mut map: HashMap<_, [u8; 8], Value> = HashMap::try_from(map)?;
            for address in addresses {
                map.insert(key4(address)?, entry, 0)?;
            }
        }
        Kind::Hosts6 => {
            let mut map: HashMap<_, [u8; 24], Value> = HashMap::try_from(map)?;
            for address in addresses {
                map.insert(key6(address)?, entry, 0)?;
            }
        }
        Kind::Networks4 => {
            let mut map: LpmTrie<_, [u8; 8], Value> = LpmTrie::try_from(map)?;
            for address in addresses {
                map.insert(&Key::new(bits, key4(address)?), entry, 0)?;
            }
        }
        Kind::Networks6 => {
            let mut map: LpmTrie<_, [u8; 24], Value> = LpmTrie::try_from(map)?;
            for address in addresses {
                map.insert(&Key::new(bits, key6(address)?), entry, 0)?;
            }
        }
    }
    let state = State {
        looks: if count == 0 { 0 } else { look },
        layout: LAYOUT,
        sockets: 1,
        ..State::default()
    };
    let map = guard.0.map_mut("STATE").context("no such map")?;
    let mut states: Array<_, [u8; size_of::<State>()]> = Array::try_from(map)?;
    states.set(0, bytes(&state)?, 0)?;
    Ok(guard)
}

impl Kind {
    /// From one address that is denied to the next.
    pub fn step(self) -> u32 {
        match self {
            Self::Networks6 => 2,
            _ => 1,
        }
    }
}

fn key4(address: IpAddr) -> Result<[u8; 8]> {
    let IpAddr::V4(address) = address else {
        return Err(anyhow!("not IPv4"));
    };
    bytes(&Who4 {
        address: address.octets(),
        ..Who4::default()
    })
}

fn key6(address: IpAddr) -> Result<[u8; 24]> {
    let IpAddr::V6(address) = address else {
        return Err(anyhow!("not IPv6"));
    };
    bytes(&Who6 {
        address: address.octets(),
        ..Who6::default()
    })
}

fn bytes<T: IntoBytes + Immutable, const N: usize>(value: &T) -> Result<[u8; N]> {
    value.as_bytes().try_into().context("of another size")
}
