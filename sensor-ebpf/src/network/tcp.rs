//! The life of a TCP socket: connecting, established, closed. What the calls that start it
//! return is seen in `connect`, `accept` and `listen`.

use aya_ebpf::helpers::generated::bpf_skc_to_tcp_sock;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use sensor_common::kind::{LANE_PROCESS, TCP_CLOSE, TCP_CONNECT};
use sensor_common::network::{CLOSE_INBOUND, CLOSE_OUTBOUND, CONNECT_ABANDONED, Close, Connect};

use super::{
    CONNECTING, Connection, FAILED, INBOUND, OUTBOUND, REPORTED, disown, inherit, listen, owned,
};
use crate::kernel::{Address, Memory as _, Typed, socket};
use crate::{emit, fact};

// `include/net/tcp_states.h`.
const ESTABLISHED: i32 = 1;
const SYN_SENT: i32 = 2;
const SYN_RECV: i32 = 3;
/// Closed: not connected yet, or no more.
pub(super) const CLOSE: i32 = 7;
const LISTEN: i32 = 10;

/// `SS_CONNECTING` of `include/uapi/linux/net.h`: `connect` has done its part.
const SS_CONNECTING: u32 = 2;

// `include/uapi/asm-generic/errno.h`.
const ECONNABORTED: u32 = 103;
const ECONNRESET: u32 = 104;
const ETIMEDOUT: u32 = 110;
const ECONNREFUSED: u32 = 111;

/// Sees: TCP sockets beginning to connect or to listen, connected, refused, closed.
/// Hook: tracepoint `inet_sock_set_state(const struct sock *sk, const int oldstate, const int
/// newstate)`, `include/trace/events/sock.h`, 5.10 to 7.x alike. It fires before the new state
/// is stored; MPTCP, DCCP and SCTP sockets come here too.
/// Why: the one place all ways to connect pass (`connect`, io_uring, `MSG_FASTOPEN`), and the
/// only one that knows the outcome of a connect that does not wait.
/// Cost: mean well below 1 µs (budget); most transitions are dismissed by two compares.
/// Fallback: none needed, tracepoints are always there.
#[btf_tracepoint(function = "inet_sock_set_state")]
#[inline(always)]
pub fn sock_state(ctx: BtfTracePointContext) -> i32 {
    let sk: Address = ctx.arg::<*const u8>(0);
    let old: i32 = ctx.arg(1);
    match ctx.arg::<i32>(2) {
        SYN_SENT => begun(sk),
        ESTABLISHED => established(sk, old),
        CLOSE => closed(sk, old),
        LISTEN => listen::begun(sk),
        _ => {}
    }
    0
}

/// In the context of the process that connects.
#[inline(always)]
fn begun(sk: Address) {
    if socket::protocol::<Typed>(sk) == socket::TCP {
        Connection::with(CONNECTING, inode(sk), |connection| {
            connection.since_boot_ns = emit::boot_ns();
            connection.remember(sk);
            inherit::opened(connection.subject.pid, sk);
        });
    }
}

/// Mostly in an interrupt. An accepted socket comes from `SYN_RECV` too, but nobody holds a
/// descriptor of it yet; a connecting one only when both sides connect at the same time.
#[inline(always)]
fn established(sk: Address, old: i32) {
    if socket::protocol::<Typed>(sk) != socket::TCP {
        return;
    }
    if old != SYN_SENT && Typed::follow(sk, fact!(sk_socket)).is_null() {
        return;
    }
    let owner = owned(sk);
    let now = report(sk, owner.as_deref(), 0, 0);
    if let Some(connection) = owner {
        connection.phase = OUTBOUND;
        connection.since_boot_ns = now;
    }
}

#[inline(always)]
fn closed(sk: Address, old: i32) {
    if socket::protocol::<Typed>(sk) != socket::TCP || old == CLOSE || old == LISTEN {
        return;
    }
    let owner = owned(sk);
    let connecting = owner
        .as_ref()
        .is_some_and(|connection| connection.phase == CONNECTING);
    if connecting || old == SYN_SENT {
        refused(sk, owner);
    } else if owner.is_some() || old != SYN_RECV {
        // Out of `SYN_RECV` and nobody's: was never established.
        ended(sk, owner);
    }
}

/// No connection. `sk_err` says why, except in two cases: `connect` itself fails after having
/// said `SYN_SENT` (the reason is only in what it returns), or the process lets go of it.
#[inline(always)]
fn refused(sk: Address, owner: Option<&'static mut Connection>) {
    let error: u32 = Typed::read(sk, fact!(sk_err));
    let mut flags = 0;
    if error == 0 {
        if Typed::read::<u32>(Typed::follow(sk, fact!(sk_socket)), fact!(socket_state))
            != SS_CONNECTING
        {
            if let Some(connection) = owner {
                connection.phase = FAILED;
            }
            return;
        }
        flags = CONNECT_ABANDONED;
    }
    report(sk, owner.as_deref(), error, flags);
    match owner {
        Some(connection) if error != 0 && !only_an_answer(error) => connection.phase = REPORTED,
        Some(_) => disown(sk),
        None => {}
    }
}

/// Errors that are always somebody's answer (or lack of one) and never `connect`'s own.
#[inline(always)]
pub(super) fn only_an_answer(error: u32) -> bool {
    matches!(error, ECONNABORTED | ECONNRESET | ETIMEDOUT | ECONNREFUSED)
}

/// Gives the time of the outcome, 0 when the event is lost.
#[inline(always)]
fn report(sk: Address, owner: Option<&Connection>, error: u32, flags: u32) -> u64 {
    let mut boot_ns = 0;
    emit::seen(TCP_CONNECT);
    emit::fixed::<Connect>(TCP_CONNECT, LANE_PROCESS, |record| {
        emit::attribute(
            owner.map(|connection| &connection.subject),
            &mut record.header,
            &mut record.subject,
        );
        socket::describe::<Typed>(sk, inode(sk), &mut record.flow);
        record.started_boot_ns = owner.map_or(0, |connection| connection.since_boot_ns);
        record.error = error;
        record.flags = flags;
        boot_ns = record.header.boot_ns;
    });
    boot_ns
}

#[inline(always)]
fn ended(sk: Address, owner: Option<&'static mut Connection>) {
    let owner = owner.as_deref();
    emit::seen(TCP_CLOSE);
    emit::fixed::<Close>(TCP_CLOSE, LANE_PROCESS, |record| {
        emit::attribute(
            owner.map(|connection| &connection.subject),
            &mut record.header,
            &mut record.subject,
        );
        socket::describe::<Typed>(sk, inode(sk), &mut record.flow);
        record.opened_boot_ns = owner.map_or(0, |connection| connection.since_boot_ns);
        record.flags = match owner.map(|connection| connection.phase) {
            Some(INBOUND) => CLOSE_INBOUND,
            Some(OUTBOUND) => CLOSE_OUTBOUND,
            _ => 0,
        };
        record.error = Typed::read(sk, fact!(sk_err));
        // SAFETY: the helper takes any `struct sock`.
        let tcp = unsafe { bpf_skc_to_tcp_sock(sk.cast_mut().cast()) } as Address;
        record.sent_bytes = Typed::read::<u64>(tcp, fact!(tcp_bytes_sent))
            .wrapping_sub(Typed::read(tcp, fact!(tcp_bytes_retrans)));
        record.received_bytes =
            Typed::read::<u64>(tcp, fact!(tcp_bytes_received)).wrapping_sub(end_mark(sk));
    });
    if owner.is_some() {
        disown(sk);
    }
}

/// Inode of a socket, 0 when the process has let go of it.
#[inline(always)]
pub(super) fn inode(sk: Address) -> u64 {
    socket::inode::<Typed>(Typed::follow(sk, fact!(sk_socket)))
}

/// The kernel counts the peer's FIN as a byte received (`tcp_rcv_nxt_update`); `SOCK_DONE`
/// says that there was one (`tcp_fin`).
#[inline(always)]
fn end_mark(sk: Address) -> u64 {
    (Typed::read::<u64>(sk, fact!(sk_flags)) >> (fact!(sk_flag_done) & 63)) & 1
}
