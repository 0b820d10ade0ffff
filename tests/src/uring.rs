//! Just enough of io_uring, by system calls alone, to do one operation at a time: what a
//! program does that never calls `connect` or `accept`. No library, no polling.

use std::ffi::CStr;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

/// `IORING_OP_ACCEPT` of `include/uapi/linux/io_uring.h`.
pub const ACCEPT: u8 = 13;
/// `IORING_OP_CONNECT`.
pub const CONNECT: u8 = 16;
/// `IORING_OP_OPENAT`.
pub const OPENAT: u8 = 18;
/// `IORING_OP_RENAMEAT`, from 5.11 on.
pub const RENAMEAT: u8 = 35;
/// `IORING_OP_UNLINKAT`, from 5.11 on.
pub const UNLINKAT: u8 = 36;
/// `IOSQE_ASYNC`: leave it to a worker at once.
pub const ASYNC: u8 = 1 << 4;

const ENTER_GETEVENTS: u32 = 1;
const OFFSET_SQ: i64 = 0;
const OFFSET_CQ: i64 = 0x800_0000;
const OFFSET_SQES: i64 = 0x1000_0000;

/// `struct io_uring_params`.
#[repr(C)]
#[derive(Default)]
struct Params {
    sq_entries: u32,
    cq_entries: u32,
    flags: u32,
    sq_thread_cpu: u32,
    sq_thread_idle: u32,
    features: u32,
    wq_fd: u32,
    reserved: [u32; 3],
    sq: [u32; 10],
    cq: [u32; 10],
}

/// `struct io_uring_sqe`, as far as it is used.
#[repr(C)]
#[derive(Default)]
struct Submission {
    opcode: u8,
    flags: u8,
    ioprio: u16,
    fd: i32,
    off: u64,
    addr: u64,
    len: u32,
    op_flags: u32,
    user_data: u64,
    rest: [u64; 3],
}

/// One operation to do.
pub struct Operation<'a> {
    /// [`ACCEPT`] or [`CONNECT`].
    pub opcode: u8,
    /// 0 or [`ASYNC`].
    pub flags: u8,
    /// The socket.
    pub fd: RawFd,
    /// For a connect, the `struct sockaddr`.
    pub address: &'a [u8],
}

/// Does it and waits for it; what the system call would have returned.
///
/// # Errors
/// When the kernel has no io_uring, or allows none.
pub fn run(operation: &Operation<'_>) -> Result<i32> {
    let connecting = operation.opcode == CONNECT;
    submit(Submission {
        opcode: operation.opcode,
        flags: operation.flags,
        fd: operation.fd,
        addr: if connecting {
            operation.address.as_ptr() as u64
        } else {
            0
        },
        off: if connecting {
            operation.address.len() as u64
        } else {
            0
        },
        ..Submission::default()
    })
}

/// Opens a file with these flags, mode 0644; otherwise like [`run`].
///
/// # Errors
/// As [`run`].
pub fn open(path: &CStr, open_flags: i32, flags: u8) -> Result<i32> {
    submit(Submission {
        op_flags: open_flags.cast_unsigned(),
        len: 0o644,
        ..of_path(OPENAT, path, flags)
    })
}

/// Renames a file; otherwise like [`run`].
///
/// # Errors
/// As [`run`].
pub fn rename(from: &CStr, to: &CStr, flags: u8) -> Result<i32> {
    let to_directory = libc::AT_FDCWD.cast_unsigned();
    submit(Submission {
        off: to.as_ptr() as u64,
        len: to_directory,
        ..of_path(RENAMEAT, from, flags)
    })
}

/// Removes a file; otherwise like [`run`].
///
/// # Errors
/// As [`run`].
pub fn unlink(path: &CStr, flags: u8) -> Result<i32> {
    submit(of_path(UNLINKAT, path, flags))
}

fn of_path(opcode: u8, path: &CStr, flags: u8) -> Submission {
    Submission {
        opcode,
        flags,
        fd: libc::AT_FDCWD,
        addr: path.as_ptr() as u64,
        ..Submission::default()
    }
}

fn submit(submission: Submission) -> Result<i32> {
    let mut params = Params::default();
    // SAFETY: the parameters are as long as the kernel expects (120 bytes).
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 2, &raw mut params) };
    if fd < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: just made, and ours.
    let ring = unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).unwrap_or(-1)) };
    let map = |offset: i64| {
        // SAFETY: a new mapping of a page that the kernel offers; lives as long as the process.
        let at = unsafe {
            libc::mmap(
                ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                ring.as_raw_fd(),
                offset,
            )
        };
        if at == libc::MAP_FAILED {
            Err(Error::last_os_error())
        } else {
            Ok(at.cast::<u8>())
        }
    };
    let (sq, cq, sqes) = (map(OFFSET_SQ)?, map(OFFSET_CQ)?, map(OFFSET_SQES)?);
    let [_, sq_tail, _, _, _, _, sq_array, ..] = params.sq;
    let [_, _, _, _, _, cq_entries, ..] = params.cq;

    // SAFETY: two entries fit in the pages mapped; offsets are the kernel's own; the barrier is
    // the atomic store of the tail.
    unsafe {
        sqes.cast::<Submission>().write(submission);
        sq.add(sq_array as usize).cast::<u32>().write(0);
        AtomicU32::from_ptr(sq.add(sq_tail as usize).cast()).store(1, Ordering::Release);
        let done = libc::syscall(
            libc::SYS_io_uring_enter,
            ring.as_raw_fd(),
            1,
            1,
            ENTER_GETEVENTS,
            ptr::null::<u8>(),
            0,
        );
        if done < 0 {
            return Err(Error::last_os_error());
        }
        // `struct io_uring_cqe`: user data, then the result.
        Ok(cq
            .add(cq_entries as usize + 8)
            .cast::<i32>()
            .read_volatile())
    }
}
