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

/// Reads a `T` in the current process's memory, all zero when it cannot be read.
#[inline(always)]
pub fn read_user<T: Copy>(from: u64) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: as in [`read`].
    unsafe {
        bpf_probe_read_user(value.as_mut_ptr().cast::<c_void>(), size_of::<T>() as u32, from as *const c_void);
        value.assume_init()
    }
}
