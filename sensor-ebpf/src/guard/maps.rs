//! The maps, which user space pins, and what the programs change in them: counters only.

use core::cell::UnsafeCell;

use aya_ebpf::bindings::BPF_F_NO_PREALLOC;
use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::lpm_trie::LpmTrie;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray};
use sensor_common::guard::{
    ADDRESSES, Entry, FOREVER, GROUPS_MAX, Group, NETS_MAX, NOTES_MAX, Note, State, Tally, Who4,
    Who6, tally,
};

use crate::atomic::add;

// Elements are made when they are needed: room for a million costs nothing until there are any.
#[map]
pub static DENY4: HashMap<Who4, Shared<Entry>> =
    HashMap::with_max_entries(ADDRESSES, BPF_F_NO_PREALLOC);
#[map]
pub static DENY6: HashMap<Who6, Shared<Entry>> =
    HashMap::with_max_entries(ADDRESSES, BPF_F_NO_PREALLOC);
#[map]
pub static DENY_NETS4: LpmTrie<Who4, Shared<Entry>> = LpmTrie::with_max_entries(NETS_MAX, 0);
#[map]
pub static DENY_NETS6: LpmTrie<Who6, Shared<Entry>> = LpmTrie::with_max_entries(NETS_MAX, 0);
#[map]
pub static ALLOW4: LpmTrie<Who4, Shared<Entry>> = LpmTrie::with_max_entries(NETS_MAX, 0);
#[map]
pub static ALLOW6: LpmTrie<Who6, Shared<Entry>> = LpmTrie::with_max_entries(NETS_MAX, 0);
#[map]
pub static STATE: Array<Shared<State>> = Array::with_max_entries(1, 0);
#[map]
pub static GROUPS: HashMap<u64, Shared<Group>> = HashMap::with_max_entries(GROUPS_MAX, 0);
/// Read and written by user space only; here because it belongs to the others.
#[map]
pub static NOTES: HashMap<u32, Note> = HashMap::with_max_entries(NOTES_MAX, BPF_F_NO_PREALLOC);
#[map]
static TALLY: PerCpuArray<Tally> = PerCpuArray::with_max_entries(tally::LIMIT, 0);

/// Counts a packet under one of [`tally`].
#[inline(always)]
pub fn count(reason: u32, bytes: u64) {
    if let Some(tally) = TALLY.get_ptr_mut(reason) {
        // SAFETY: a per-CPU element, valid as long as the program runs; programs on one CPU
        // interrupt each other, so it is added to in one instruction.
        unsafe {
            add(&raw mut (*tally).packets, 1);
            add(&raw mut (*tally).bytes, bytes);
        }
    }
}

/// An element that user space and other CPUs change while it is looked at.
#[repr(transparent)]
pub struct Shared<T>(UnsafeCell<T>);

// SAFETY: all access is by `member!`, of one word at a time, and by `Shared::hit`.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Where it is.
    #[inline(always)]
    pub fn as_ptr(&self) -> *const T {
        self.0.get()
    }
}

/// Reads one member of a [`Shared`] element.
macro_rules! member {
    ($shared:expr, $name:ident) => {
        // SAFETY: an element is valid as long as the program runs; volatile, because others
        // change it.
        unsafe { (&raw const (*$shared.as_ptr()).$name).read_volatile() }
    };
}
pub(crate) use member;

/// Elements that count the packets they decided.
pub trait Counted {
    /// Packets, their bytes, and when the last of them came.
    fn counters(this: *mut Self) -> [*mut u64; 3];
}

impl Counted for Entry {
    #[inline(always)]
    fn counters(this: *mut Self) -> [*mut u64; 3] {
        // SAFETY: only addresses of members are taken.
        unsafe {
            [
                &raw mut (*this).packets,
                &raw mut (*this).bytes,
                &raw mut (*this).last_boot_ns,
            ]
        }
    }
}

impl Counted for Group {
    #[inline(always)]
    fn counters(this: *mut Self) -> [*mut u64; 3] {
        // SAFETY: only addresses of members are taken.
        unsafe {
            [
                &raw mut (*this).packets,
                &raw mut (*this).bytes,
                &raw mut (*this).last_boot_ns,
            ]
        }
    }
}

impl<T: Counted> Shared<T> {
    /// Counts a packet that this decided.
    #[inline(always)]
    pub fn hit(&self, bytes: u64) {
        let [packets, total, last] = T::counters(self.0.get());
        // SAFETY: members of an element, valid as long as the program runs even if it is removed
        // meanwhile; added to in one instruction, or a whole word written.
        unsafe {
            add(packets, 1);
            add(total, bytes);
            last.write_volatile(boot_ns());
        }
    }
}

/// Nanoseconds since boot, suspended or not.
#[inline(always)]
pub fn boot_ns() -> u64 {
    // SAFETY: takes nothing.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Whether a time limit has not passed yet. The clock is read only where there is one.
#[inline(always)]
pub fn is_ahead(until_boot_ns: u64) -> bool {
    until_boot_ns == FOREVER || (until_boot_ns != 0 && until_boot_ns > boot_ns())
}
