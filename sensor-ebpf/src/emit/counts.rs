//! The kernel's side of the account. Programs on one CPU interrupt each other, in interrupts
//! everywhere and by preemption from 5.12 on, so every number is added to in one instruction.

use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use sensor_common::account::KindCount;
use sensor_common::kind::LIMIT;

use crate::atomic::add;

/// The account, by kind.
#[map]
static COUNTS: PerCpuArray<KindCount> = PerCpuArray::with_max_entries(LIMIT as u32, 0);

/// Counts an event of this kind; to be called once, first thing, in every program.
#[inline(always)]
pub fn seen(kind: u16) {
    count(kind, |count| &raw mut count.seen);
}

/// Counts an event dropped on purpose.
#[inline(always)]
pub fn filtered(kind: u16) {
    count(kind, |count| &raw mut count.filtered);
}

/// Counts an event handed over.
#[inline(always)]
pub(super) fn submitted(kind: u16) {
    count(kind, |count| &raw mut count.submitted);
}

/// Counts an event for which the ring had no room.
#[inline(always)]
pub(super) fn lost_ring(kind: u16) {
    count(kind, |count| &raw mut count.lost_ring);
}

/// Counts an event for which no scratch slot was free.
#[inline(always)]
pub(super) fn lost_scratch(kind: u16) {
    count(kind, |count| &raw mut count.lost_scratch);
}

/// Counts an event of which too much was forgotten before it was over; it was not seen yet.
#[inline(always)]
pub fn lost_begun(kind: u16) {
    seen(kind);
    count(kind, |count| &raw mut count.lost_begun);
}

#[inline(always)]
fn count(kind: u16, column: impl FnOnce(&mut KindCount) -> *mut u64) {
    if let Some(count) = COUNTS.get_ptr_mut(u32::from(kind)) {
        // SAFETY: a per-CPU element, valid as long as the program runs.
        unsafe { add(column(&mut *count), 1) };
    }
}
