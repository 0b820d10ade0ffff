//! Unix sockets connected.

use aya_ebpf::macros::fexit;
use aya_ebpf::programs::FExitContext;
use sensor_common::facts::MISSING;
use sensor_common::kind::{LANE_PROCESS, UNIX_CONNECT};
use sensor_common::network::UnixConnect;
use sensor_common::tail;

use crate::emit::{self, Tail};
use crate::fact;
use crate::kernel::path::Location;
use crate::kernel::{Address, Probed, Typed, follow, object, read, socket, task};

/// `offsetof(struct sockaddr_un, sun_path)`, `include/uapi/linux/un.h`.
const SUN_PATH: u32 = 2;

/// Sees: stream and seqpacket sockets connected.
/// Hook: return of `int unix_stream_connect(struct socket *sock, struct sockaddr *uaddr,
/// int addr_len, int flags)`, `net/unix/af_unix.c`, 5.10 to 7.x alike.
/// Why: called through `proto_ops`, so it is never inlined; io_uring passes it too.
/// Cost: once per connect. Fallback: `connect::connect_exit`.
#[fexit]
pub fn unix_stream_connect(ctx: FExitContext) -> i32 {
    let socket: Address = ctx.arg::<*const u8>(0);
    connected(socket, socket::sock_of::<Typed>(socket), ctx.arg::<i32>(4));
    0
}

/// Sees: datagram sockets given a peer.
/// Hook: return of `unix_dgram_connect`; all else as above.
#[fexit]
pub fn unix_dgram_connect(ctx: FExitContext) -> i32 {
    let socket: Address = ctx.arg::<*const u8>(0);
    connected(socket, socket::sock_of::<Typed>(socket), ctx.arg::<i32>(4));
    0
}

#[inline(always)]
pub(super) fn connected(socket: Address, sk: Address, result: i32) {
    if fact!(unix_peer) == MISSING {
        return;
    }
    emit::seen(UNIX_CONNECT);
    let peer = follow(sk, fact!(unix_peer));
    if result != 0 || peer.is_null() {
        return emit::filtered(UNIX_CONNECT);
    }
    emit::variable::<UnixConnect>(UNIX_CONNECT, LANE_PROCESS, |record, tail| {
        task::identify_acting(&mut record.subject);
        record.inode = object::inode_of_socket(socket);
        record.peer_inode = object::socket_inode(peer);
        record.peer_pid = task::global_pid::<Probed>(follow(sk, fact!(sk_peer_pid)));
        record.socket_type = read(sk, fact!(sk_type));
        record.reserved = 0;
        describe_name(peer, tail);
    });
}

/// The address of a unix socket. A bound socket keeps the very place of its name in the file
/// system, so the path is absolute whatever was passed to `bind` and `connect`.
#[inline(always)]
fn describe_name(sk: Address, tail: &mut Tail) {
    let dentry = follow(sk, fact!(unix_path_dentry));
    if !dentry.is_null() {
        tail.path(
            tail::PATH,
            Location {
                mnt: follow(sk, fact!(unix_path_mnt)),
                dentry,
            },
        );
        return;
    }
    let address = follow(sk, fact!(unix_addr));
    let len: u32 = read(address, fact!(unix_address_len));
    // After the family comes the NUL that makes the name abstract.
    if len > SUN_PATH + 1 {
        let name = address.wrapping_add((fact!(unix_address_name) + SUN_PATH + 1) as usize);
        tail.kernel_bytes::<127>(tail::NAME, name, u64::from(len - SUN_PATH - 1));
    }
}
