//! TCP connections accepted.

use core::hint::black_box;

use aya_ebpf::macros::{fexit, tracepoint};
use aya_ebpf::programs::{FExitContext, TracePointContext};
use sensor_common::kind::{LANE_PROCESS, TCP_ACCEPT};
use sensor_common::network::Socket;

use super::tcp::CLOSE;
use super::{Connection, INBOUND, disown, inherit};
use crate::kernel::socket::{self, AtDescriptor};
use crate::kernel::{Address, Memory, Probed, Typed};
use crate::{emit, fact, syscall};

/// Sees: TCP connections accepted.
/// Hook: return of `int inet_accept(struct socket *sock, struct socket *newsock, int flags,
/// bool kern)`, from 6.10 on `(…, struct proto_accept_arg *arg)`, `net/ipv4/af_inet.c`.
/// Why: called through `proto_ops`, so it is never inlined; io_uring passes it too. Unlike
/// `inet_csk_accept` it knows the new socket's inode.
/// Cost: once per connection; a listener with nothing waiting leaves after one load.
/// Fallback: [`accept_exit`].
#[fexit]
pub fn stream_accept(ctx: FExitContext) -> i32 {
    if outcome(&ctx) != 0 {
        return 0;
    }
    let listener = socket::sock_of::<Typed>(ctx.arg::<*const u8>(0));
    let socket: Address = ctx.arg::<*const u8>(1);
    let sk = socket::sock_of::<Typed>(socket);
    // Older kernels get here from `mptcp_stream_accept` too, before the socket is complete.
    if socket::protocol::<Typed>(listener) != socket::MPTCP
        && socket::protocol::<Typed>(sk) == socket::TCP
    {
        accepted::<Typed>(sk, socket::inode::<Typed>(socket));
    }
    0
}

/// Sees: connections accepted from an MPTCP listener (Go makes such by default), most of them
/// plain TCP.
/// Hook: return of `int mptcp_stream_accept(…)`, `net/mptcp/protocol.c`, arguments as
/// `inet_accept` in every version. Why, cost and fallback as there.
#[fexit]
pub fn mptcp_accept(ctx: FExitContext) -> i32 {
    if outcome(&ctx) == 0 {
        let socket: Address = ctx.arg::<*const u8>(1);
        accepted_any(
            socket::sock_of::<Typed>(socket),
            socket::inode::<Typed>(socket),
        );
    }
    0
}

/// What the function returned: it stands after the arguments, of which 6.10 made one less.
///
/// VERIFIER: without `black_box` the compiler makes one load of the two, from the context plus a
/// variable, which is refused.
#[inline(always)]
fn outcome(ctx: &FExitContext) -> i32 {
    if fact!(inet_accept_args) == 4 {
        black_box(ctx.arg(4))
    } else {
        ctx.arg(3)
    }
}

/// Sees: `accept` and `accept4` (`net/socket.c`), whatever the family.
/// Hook: tracepoint `syscalls:sys_exit_accept`, `sys_exit_accept4`.
/// Why: where trampolines are refused; does not see what io_uring does.
#[tracepoint]
pub fn accept_exit(ctx: TracePointContext) -> u32 {
    let result = syscall::result(&ctx);
    if result >= 0 {
        let found = AtDescriptor::find(result as u32);
        accepted_any(found.sk, found.inode());
    }
    0
}

/// A new socket, of any family and protocol.
#[inline(always)]
fn accepted_any(sk: Address, inode: u64) {
    let sk = socket::carrier(sk);
    if !sk.is_null() {
        accepted::<Probed>(sk, inode);
    }
}

#[inline(always)]
fn accepted<M: Memory>(sk: Address, inode: u64) {
    emit::seen(TCP_ACCEPT);
    Connection::with(INBOUND, inode, |connection| {
        emit::fixed::<Socket>(TCP_ACCEPT, LANE_PROCESS, |record| {
            record.subject = connection.subject;
            socket::describe::<M>(sk, inode, &mut record.flow);
            connection.since_boot_ns = record.header.boot_ns;
        });
        connection.remember(sk);
        inherit::opened(connection.subject.pid, sk);
    });
    // A peer can reset its connection while it waits in the queue: closed before accepted, and
    // reported so; nothing would ever remove the entry.
    if i32::from(M::read::<u8>(sk, fact!(sk_state))) == CLOSE {
        disown(sk);
    }
}
