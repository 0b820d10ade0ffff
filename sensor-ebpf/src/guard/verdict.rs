//! Decides whether a packet passes, for all hooks alike: first who is denied, then who is
//! isolated; and only what would be dropped is looked up among what is allowed.

use sensor_common::guard::{EGRESS, GROUP_DEPTH_MAX, Group, INGRESS, Who4, Who6, tally};

use crate::judge::{Judged, Judgement, count_denied};
use crate::lookup::Case;
use crate::maps::{GROUPS, STATE, Shared, count, is_ahead, member};
use crate::packet::{Network, Talk};
use crate::source::{Direction, Quoted, Source, forget, opaque};

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
        let judgement = match network {
            Network::V4(at) => self.judge_packet::<Who4>(packet, at),
            Network::V6(at) => self.judge_packet::<Who6>(packet, at),
            Network::Other => Judgement::Pass,
            Network::Malformed => self.judge_malformed(packet),
        };
        judgement != Judgement::Drop
    }

    #[inline(always)]
    fn judge_packet<W: Judged>(&self, packet: &impl Source, at: usize) -> Judgement {
        match W::read(packet, at) {
            Some(read) => self.judge(packet, read.who, read.talk),
            None => self.judge_malformed(packet),
        }
    }

    /// Judges by what is known of a packet, or of a call.
    #[inline(always)]
    pub fn judge<W: Judged>(&self, packet: &impl Source, who: W, talk: Talk) -> Judgement {
        let talk = forget(talk.pack() as usize, self.looks as usize) as u64;
        let talk = Talk::unpack(talk);
        if talk.rank == Talk::VITAL {
            return Judgement::Pass;
        }
        let case = self.case(packet, self.looks >> W::LOOKS_SHIFT);
        let judgement = who.judge(talk, case, packet.bytes());
        if judgement != Judgement::Open || !self.isolates_anybody() {
            return judgement;
        }
        let group = self.isolated_group(packet);
        if (group.is_none() && !self.isolates_all())
            || who.is_allowed(talk, case, packet.bytes())
            || talk.rank == Talk::DHCP
            || is_about_allowed::<W>(packet, talk, case)
        {
            return Judgement::Pass;
        }
        drop_isolated(packet, group, case)
    }

    #[inline(always)]
    fn judge_malformed(&self, packet: &impl Source) -> Judgement {
        count(tally::MALFORMED, packet.bytes());
        let group = self.isolated_group(packet);
        if group.is_none() && !self.isolates_all() {
            return Judgement::Pass;
        }
        drop_isolated(packet, group, self.case(packet, 0))
    }

    #[inline(always)]
    fn case<S: Source>(&self, packet: &S, looks: u32) -> Case {
        Case {
            looks,
            direction: match packet.direction() {
                Direction::In => INGRESS,
                Direction::Out => EGRESS,
            },
            is_call: S::IS_CALL.into(),
            dry_run: self.dry_run.into(),
            reserved: 0,
        }
    }

    #[inline(always)]
    fn isolates_anybody(&self) -> bool {
        self.group_levels != 0 || self.isolated_until_boot_ns != 0
    }

    #[inline(always)]
    fn isolates_all(&self) -> bool {
        is_ahead(self.isolated_until_boot_ns)
    }

    /// The isolated control group that the socket, or the caller, is in.
    #[inline(always)]
    fn isolated_group<S: Source>(&self, packet: &S) -> Option<&'static Shared<Group>> {
        if !S::HAS_SOCKET || self.group_levels == 0 {
            return None;
        }
        // VERIFIER: one counter, and not unrolled.
        let mut level = opaque(0) as u32;
        while level < GROUP_DEPTH_MAX {
            level += 1;
            if self.group_levels >> level & 1 == 0 {
                continue;
            }
            let id = packet.group(level);
            if id == 0 {
                break;
            }
            // SAFETY: at worst one that was released meanwhile is counted for another.
            if let Some(group) = unsafe { GROUPS.get(&id) }
                && is_ahead(member!(group, until_boot_ns))
            {
                return Some(group);
            }
        }
        None
    }
}

#[inline(always)]
fn drop_isolated(
    packet: &impl Source,
    group: Option<&'static Shared<Group>>,
    case: Case,
) -> Judgement {
    let bytes = packet.bytes();
    match group {
        Some(group) => {
            group.hit(bytes);
            count_denied(case, bytes, tally::GROUP, tally::GROUP)
        }
        None => count_denied(case, bytes, tally::ISOLATED_IN, tally::ISOLATED_OUT),
    }
}

/// An error about a packet that was allowed out comes from anywhere on its way; without those
/// that tell what length would pass, connections hang.
#[inline(always)]
fn is_about_allowed<W: Judged>(packet: &impl Source, talk: Talk, case: Case) -> bool {
    if talk.quoted == 0 || case.direction() == Direction::Out {
        return false;
    }
    let at = usize::from(talk.quoted);
    W::read(&Quoted(packet), at).is_some_and(|quoted| {
        quoted
            .who
            .is_allowed(quoted.talk, case.going_out(), packet.bytes())
    })
}
