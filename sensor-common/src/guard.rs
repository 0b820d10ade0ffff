//! The contract of the guard: the programs that drop traffic, in an object of their own, whose
//! maps and links are pinned and outlive the daemon. All time limits are kept by the programs
//! themselves, so that they hold when nobody is there to keep them.

/// Of this layout; a pinned map of another one is not taken over but made anew.
pub const LAYOUT: u32 = 1;

/// Applies to traffic that comes in.
pub const INGRESS: u8 = 1;
/// Applies to traffic that goes out.
pub const EGRESS: u8 = 2;

/// [`Entry::until_boot_ns`] and [`State::isolated_until_boot_ns`]: no end.
pub const FOREVER: u64 = u64::MAX;

/// Any protocol in a key.
pub const ANY_PROTOCOL: u8 = 0;
/// Any port in a key.
pub const ANY_PORT: u16 = 0;

record! {
    /// Key of `DENY4` and `ALLOW4`, and what stands behind the prefix length in the keys of
    /// `DENY_NETS4` and `ALLOW_NETS4`: the other side of a packet, and what is talked.
    #[derive(Default, PartialEq, Eq, Hash)]
    pub struct Who4 {
        /// Port of the service, at whichever end it is, host order; [`ANY_PORT`] for any.
        pub port: u16,
        /// Number of the IP protocol; [`ANY_PROTOCOL`] for any, and then the port is any too.
        pub protocol: u8,
        /// Padding.
        pub reserved: u8,
        /// Address in network order; of a network, zero behind its prefix.
        pub address: [u8; 4],
    }
}

record! {
    /// The same for IPv6.
    #[derive(Default, PartialEq, Eq, Hash)]
    pub struct Who6 {
        /// As in [`Who4`].
        pub port: u16,
        /// As in [`Who4`].
        pub protocol: u8,
        /// Padding.
        pub reserved: u8,
        /// Address in network order.
        pub address: [u8; 16],
        /// Padding: in a trie, the value follows the key at once (`struct lpm_trie_node`), and
        /// adding to a number that lies across two cache lines takes a microsecond and more.
        pub reserved_tail: [u8; 4],
    }
}

/// Bits of a key before the address: added to the prefix length of a network.
pub const BITS_BEFORE_ADDRESS: u32 = 32;

record! {
    /// Value of all `DENY*` and `ALLOW*` maps.
    #[derive(Default)]
    pub struct Entry {
        /// It is as if it were not there from then on, in nanoseconds since boot
        /// (`CLOCK_BOOTTIME`); [`FOREVER`] for no end.
        pub until_boot_ns: u64,
        /// Packets and refused connects that it decided; added to by the programs.
        pub packets: u64,
        /// Bytes of those packets, as the hook sees them.
        pub bytes: u64,
        /// When the last of them came, in nanoseconds since boot.
        pub last_boot_ns: u64,
        /// When it was made, in nanoseconds since the epoch.
        pub made_wall_ns: u64,
        /// Key of `NOTES` that says why and by whom; many entries may share one.
        pub note: u32,
        /// [`INGRESS`] and [`EGRESS`].
        pub directions: u8,
        /// [`PROTECTED`], [`LOCAL_PORT`], [`REMOTE_PORT`], [`OF_ISOLATION`].
        pub flags: u8,
        /// Bits of the address that count; all of them for a single address. With it a program
        /// finds the next shorter network when this one does not apply to a packet.
        pub prefix: u8,
        /// Padding.
        pub reserved: u8,
    }
}

/// Flag of an entry that allows: nothing that denies may be entered for it, and it is not taken
/// back without being named as protected.
pub const PROTECTED: u8 = 1;
/// Flag of an entry with a port: only if the service is at this host. Without it, and without
/// [`REMOTE_PORT`], at either end.
pub const LOCAL_PORT: u8 = 1 << 1;
/// Flag of an entry with a port: only if the service is at the other side.
pub const REMOTE_PORT: u8 = 1 << 2;
/// Flag of an entry that allows: made for an isolation, and taken back with it. Nothing to the
/// programs.
pub const OF_ISOLATION: u8 = 1 << 3;
/// Networks that contain an address but do not apply (expired, or of the other direction) before
/// the search for one that does is given up.
pub const SHADOWS_MAX: u32 = 8;

record! {
    /// Value of `NOTES`: what people want to know of an entry. Texts end with their first NUL.
    pub struct Note {
        /// Who made it: `operator root`, `playbook NAME`, `intelligence LIST`.
        pub by: [u8; NOTE_BY],
        /// Why.
        pub reason: [u8; NOTE_REASON],
        /// What ends soon unless it is confirmed: when it ends once it is, in nanoseconds since
        /// boot. 0 for what needs no confirmation.
        pub confirmed_until_boot_ns: u64,
    }
}

/// Bytes of [`Note::by`].
pub const NOTE_BY: usize = 64;
/// Bytes of [`Note::reason`].
pub const NOTE_REASON: usize = 192;
/// Notes there can be.
pub const NOTES_MAX: u32 = 65_536;

record! {
    /// The one element of the map `STATE`.
    #[derive(Default)]
    pub struct State {
        /// Until then all traffic is dropped but what is allowed; 0 for never, [`FOREVER`] for no
        /// end.
        pub isolated_until_boot_ns: u64,
        /// `LOOK_*`: which look-ups can find anything. Set before an entry is made, cleared some
        /// time after the last one is gone.
        pub looks: u32,
        /// Bit N: `GROUPS` has a control group N levels below the root.
        pub group_levels: u32,
        /// Not 0: count what would be dropped, and let it pass.
        pub dry_run: u32,
        /// [`LAYOUT`].
        pub layout: u32,
        /// Note of the isolation.
        pub note: u32,
        /// Not 0: `guard_egress` is attached, so `guard_tc_egress` leaves to it what comes from
        /// sockets of the internet families.
        pub sockets: u32,
    }
}

/// [`State::looks`]: `DENY4` has entries for any protocol.
pub const LOOK_DENY4: u32 = 1;
/// `DENY4` has entries for one protocol, or for one protocol and port.
pub const LOOK_DENY4_SERVICE: u32 = 1 << 1;
/// `DENY_NETS4` has entries for any protocol.
pub const LOOK_DENY_NETS4: u32 = 1 << 2;
/// `DENY_NETS4` has entries for one protocol, or for one protocol and port.
pub const LOOK_DENY_NETS4_SERVICE: u32 = 1 << 3;
/// How far the same bits for IPv6 are shifted.
pub const LOOK_V6_SHIFT: u32 = 4;

record! {
    /// Value of `GROUPS`, whose key is the id of a control group of the unified hierarchy
    /// (`u64`): it and all below it are isolated.
    #[derive(Default)]
    pub struct Group {
        /// As in [`State::isolated_until_boot_ns`].
        pub until_boot_ns: u64,
        /// Packets dropped.
        pub packets: u64,
        /// Bytes of those packets.
        pub bytes: u64,
        /// When the last of them came, in nanoseconds since boot.
        pub last_boot_ns: u64,
        /// Key of `NOTES`.
        pub note: u32,
        /// How many levels below the root it is, at most [`GROUP_DEPTH_MAX`].
        pub level: u32,
    }
}

/// Control groups that can be isolated at a time.
pub const GROUPS_MAX: u32 = 256;
/// Deepest level at which a control group can be isolated; the root's own is 0, and cannot be.
pub const GROUP_DEPTH_MAX: u32 = 16;

/// Networks that can be denied, and addresses and networks that can be allowed, by family.
pub const NETS_MAX: u32 = 262_144;
/// Addresses that can be denied unless the configuration says otherwise, by family.
pub const ADDRESSES: u32 = 131_072;
/// Most that the configuration may say.
pub const ADDRESSES_MAX: u32 = 4_194_304;

/// Why a packet was dropped, or what was odd about it: keys of the per-CPU map `TALLY`.
pub mod tally {
    /// An address or network is denied, packets in.
    pub const DENIED_IN: u32 = 0;
    /// Packets out.
    pub const DENIED_OUT: u32 = 1;
    /// Connects and sends refused.
    pub const REFUSED: u32 = 2;
    /// The host is isolated, packets in.
    pub const ISOLATED_IN: u32 = 3;
    /// Packets out.
    pub const ISOLATED_OUT: u32 = 4;
    /// A control group is isolated, both ways.
    pub const GROUP: u32 = 5;
    /// Too short for what its headers say; dropped only while isolated.
    pub const MALFORMED: u32 = 6;
    /// A fragment without its transport header, judged by its addresses alone.
    pub const FRAGMENT: u32 = 7;
    /// Would have been dropped, but this is a dry run.
    pub const DRY_RUN: u32 = 8;
    /// How many there are.
    pub const LIMIT: u32 = 9;
}

record! {
    /// Value of `TALLY`, on one CPU.
    #[derive(Default)]
    pub struct Tally {
        /// Packets.
        pub packets: u64,
        /// Their bytes.
        pub bytes: u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::size_of;

    #[test]
    fn the_layout_is_the_one_of_this_version() {
        assert_eq!(LAYOUT, 1);
        assert_eq!(size_of::<Who4>(), 8);
        assert_eq!(size_of::<Who6>(), 24);
        assert_eq!(size_of::<Who4>() % 8 + size_of::<Who6>() % 8, 0);
        assert_eq!(size_of::<Entry>(), 48);
        assert_eq!(size_of::<Note>(), NOTE_BY + NOTE_REASON + 8);
        assert_eq!(size_of::<State>(), 32);
        assert_eq!(size_of::<Group>(), 40);
        assert_eq!(size_of::<Tally>(), 16);
    }
}
