//! Reading kernel memory: where things are (`fact!`), and how to get at them safely.
//! Knows nothing of events.

pub mod file;
pub mod object;
pub mod path;
pub mod pid;
pub mod socket;
pub mod task;

use core::ffi::c_void;
use core::mem::{MaybeUninit, size_of};

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_user};
use sensor_common::facts::Facts;

/// Offsets and constants of the running kernel, filled in by user space before the load.
#[unsafe(no_mangle)]
pub static KERNEL: Facts = Facts::UNKNOWN;

/// The sensor's own process id, filled in by user space before the load.
#[unsafe(no_mangle)]
static SENSOR_PID: u32 = 0;

/// The sensor's own process id.
#[inline(always)]
pub fn sensor_pid() -> u32 {
    // SAFETY: a plain load from a static of this object.
    unsafe { (&raw const SENSOR_PID).read_volatile() }
}

/// The value of one kernel fact. A volatile load, or LLVM would fold the initial value in.
#[macro_export]
macro_rules! fact {
    ($name:ident) => {
        // SAFETY: a plain load from a static of this object.
        unsafe { (&raw const $crate::kernel::KERNEL.$name).read_volatile() }
    };
}

/// An address in kernel memory. May be anything, null included: reading through a bad one
/// gives zeros.
pub type Address = *const u8;

/// Reads a `T` at `base + offset`, all zero when the address cannot be read: the helper
/// clears the destination on failure, which saves a branch, and a verifier path, per read.
#[inline(always)]
pub fn read<T: Copy>(base: Address, offset: u32) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the destination is ours and as long as said; the helper writes all of it, and
    // takes any source address. Every `T` used is plain data for which zeros are valid.
    unsafe {
        bpf_probe_read_kernel(
            value.as_mut_ptr().cast::<c_void>(),
            size_of::<T>() as u32,
            base.wrapping_add(offset as usize).cast(),
        );
        value.assume_init()
    }
}

/// Follows the pointer at `base + offset`.
#[inline(always)]
pub fn follow(base: Address, offset: u32) -> Address {
    read::<usize>(base, offset) as Address
}

/// How kernel memory is read: [`Probed`] or [`Typed`].
pub trait Memory {
    /// Reads an integer at `base + offset`, zero when it cannot be read.
    fn read<T: Integer>(base: Address, offset: u32) -> T;

    /// Reads sixteen bytes, such as an address, that begin where an integer may.
    fn read16(base: Address, offset: u32) -> [u8; 16];

    /// Gives `look` a place where the first `WORDS` eight bytes at `base` can be read through
    /// [`Typed`]: for many members at the price of one.
    fn view<const WORDS: usize, R>(base: Address, look: impl FnOnce(Address) -> R) -> R;

    /// The same, but what has to be copied is copied to `place`, for what is too large for the
    /// stack; the place must have room for it.
    fn view_at(base: Address, place: *mut u8, bytes: u32) -> Address;

    /// Follows the pointer at `base + offset`.
    #[inline(always)]
    fn follow(base: Address, offset: u32) -> Address {
        Self::read::<usize>(base, offset) as Address
    }
}

/// Numbers that one load gets.
pub trait Integer: Copy + Default {}

impl Integer for u8 {}
impl Integer for u16 {}
impl Integer for u32 {}
impl Integer for i32 {}
impl Integer for i64 {}
impl Integer for u64 {}
impl Integer for usize {}

/// Reading through a helper, from any address whatever: about 40 ns each.
pub enum Probed {}

impl Memory for Probed {
    #[inline(always)]
    fn read<T: Integer>(base: Address, offset: u32) -> T {
        read(base, offset)
    }

    #[inline(always)]
    fn read16(base: Address, offset: u32) -> [u8; 16] {
        read(base, offset)
    }

    #[inline(always)]
    fn view<const WORDS: usize, R>(base: Address, look: impl FnOnce(Address) -> R) -> R {
        let copy: [u64; WORDS] = read(base, 0);
        look(copy.as_ptr().cast())
    }

    #[inline(always)]
    fn view_at(base: Address, place: *mut u8, bytes: u32) -> Address {
        // SAFETY: the caller vouches for the place; the helper takes any source, and clears the
        // destination when it cannot be read.
        unsafe { bpf_probe_read_kernel(place.cast(), bytes, base.cast()) };
        place
    }
}

/// Reading through plain loads, about 1 ns each, from pointers of which the verifier knows what
/// they point to: arguments of BTF tracepoints and trampolines, what
/// `bpf_get_current_task_btf` gives, and what is found by following members from there. Only
/// members may be read, each whole and by itself.
///
/// VERIFIER: a pointer is compared with null before it is loaded from, because some kernels
/// (those built with `btf_type_tag`) insist for members they protect by RCU.
pub enum Typed {}

impl Memory for Typed {
    #[inline(always)]
    fn read<T: Integer>(base: Address, offset: u32) -> T {
        if base.is_null() {
            return T::default();
        }
        // SAFETY: the kernel checks the type of `base` and that there is such a member; a load
        // that faults gives zero.
        unsafe { base.byte_add(offset as usize).cast::<T>().read_volatile() }
    }

    #[inline(always)]
    fn read16(base: Address, offset: u32) -> [u8; 16] {
        let halves = [
            Self::read::<u64>(base, offset),
            Self::read::<u64>(base, offset + 8),
        ];
        // SAFETY: plain data of the same size.
        unsafe { core::mem::transmute(halves) }
    }

    #[inline(always)]
    fn view<const WORDS: usize, R>(base: Address, look: impl FnOnce(Address) -> R) -> R {
        look(base)
    }

    #[inline(always)]
    fn view_at(base: Address, _: *mut u8, _: u32) -> Address {
        base
    }
}

/// Reads a `T` in the current process's memory, all zero when it cannot be read.
#[inline(always)]
pub fn read_user<T: Copy>(from: u64) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: as in [`read`].
    unsafe {
        bpf_probe_read_user(
            value.as_mut_ptr().cast::<c_void>(),
            size_of::<T>() as u32,
            from as *const c_void,
        );
        value.assume_init()
    }
}

/// An argument of a traced function at a place that is a fact, as a plain number; its result
/// stands after the last one. The verifier refuses to load from a context but at constants, so
/// this goes through the helper; and what the helper gives has no type, which functions that
/// are verified by themselves insist on.
#[inline(always)]
pub fn argument(ctx: &impl EbpfContext, place: u32) -> u64 {
    read(
        ctx.as_ptr().cast_const().cast(),
        place * size_of::<u64>() as u32,
    )
}
