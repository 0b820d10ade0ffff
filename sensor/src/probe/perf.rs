//! Attaches programs to the tracepoints of single system calls, through the perf subsystem. The
//! loader library can do that too, but only where tracefs is mounted, which it need not be.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use crate::detached::Detached;

/// Where a tracepoint program is attached; dropping it detaches the program.
#[derive(Debug)]
pub struct Attached(#[expect(dead_code, reason = "held, not used")] OwnedFd);

/// The event descriptions of the kernel (`tracefs`), mounted nowhere if need be.
#[derive(Debug)]
pub enum Tracefs {
    /// It has a place in the file system.
    Mounted(&'static Path),
    /// A mount of our own that nobody else sees.
    Detached(Detached),
}

impl Tracefs {
    /// Finds or makes it.
    ///
    /// # Errors
    /// When the kernel does not have it or does not let us.
    pub fn open() -> io::Result<Self> {
        let usual = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
        match usual
            .into_iter()
            .map(Path::new)
            .find(|path| path.join("events/syscalls").is_dir())
        {
            Some(path) => Ok(Self::Mounted(path)),
            None => Detached::mount(c"tracefs").map(Self::Detached),
        }
    }

    /// Attaches a loaded program to `syscalls:name`.
    ///
    /// # Errors
    /// When there is no such event or the kernel refuses.
    pub fn attach(&self, name: &str, program: BorrowedFd<'_>) -> io::Result<Attached> {
        let event = open_event(self.event_id(name)?)?;
        control(&event, SET_BPF, program.as_raw_fd().into())?;
        control(&event, ENABLE, 0)?;
        Ok(Attached(event))
    }

    fn event_id(&self, name: &str) -> io::Result<u64> {
        let relative = format!("events/syscalls/{name}/id");
        let path = match self {
            Self::Mounted(path) => path.join(relative),
            Self::Detached(mount) => mount.path().join(relative),
        };
        let mut text = String::new();
        File::open(path)?.read_to_string(&mut text)?;
        text.trim().parse().map_err(io::Error::other)
    }
}

/// First version of `struct perf_event_attr` (`PERF_ATTR_SIZE_VER0`,
/// `include/uapi/linux/perf_event.h`), which every kernel takes.
#[repr(C)]
#[derive(Default)]
struct EventAttributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    breakpoint_type: u32,
    breakpoint_address: u64,
}

/// `PERF_EVENT_IOC_ENABLE`.
const ENABLE: libc::c_ulong = 0x2400;
/// `PERF_EVENT_IOC_SET_BPF`.
const SET_BPF: libc::c_ulong = 0x4004_2408;

/// An event of this tracepoint. It has to be bound to some CPU, but a program on it runs on all.
fn open_event(id: u64) -> io::Result<OwnedFd> {
    const PERF_TYPE_TRACEPOINT: u32 = 2;
    const PERF_FLAG_FD_CLOEXEC: libc::c_long = 8;
    const NO_PROCESS: libc::c_long = -1;
    const NO_GROUP: libc::c_long = -1;
    let attributes = EventAttributes {
        kind: PERF_TYPE_TRACEPOINT,
        size: u32::try_from(size_of::<EventAttributes>()).unwrap_or(0),
        config: id,
        ..EventAttributes::default()
    };
    // SAFETY: asks for the CPU this thread is on.
    let cpu = check(unsafe { libc::sched_getcpu() }.into())?;
    // SAFETY: the attributes are as long as they say.
    descriptor(unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            NO_PROCESS,
            cpu,
            NO_GROUP,
            PERF_FLAG_FD_CLOEXEC,
        )
    })
}

fn control(event: &OwnedFd, request: libc::c_ulong, argument: libc::c_long) -> io::Result<()> {
    // SAFETY: neither request takes a pointer.
    check(unsafe { libc::ioctl(event.as_raw_fd(), request as _, argument) }.into()).map(drop)
}

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn descriptor(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = check(result)?.try_into().map_err(io::Error::other)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
