//! The network: one file per protocol, and here what they share: whose a TCP connection is.
//! DNS messages stand in `dns`, reading of sockets in `kernel::socket`.

mod accept;
mod bind;
mod connect;
pub mod inherit;
mod listen;
mod raw;
mod tcp;
mod udp;
mod unix;

use core::mem::MaybeUninit;

use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;
use sensor_common::limits::CONNECTIONS as CONNECTIONS_MAX;
use sensor_common::record::Subject;

use crate::kernel::{Address, task};

/// TCP sockets whose owner is known, by the address of their `struct sock`. Most of what
/// happens to a connection happens in interrupts, where the current task is anybody.
///
/// An entry is made in the context of the process that connects, listens or accepts, and
/// removed when the socket is closed, so the kernel throws one out only when more connections
/// than it has room for are open at a time.
#[map]
static CONNECTIONS: LruHashMap<u64, Connection> = LruHashMap::with_max_entries(CONNECTIONS_MAX, 0);

/// A TCP socket and whose it is.
#[repr(C)]
#[derive(Clone, Copy)]
struct Connection {
    subject: Subject,
    /// When it was tried, or, from [`OUTBOUND`] on, when it was established; nanoseconds since
    /// boot, 0 when unknown.
    since_boot_ns: u64,
    /// Inode of the socket: addresses of freed sockets are used again, inodes hardly ever.
    inode: u64,
    /// How far it is, one of the constants below.
    phase: u64,
}

/// `connect` was called, no answer yet.
const CONNECTING: u64 = 0;
/// `connect` failed on its own accord and is about to return the reason.
const FAILED: u64 = 1;
/// The failure was reported, and `connect` may be about to return it.
const REPORTED: u64 = 2;
/// `listen` was called and has still to choose the port.
const LISTENING: u64 = 3;
/// Established by `connect`.
const OUTBOUND: u64 = 4;
/// Accepted.
const INBOUND: u64 = 5;

impl Connection {
    /// One that the process that acts is about to own; gives it to `own` while it is at hand.
    #[inline(always)]
    fn with(phase: u64, inode: u64, own: impl FnOnce(&mut Self)) {
        let mut connection = MaybeUninit::<Self>::uninit();
        // SAFETY: plain data, of which every field is written before it is read.
        let connection = unsafe { &mut *connection.as_mut_ptr() };
        task::identify_acting(&mut connection.subject);
        connection.since_boot_ns = 0;
        connection.inode = inode;
        connection.phase = phase;
        own(connection);
    }

    /// Remembers it. That cannot fail for lack of room, only for want of a free element on
    /// this CPU in a rush; what comes later then says that its owner is unknown.
    #[inline(always)]
    fn remember(&self, sk: Address) {
        let _ = CONNECTIONS.insert(sk as u64, self, 0);
    }
}

#[inline(always)]
fn owned(sk: Address) -> Option<&'static mut Connection> {
    // SAFETY: an element of a preallocated map, never freed while the program runs. Writers of
    // one socket's element are serialised by the socket's lock.
    CONNECTIONS
        .get_ptr_mut(sk as u64)
        .map(|connection| unsafe { &mut *connection })
}

#[inline(always)]
fn disown(sk: Address) {
    let _ = CONNECTIONS.remove(sk as u64);
}
