//! The only way out of the kernel: counts what was seen, builds records, hands them to the
//! right lane. No program touches a ring or a counter directly.

mod counts;
mod scratch;
mod tail;

use core::hint::black_box;
use core::mem::size_of;

use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::{bpf_get_smp_processor_id, bpf_ktime_get_boot_ns};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, RingBuf};
use sensor_common::kind::LANE_FILE;
use sensor_common::limits::TAIL_MAX;
use sensor_common::record::{HEADER_OWNER_UNKNOWN, Header, Subject, VERSION};

use self::scratch::{FIXED_MAX, Slot};

pub use self::counts::{filtered, lost_begun, seen};
pub use self::tail::{Path, Tail};

/// Ring sizes here are placeholders; user space sets them at load.
const RING_BYTES: u32 = 4096;

/// Process and network records.
#[map]
static RING_PROCESS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);
/// File records.
#[map]
static RING_FILE: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);
/// Not 0 while the reader wants to be woken by the next record.
#[map]
static READER_ASLEEP: Array<u32> = Array::with_max_entries(1, 0);

/// Bytes of ring in use at which the reader is woken instead of being left to its tick.
#[unsafe(no_mangle)]
static WAKE_AT_BYTES: u64 = 0;

#[inline(always)]
fn header(kind: u16, lane: u8, len: usize) -> Header {
    Header {
        len: len as u32,
        kind,
        version: VERSION,
        lane,
        // SAFETY: the helper has no preconditions.
        cpu: unsafe { bpf_get_smp_processor_id() },
        flags: 0,
        boot_ns: boot_ns(),
    }
}

/// Now, in nanoseconds since boot (`CLOCK_BOOTTIME`).
#[inline(always)]
pub fn boot_ns() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_boot_ns() }
}

#[inline(always)]
fn ring(lane: u8) -> &'static RingBuf {
    if lane == LANE_FILE {
        &RING_FILE
    } else {
        &RING_PROCESS
    }
}

/// Waking the reader costs more than all the rest of a program, so it is left to its tick
/// unless the record is urgent, or the ring fills up, or the reader sleeps for longer because
/// nothing happened.
#[inline(always)]
fn wake_flags(ring: &RingBuf, urgent: bool) -> u64 {
    // SAFETY: a plain load from a static of this object.
    let limit = unsafe { (&raw const WAKE_AT_BYTES).read_volatile() };
    if urgent || is_reader_asleep() || ring.query(u64::from(BPF_RB_AVAIL_DATA)) > limit {
        u64::from(BPF_RB_FORCE_WAKEUP)
    } else {
        u64::from(BPF_RB_NO_WAKEUP)
    }
}

#[inline(always)]
fn is_reader_asleep() -> bool {
    READER_ASLEEP.get_ptr(0).is_some_and(|asleep| {
        // SAFETY: an element of an array, which user space changes in one piece.
        unsafe { asleep.read_volatile() != 0 }
    })
}

/// Fills in whose event it is, when that is not the task that runs.
#[inline(always)]
pub fn attribute(owner: Option<&Subject>, header: &mut Header, subject: &mut Subject) {
    match owner {
        Some(owner) => *subject = *owner,
        None => {
            clear(subject);
            header.flags |= HEADER_OWNER_UNKNOWN;
        }
    }
}

/// VERIFIER: eight bytes at a time; the compiler's own way is a function that writes single
/// bytes in a loop.
#[inline(always)]
fn clear(subject: &mut Subject) {
    const WORDS: usize = size_of::<Subject>() / 8;
    let words = (&raw mut *subject).cast::<u64>();
    for at in 0..WORDS {
        // SAFETY: inside the subject, which has the alignment and a length of whole words.
        unsafe { words.add(at).write_volatile(0) };
    }
}

/// Emits a record without a variable part, built in place in the ring.
///
/// `fill` has to write every field but the header, which must be the first member of `T`, and
/// which it may add flags to.
#[inline(always)]
pub fn fixed<T: 'static>(kind: u16, lane: u8, fill: impl FnOnce(&mut T)) {
    let head = header(kind, lane, size_of::<T>());
    let ring = ring(lane);
    let Some(mut entry) = ring.reserve::<T>(0) else {
        return counts::lost_ring(kind);
    };
    // SAFETY: the ring gave us `size_of::<T>()` bytes, 8-byte aligned; `T` is plain data of
    // which every field is written before user space can see it.
    unsafe {
        entry.as_mut_ptr().cast::<Header>().write(head);
        fill(&mut *entry.as_mut_ptr());
    }
    entry.submit(wake_flags(ring, false));
    counts::submitted(kind);
}

/// Emits a record with a variable part, built in scratch memory and copied to the ring.
///
/// `fill` has to write every field of `T` but the header, which must be its first member and
/// of which it may set flags.
#[inline(always)]
pub fn variable<T: 'static>(kind: u16, lane: u8, fill: impl FnOnce(&mut T, &mut Tail)) {
    variable_if(kind, lane, |record, tail| {
        fill(record, tail);
        true
    });
}

/// Like [`variable`], but the record is dropped, and counted as filtered, when `fill` says
/// false: for filters that need a part of the record first.
#[inline(always)]
pub fn variable_if<T: 'static>(kind: u16, lane: u8, fill: impl FnOnce(&mut T, &mut Tail) -> bool) {
    let Some(slot) = Slot::take() else {
        return counts::lost_scratch(kind);
    };
    build(kind, lane, &slot, fill);
    slot.give_back();
}

#[inline(always)]
fn build<T: 'static>(
    kind: u16,
    lane: u8,
    slot: &Slot,
    fill: impl FnOnce(&mut T, &mut Tail) -> bool,
) {
    const { assert!(size_of::<T>() <= FIXED_MAX && align_of::<T>() <= 8) };
    // SAFETY: the slot is ours until we give it back; `T` is plain data that fits before the
    // tail, and is wholly written by `fill` and the header.
    unsafe {
        let record = (&raw mut (*slot.scratch).record).cast::<u8>();
        let mut tail = Tail {
            at: record.add(size_of::<T>()),
            len: 0,
            slot: slot.number,
            urgent: false,
        };
        let head = record.cast::<Header>();
        (*head).flags = 0;
        if !fill(&mut *record.cast::<T>(), &mut tail) {
            return filtered(kind);
        }
        let len = size_of::<T>() + (black_box(tail.len) & (TAIL_MAX - 1));
        let flags = (*head).flags;
        head.write(Header {
            flags,
            ..header(kind, lane, len)
        });
        let ring = ring(lane);
        let bytes = core::slice::from_raw_parts(record, len);
        match ring.output::<[u8]>(bytes, wake_flags(ring, tail.urgent)) {
            Ok(()) => counts::submitted(kind),
            Err(_) => counts::lost_ring(kind),
        }
    }
}
