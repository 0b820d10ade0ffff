//! Processes that want to talk to somebody: they are told at once that they may not, where the
//! packets alone would leave them waiting.

use aya_ebpf::bindings::bpf_sock_addr;
use aya_ebpf::helpers::generated::bpf_get_current_ancestor_cgroup_id;
use aya_ebpf::macros::cgroup_sock_addr;
use aya_ebpf::programs::SockAddrContext;
use sensor_common::guard::{Who4, Who6};

use crate::judge::Judgement;
use crate::lookup::Who;
use crate::packet::{Talk, UDP, v4, v6};
use crate::source::{Direction, Source};
use crate::verdict::Orders;

const PASS: i32 = 1;
/// The call fails with `EPERM`.
const REFUSE: i32 = 0;

/// Sees: `connect` to an IPv4 address, of TCP and UDP sockets (others since 6.x).
/// Hook: cgroup `connect4`, run by `tcp_v4_pre_connect` and its like (`net/ipv4/tcp_ipv4.c`), 5.10
/// to 7.x alike, on the root of the unified hierarchy; io_uring passes it, too.
/// Why: `EPERM` at once. Cost: one load while nothing is entered.
/// Fallback: none needed, no packet of such a connection passes.
#[cgroup_sock_addr(connect4)]
#[inline(always)]
pub fn guard_connect4(ctx: SockAddrContext) -> i32 {
    judge4(ctx.sock_addr)
}

/// Sees: `connect` to an IPv6 address, which can be an IPv4 one in its clothes. All else as above.
#[cgroup_sock_addr(connect6)]
#[inline(always)]
pub fn guard_connect6(ctx: SockAddrContext) -> i32 {
    judge6(ctx.sock_addr)
}

/// Sees: datagrams sent to an IPv4 address by a socket that is not connected.
/// Hook: cgroup `sendmsg4`, run by `udp_sendmsg` (`net/ipv4/udp.c`), 5.10 to 7.x alike. All else
/// as above.
#[cgroup_sock_addr(sendmsg4)]
#[inline(always)]
pub fn guard_sendmsg4(ctx: SockAddrContext) -> i32 {
    judge4(ctx.sock_addr)
}

/// Sees: the same for IPv6.
#[cgroup_sock_addr(sendmsg6)]
#[inline(always)]
pub fn guard_sendmsg6(ctx: SockAddrContext) -> i32 {
    judge6(ctx.sock_addr)
}

#[inline(always)]
fn judge4(call: *mut bpf_sock_addr) -> i32 {
    let Some(orders) = Orders::current() else {
        return PASS;
    };
    // SAFETY: the context is valid while the program runs; volatile, because the verifier wants
    // whole members.
    let address = unsafe { (&raw const (*call).user_ip4).read_volatile() };
    judge_v4(&orders, address, call)
}

#[inline(always)]
fn judge6(call: *mut bpf_sock_addr) -> i32 {
    let Some(orders) = Orders::current() else {
        return PASS;
    };
    let word = |number: usize| {
        // SAFETY: as above; the address has four words.
        unsafe {
            (&raw const (*call).user_ip6)
                .cast::<u32>()
                .add(number)
                .read_volatile()
        }
    };
    let words = [word(0), word(1), word(2), word(3)];
    match words {
        // RFC 4291, 2.5.5.2: an IPv4 address.
        [0, 0, MAPPED, address] => judge_v4(&orders, address, call),
        // This host, and no address, which means the same.
        [0, 0, 0, last] if u32::from_be(last) <= 1 => PASS,
        _ => answer(orders.judge(&Call, v6(words), talk::<Who6>(call))),
    }
}

/// `ffff` in front of an IPv4 address, in network order.
const MAPPED: u32 = 0xffff_u32.to_be();

#[inline(always)]
fn judge_v4(orders: &Orders, address: u32, call: *mut bpf_sock_addr) -> i32 {
    let [first, ..] = address.to_ne_bytes();
    // This host, and no address, which means the same.
    if first == 127 || address == 0 {
        return PASS;
    }
    answer(orders.judge(&Call, v4(address), talk::<Who4>(call)))
}

#[inline(always)]
fn answer(judgement: Judgement) -> i32 {
    match judgement {
        Judgement::Drop => REFUSE,
        Judgement::Open | Judgement::Pass => PASS,
    }
}

/// What is going to be talked. The port at this end is not known yet.
#[inline(always)]
fn talk<W: Who>(call: *mut bpf_sock_addr) -> Talk {
    // SAFETY: as above.
    let (protocol, port) = unsafe {
        (
            (&raw const (*call).protocol).read_volatile(),
            (&raw const (*call).user_port).read_volatile(),
        )
    };
    // Multipath TCP's number (262) happens to become that of TCP, which its packets have.
    let mut talk = Talk::plain(protocol as u8);
    talk.remote_port = u16::from_be(port as u16);
    if talk.protocol == UDP && talk.remote_port == W::DHCP.1 {
        talk.rank = Talk::DHCP;
    }
    talk
}

/// The process that calls. There is no packet to be looked into.
struct Call;

impl Source for Call {
    const IS_CALL: bool = true;
    const HAS_SOCKET: bool = true;

    #[inline(always)]
    fn words<const N: usize>(&self, _: usize) -> Option<[u32; N]> {
        None
    }

    #[inline(always)]
    fn bytes(&self) -> u64 {
        0
    }

    #[inline(always)]
    fn direction(&self) -> Direction {
        Direction::Out
    }

    #[inline(always)]
    fn group(&self, level: u32) -> u64 {
        // SAFETY: takes a plain number.
        unsafe { bpf_get_current_ancestor_cgroup_id(level.cast_signed()) }
    }
}
