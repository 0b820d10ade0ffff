//! A file system mounted where no path leads to it, for us alone: the kernel's own file systems
//! (tracefs, cgroup2) are needed also where the administrator has not mounted them.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::PathBuf;

/// Such a mount; it is gone when this is dropped.
#[derive(Debug)]
pub struct Detached(OwnedFd);

impl Detached {
    /// Mounts a file system of this type, by `fsopen`, `fsconfig`, `fsmount`
    /// (`include/uapi/linux/mount.h`, from 5.2 on).
    ///
    /// # Errors
    /// When the kernel has no such file system or does not let us.
    pub fn mount(kind: &CStr) -> io::Result<Self> {
        const FSOPEN_CLOEXEC: libc::c_long = 1;
        const FSCONFIG_CMD_CREATE: libc::c_long = 6;
        const FSMOUNT_CLOEXEC: libc::c_long = 1;
        const NONE: libc::c_long = 0;
        // SAFETY: a NUL-ended name and flags.
        let context =
            descriptor(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) })?;
        let fd = libc::c_long::from(context.as_raw_fd());
        // SAFETY: this command takes neither key nor value.
        let created = unsafe {
            libc::syscall(
                libc::SYS_fsconfig,
                fd,
                FSCONFIG_CMD_CREATE,
                NONE,
                NONE,
                NONE,
            )
        };
        if created < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor and flags.
        descriptor(unsafe { libc::syscall(libc::SYS_fsmount, fd, FSMOUNT_CLOEXEC, NONE) }).map(Self)
    }

    /// A path to its root that works in this process.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

fn descriptor(result: libc::c_long) -> io::Result<OwnedFd> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = result.try_into().map_err(io::Error::other)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
