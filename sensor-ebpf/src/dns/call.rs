//! DNS as calls: the functions that send and receive UDP, in the context of the process. The
//! message is read from the process's memory: an answer can lie in pages of the network
//! driver, which no program of this type may look into.

use core::hint::black_box;

use aya_ebpf::macros::{fentry, fexit};
use aya_ebpf::programs::{FEntryContext, FExitContext};
use sensor_common::facts::MISSING;
use sensor_common::limits::DNS_MAX;
use sensor_common::network::{DNS_RECEIVED, DNS_SENT};
use sensor_common::tail;

use super::{is_dns, report};
use crate::fact;
use crate::kernel::object::{AF_INET, AF_INET6};
use crate::kernel::socket::{self, Target};
use crate::kernel::{Address, Memory as _, Typed, follow, read, task};

/// `MSG_PEEK` of `include/linux/socket.h`: the message stays, and will be received again.
const MSG_PEEK: i32 = 2;
/// `MSG_ERRQUEUE`: what could not be delivered comes back.
const MSG_ERRQUEUE: i32 = 0x2000;

/// Sees: DNS messages sent by IPv4 sockets.
/// Hook: `int udp_sendmsg(struct sock *sk, struct msghdr *msg, size_t len)`,
/// `net/ipv4/udp.c`, 5.10 to 7.x alike, before anything is done with the message.
/// Why: only UDP comes here, whatever the call it was sent with.
/// Cost: a datagram to another port leaves after a few loads. Fallback: `packet`.
#[fentry]
pub fn dns_send4(ctx: FEntryContext) -> i32 {
    sent(
        AF_INET,
        ctx.arg::<*const u8>(0),
        ctx.arg::<*const u8>(1),
        ctx.arg::<u64>(2),
    );
    0
}

/// Sees: DNS messages sent by IPv6 sockets.
/// Hook: `udpv6_sendmsg`, `net/ipv6/udp.c`, as above; it calls `udp_sendmsg` for v4-mapped
/// peers, which then sees the family of the socket and leaves it to this program.
#[fentry]
pub fn dns_send6(ctx: FEntryContext) -> i32 {
    sent(
        AF_INET6,
        ctx.arg::<*const u8>(0),
        ctx.arg::<*const u8>(1),
        ctx.arg::<u64>(2),
    );
    0
}

/// Sees: DNS messages received by IPv4 sockets.
/// Hook: return of `int udp_recvmsg(struct sock *sk, struct msghdr *msg, size_t len, int
/// flags, int *addr_len)`, `net/ipv4/udp.c`; up to 5.18 with `int noblock` before the flags,
/// lately without the last.
/// Why, cost and fallback as above.
#[fexit]
pub fn dns_receive4(ctx: FExitContext) -> i32 {
    received(&ctx);
    0
}

/// Sees: DNS messages received by IPv6 sockets.
/// Hook: `udpv6_recvmsg`, `net/ipv6/udp.c`, arguments as above in every version.
#[fexit]
pub fn dns_receive6(ctx: FExitContext) -> i32 {
    received(&ctx);
    0
}

#[inline(always)]
fn sent(family: u16, sk: Address, msg: Address, len: u64) {
    if Typed::read::<u16>(sk, fact!(sk_family)) == family
        && let Some(peer) = peer(sk, msg)
    {
        message(DNS_SENT, sk, peer, len, memory_ahead(msg));
    }
}

#[inline(always)]
fn received(ctx: &FExitContext) {
    // VERIFIER: as in `network::accept::outcome`.
    let (flags, result): (i32, i32) = match fact!(udp_recvmsg_args) {
        6 => (black_box(ctx.arg(4)), black_box(ctx.arg(6))),
        5 => (ctx.arg(3), black_box(ctx.arg(5))),
        _ => (ctx.arg(3), ctx.arg(4)),
    };
    let (sk, msg): (Address, Address) = (ctx.arg::<*const u8>(0), ctx.arg::<*const u8>(1));
    if result > 0
        && flags & (MSG_PEEK | MSG_ERRQUEUE) == 0
        && let Some(peer) = peer(sk, msg)
    {
        message(
            DNS_RECEIVED,
            sk,
            peer,
            result as u64,
            memory_behind(msg, result as u64),
        );
    }
}

/// The address that goes with the message, null when it is the one the socket is connected to;
/// `None` when this is not DNS.
#[inline(always)]
fn peer(sk: Address, msg: Address) -> Option<Address> {
    let name = Typed::follow(msg, fact!(msg_name));
    let port = if name.is_null() {
        u16::from_be(Typed::read(sk, fact!(sk_dport)))
    } else {
        Target::Kernel(name).port()
    };
    (is_dns(port) || is_dns(Typed::read(sk, fact!(sk_num)))).then_some(name)
}

#[inline(always)]
fn message(direction: u32, sk: Address, peer: Address, bytes: u64, (from, there): (u64, u64)) {
    report(
        direction,
        bytes as u32,
        |_, subject| task::identify_acting(subject),
        |flow| {
            let inode = socket::inode::<Typed>(Typed::follow(sk, fact!(sk_socket)));
            socket::describe::<Typed>(sk, inode, flow);
            if !peer.is_null() {
                Target::Kernel(peer).describe(flow);
            }
        },
        |tail| {
            tail.user_bytes::<DNS_MAX>(
                tail::PAYLOAD,
                from,
                if there < bytes { there } else { bytes },
            )
        },
    );
}

/// `struct iovec` of `include/uapi/linux/uio.h`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Segment {
    base: u64,
    len: u64,
}

/// Memory of the process from which the message will be taken: address and length of the first
/// run of it. Nothing when it is not the process's.
#[inline(always)]
fn memory_ahead(msg: Address) -> (u64, u64) {
    let done: u64 = Typed::read(msg, fact!(iter_offset));
    match Run::of(msg) {
        Run::Buffer(base) => (base.wrapping_add(done), Typed::read(msg, fact!(iter_count))),
        Run::Segments(at) => {
            let first: Segment = read(at, 0);
            (first.base.wrapping_add(done), first.len.wrapping_sub(done))
        }
        Run::Other => (0, 0),
    }
}

/// Memory of the process into which `bytes` of the message were put: address and length. The
/// iterator has moved past them. Nothing when they are in pieces.
#[inline(always)]
fn memory_behind(msg: Address, bytes: u64) -> (u64, u64) {
    let done: u64 = Typed::read(msg, fact!(iter_offset));
    match Run::of(msg) {
        Run::Buffer(base) => (base, done),
        Run::Segments(at) if done >= bytes => {
            let current: Segment = read(at, 0);
            (current.base.wrapping_add(done - bytes), bytes)
        }
        Run::Segments(at) if done == 0 => {
            // It was filled to the brim.
            let last: Segment = read(at.wrapping_sub(size_of::<Segment>()), 0);
            if last.len < bytes {
                (0, 0)
            } else {
                (last.base.wrapping_add(last.len - bytes), bytes)
            }
        }
        _ => (0, 0),
    }
}

/// What a `struct iov_iter` goes over (`include/linux/uio.h`), as far as it is the process's.
enum Run {
    /// One run of memory, from 6.0 on.
    Buffer(u64),
    /// An array of [`Segment`]s.
    Segments(Address),
    /// The kernel's own memory.
    Other,
}

impl Run {
    /// VERIFIER: where the memory is stands in a union, of which the kernel's checks know one
    /// type only; so it is read through the helper.
    #[inline(always)]
    fn of(msg: Address) -> Self {
        let kind = if fact!(iter_kind) == MISSING {
            // Up to 5.13 the direction is in the lowest bit.
            Typed::read::<u32>(msg, fact!(iter_kind_and_direction)) & !1
        } else {
            u32::from(Typed::read::<u8>(msg, fact!(iter_kind)))
        };
        if fact!(iter_is_buffer) != MISSING && kind == fact!(iter_is_buffer) {
            Self::Buffer(read(msg, fact!(iter_buffer)))
        } else if kind == fact!(iter_is_segments) {
            Self::Segments(follow(msg, fact!(iter_segments)))
        } else {
            Self::Other
        }
    }
}
