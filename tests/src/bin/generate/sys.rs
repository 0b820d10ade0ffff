//! System calls the standard library does not offer, and children that do nothing else. No
//! operation is described here.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt as _;

/// Result of a system call.
pub(crate) fn check(result: i64) -> io::Result<i64> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// A system call with whole numbers and addresses as arguments.
macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {
        // SAFETY: each use passes what the system call takes; pointers are to live values.
        $crate::sys::check(unsafe { libc::syscall(libc::$number $(, $argument as libc::c_long)*) })
    };
}
pub(crate) use call;

/// Text that ends with NUL.
pub(crate) fn c_string(text: impl AsRef<OsStr>) -> io::Result<CString> {
    CString::new(text.as_ref().as_bytes()).map_err(io::Error::other)
}

/// Forks; the child calls `act` and ends with its status. `act` may do nothing but system calls,
/// on memory it finds prepared.
pub(crate) fn child(act: impl FnOnce() -> u8) -> io::Result<i32> {
    // SAFETY: this process has one thread, so the child may do as it likes.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let status = act();
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(status.into()) };
    }
    check(pid.into()).map(|_| pid)
}

/// Waits for a child and gives its exit status.
pub(crate) fn wait(pid: i32) -> io::Result<u8> {
    let mut status = 0;
    // SAFETY: our own child, and a place for its status.
    check(unsafe { libc::waitpid(pid, &raw mut status, 0) }.into())?;
    if libc::WIFEXITED(status) {
        Ok((libc::WEXITSTATUS(status) & 0xff) as u8)
    } else {
        Err(io::Error::other(format!(
            "a child ended with wait status {status:#x}"
        )))
    }
}
