//! Sockets: both ends of an inet socket, the way from a descriptor to its socket, and what
//! `connect` was asked for. What kind of object a descriptor is at all stands in `object`.

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_user};
use sensor_common::facts::MISSING;
use sensor_common::network::Flow;

use super::object::{AF_INET, AF_INET6, socket_inode};
use super::{Address, file, follow, object, read, task};
use crate::fact;

/// `IPPROTO_TCP` of `include/uapi/linux/in.h`.
pub const TCP: u16 = 6;
/// `IPPROTO_UDP`.
pub const UDP: u16 = 17;
/// `IPPROTO_MPTCP`: a bundle of TCP sockets that looks like one.
pub const MPTCP: u16 = 262;

/// IP protocol of a `struct sock`.
#[inline(always)]
pub fn protocol(sk: Address) -> u16 {
    read(sk, fact!(sk_protocol))
}

/// The `struct sock` of a `struct socket`.
#[inline(always)]
pub fn sock_of(socket: Address) -> Address {
    follow(socket, fact!(socket_sk))
}

/// The `struct socket` at descriptor `fd` of the current process, null when it is none.
#[inline(always)]
pub fn at_descriptor(fd: u32) -> Address {
    const S_IFSOCK: u32 = 0o140_000;
    let open = object::open_file(task::current(), fd);
    if file::mode(follow(open, fact!(file_inode))) & file::S_IFMT != S_IFSOCK {
        return core::ptr::null();
    }
    follow(open, fact!(file_private_data))
}

/// The TCP socket that carries `sk`'s connection: itself, the first one of an MPTCP bundle, or
/// null when it is something else. MPTCP matters because Go listens with it by default.
#[inline(always)]
pub fn carrier(sk: Address) -> Address {
    match protocol(sk) {
        TCP => sk,
        MPTCP if fact!(mptcp_first) != MISSING => follow(sk, fact!(mptcp_first)),
        _ => core::ptr::null(),
    }
}

/// Fills in both ends of an inet socket. Every field is written.
#[inline(always)]
pub fn describe(sk: Address, flow: &mut Flow) {
    *flow = Flow::default();
    let family: u16 = read(sk, fact!(sk_family));
    flow.family = family as u8;
    flow.protocol = protocol(sk) as u8;
    flow.socket_type = read(sk, fact!(sk_type));
    flow.local_port = local_port(sk);
    flow.remote_port = u16::from_be(read(sk, fact!(sk_dport)));
    flow.net_ns = read(follow(sk, fact!(sk_net)), fact!(net_ns_inum));
    flow.inode = socket_inode(sk);
    if family == AF_INET6 {
        flow.local_address = read(sk, fact!(sk_v6_rcv_saddr));
        flow.remote_address = read(sk, fact!(sk_v6_daddr));
    } else {
        flow.local_address = v4(read(sk, fact!(sk_rcv_saddr)));
        flow.remote_address = v4(read(sk, fact!(sk_daddr)));
    }
}

/// Neither of the two places where the kernel keeps the port is right all the time:
/// `inet_num` is set first but cleared before a socket is reported closed (`inet_put_port`),
/// `inet_sport` is set later but stays.
#[inline(always)]
fn local_port(sk: Address) -> u16 {
    let number: u16 = read(sk, fact!(sk_num));
    if number != 0 { number } else { u16::from_be(read(sk, fact!(inet_sport))) }
}

/// An IPv4 address where there is room for an IPv6 one.
#[inline(always)]
pub fn v4([a, b, c, d]: [u8; 4]) -> [u8; 16] {
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
    v4: [u8; 4],
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

    #[inline(always)]
    fn read<T: Copy>(self, offset: usize) -> T {
        let mut value = core::mem::MaybeUninit::<T>::uninit();
        let to = value.as_mut_ptr().cast();
        // SAFETY: the destination is ours and as long as said; the helpers write all of it,
        // zeros when the source cannot be read, and take any source. Every `T` used is plain
        // data for which zeros are valid.
        unsafe {
            match self {
                Self::Kernel(from) => {
                    bpf_probe_read_kernel(to, size_of::<T>() as u32, from.wrapping_add(offset).cast())
                }
                Self::User(from) => {
                    bpf_probe_read_user(to, size_of::<T>() as u32, from.wrapping_add(offset as u64) as *const _)
                }
            };
            value.assume_init()
        }
    }
}
