//! Finds the entry that applies to a packet. Each look-up is made only if something can be found;
//! what it costs does not grow with the number of entries.

use aya_ebpf::maps::HashMap;
use aya_ebpf::maps::lpm_trie::{Key, LpmTrie};
use sensor_common::guard::{
    ANY_PORT, BITS_BEFORE_ADDRESS, EGRESS, Entry, INGRESS, LOCAL_PORT, LOOK_DENY_NETS4,
    LOOK_DENY_NETS4_SERVICE, LOOK_DENY4, LOOK_DENY4_SERVICE, LOOK_V6_SHIFT, REMOTE_PORT,
    SHADOWS_MAX, Who4, Who6,
};

use crate::maps::{ALLOW4, ALLOW6, DENY_NETS4, DENY_NETS6, DENY4, DENY6, Shared, is_ahead, member};
use crate::packet::{Layer, Talk};
use crate::source::{Direction, opaque};

type Hosts<W> = HashMap<W, Shared<Entry>>;
type Networks<W> = LpmTrie<W, Shared<Entry>>;
/// An entry that applies.
pub type Found = Option<&'static Shared<Entry>>;

/// An address and what is talked: the key of an entry.
pub trait Who: Layer {
    /// Bits of an address.
    const BITS: u32;
    /// Where its bits are in `State::looks`.
    const LOOKS_SHIFT: u32;
    fn deny() -> &'static Hosts<Self>;
    fn deny_nets() -> &'static Networks<Self>;
    fn allow() -> &'static Networks<Self>;
    /// The same address, talking this.
    fn talking(self, protocol: u8, port: u16) -> Self;
}

impl Who for Who4 {
    const BITS: u32 = 32;
    const LOOKS_SHIFT: u32 = 0;

    #[inline(always)]
    fn deny() -> &'static Hosts<Self> {
        &DENY4
    }

    #[inline(always)]
    fn deny_nets() -> &'static Networks<Self> {
        &DENY_NETS4
    }

    #[inline(always)]
    fn allow() -> &'static Networks<Self> {
        &ALLOW4
    }

    #[inline(always)]
    fn talking(self, protocol: u8, port: u16) -> Self {
        Self {
            port,
            protocol,
            ..self
        }
    }
}

impl Who for Who6 {
    const BITS: u32 = 128;
    const LOOKS_SHIFT: u32 = LOOK_V6_SHIFT;

    #[inline(always)]
    fn deny() -> &'static Hosts<Self> {
        &DENY6
    }

    #[inline(always)]
    fn deny_nets() -> &'static Networks<Self> {
        &DENY_NETS6
    }

    #[inline(always)]
    fn allow() -> &'static Networks<Self> {
        &ALLOW6
    }

    #[inline(always)]
    fn talking(self, protocol: u8, port: u16) -> Self {
        Self {
            port,
            protocol,
            ..self
        }
    }
}

/// What a look-up is about. Fits into a register.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Case {
    /// Of `State::looks`, what is about the family, in the places of IPv4.
    pub looks: u32,
    /// [`INGRESS`] or [`EGRESS`].
    pub direction: u8,
    /// Not 0: [`Source::IS_CALL`](crate::source::Source::IS_CALL).
    pub is_call: u8,
    /// Not 0: only a rehearsal.
    pub dry_run: u8,
    /// Padding.
    pub reserved: u8,
}

impl Case {
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

    /// Which way the packet goes.
    #[inline(always)]
    pub fn direction(self) -> Direction {
        if self.direction == INGRESS {
            Direction::In
        } else {
            Direction::Out
        }
    }

    /// The same of the other direction.
    #[inline(always)]
    pub fn going_out(self) -> Self {
        Self {
            direction: EGRESS,
            ..self
        }
    }
}

/// What denies an address that talks this.
#[inline(always)]
pub fn denied<W: Who>(who: W, talk: Talk, case: Case) -> Found {
    let looks = case.looks;
    let any = Use::any(case);
    if looks & LOOK_DENY4 != 0
        && let found @ Some(_) = host(W::deny(), who, any)
    {
        return found;
    }
    if looks & LOOK_DENY_NETS4 != 0
        && let found @ Some(_) = network(W::deny_nets(), who, any)
    {
        return found;
    }
    if looks & (LOOK_DENY4_SERVICE | LOOK_DENY_NETS4_SERVICE) == 0 {
        return None;
    }
    for (port, used) in services(talk, any) {
        let who = who.talking(talk.protocol, port);
        if looks & LOOK_DENY4_SERVICE != 0
            && let found @ Some(_) = host(W::deny(), who, used)
        {
            return found;
        }
        if looks & LOOK_DENY_NETS4_SERVICE != 0
            && let found @ Some(_) = network(W::deny_nets(), who, used)
        {
            return found;
        }
    }
    None
}

/// What allows an address that talks this. Asked only about what would be dropped.
#[inline(always)]
pub fn allowed<W: Who>(who: W, talk: Talk, case: Case) -> Found {
    let any = Use::any(case);
    if let found @ Some(_) = network(W::allow(), who, any) {
        return found;
    }
    for (port, used) in services(talk, any) {
        if let found @ Some(_) = network(W::allow(), who.talking(talk.protocol, port), used) {
            return found;
        }
    }
    None
}

/// How an entry would be used: it may be meant for something else.
#[derive(Clone, Copy)]
struct Use {
    /// As in [`Case`].
    direction: u8,
    /// Flags of entries for the other end.
    not: u8,
}

impl Use {
    #[inline(always)]
    fn any(case: Case) -> Self {
        Self {
            direction: case.direction,
            not: 0,
        }
    }
}

/// The protocol as a whole, and each port of it.
#[inline(always)]
fn services(talk: Talk, any: Use) -> [(u16, Use); 3] {
    let at = |not| Use { not, ..any };
    [
        (ANY_PORT, any),
        (talk.remote_port, at(LOCAL_PORT)),
        (talk.local_port, at(REMOTE_PORT)),
    ]
}

#[inline(always)]
fn host<W: Who>(hosts: &'static Hosts<W>, who: W, used: Use) -> Found {
    // SAFETY: elements are not preallocated, so the kernel gives none away while it is in use.
    let entry = unsafe { hosts.get(&who) }?;
    applies(entry, used).then_some(entry)
}

/// The longest network that applies: one that does not must not hide a shorter one that does.
#[inline(always)]
fn network<W: Who>(networks: &'static Networks<W>, who: W, used: Use) -> Found {
    let mut key = Key::new(BITS_BEFORE_ADDRESS + W::BITS, who);
    // VERIFIER: not unrolled, which would make programs many times as long.
    for _ in 0..opaque(SHADOWS_MAX as usize) {
        let entry = networks.get(&key)?;
        if applies(entry, used) {
            return Some(entry);
        }
        let prefix = u32::from(member!(entry, prefix));
        if prefix == 0 {
            return None;
        }
        key.prefix_len = BITS_BEFORE_ADDRESS + prefix - 1;
    }
    None
}

#[inline(always)]
fn applies(entry: &Shared<Entry>, used: Use) -> bool {
    member!(entry, directions) & used.direction != 0
        && member!(entry, flags) & used.not == 0
        && is_ahead(member!(entry, until_boot_ns))
}
