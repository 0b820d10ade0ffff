//! A network of our own, so that drills meet nobody.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd as _;

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

/// Gives the loopback device of our own network this second address, in the place of the one it
/// had. Only documentation addresses (RFC 5737) should ever be asked for.
///
/// # Errors
/// When the kernel does not let us.
pub fn take_address(address: Ipv4Addr) -> io::Result<()> {
    // SAFETY: plain data, for which zeros are valid.
    let mut inet: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    inet.sin_family = libc::AF_INET as libc::sa_family_t;
    inet.sin_addr.s_addr = u32::from(address).to_be();
    let mut request = request("lo:1");
    // SAFETY: an address of this family is what the call takes (netdevice(7)), and is no longer
    // than any other.
    unsafe {
        (&raw mut request.ifr_ifru.ifru_addr)
            .cast::<libc::sockaddr_in>()
            .write_unaligned(inet);
    }
    control(libc::SIOCSIFADDR, &mut request)
}

fn bring_up(device: &str) -> io::Result<()> {
    let mut request = request(device);
    control(libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: flags are what the call before has read.
    unsafe { request.ifr_ifru.ifru_flags |= libc::IFF_UP as i16 };
    control(libc::SIOCSIFFLAGS, &mut request)
}

fn request(device: &str) -> libc::ifreq {
    // SAFETY: plain data, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(device.bytes()) {
        *to = from.cast_signed();
    }
    request
}

fn control(call: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: an ifreq is what these calls take (netdevice(7)).
    if unsafe { libc::ioctl(socket.as_raw_fd(), call, &raw mut *request) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
