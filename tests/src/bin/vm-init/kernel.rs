//! The system calls process 1 needs and the standard library has not, each behind a safe
//! function. What they are used for, and in which order, is decided in `main`.

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::ptr;

use anyhow::{Context, Result, bail, ensure};

use crate::c_string;

/// Mounts a file system without a device.
pub(crate) fn mount(kind: &str, dir: &str, options: &str) -> Result<()> {
    let (source, target, data) = (c_string(kind)?, c_string(dir)?, c_string(options)?);
    // SAFETY: all four strings are terminated and live until the call returns.
    let done = unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            source.as_ptr(),
            0,
            data.as_ptr().cast(),
        )
    };
    ensure!(
        done == 0,
        "cannot mount {kind} on {dir}: {}",
        io::Error::last_os_error()
    );
    Ok(())
}

/// Stops a terminal from rewriting what goes through it.
pub(crate) fn make_raw(fd: i32) -> io::Result<()> {
    // SAFETY: termios is plain data, for which zero is a value; tcgetattr then fills it.
    let mut settings: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: `settings` outlives the three calls, `fd` is open.
    let done = unsafe {
        if libc::tcgetattr(fd, &mut settings) != 0 {
            return Err(io::Error::last_os_error());
        }
        libc::cfmakeraw(&mut settings);
        libc::tcsetattr(fd, libc::TCSANOW, &settings)
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The release of the kernel that really runs.
pub(crate) fn release() -> Result<String> {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease")
        .context("cannot read the kernel's release")?;
    Ok(text.trim().to_owned())
}

/// Milliseconds since the kernel started.
pub(crate) fn uptime_ms() -> u128 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid place for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut now) };
    u128::try_from(now.tv_sec).unwrap_or(0) * 1000
        + u128::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

/// Brings the loopback interface up.
pub(crate) fn loopback_up() -> Result<()> {
    // SAFETY: socket has no pointers.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    ensure!(
        socket >= 0,
        "cannot open a socket: {}",
        io::Error::last_os_error()
    );
    // SAFETY: ifreq is plain data, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: `request` is an ifreq that outlives the call, as SIOCSIFFLAGS wants it.
    let done = unsafe { libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw const request) };
    let error = io::Error::last_os_error();
    // SAFETY: `socket` is ours and not used again.
    unsafe { libc::close(socket) };
    ensure!(done == 0, "cannot bring lo up: {error}");
    Ok(())
}

/// Loads a module that is not compressed.
pub(crate) fn load_module(file: &File) -> Result<()> {
    // SAFETY: the descriptor is open, the parameters are an empty terminated string.
    let done = unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) };
    let error = io::Error::last_os_error();
    match (done, error.raw_os_error()) {
        (0, _) | (_, Some(libc::EEXIST)) => Ok(()),
        _ => bail!("the kernel refused it: {error}"),
    }
}

/// Prints what the kernel complained about since boot: a sensor must give it no reason to.
pub(crate) fn report_complaints() {
    const SIGNS: [&str; 6] = [
        "BUG:",
        "WARNING:",
        "Oops",
        "INFO: rcu",
        "blocked for more than",
        "Out of memory",
    ];
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/kmsg");
    let Ok(mut log) = opened else { return };
    let mut record = [0; 8192];
    loop {
        match log.read(&mut record) {
            Ok(0) => return,
            Ok(length) => {
                let text =
                    String::from_utf8_lossy(record.get(..length).unwrap_or_default()).into_owned();
                let line = text.lines().next().unwrap_or_default();
                if SIGNS.iter().any(|sign| line.contains(sign)) {
                    let message = line.split_once(';').map_or(line, |(_, message)| message);
                    println!("VM-COMPLAINT {message}");
                }
            }
            // Records were overwritten before we read them; the next read goes on after them.
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
            Err(_) => return,
        }
    }
}

/// Switches the machine off.
pub(crate) fn power_off() -> ! {
    // SAFETY: sync has no arguments; tcdrain gets a descriptor that may be anything; reboot with
    // this command does not return, and when it does the loop below holds process 1.
    unsafe {
        libc::tcdrain(1);
        libc::sync();
        libc::reboot(libc::RB_POWER_OFF);
    }
    loop {
        // SAFETY: pause has no arguments.
        unsafe { libc::pause() };
    }
}

/// The `bpf` system call: `attr` must be what `command` expects, zero up to its end.
pub(crate) fn bpf<T>(command: libc::c_long, attr: &mut T) -> io::Result<i32> {
    // SAFETY: the kernel reads and writes at most the given size, which is the size of `attr`;
    // the pointers inside it are the caller's, who keeps them alive during the call.
    let done =
        unsafe { libc::syscall(libc::SYS_bpf, command, ptr::from_mut(attr), size_of::<T>()) };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(i32::try_from(done).unwrap_or(-1))
    }
}

/// The name of an errno, as kernel people write it.
pub(crate) fn errno_name(error: &io::Error) -> String {
    let known: [(i32, &CStr); 8] = [
        (libc::EPERM, c"EPERM"),
        (libc::ENOENT, c"ENOENT"),
        (libc::EACCES, c"EACCES"),
        (libc::EBUSY, c"EBUSY"),
        (libc::ENODEV, c"ENODEV"),
        (libc::EINVAL, c"EINVAL"),
        (libc::EOPNOTSUPP, c"EOPNOTSUPP"),
        (524, c"ENOTSUPP"),
    ];
    let number = error.raw_os_error().unwrap_or(0);
    known.iter().find(|(code, _)| *code == number).map_or_else(
        || format!("errno {number}"),
        |(_, name)| name.to_string_lossy().into_owned(),
    )
}
