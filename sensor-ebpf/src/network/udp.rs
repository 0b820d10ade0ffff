//! UDP: whom a process talks to, by `connect` or by the first datagram to a peer.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::macros::{cgroup_sock_addr, map};
use aya_ebpf::maps::LruHashMap;
use aya_ebpf::programs::SockAddrContext;
use sensor_common::kind::{LANE_PROCESS, UDP_CONNECT, UDP_SEND};
use sensor_common::limits::UDP_PEERS as UDP_PEERS_MAX;
use sensor_common::network::{Connect, Flow, Socket};

use crate::kernel::socket::{self, Target};
use crate::kernel::{Address, Probed, follow, object, read, task};
use crate::{emit, fact};

/// Peers a process has already sent to.
#[map]
static UDP_PEERS: LruHashMap<Peer, u64> = LruHashMap::with_max_entries(UDP_PEERS_MAX, 0);

/// A process and one it sends to.
#[repr(C)]
#[derive(Clone, Copy)]
struct Peer {
    start_boot_ns: u64,
    pid: u32,
    port: u16,
    family: u16,
    address: [u8; 16],
}

/// Lets the call go on; anything else would refuse it.
const ALLOW: i32 = 1;

/// Sees: datagrams to IPv4 peers from sockets that are not connected.
/// Hook: cgroup `sendmsg4`, run by `udp_sendmsg` (`net/ipv4/udp.c`), 5.10 to 7.x alike, on the
/// root of the unified hierarchy.
/// Why: connected sockets never get there, so whoever sends much pays nothing.
/// Cost: one lookup per datagram. Fallback: none; without a unified hierarchy only connected
/// UDP sockets are reported.
#[cgroup_sock_addr(sendmsg4)]
pub fn udp_send4(ctx: SockAddrContext) -> i32 {
    sent(&ctx)
}

/// Sees: datagrams to IPv6 peers likewise, in `udpv6_sendmsg` (`net/ipv6/udp.c`).
#[cgroup_sock_addr(sendmsg6)]
pub fn udp_send6(ctx: SockAddrContext) -> i32 {
    sent(&ctx)
}

#[inline(always)]
fn sent(ctx: &SockAddrContext) -> i32 {
    // `struct bpf_sock_addr` is only a view; the context is a `struct bpf_sock_addr_kern`
    // (`include/linux/filter.h`), which has the socket and the address as they are.
    let call: Address = ctx.as_ptr().cast();
    let sk = follow(call, fact!(sock_addr_sk));
    if socket::protocol::<Probed>(sk) != socket::UDP {
        return ALLOW;
    }
    emit::seen(UDP_SEND);
    let mut flow = Flow::default();
    let target = Target::Kernel(follow(call, fact!(sock_addr_uaddr)));
    if !target.describe(&mut flow) || !is_new(&flow) {
        emit::filtered(UDP_SEND);
        return ALLOW;
    }
    emit::fixed::<Socket>(UDP_SEND, LANE_PROCESS, |record| {
        task::identify(task::acting(), &mut record.subject);
        socket::describe::<Probed>(sk, object::socket_inode(sk), &mut record.flow);
        target.describe(&mut record.flow);
    });
    ALLOW
}

/// Whether this process has not sent there before, as far as is remembered.
#[inline(always)]
fn is_new(flow: &Flow) -> bool {
    let sender = task::acting();
    let peer = Peer {
        start_boot_ns: read(follow(sender, fact!(task_group_leader)), fact!(task_start)),
        pid: read(sender, fact!(task_tgid)),
        port: flow.remote_port,
        family: u16::from(flow.family),
        address: flow.remote_address,
    };
    if UDP_PEERS.get_ptr(peer).is_some() {
        return false;
    }
    // When there is no room the datagram is reported once more.
    let _ = UDP_PEERS.insert(peer, 0, 0);
    true
}

/// A UDP socket got a peer, or failed to. An address of no family takes the peer away, which is
/// no event.
#[inline(always)]
pub(super) fn connected(socket: Address, sk: Address, target: Target, result: i32) {
    if socket::protocol::<Probed>(sk) != socket::UDP {
        return;
    }
    emit::seen(UDP_CONNECT);
    if !target.describe(&mut Flow::default()) {
        return emit::filtered(UDP_CONNECT);
    }
    emit::fixed::<Connect>(UDP_CONNECT, LANE_PROCESS, |record| {
        task::identify_acting(&mut record.subject);
        socket::describe::<Probed>(sk, object::inode_of_socket(socket), &mut record.flow);
        if result < 0 {
            target.describe(&mut record.flow);
        }
        record.started_boot_ns = record.header.boot_ns;
        record.error = result.wrapping_neg().max(0) as u32;
        record.flags = 0;
    });
}
