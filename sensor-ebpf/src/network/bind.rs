//! Inet sockets bound to a port.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::macros::cgroup_sock;
use aya_ebpf::programs::SockContext;
use sensor_common::kind::{BIND, LANE_PROCESS};
use sensor_common::network::Socket;

use crate::emit;
use crate::kernel::{Address, Probed, object, socket, task};

/// Lets the call go on; anything else would refuse it.
const ALLOW: i32 = 1;

/// Sees: IPv4 sockets bound by `bind`, TCP and UDP, with the port they got.
/// Hook: cgroup `post_bind4`, run by `__inet_bind` (`net/ipv4/af_inet.c`) when the port is
/// taken, 5.10 to 7.x alike, on the root of the unified hierarchy.
/// Why: only successful binds, after port 0 has become a number; io_uring passes it too.
/// Cost: once per bind. Fallback: none; without a unified hierarchy there are no bind events.
#[cgroup_sock(post_bind4)]
pub fn bound4(ctx: SockContext) -> i32 {
    bound(&ctx)
}

/// Sees: IPv6 sockets likewise, in `__inet6_bind` (`net/ipv6/af_inet6.c`).
#[cgroup_sock(post_bind6)]
pub fn bound6(ctx: SockContext) -> i32 {
    bound(&ctx)
}

#[inline(always)]
fn bound(ctx: &SockContext) -> i32 {
    // `struct bpf_sock` is only a view; the context is the `struct sock`
    // (`__cgroup_bpf_run_filter_sk`, `kernel/bpf/cgroup.c`).
    let sk: Address = ctx.as_ptr().cast();
    emit::seen(BIND);
    emit::fixed::<Socket>(BIND, LANE_PROCESS, |record| {
        task::identify(task::acting(), &mut record.subject);
        socket::describe::<Probed>(sk, object::socket_inode(sk), &mut record.flow);
    });
    ALLOW
}
