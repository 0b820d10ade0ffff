//! Which TCP connection a process works on: the one it opened or accepted last, and after a
//! fork its child as well. At an exec that says whose word a command may have come by, and how
//! much had come by then.

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;
use sensor_common::exec::Carried;
use sensor_common::limits::CONNECTED as CONNECTED_MAX;

use super::owned;
use crate::fact;
use crate::kernel::{Address, read};

/// The `struct sock` of each process's latest connection, by process id. Entries end with
/// their process; should there be more, the one not asked for longest is thrown out, and an
/// exec there goes without.
#[map]
static LATEST: LruHashMap<u32, u64> = LruHashMap::with_max_entries(CONNECTED_MAX, 0);

/// The process `pid` opened or accepted `sk`.
#[inline(always)]
pub(super) fn opened(pid: u32, sk: Address) {
    let _ = LATEST.insert(pid, sk as u64, 0);
}

/// A process was forked.
#[inline(always)]
pub fn forked(parent: u32, child: u32) {
    // SAFETY: a word, written at once.
    if let Some(sk) = unsafe { LATEST.get(parent) } {
        let _ = LATEST.insert(child, *sk, 0);
    }
}

/// A process ended.
#[inline(always)]
pub fn ended(pid: u32) {
    let _ = LATEST.remove(pid);
}

/// What the latest connection of a process has carried so far; all zero without one, and once
/// it is closed.
#[inline(always)]
pub fn carried(pid: u32, carried: &mut Carried) {
    *carried = Carried::default();
    // SAFETY: a word, written at once.
    let Some(sk) = (unsafe { LATEST.get(pid) }) else {
        return;
    };
    let sk = *sk as usize as Address;
    // Closed ones have no owner any more; a new socket at the same place has another inode,
    // which user space knows by who opened it.
    let Some(connection) = owned(sk) else { return };
    carried.inode = connection.inode;
    carried.received_bytes = read(sk, fact!(tcp_bytes_received));
    carried.sent_bytes =
        read::<u64>(sk, fact!(tcp_bytes_sent)).wrapping_sub(read(sk, fact!(tcp_bytes_retrans)));
    // `tcp_mstamp` (`include/linux/tcp.h`): microseconds of the monotonic clock at the last
    // packet.
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    carried.idle_ns = now.saturating_sub(read::<u64>(sk, fact!(tcp_mstamp)).wrapping_mul(1_000));
}
