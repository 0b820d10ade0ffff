//! prctl(2) with options that take numbers only. What is set, and why, is decided elsewhere.

use std::io;

use libc::{c_int, c_ulong};

/// Sets one for the thread that calls this, and for those that it starts later.
///
/// # Errors
/// What the kernel says.
pub fn set(option: c_int, value: c_ulong) -> io::Result<()> {
    const NONE: c_ulong = 0;
    // SAFETY: options that take numbers only.
    done(unsafe { libc::prctl(option, value, NONE, NONE, NONE) })
}

/// What a system call that gives 0 says.
///
/// # Errors
/// What the kernel said, when it is anything else.
pub fn done(result: c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
