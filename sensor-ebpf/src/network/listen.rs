//! TCP sockets that begin to listen.

use aya_ebpf::macros::{fexit, tracepoint};
use aya_ebpf::programs::{FExitContext, TracePointContext};
use sensor_common::kind::{LANE_PROCESS, TCP_LISTEN};
use sensor_common::network::Listen;

use super::{Connection, LISTENING, disown, owned, tcp};
use crate::kernel::socket::{self, AtDescriptor};
use crate::kernel::{Address, Memory, Probed, Typed, task};
use crate::syscall::Call;
use crate::{emit, fact};

/// From `tcp::sock_state`, in the context of the process that calls `listen`. Without a `bind`
/// before, the kernel chooses the port only after this, so it waits for the call's return.
#[inline(always)]
pub(super) fn begun(sk: Address) {
    if socket::protocol::<Typed>(sk) != socket::TCP {
        return;
    }
    if Typed::read::<u16>(sk, fact!(sk_num)) == 0 {
        Connection::with(LISTENING, tcp::inode(sk), |connection| {
            connection.remember(sk)
        });
    } else {
        report::<Typed>(sk, tcp::inode(sk));
    }
}

/// Sees: sockets that listen on a port of the kernel's choice.
/// Hook: return of `int inet_listen(struct socket *sock, int backlog)`,
/// `net/ipv4/af_inet.c`, 5.10 to 7.x alike.
/// Why: the port is known; called through `proto_ops`, so it is never inlined.
/// Cost: one lookup per `listen`. Fallback: [`listen_exit`].
#[fexit]
pub fn stream_listen(ctx: FExitContext) -> i32 {
    let socket = ctx.arg::<*const u8>(0);
    returned(
        socket::sock_of::<Typed>(socket),
        socket::inode::<Typed>(socket),
        ctx.arg::<i32>(2),
    );
    0
}

/// Sees: the same for MPTCP sockets.
/// Hook: return of `int mptcp_listen(struct socket *sock, int backlog)`,
/// `net/mptcp/protocol.c`, 5.10 to 7.x alike; up to 6.4 it calls `inet_listen`, and this finds
/// nothing left to do.
#[fexit]
pub fn mptcp_listen(ctx: FExitContext) -> i32 {
    let socket = ctx.arg::<*const u8>(0);
    returned(
        socket::sock_of::<Typed>(socket),
        socket::inode::<Typed>(socket),
        ctx.arg::<i32>(2),
    );
    0
}

/// Sees: `listen(int fd, int backlog)` (`net/socket.c`).
/// Hook: tracepoint `syscalls:sys_exit_listen`.
/// Why: where trampolines are refused; does not see what io_uring does.
#[tracepoint]
pub fn listen_exit(ctx: TracePointContext) -> u32 {
    let call = Call::from(&ctx);
    let found = AtDescriptor::find(call.argument::<0>() as u32);
    returned(found.sk, found.inode(), call.result as i32);
    0
}

#[inline(always)]
fn returned(sk: Address, inode: u64, result: i32) {
    let sk = socket::carrier(sk);
    if !owned(sk).is_some_and(|connection| connection.phase == LISTENING) {
        return;
    }
    disown(sk);
    if result == 0 {
        report::<Probed>(sk, inode);
    }
}

#[inline(always)]
fn report<M: Memory>(sk: Address, inode: u64) {
    emit::seen(TCP_LISTEN);
    emit::fixed::<Listen>(TCP_LISTEN, LANE_PROCESS, |record| {
        task::identify_acting(&mut record.subject);
        socket::describe::<M>(sk, inode, &mut record.flow);
        record.backlog = M::read(sk, fact!(sk_max_ack_backlog));
        record.reserved = 0;
    });
}
