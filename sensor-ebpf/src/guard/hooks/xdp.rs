//! Packets that come in, before the kernel has spent anything on them.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;

use crate::packet;
use crate::source::Frame;
use crate::verdict::Orders;

/// Sees: every frame an Ethernet interface receives, for sockets here, for others, for nobody.
/// Hook: XDP, in the driver where it can (`ndo_bpf`), else in `do_xdp_generic` of
/// `net/core/dev.c`, 5.10 to 7.x alike. Not for interfaces without Ethernet headers (tun,
/// WireGuard, PPP), where `guard_l3_ingress` is.
/// Why: the cheapest place to drop. VLAN tags that the hardware took off are not seen and not
/// missed.
/// Cost: see `cargo xtask bench --only guard`. Fallback: `guard_tc_ingress`.
#[xdp]
#[inline(always)]
pub fn guard_xdp(ctx: XdpContext) -> u32 {
    judge(&ctx)
}

/// The same for drivers that put large frames into several buffers, which want programs to say
/// that they can live with that; kernels do not know the word before 5.18. The headers are in the
/// first buffer.
#[xdp(frags)]
#[inline(always)]
pub fn guard_xdp_frags(ctx: XdpContext) -> u32 {
    judge(&ctx)
}

#[inline(always)]
fn judge(ctx: &XdpContext) -> u32 {
    let Some(orders) = Orders::current() else {
        return XDP_PASS;
    };
    let frame = Frame::of(ctx);
    if orders.pass(&frame, packet::behind_ethernet(&frame)) {
        XDP_PASS
    } else {
        XDP_DROP
    }
}
