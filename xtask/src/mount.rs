//! The system calls around mounts, thin. Where they are called, and in which namespace, is the
//! callers' business.

use std::ffi::CStr;
use std::io;
use std::ptr;

/// mount(2), with data where the kind of file system takes some.
///
/// # Safety
/// To be called in a mount namespace of one's own, or everybody sees it.
pub(crate) unsafe fn mount(
    source: Option<&CStr>,
    target: &CStr,
    kind: Option<&CStr>,
    flags: libc::c_ulong,
    data: Option<&CStr>,
) -> io::Result<()> {
    let pointer = |text: Option<&CStr>| text.map_or(ptr::null(), CStr::as_ptr);
    // SAFETY: terminated strings that live through the call.
    check(unsafe {
        libc::mount(
            pointer(source),
            target.as_ptr(),
            pointer(kind),
            flags,
            pointer(data).cast(),
        )
    })
}

/// Of a system call that returns zero when all is well.
pub(crate) fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
