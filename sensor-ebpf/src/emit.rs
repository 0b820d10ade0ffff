//! The only way out of the kernel: counts what was seen, builds records, hands them to the
//! right lane. No program touches a ring or a counter directly.

use core::ffi::c_void;
use core::hint::black_box;
use core::mem::size_of;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::{
    bpf_get_smp_processor_id, bpf_ktime_get_boot_ns, bpf_probe_read_kernel,
    bpf_probe_read_kernel_str, bpf_probe_read_user, bpf_probe_read_user_str, bpf_skb_load_bytes,
};
use aya_ebpf::macros::map;
use aya_ebpf::maps::lpm_trie::Key;
use aya_ebpf::maps::{PerCpuArray, RingBuf};
use aya_ebpf::programs::SkBuffContext;
use sensor_common::account::KindCount;
use sensor_common::kind::{LANE_FILE, LANES, LIMIT};
use sensor_common::limits::{ARGV_MAX, PATH_MAX, SCRATCH_SLOTS, TAIL_MAX};
use sensor_common::record::{HEADER_OWNER_UNKNOWN, Header, Subject, VERSION};
use sensor_common::tail::{TRUNCATED, UNREADABLE};

use crate::kernel::Address;
use crate::kernel::path::{self, Location};

/// Ring sizes here are placeholders; user space sets them at load.
const RING_BYTES: u32 = 4096;

/// Process and network records.
#[map]
static RING_PROCESS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);
/// File records.
#[map]
static RING_FILE: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);
/// The account, by kind.
#[map]
static COUNTS: PerCpuArray<KindCount> = PerCpuArray::with_max_entries(LIMIT as u32, 0);
/// Next sequence number, by lane.
#[map]
static SEQUENCES: PerCpuArray<u64> = PerCpuArray::with_max_entries(LANES as u32, 0);
/// Where records with a variable part are built.
#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(SCRATCH_SLOTS, 0);
/// How many slots of [`SCRATCH`] are in use on this CPU.
#[map]
static SCRATCH_USED: PerCpuArray<u32> = PerCpuArray::with_max_entries(1, 0);

/// Bytes of ring in use at which the reader is woken instead of being left to its tick.
#[unsafe(no_mangle)]
static WAKE_AT_BYTES: u64 = 0;

/// Largest fixed part of a record with a variable part.
const FIXED_MAX: usize = 1024;

/// A record under construction.
#[repr(C, align(8))]
pub struct Scratch {
    record: [u8; FIXED_MAX + TAIL_MAX + 4 + ARGV_MAX + 1],
}

/// Counts an event of this kind; to be called once, first thing, in every program.
#[inline(always)]
pub fn seen(kind: u16) {
    count(kind, |count| count.seen += 1);
}

/// Counts an event dropped on purpose.
#[inline(always)]
pub fn filtered(kind: u16) {
    count(kind, |count| count.filtered += 1);
}

#[inline(always)]
fn count(kind: u16, change: impl FnOnce(&mut KindCount)) {
    if let Some(count) = COUNTS.get_ptr_mut(u32::from(kind)) {
        // SAFETY: a per-CPU element, valid as long as the program runs.
        change(unsafe { &mut *count });
    }
}

#[inline(always)]
fn header(kind: u16, lane: u8, len: usize) -> Header {
    let mut sequence = 0;
    if let Some(next) = SEQUENCES.get_ptr_mut(u32::from(lane)) {
        // SAFETY: a per-CPU element, valid as long as the program runs.
        unsafe {
            sequence = *next;
            *next = sequence + 1;
        }
    }
    Header {
        len: len as u32,
        kind,
        version: VERSION,
        lane,
        // SAFETY: the helper has no preconditions.
        cpu: unsafe { bpf_get_smp_processor_id() },
        flags: 0,
        sequence,
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
/// unless the ring fills up.
#[inline(always)]
fn wake_flags(ring: &RingBuf) -> u64 {
    // SAFETY: a plain load from a static of this object.
    let limit = unsafe { (&raw const WAKE_AT_BYTES).read_volatile() };
    if ring.query(u64::from(BPF_RB_AVAIL_DATA)) > limit {
        u64::from(BPF_RB_FORCE_WAKEUP)
    } else {
        u64::from(BPF_RB_NO_WAKEUP)
    }
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
        count(kind, |count| count.lost_ring += 1);
        return;
    };
    // SAFETY: the ring gave us `size_of::<T>()` bytes, 8-byte aligned; `T` is plain data of
    // which every field is written before user space can see it.
    unsafe {
        entry.as_mut_ptr().cast::<Header>().write(head);
        fill(&mut *entry.as_mut_ptr());
    }
    entry.submit(wake_flags(ring));
    count(kind, |count| count.submitted += 1);
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
    let Some(used) = SCRATCH_USED.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: a per-CPU element, valid as long as the program runs. Another task's program may
    // preempt this one and take the next slot; it gives it back before it ends.
    let slot = unsafe { *used };
    let Some(scratch) = SCRATCH.get_ptr_mut(slot) else {
        count(kind, |count| count.lost_scratch += 1);
        return;
    };
    // SAFETY: as above.
    unsafe { *used = slot + 1 };
    build(kind, lane, scratch, slot, fill);
    // SAFETY: as above.
    unsafe { *used = slot };
}

#[inline(always)]
fn build<T: 'static>(
    kind: u16,
    lane: u8,
    scratch: *mut Scratch,
    slot: u32,
    fill: impl FnOnce(&mut T, &mut Tail) -> bool,
) {
    const { assert!(size_of::<T>() <= FIXED_MAX && align_of::<T>() <= 8) };
    // SAFETY: the slot is ours until we give it back; `T` is plain data that fits before the
    // tail, and is wholly written by `fill` and the header.
    unsafe {
        let record = (&raw mut (*scratch).record).cast::<u8>();
        let mut tail = Tail {
            at: record.add(size_of::<T>()),
            len: 0,
            slot,
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
        match ring.output::<[u8]>(bytes, wake_flags(ring)) {
            Ok(()) => count(kind, |count| count.submitted += 1),
            Err(_) => count(kind, |count| count.lost_ring += 1),
        }
    }
}

/// The variable part of a record (see [`sensor_common::tail`]).
///
/// VERIFIER: `len` is masked with `TAIL_MAX - 1` before each use as an index, and each copy is
/// masked to its own bound; the scratch buffer has room for both together.
pub struct Tail {
    at: *mut u8,
    len: usize,
    slot: u32,
}

impl Tail {
    /// Length of a section header.
    const HEAD: usize = 4;

    /// Where the next section's bytes go, or `None` when `want` bytes no longer fit.
    #[inline(always)]
    fn room(&self, want: usize) -> Option<usize> {
        (self.len + Self::HEAD + want < TAIL_MAX).then_some(black_box(self.len) & (TAIL_MAX - 1))
    }

    #[inline(always)]
    fn close(&mut self, offset: usize, tag: u8, flags: u8, len: usize) {
        let head = u32::from(tag) | (u32::from(flags) << 8) | ((len as u32) << 16);
        // SAFETY: `offset` is below `TAIL_MAX`, and the buffer goes on well past that.
        unsafe {
            self.at
                .add(offset)
                .cast::<u32>()
                .write_unaligned(head.to_le())
        };
        self.len = offset + Self::HEAD + len;
    }

    /// A run of bytes in the current process's memory, up to `MAX` (a power of two less one).
    #[inline(always)]
    pub fn user_bytes<const MAX: usize>(&mut self, tag: u8, from: u64, len: u64) {
        self.bytes::<MAX>(tag, len, |to, len| {
            // SAFETY: `to` has room for `len` bytes; the helper takes any source.
            unsafe { bpf_probe_read_user(to, len, from as *const _) }
        });
    }

    #[inline(always)]
    fn bytes<const MAX: usize>(
        &mut self,
        tag: u8,
        len: u64,
        copy: impl FnOnce(*mut c_void, u32) -> i64,
    ) {
        let cut = len > MAX as u64;
        let len = if cut { MAX } else { len as usize };
        let Some(offset) = self.room(len) else { return };
        let len = black_box(len) & MAX;
        // SAFETY: the destination has room (see the type).
        let to = unsafe { self.at.add(offset + Self::HEAD) };
        if copy(to.cast(), len as u32) != 0 {
            self.close(offset, tag, UNREADABLE, 0);
        } else {
            self.close(offset, tag, if cut { TRUNCATED } else { 0 }, len);
        }
    }

    /// A run of bytes in kernel memory, up to `MAX` (a power of two less one).
    #[inline(always)]
    pub fn kernel_bytes<const MAX: usize>(&mut self, tag: u8, from: Address, len: u64) {
        self.bytes::<MAX>(tag, len, |to, len| {
            // SAFETY: `to` has room for `len` bytes; the helper takes any source.
            unsafe { bpf_probe_read_kernel(to, len, from.cast()) }
        });
    }

    /// Bytes of a packet from `from` on, up to `MAX` (a power of two less one).
    #[inline(always)]
    pub fn packet_bytes<const MAX: usize>(
        &mut self,
        tag: u8,
        ctx: &SkBuffContext,
        from: usize,
        len: u16,
    ) {
        if len == 0 {
            return;
        }
        self.bytes::<MAX>(tag, u64::from(len), |to, len| {
            // VERIFIER: this helper wants to be told that there is at least one byte.
            let len = (black_box(len.wrapping_sub(1)) & MAX as u32) + 1;
            // SAFETY: `to` has room for `len` bytes; the helper checks the packet's bounds.
            unsafe { bpf_skb_load_bytes(ctx.as_ptr(), from as u32, to, len) }
        });
    }

    /// A NUL-ended string in kernel memory, without its NUL.
    #[inline(always)]
    pub fn kernel_string(&mut self, tag: u8, from: Address) {
        self.string(tag, |to, size| {
            // SAFETY: `to` has room for `size` bytes; the helper takes any source.
            unsafe { bpf_probe_read_kernel_str(to, size, from.cast()) }
        });
    }

    /// A NUL-ended string in the current process's memory, without its NUL.
    #[inline(always)]
    pub fn user_string(&mut self, tag: u8, from: u64) {
        self.string(tag, |to, size| {
            // SAFETY: `to` has room for `size` bytes; the helper takes any source.
            unsafe { bpf_probe_read_user_str(to, size, from as *const _) }
        });
    }

    #[inline(always)]
    fn string(&mut self, tag: u8, copy: impl FnOnce(*mut c_void, u32) -> i64) {
        let Some(offset) = self.room(PATH_MAX) else {
            return;
        };
        // SAFETY: the destination has room (see the type).
        let to = unsafe { self.at.add(offset + Self::HEAD) };
        let copied = copy(to.cast(), PATH_MAX as u32 + 1);
        if copied <= 0 {
            return self.close(offset, tag, UNREADABLE, 0);
        }
        let len = black_box(copied as usize - 1) & PATH_MAX;
        self.close(
            offset,
            tag,
            if len == PATH_MAX { TRUNCATED } else { 0 },
            len,
        );
    }

    /// The absolute path of `location`; also left as a whole at the end of the path buffer.
    #[inline(always)]
    pub fn path(&mut self, tag: u8, location: Location) -> Option<Path> {
        let walked = path::walk(location, self.slot);
        self.walked(tag, walked)
    }

    /// The absolute path of the entry `name`, `len` bytes long, in the directory `location`;
    /// otherwise like [`Tail::path`].
    #[inline(always)]
    pub fn entry_path(
        &mut self,
        tag: u8,
        location: Location,
        name: Address,
        len: usize,
    ) -> Option<Path> {
        let walked = path::walk_to_entry(location, name, len, self.slot);
        self.walked(tag, walked)
    }

    #[inline(always)]
    fn walked(&mut self, tag: u8, walked: path::Walked) -> Option<Path> {
        let buffer = path::buffer(self.slot)?;
        let start = black_box(walked.start) & PATH_MAX;
        let len = black_box(PATH_MAX.wrapping_sub(start)) & PATH_MAX;
        let path = Some(Path { buffer, len });
        let Some(offset) = self.room(len) else {
            return path;
        };
        // SAFETY: source and destination have room (see the type, and `path::BUFFER`).
        unsafe {
            bpf_probe_read_kernel(
                self.at.add(offset + Self::HEAD).cast(),
                len as u32,
                buffer.add(start).cast(),
            );
        }
        self.close(
            offset,
            tag,
            if walked.truncated { TRUNCATED } else { 0 },
            len,
        );
        path
    }
}

/// A path as [`Tail::path`] has just found it, valid until it finds the next.
#[derive(Clone, Copy)]
pub struct Path {
    buffer: *mut u8,
    /// Length in bytes, up to [`PATH_MAX`].
    pub len: usize,
}

impl Path {
    /// The beginning of the path as the key of a trie, `N` bytes of which the first `used`
    /// count; behind the path is a NUL. Made where the path is: a key is large for a stack.
    #[inline(always)]
    pub fn key<const N: usize>(&self, used: usize) -> Option<&Key<[u8; N]>> {
        const { assert!(N < path::BUFFER - PATH_MAX) };
        const LENGTH: usize = size_of::<u32>();
        let start = PATH_MAX.wrapping_sub(self.len);
        if start < LENGTH {
            return None;
        }
        let at = black_box(start - LENGTH) & PATH_MAX;
        // SAFETY: `at` and a whole key behind it are inside the buffer, of which nothing is
        // used before the path; the type of the key is packed plain data.
        unsafe {
            let key = self.buffer.add(at);
            key.cast::<u32>().write_unaligned(8 * used as u32);
            Some(&*key.cast::<Key<[u8; N]>>())
        }
    }

    /// The `N`th eight bytes from the end, last byte in the lowest place. Bytes before the
    /// path may be anything.
    #[inline(always)]
    pub fn ending<const N: usize>(&self) -> u64 {
        // SAFETY: a constant place inside the buffer.
        unsafe {
            self.buffer
                .add(PATH_MAX - 8 * (N + 1))
                .cast::<u64>()
                .read_unaligned()
                .swap_bytes()
        }
    }
}
