//! Memory to build records in that are too large for a program's stack: a few slots per CPU,
//! because a program can be interrupted, or preempted by another task's, on the same CPU, and
//! the two need not end in the order in which they began.

use core::hint::black_box;

use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use sensor_common::limits::{ARGV_MAX, SCRATCH_SLOTS, TAIL_MAX};

use crate::atomic::add;

/// Largest fixed part of a record with a variable part.
pub(super) const FIXED_MAX: usize = 1024;

const SLOTS: usize = SCRATCH_SLOTS as usize;
const _: () = assert!(SLOTS.is_power_of_two());

/// Where records with a variable part are built.
#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(SCRATCH_SLOTS, 0);
/// How many programs on this CPU want each slot.
#[map]
static SCRATCH_CLAIMS: PerCpuArray<Claims> = PerCpuArray::with_max_entries(1, 0);

type Claims = [u64; SLOTS];

/// A record under construction.
#[repr(C, align(8))]
pub(super) struct Scratch {
    pub(super) record: [u8; FIXED_MAX + TAIL_MAX + 4 + ARGV_MAX + 1],
}

/// A slot that belongs to the running program until it is given back.
pub(super) struct Slot {
    /// Its number, below [`SCRATCH_SLOTS`].
    pub(super) number: u32,
    /// Its memory.
    pub(super) scratch: *mut Scratch,
    claim: *mut u64,
}

impl Slot {
    /// Takes a free slot. Whoever finds itself to be the only one that claims a slot has it;
    /// two that claim the same one at the same moment may both pass it by, never both have it.
    /// (All of one CPU: the order of accesses is that of the program.)
    #[inline(always)]
    pub(super) fn take() -> Option<Self> {
        let claims = SCRATCH_CLAIMS.get_ptr_mut(0)?.cast::<u64>();
        let mut number = 0;
        loop {
            // SAFETY: `number` is below `SLOTS`; a per-CPU element, valid as long as the
            // program runs.
            let claim = unsafe { claims.add(number) };
            // SAFETY: as above.
            unsafe { add(claim, 1) };
            // SAFETY: as above; volatile, because interrupting programs change it.
            if unsafe { claim.read_volatile() } == 1 {
                break;
            }
            // SAFETY: as above.
            unsafe { add(claim, u64::MAX) };
            number += 1;
            if number == SLOTS {
                return None;
            }
        }
        let number = conceal(number, claims) & (SLOTS - 1);
        Some(Self {
            number: number as u32,
            scratch: SCRATCH.get_ptr_mut(number as u32)?,
            // SAFETY: masked.
            claim: unsafe { claims.add(number) },
        })
    }

    /// Gives it back.
    #[inline(always)]
    pub(super) fn give_back(self) {
        // SAFETY: `take` made it a pointer into a per-CPU element.
        unsafe { add(self.claim, u64::MAX) };
    }
}

/// The same number, but one the verifier does not know: it would go through all that follows
/// once per slot otherwise.
#[inline(always)]
fn conceal(number: usize, unknown: *const u64) -> usize {
    // SAFETY: the caller's pointer is valid for reads; any value does.
    let noise = unsafe { unknown.read_volatile() } as usize;
    black_box(number ^ noise) ^ noise
}
