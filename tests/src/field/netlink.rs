//! Makes interfaces, addresses and routes by rtnetlink(7), because test machines have no tools
//! for it. Works in the network namespace of the calling thread.

use std::ffi::CString;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

// Attributes: `include/uapi/linux/if_link.h`, `if_addr.h`, `rtnetlink.h`, `veth.h`.
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_NUM_TX_QUEUES: u16 = 31;
const IFLA_NUM_RX_QUEUES: u16 = 32;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_VLAN_ID: u16 = 1;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_DST: u16 = 1;
const RTA_GATEWAY: u16 = 5;
/// Set in the type of an attribute that holds others.
const NESTED: u16 = 1 << 15;
/// Usable at once, without looking for others that have it.
const IFA_F_NODAD: u8 = 2;

/// A message, or what is inside of an attribute.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn with(mut self, kind: u16, content: &[u8]) -> Self {
        let length = (content.len() + 4) as u16;
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn holding(self, kind: u16, inner: Self) -> Self {
        self.with(kind | NESTED, &inner.0)
    }

    fn name(self, name: &str) -> Self {
        let mut bytes = name.as_bytes().to_vec();
        bytes.push(0);
        self.with(IFLA_IFNAME, &bytes)
    }

    /// One queue each way, so that what is sent first arrives first.
    fn one_queue(self) -> Self {
        self.with(IFLA_NUM_TX_QUEUES, &1_u32.to_ne_bytes())
            .with(IFLA_NUM_RX_QUEUES, &1_u32.to_ne_bytes())
    }
}

/// `struct ifinfomsg`.
fn link(index: u32, flags: u32) -> Bytes {
    let mut bytes = vec![0; 4];
    bytes.extend(index.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    Bytes(bytes)
}

fn ask(kind: u16, flags: i32, body: &Bytes) -> io::Result<()> {
    // SAFETY: no memory is passed.
    let fd = unsafe {
        libc::socket(
            libc::AF_NETLINK,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            libc::NETLINK_ROUTE,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, and ours.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK | flags) as u16;
    let mut message = ((body.0.len() + 16) as u32).to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(&body.0);
    let mut answer = [0_u8; 4096];
    // SAFETY: both buffers outlive the calls and are as long as said.
    unsafe {
        let fd = socket.as_raw_fd();
        if libc::send(fd, message.as_ptr().cast(), message.len(), 0) < 0
            || libc::recv(fd, answer.as_mut_ptr().cast(), answer.len(), 0) < 20
        {
            return Err(io::Error::last_os_error());
        }
    }
    let [
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        a,
        b,
        c,
        d,
        ..,
    ] = answer;
    match i32::from_ne_bytes([a, b, c, d]) {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(-code)),
    }
}

const NEW: i32 = libc::NLM_F_CREATE | libc::NLM_F_EXCL;

/// A cable: one end here, the other in another namespace.
///
/// # Errors
/// When the kernel has none.
pub fn cable(here: &str, there: &str, namespace: BorrowedFd<'_>) -> io::Result<()> {
    let other = link(0, 0)
        .name(there)
        .one_queue()
        .with(IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes());
    let info = Bytes::default().with(IFLA_INFO_KIND, b"veth").holding(
        IFLA_INFO_DATA,
        Bytes::default().with(VETH_INFO_PEER | NESTED, &other.0),
    );
    let message = link(0, 0)
        .name(here)
        .one_queue()
        .holding(IFLA_LINKINFO, info);
    ask(libc::RTM_NEWLINK, NEW, &message)
}

/// A VLAN on an interface.
///
/// # Errors
/// When the kernel has none.
pub fn vlan(name: &str, on: &str, id: u16) -> io::Result<()> {
    let data = Bytes::default().with(IFLA_VLAN_ID, &id.to_ne_bytes());
    let info = Bytes::default()
        .with(IFLA_INFO_KIND, b"vlan")
        .holding(IFLA_INFO_DATA, data);
    let message = link(0, 0)
        .name(name)
        .with(IFLA_LINK, &index(on)?.to_ne_bytes())
        .holding(IFLA_LINKINFO, info);
    ask(libc::RTM_NEWLINK, NEW, &message)
}

/// Removes an interface.
///
/// # Errors
/// When there is none of that name.
pub fn remove(name: &str) -> io::Result<()> {
    ask(libc::RTM_DELLINK, 0, &link(index(name)?, 0))
}

/// Sets an interface up or down.
///
/// # Errors
/// When there is none of that name.
pub fn set_up(name: &str, up: bool) -> io::Result<()> {
    let mut message = link(index(name)?, if up { libc::IFF_UP as u32 } else { 0 });
    // The mask of what is changed.
    message.0.truncate(12);
    message.0.extend((libc::IFF_UP as u32).to_ne_bytes());
    ask(libc::RTM_NEWLINK, 0, &message)
}

fn octets(address: IpAddr) -> (u8, Vec<u8>) {
    match address {
        IpAddr::V4(address) => (libc::AF_INET as u8, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6 as u8, address.octets().to_vec()),
    }
}

/// Gives an interface an address.
///
/// # Errors
/// When it cannot have it.
pub fn address(name: &str, address: IpAddr, prefix: u8) -> io::Result<()> {
    let (family, octets) = octets(address);
    let mut bytes = vec![family, prefix, IFA_F_NODAD, 0];
    bytes.extend(index(name)?.to_ne_bytes());
    let message = Bytes(bytes)
        .with(IFA_LOCAL, &octets)
        .with(IFA_ADDRESS, &octets);
    ask(libc::RTM_NEWADDR, NEW, &message)
}

/// The way to a network.
///
/// # Errors
/// When there is none such.
pub fn route(network: IpAddr, prefix: u8, via: IpAddr) -> io::Result<()> {
    let (family, octets_of) = octets(network);
    let (_, gateway) = octets(via);
    // `struct rtmsg`: main table, set by an administrator, to anywhere, unicast.
    let bytes = vec![family, prefix, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0];
    let message = Bytes(bytes)
        .with(RTA_DST, &octets_of)
        .with(RTA_GATEWAY, &gateway);
    ask(libc::RTM_NEWROUTE, NEW, &message)
}

fn index(name: &str) -> io::Result<u32> {
    let name = CString::new(name).map_err(io::Error::other)?;
    // SAFETY: a text that ends with NUL.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}
