//! Decides whether a packet passes, for all hooks alike: who is denied, then who is isolated; and
//! only what would be dropped is looked up among what is allowed. Tells why, in counters.

use sensor_common::guard::{GROUP_DEPTH_MAX, Group, Who4, Who6, tally};

use crate::lookup::{self, Found, Who};
use crate::maps::{GROUPS, STATE, Shared, count, is_ahead, member};
use crate::packet::{Network, Talk};
use crate::source::{Direction, Source, opaque};

/// What is in force.
pub struct Orders {
    looks: u32,
    group_levels: u32,
    isolated_until_boot_ns: u64,
    dry_run: bool,
    /// The hooks at the sockets are in place.
    pub sockets: bool,
}

impl Orders {
    /// None while there is nothing to look for; then this is all that a packet costs.
    #[inline(always)]
    pub fn current() -> Option<Self> {
        let state = STATE.get(0)?;
        let orders = Self {
            looks: member!(state, looks),
            group_levels: member!(state, group_levels),
            isolated_until_boot_ns: member!(state, isolated_until_boot_ns),
            dry_run: member!(state, dry_run) != 0,
            sockets: member!(state, sockets) != 0,
        };
        let any = orders.looks | orders.group_levels != 0 || orders.isolated_until_boot_ns != 0;
        any.then_some(orders)
    }

    /// Whether a packet passes. What is not IP does.
    #[inline(always)]
    pub fn pass(&self, packet: &impl Source, network: Network) -> bool {
        match network {
            Network::V4(at) => self.pass_ip::<Who4>(packet, at),
            Network::V6(at) => self.pass_ip::<Who6>(packet, at),
            Network::Other => true,
            Network::Malformed => self.pass_malformed(packet),
        }
    }

    #[inline(always)]
    fn pass_ip<W: Who>(&self, packet: &impl Source, at: usize) -> bool {
        let Some(head) = W::head(packet, at) else {
            return self.pass_malformed(packet);
        };
        let denied = lookup::denied(head.who, self.looks::<W>(), packet.direction());
        if denied.is_none() && !self.needs_talk::<W>() {
            return true;
        }
        let talk = W::talk(&head, packet);
        let denied = match denied {
            None => lookup::denied_service(head.who, &talk, self.looks::<W>(), packet.direction()),
            found => found,
        };
        self.pass_talk(packet, head.who, &talk, denied)
    }

    /// Whether an address may be talked to.
    #[inline(always)]
    pub fn pass_call<W: Who>(&self, call: &impl Source, who: W, talk: &Talk) -> bool {
        let looks = self.looks::<W>();
        let denied = match lookup::denied(who, looks, Direction::Out) {
            None => lookup::denied_service(who, talk, looks, Direction::Out),
            found => found,
        };
        self.pass_talk(call, who, talk, denied)
    }

    #[inline(always)]
    fn pass_talk<W: Who>(&self, packet: &impl Source, who: W, talk: &Talk, denied: Found) -> bool {
        if talk.is_vital {
            return true;
        }
        let group = self.isolated_group(packet);
        if denied.is_none() && group.is_none() && !self.is_isolated() {
            return true;
        }
        if let Some(entry) = lookup::allowed(who, talk, packet.direction()) {
            entry.hit(packet.bytes());
            return true;
        }
        if let Some(entry) = denied {
            entry.hit(packet.bytes());
            return self.pass_denied(packet, tally::DENIED_IN, tally::DENIED_OUT);
        }
        if talk.is_dhcp || is_about_allowed::<W>(packet, talk) {
            return true;
        }
        if let Some(group) = group {
            group.hit(packet.bytes());
            return self.pass_denied(packet, tally::GROUP, tally::GROUP);
        }
        self.pass_denied(packet, tally::ISOLATED_IN, tally::ISOLATED_OUT)
    }

    #[inline(always)]
    fn pass_malformed(&self, packet: &impl Source) -> bool {
        count(tally::MALFORMED, packet.bytes());
        if let Some(group) = self.isolated_group(packet) {
            group.hit(packet.bytes());
            return self.pass_denied(packet, tally::GROUP, tally::GROUP);
        }
        if !self.is_isolated() {
            return true;
        }
        self.pass_denied(packet, tally::ISOLATED_IN, tally::ISOLATED_OUT)
    }

    /// Counts it, and lets it pass if this is only a rehearsal.
    #[inline(always)]
    fn pass_denied<S: Source>(&self, packet: &S, coming_in: u32, going_out: u32) -> bool {
        let reason = match packet.direction() {
            _ if self.dry_run => tally::DRY_RUN,
            _ if S::IS_CALL => tally::REFUSED,
            Direction::In => coming_in,
            Direction::Out => going_out,
        };
        count(reason, packet.bytes());
        self.dry_run
    }

    #[inline(always)]
    fn looks<W: Who>(&self) -> u32 {
        self.looks >> W::LOOKS_SHIFT
    }

    /// Whether an address alone does not decide.
    #[inline(always)]
    fn needs_talk<W: Who>(&self) -> bool {
        lookup::has_services(self.looks::<W>())
            || self.group_levels != 0
            || self.isolated_until_boot_ns != 0
    }

    #[inline(always)]
    fn is_isolated(&self) -> bool {
        is_ahead(self.isolated_until_boot_ns)
    }

    /// The isolated control group that the socket, or the caller, is in.
    #[inline(always)]
    fn isolated_group(&self, packet: &impl Source) -> Option<&'static Shared<Group>> {
        if self.group_levels == 0 {
            return None;
        }
        for level in 1..=opaque(GROUP_DEPTH_MAX as usize) as u32 {
            if self.group_levels >> level & 1 == 0 {
                continue;
            }
            let id = packet.group(level);
            if id == 0 {
                return None;
            }
            // SAFETY: at worst a group that was released is still found, or counted for another.
            if let Some(group) = unsafe { GROUPS.get(&id) }
                && is_ahead(member!(group, until_boot_ns))
            {
                return Some(group);
            }
        }
        None
    }
}

/// An error about a packet that was allowed out comes from anywhere on its way; without those
/// that tell what length would pass, connections hang.
#[inline(always)]
fn is_about_allowed<W: Who>(packet: &impl Source, talk: &Talk) -> bool {
    let (Some(at), Direction::In) = (talk.quoted, packet.direction()) else {
        return false;
    };
    let Some(destination) = W::destination(packet, at) else {
        return false;
    };
    // Of the service only so much is known as that its address is allowed for any.
    lookup::allowed(destination, &Talk::plain(0), Direction::Out).is_some()
}
