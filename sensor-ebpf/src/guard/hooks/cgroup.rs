//! Packets at the sockets that send and receive them, whatever interface and network namespace
//! they are in. Sees them from the network header on, put together from fragments.

use aya_ebpf::macros::cgroup_skb;
use aya_ebpf::programs::SkBuffContext;

use crate::packet;
use crate::source::{Buffer, Direction};
use crate::verdict::Orders;

const PASS: i32 = 1;
const DROP: i32 = 0;

/// The loopback device has this number in every network namespace (`include/net/net_namespace.h`).
const LOOPBACK_IFINDEX: u32 = 1;

/// Sees: what arrives at sockets, but over loopback.
/// Hook: cgroup `ingress`, run by `sk_filter_trim_cap` of `net/core/filter.c` in an interrupt, 5.10
/// to 7.x alike, on the root of the unified hierarchy.
/// Why: all interfaces, also of containers, and those that come later; knows whose socket it is,
/// for isolated control groups. Cost: one load while nothing is entered.
/// Fallback: none; the hooks at the interfaces do most of it.
#[cgroup_skb(ingress)]
#[inline(always)]
pub fn guard_ingress(ctx: SkBuffContext) -> i32 {
    judge(&ctx, Direction::In)
}

/// Sees: what sockets send, but over loopback, before it is cut into fragments.
/// Hook: cgroup `egress`, run by `ip_finish_output` (`net/ipv4/ip_output.c`) and its like for IPv6
/// in the context of the sender, 5.10 to 7.x alike, on the root of the unified hierarchy. The
/// sender's call fails with `EPERM` unless its protocol hides that, as TCP does.
/// Why and cost: as above. Fallback: `guard_tc_egress` where it is attached.
#[cgroup_skb(egress)]
#[inline(always)]
pub fn guard_egress(ctx: SkBuffContext) -> i32 {
    judge(&ctx, Direction::Out)
}

#[inline(always)]
fn judge(ctx: &SkBuffContext, direction: Direction) -> i32 {
    let Some(orders) = Orders::current() else {
        return PASS;
    };
    let skb = ctx.skb.skb;
    // SAFETY: the context is valid while the program runs.
    if unsafe { (*skb).ifindex } == LOOPBACK_IFINDEX {
        return PASS;
    }
    let buffer = Buffer::<true>::new(skb, direction);
    if orders.pass(&buffer, packet::at_start(&buffer)) {
        PASS
    } else {
        DROP
    }
}
