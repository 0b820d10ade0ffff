//! Adding to numbers that other programs add to at the same time. Shared by both objects.

use core::arch::asm;

/// Adds in one instruction (`BPF_XADD`, all kernels). Its siblings that also return the old
/// value, or compare, came with 5.12, and an older kernel refuses an object that has them even
/// in dead code; that is why there is no safe atomic type for this target.
///
/// # Safety
/// `to` has to be valid and 8-byte aligned.
#[inline(always)]
pub unsafe fn add(to: *mut u64, value: u64) {
    // SAFETY: by the contract of this function; nothing but the addressed word changes.
    unsafe { asm!("lock *(u64 *)({to} + 0) += {value}", to = in(reg) to, value = in(reg) value) };
}
