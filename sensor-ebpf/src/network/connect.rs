//! What `connect` returns: TCP connects that fail before anything was sent (the state of the
//! socket never changes, see `tcp`), UDP sockets that get a peer, unix sockets connected.

use aya_ebpf::macros::{fexit, tracepoint};
use aya_ebpf::programs::{FExitContext, TracePointContext};
use sensor_common::kind::{LANE_PROCESS, TCP_CONNECT};
use sensor_common::network::Connect;

use super::{FAILED, REPORTED, disown, owned, tcp, udp, unix};
use crate::kernel::object::AF_UNIX;
use crate::kernel::socket::{self, AtDescriptor, Target};
use crate::kernel::{Address, Probed, Typed, read, task};
use crate::syscall::{self, Call};
use crate::{emit, fact};

// `include/uapi/asm-generic/errno.h`, `include/linux/errno.h`.
const EINTR: i32 = 4;
const EISCONN: i32 = 106;
const EALREADY: i32 = 114;
const EINPROGRESS: i32 = 115;
const ERESTARTSYS: i32 = 512;
const ERESTART_RESTARTBLOCK: i32 = 516;

/// Sees: TCP connects that fail at once: no route, no port left, refused by a cgroup program.
/// Hook: return of `int inet_stream_connect(struct socket *sock, struct sockaddr *uaddr,
/// int addr_len, int flags)`, `net/ipv4/af_inet.c`, 5.10 to 7.x alike.
/// Why: called through `proto_ops`, so it is never inlined; io_uring passes it too.
/// Cost: a connect that does not fail leaves after one load. Fallback: [`connect_exit`].
#[fexit]
pub fn stream_connect(ctx: FExitContext) -> i32 {
    let result: i32 = ctx.arg(4);
    if result < 0 {
        let socket: Address = ctx.arg::<*const u8>(0);
        let sk = socket::sock_of::<Typed>(socket);
        tcp_returned(socket, sk, Target::Kernel(ctx.arg::<*const u8>(1)), result);
    }
    0
}

/// Sees: UDP sockets that get a peer.
/// Hook: return of `int inet_dgram_connect(struct socket *sock, struct sockaddr *uaddr,
/// int addr_len, int flags)`, `net/ipv4/af_inet.c`, 5.10 to 7.x alike.
/// Why: knows outcome and source address, which a cgroup `connect4` program does not, and
/// costs a TCP connect nothing, which that one does. Fallback: [`connect_exit`].
#[fexit]
pub fn dgram_connect(ctx: FExitContext) -> i32 {
    let result: i32 = ctx.arg(4);
    let socket: Address = ctx.arg::<*const u8>(0);
    let sk = socket::sock_of::<Typed>(socket);
    udp::connected(socket, sk, Target::Kernel(ctx.arg::<*const u8>(1)), result);
    0
}

/// Sees: connects that a security module (SELinux, AppArmor) forbids.
/// Hook: return of `int security_socket_connect(struct socket *sock, struct sockaddr *address,
/// int addrlen)`, `security/security.c`, 5.10 to 7.x alike.
/// Why: the functions above are not called then.
/// Cost: a connect that is allowed leaves after one load. Fallback: [`connect_exit`].
#[fexit]
pub fn connect_denied(ctx: FExitContext) -> i32 {
    let result: i32 = ctx.arg(3);
    if result < 0 {
        let socket: Address = ctx.arg::<*const u8>(0);
        let sk = socket::sock_of::<Typed>(socket);
        returned(socket, sk, Target::Kernel(ctx.arg::<*const u8>(1)), result);
    }
    0
}

/// Sees: `connect(int fd, struct sockaddr *uservaddr, int addrlen)`, whatever the family.
/// Hook: tracepoint `syscalls:sys_exit_connect`.
/// Why: where trampolines are refused; does not see what io_uring does.
#[tracepoint]
pub fn connect_exit(ctx: TracePointContext) -> u32 {
    let result = syscall::result(&ctx) as i32;
    if is_no_outcome(result) {
        return 0;
    }
    let call = Call::from(&ctx);
    let found = AtDescriptor::find(call.argument::<0>() as u32);
    if !found.socket.is_null() {
        returned(
            found.socket,
            found.sk,
            Target::User(call.argument::<1>()),
            result,
        );
    }
    0
}

#[inline(always)]
fn returned(socket: Address, sk: Address, target: Target, result: i32) {
    match socket::protocol::<Probed>(sk) {
        // No other family has protocols of these numbers.
        socket::TCP | socket::MPTCP if result < 0 => tcp_returned(socket, sk, target, result),
        socket::TCP | socket::MPTCP => {}
        socket::UDP => udp::connected(socket, sk, target, result),
        _ if read::<u16>(sk, fact!(sk_family)) == AF_UNIX => unix::connected(socket, sk, result),
        _ => {}
    }
}

/// A TCP connect that failed; reports it unless the state of the socket has done so.
#[inline(always)]
fn tcp_returned(socket: Address, sk: Address, target: Target, result: i32) {
    let error = result.unsigned_abs();
    let sk = socket::carrier(sk);
    if is_no_outcome(result) || sk.is_null() {
        return;
    }
    let inode = socket::inode::<Probed>(socket);
    let mut started = emit::boot_ns();
    match owned(sk).filter(|connection| connection.inode == inode) {
        Some(connection) if connection.phase == FAILED => {
            started = connection.since_boot_ns;
            disown(sk);
        }
        Some(connection) => {
            if connection.phase == REPORTED {
                disown(sk);
            }
            return;
        }
        None if tcp::only_an_answer(error) => return,
        None => {}
    }
    emit::seen(TCP_CONNECT);
    emit::fixed::<Connect>(TCP_CONNECT, LANE_PROCESS, |record| {
        task::identify_acting(&mut record.subject);
        socket::describe::<Probed>(sk, inode, &mut record.flow);
        // The socket has no remote end then; an address that is none leaves it empty.
        target.describe(&mut record.flow);
        record.started_boot_ns = started;
        record.error = error;
        record.flags = 0;
    });
}

/// Errors that say nothing about whether there will be a connection.
#[inline(always)]
fn is_no_outcome(result: i32) -> bool {
    matches!(
        result.wrapping_neg(),
        EINTR | EISCONN | EALREADY | EINPROGRESS | ERESTARTSYS..=ERESTART_RESTARTBLOCK
    )
}
