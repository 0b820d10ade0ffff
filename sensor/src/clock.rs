//! The two clocks that times in events are of.

use std::time::Duration;

/// Nanoseconds since boot, suspended time included.
#[must_use]
pub fn boot_ns() -> u64 {
    ns(libc::CLOCK_BOOTTIME)
}

/// Nanoseconds since the epoch.
#[must_use]
pub fn wall_ns() -> u64 {
    ns(libc::CLOCK_REALTIME)
}

fn ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for the result; both clocks exist on every kernel
    // supported, and a failure would leave zero.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
    .as_nanos() as u64
}
