//! Which threads come first when there is more to do than processors. What they do is not known
//! here.

/// For those who do little, and on whom everything else waits.
pub const FIRST: libc::c_int = -12;
/// For those who may have much to do.
pub const EARLY: libc::c_int = -6;

/// Has this thread run before others (nice(2)). It decides how soon an intruder is cut off on a
/// busy host: on an idle one, and where it is not allowed, nothing changes.
pub fn comes(nice: libc::c_int) {
    // SAFETY: no memory is passed; 0 is the thread that asks (setpriority(2), "C library/kernel
    // differences").
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) } != 0 {
        let error = std::io::Error::last_os_error();
        tracing::debug!(%error, "a thread has no priority over others");
    }
}
