//! A network of our own, so that drills meet nobody.

use std::io;

/// Moves this process, and all it starts from now on, into a network namespace with nothing but
/// a loopback device. Call it before there are threads.
///
/// # Errors
/// When the kernel does not let us; drills then use the loopback device everybody has.
pub fn own_network() -> io::Result<()> {
    // SAFETY: no memory is involved.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(io::Error::last_os_error());
    }
    bring_up("lo")
}

fn bring_up(device: &str) -> io::Result<()> {
    // SAFETY: plain data, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(device.bytes()) {
        *to = from.cast_signed();
    }
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
    // SAFETY: the request is an ifreq, which both calls take (netdevice(7)); `ifru_flags` is what
    // they read and write.
    unsafe {
        if libc::ioctl(fd, libc::SIOCGIFFLAGS, &raw mut request) != 0 {
            return Err(io::Error::last_os_error());
        }
        request.ifr_ifru.ifru_flags |= libc::IFF_UP as i16;
        if libc::ioctl(fd, libc::SIOCSIFFLAGS, &raw const request) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
