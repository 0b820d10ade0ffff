//! Numbers that nobody can guess, from the kernel. What they are for is not known here.

/// One of them.
#[must_use]
pub fn number() -> u32 {
    let mut bytes = [0; 4];
    // SAFETY: the buffer is as long as said. Four bytes are never cut short.
    unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    u32::from_ne_bytes(bytes)
}

/// A time between nothing and the one given, so that many who wait do not come back at once.
#[must_use]
pub fn share(of: std::time::Duration) -> std::time::Duration {
    of.mul_f64(f64::from(number()) / f64::from(u32::MAX))
}
