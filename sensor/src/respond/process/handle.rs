//! A hold on one process, which no other can slip into: a pidfd, and, once that is open, the start
//! time of whoever has the pid. Whoever was there before the pidfd was opened and still has its
//! start time is who the pidfd is about.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::Duration;

use thiserror::Error;

use super::proc::Stat;
use crate::event::process::ProcessKey;

/// Why there is no hold on a process.
#[derive(Debug, Error)]
pub enum HoldError {
    /// It has ended, and nothing is left of it.
    #[error("it has ended")]
    Gone,
    /// It has ended, and another one has its pid.
    #[error("it has ended, and its pid belongs to {0} now")]
    Reused(String),
    /// The number is a thread's.
    #[error("this is the number of a thread, not of a process")]
    Thread,
    /// The kernel says no.
    #[error("no pidfd: {0}")]
    System(#[from] io::Error),
}

/// A hold on one process.
#[derive(Debug)]
pub struct Handle {
    fd: OwnedFd,
    /// What it was when it was taken hold of.
    pub stat: Stat,
}

impl Handle {
    /// Takes hold of a process (`pidfd_open`, from 5.3 on).
    ///
    /// # Errors
    /// When it has ended.
    pub fn open(key: ProcessKey) -> Result<Self, HoldError> {
        let fd = pidfd_open(key.pid)?;
        match Stat::of(key.pid) {
            Ok(stat) if stat.key == key => Ok(Self { fd, stat }),
            Ok(stat) => Err(HoldError::Reused(stat.name())),
            Err(_) => Err(HoldError::Gone),
        }
    }

    /// Sends it a signal (`pidfd_send_signal`, from 5.1 on).
    ///
    /// # Errors
    /// When it has ended and was collected, or we may not.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        // SAFETY: an open pidfd, a number, and no signal information.
        let sent = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.fd.as_raw_fd(),
                signal,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Waits until all its threads have ended; false when they have not by then. What is left is
    /// at most a zombie, which does nothing any more.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn has_ended_within(&self, time: Duration) -> io::Result<bool> {
        let mut poll = libc::pollfd {
            fd: self.fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let milliseconds = i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: one structure of the kernel's type, which outlives the call.
        match unsafe { libc::poll(&raw mut poll, 1, milliseconds) } {
            -1 => Err(io::Error::last_os_error()),
            ready => Ok(ready > 0),
        }
    }

    /// Whether all its threads have ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.has_ended_within(Duration::ZERO).unwrap_or(false)
    }
}

fn pidfd_open(pid: u32) -> Result<OwnedFd, HoldError> {
    // SAFETY: two numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        let error = io::Error::last_os_error();
        return Err(match error.raw_os_error() {
            Some(libc::ESRCH) => HoldError::Gone,
            // From 6.15 on ENOENT, before that EINVAL, for a pid that no process leads
            // (`pidfd_prepare`, `kernel/fork.c`).
            Some(libc::EINVAL | libc::ENOENT) if pid != 0 => HoldError::Thread,
            _ => error.into(),
        });
    }
    let fd = fd.try_into().map_err(io::Error::other)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_of_another_start_time_is_not_held() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let key = Stat::of(child.id()).unwrap().key;
        let other = ProcessKey {
            start_ticks: key.start_ticks - 1,
            ..key
        };
        assert!(matches!(Handle::open(other), Err(HoldError::Reused(_))));
        let handle = Handle::open(key).unwrap();
        assert!(!handle.has_ended());
        handle.signal(libc::SIGKILL).unwrap();
        assert!(handle.has_ended_within(Duration::from_secs(60)).unwrap());
        child.wait().unwrap();
        assert!(matches!(Handle::open(key), Err(HoldError::Gone)));
    }
}
