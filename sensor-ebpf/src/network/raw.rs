//! Raw and packet sockets: ports are no obstacle to who has one.

use aya_ebpf::macros::{fexit, tracepoint};
use aya_ebpf::programs::{FExitContext, TracePointContext};
use sensor_common::kind::{LANE_PROCESS, RAW_SOCKET};
use sensor_common::network::RawSocket;

use crate::kernel::object::{AF_INET, AF_INET6};
use crate::kernel::socket::{self, AtDescriptor};
use crate::kernel::{Address, Typed, object, read, task};
use crate::syscall::{self, Call};
use crate::{emit, fact};

/// `AF_PACKET` of `include/linux/socket.h`.
const AF_PACKET: u16 = 17;
/// `SOCK_RAW` of `include/linux/net.h`.
const SOCK_RAW: u16 = 3;
/// `SOCK_PACKET`: the old way to ask for an `AF_PACKET` socket, with any family.
const SOCK_PACKET: u16 = 10;
/// `SOCK_TYPE_MASK`: the flags in `type` taken away.
const SOCK_TYPE_MASK: u16 = 0xf;

/// Sees: raw and packet sockets made.
/// Hook: return of `int security_socket_post_create(struct socket *sock, int family, int type,
/// int protocol, int kern)`, `security/security.c`, 5.10 to 7.x alike (needs
/// `CONFIG_SECURITY_NETWORK`).
/// Why: never inlined, unlike `__sock_create` maybe; io_uring and 32-bit calls pass it too.
/// Cost: other sockets leave after three loads. Fallback: [`socket_exit`].
#[fexit]
pub fn socket_created(ctx: FExitContext) -> i32 {
    let for_kernel: i32 = ctx.arg(4);
    let result: i32 = ctx.arg(5);
    if result == 0 && for_kernel == 0 && is_raw(ctx.arg::<i32>(1) as u16, ctx.arg::<i32>(2) as u16)
    {
        let socket: Address = ctx.arg::<*const u8>(0);
        created(
            socket,
            socket::sock_of::<Typed>(socket),
            ctx.arg::<i32>(3) as u32,
        );
    }
    0
}

/// Sees: `socket(int family, int type, int protocol)` (`net/socket.c`).
/// Hook: tracepoint `syscalls:sys_exit_socket`.
/// Why: where trampolines are refused; does not see what io_uring does.
#[tracepoint]
pub fn socket_exit(ctx: TracePointContext) -> u32 {
    if syscall::result(&ctx) < 0 {
        return 0;
    }
    let call = Call::from(&ctx);
    if is_raw(call.argument::<0>() as u16, call.argument::<1>() as u16) {
        let found = AtDescriptor::find(call.result as u32);
        created(found.socket, found.sk, call.argument::<2>() as u32);
    }
    0
}

#[inline(always)]
fn is_raw(family: u16, socket_type: u16) -> bool {
    let socket_type = socket_type & SOCK_TYPE_MASK;
    match family {
        AF_PACKET => true,
        AF_INET => socket_type == SOCK_RAW || socket_type == SOCK_PACKET,
        AF_INET6 => socket_type == SOCK_RAW,
        _ => false,
    }
}

#[inline(always)]
fn created(socket: Address, sk: Address, protocol: u32) {
    emit::seen(RAW_SOCKET);
    emit::fixed::<RawSocket>(RAW_SOCKET, LANE_PROCESS, |record| {
        task::identify_acting(&mut record.subject);
        record.family = read(sk, fact!(sk_family));
        record.socket_type = read(sk, fact!(sk_type));
        record.protocol = protocol;
        record.inode = object::inode_of_socket(socket);
    });
}
