//! Sockets: both ends of an inet socket, the way from a descriptor to its socket, and what
//! `connect` was asked for. What kind of object a descriptor is at all stands in `object`.

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_user};
use sensor_common::facts::MISSING;
use sensor_common::network::Flow;

use super::object::{AF_INET, AF_INET6};
use super::{Address, Memory, Probed, Typed, follow, read, task};
use crate::fact;

/// `IPPROTO_TCP` of `include/uapi/linux/in.h`.
pub const TCP: u16 = 6;
/// `IPPROTO_UDP`.
pub const UDP: u16 = 17;
/// `IPPROTO_MPTCP`: a bundle of TCP sockets that looks like one.
pub const MPTCP: u16 = 262;

/// IP protocol of a `struct sock`.
#[inline(always)]
pub fn protocol<M: Memory>(sk: Address) -> u16 {
    M::read(sk, fact!(sk_protocol))
}

/// The `struct sock` of a `struct socket`.
#[inline(always)]
pub fn sock_of<M: Memory>(socket: Address) -> Address {
    M::follow(socket, fact!(socket_sk))
}

/// The `struct socket` behind a descriptor of the current process.
pub struct AtDescriptor {
    /// `struct socket *`, null when the descriptor is no socket.
    pub socket: Address,
    /// Its `struct sock *`.
    pub sk: Address,
    /// Its `struct file *`.
    file: Address,
}

impl AtDescriptor {
    /// Looks it up. That it is a socket is known by its pointing back to the file.
    #[inline(always)]
    pub fn find(fd: u32) -> Self {
        let file = task::open_file(fd);
        let socket = follow(file, fact!(file_private_data));
        Probed::view::<SOCKET_WORDS, _>(socket, |view| {
            if !file.is_null() && core::ptr::eq(Typed::follow(view, fact!(socket_file)), file) {
                Self {
                    socket,
                    sk: Typed::follow(view, fact!(socket_sk)),
                    file,
                }
            } else {
                Self {
                    socket: core::ptr::null(),
                    sk: core::ptr::null(),
                    file,
                }
            }
        })
    }

    /// Inode number of the socket.
    #[inline(always)]
    pub fn inode(&self) -> u64 {
        read(follow(self.file, fact!(file_inode)), fact!(inode_ino))
    }
}

/// How much of a `struct socket` reaches to its `sk`, in eight bytes.
const SOCKET_WORDS: usize = 4;

/// The TCP socket that carries `sk`'s connection: itself, the first one of an MPTCP bundle, or
/// null when it is something else. MPTCP matters because Go listens with it by default.
#[inline(always)]
pub fn carrier(sk: Address) -> Address {
    match protocol::<Probed>(sk) {
        TCP => sk,
        MPTCP if fact!(mptcp_first) != MISSING => follow(sk, fact!(mptcp_first)),
        _ => core::ptr::null(),
    }
}

/// How much of a `struct sock` is enough for both ends, in eight bytes: the members of `struct
/// sock_common` up to the IPv6 addresses and `skc_flags`.
const COMMON_WORDS: usize = 14;

/// Fills in both ends of an inet socket. Every field is written.
#[inline(always)]
pub fn describe<M: Memory>(sk: Address, inode: u64, flow: &mut Flow) {
    flow.protocol = protocol::<M>(sk) as u8;
    flow.socket_type = M::read(sk, fact!(sk_type));
    flow.reserved = 0;
    flow.inode = inode;
    M::view::<COMMON_WORDS, _>(sk, |common| {
        let family: u16 = Typed::read(common, fact!(sk_family));
        flow.family = family as u8;
        flow.local_port = Typed::read(common, fact!(sk_num));
        flow.remote_port = u16::from_be(Typed::read(common, fact!(sk_dport)));
        flow.net_ns = M::read(Typed::follow(common, fact!(sk_net)), fact!(net_ns_inum));
        if family == AF_INET6 {
            flow.local_address = Typed::read16(common, fact!(sk_v6_rcv_saddr));
            flow.remote_address = Typed::read16(common, fact!(sk_v6_daddr));
        } else {
            flow.local_address = v4(Typed::read(common, fact!(sk_rcv_saddr)));
            flow.remote_address = v4(Typed::read(common, fact!(sk_daddr)));
        }
    });
    // Neither of the two places where the kernel keeps the port is right all the time:
    // `inet_num` is set first but cleared before a socket is reported closed
    // (`inet_put_port`), `inet_sport`, beyond the `struct sock`, is set later but stays.
    if flow.local_port == 0 {
        flow.local_port = u16::from_be(read(sk, fact!(inet_sport)));
    }
}

/// Inode number of a `struct socket` that has a file; 0 for null.
#[inline(always)]
pub fn inode<M: Memory>(socket: Address) -> u64 {
    M::read(
        M::follow(M::follow(socket, fact!(socket_file)), fact!(file_inode)),
        fact!(inode_ino),
    )
}

/// An IPv4 address, in network order, where there is room for an IPv6 one.
#[inline(always)]
pub fn v4(address: u32) -> [u8; 16] {
    let [a, b, c, d] = address.to_ne_bytes();
    [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// A `struct sockaddr` in the memory of the kernel or of the current process.
#[derive(Clone, Copy)]
pub enum Target {
    /// In kernel memory.
    Kernel(Address),
    /// In the process's memory.
    User(u64),
}

/// The fixed beginning of `struct sockaddr_in` and `sockaddr_in6` (`include/uapi/linux/in.h`,
/// `in6.h`), as far as both agree.
#[derive(Clone, Copy)]
#[repr(C)]
struct Front {
    family: u16,
    port: u16,
    /// The address of `sockaddr_in`, the flow label of `sockaddr_in6`.
    v4: u32,
}

impl Target {
    /// Makes it the remote end of `flow`; false when it is no inet address.
    #[inline(always)]
    pub fn describe(self, flow: &mut Flow) -> bool {
        let front: Front = self.read(0);
        match front.family {
            AF_INET => flow.remote_address = v4(front.v4),
            AF_INET6 => flow.remote_address = self.read(8),
            _ => return false,
        }
        flow.family = front.family as u8;
        flow.remote_port = u16::from_be(front.port);
        true
    }

    /// Port of an inet address, in host order.
    #[inline(always)]
    pub fn port(self) -> u16 {
        u16::from_be(self.read(2))
    }

    #[inline(always)]
    fn read<T: Copy>(self, offset: usize) -> T {
        let mut value = core::mem::MaybeUninit::<T>::uninit();
        let to = value.as_mut_ptr().cast();
        // SAFETY: the destination is ours and as long as said; the helpers write all of it,
        // zeros when the source cannot be read, and take any source. Every `T` used is plain
        // data for which zeros are valid.
        unsafe {
            match self {
                Self::Kernel(from) => bpf_probe_read_kernel(
                    to,
                    size_of::<T>() as u32,
                    from.wrapping_add(offset).cast(),
                ),
                Self::User(from) => bpf_probe_read_user(
                    to,
                    size_of::<T>() as u32,
                    from.wrapping_add(offset as u64) as *const _,
                ),
            };
            value.assume_init()
        }
    }
}
