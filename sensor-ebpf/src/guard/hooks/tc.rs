//! Packets at network interfaces, where XDP cannot be had or does not go: what comes in where a
//! driver refuses it or there is no Ethernet, and what goes out without a socket of ours.

use aya_ebpf::bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;

use crate::packet::{self, Network};
use crate::source::{Buffer, Direction};
use crate::verdict::Orders;

// `include/linux/socket.h`.
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;

/// Whoever else is attached here is asked, too (`TCX_NEXT` is the same number).
const PASS: i32 = TC_ACT_UNSPEC;
const DROP: i32 = TC_ACT_SHOT;

/// Sees: what an Ethernet interface receives.
/// Hook: TC or TCX ingress, `sch_handle_ingress` of `net/core/dev.c`, 5.10 to 7.x alike. Tags that
/// were taken off are not in the packet.
/// Why: where XDP is refused. Cost: a socket buffer has been made by then.
/// Fallback: `guard_ingress`.
#[classifier]
#[inline(always)]
pub fn guard_tc_ingress(ctx: TcContext) -> i32 {
    judge(&ctx, Direction::In, packet::behind_ethernet)
}

/// Sees: what leaves by an Ethernet interface: what is forwarded, and what was written to packet
/// sockets, which `guard_egress` is not asked about. What comes from other sockets has been
/// there, and is left alone if it is attached.
/// Hook: TC or TCX egress, `sch_handle_egress` of `net/core/dev.c`, 5.10 to 7.x alike.
/// Why: XDP has no way out. Cost: a load and a comparison for packets of sockets.
/// Fallback: `guard_egress`, which misses the above.
#[classifier]
#[inline(always)]
pub fn guard_tc_egress(ctx: TcContext) -> i32 {
    judge(&ctx, Direction::Out, packet::behind_ethernet)
}

/// The same as [`guard_tc_ingress`] for interfaces without a link layer: tun, WireGuard, PPP, IP in
/// IP (`/sys/class/net/*/type` is not 1). Nothing in a packet says reliably whether there is one.
#[classifier]
#[inline(always)]
pub fn guard_l3_ingress(ctx: TcContext) -> i32 {
    judge(&ctx, Direction::In, packet::at_start)
}

/// The same as [`guard_tc_egress`] for interfaces without a link layer.
#[classifier]
#[inline(always)]
pub fn guard_l3_egress(ctx: TcContext) -> i32 {
    judge(&ctx, Direction::Out, packet::at_start)
}

type Interface = Buffer<false>;

#[inline(always)]
fn judge(ctx: &TcContext, direction: Direction, network: impl Fn(&Interface) -> Network) -> i32 {
    let Some(orders) = Orders::current() else {
        return PASS;
    };
    if direction == Direction::Out && orders.sockets && is_of_internet_socket(ctx) {
        return PASS;
    }
    let buffer = Interface::new(ctx.skb.skb, direction);
    if orders.pass(&buffer, network(&buffer)) {
        PASS
    } else {
        DROP
    }
}

/// States of a socket that is none yet, or no longer (`include/net/tcp_states.h`): `TCP_TIME_WAIT`,
/// `TCP_NEW_SYN_RECV`. Of their packets, among them the answer to a new connection, the hook at the
/// socket is asked on newer kernels only.
const TIME_WAIT: u32 = 6;
const NEW_SYN_RECV: u32 = 12;

/// Whether the packet belongs to a socket whose packets `guard_egress` sees.
#[inline(always)]
fn is_of_internet_socket(ctx: &TcContext) -> bool {
    // SAFETY: the context is valid; the verifier checks the members, and that null is asked for.
    let (family, state) = unsafe {
        let socket = (*ctx.skb.skb).__bindgen_anon_2.sk;
        if socket.is_null() {
            return false;
        }
        ((*socket).family, (*socket).state)
    };
    matches!(family, AF_INET | AF_INET6) && !matches!(state, TIME_WAIT | NEW_SYN_RECV)
}
