//! DNS as packets: where trampolines are refused, every packet of every socket is looked at.

use core::mem::size_of;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::generated::bpf_get_socket_cookie;
use aya_ebpf::macros::{cgroup_skb, map};
use aya_ebpf::maps::LruHashMap;
use aya_ebpf::programs::SkBuffContext;
use sensor_common::limits::{DNS_MAX, DNS_SOCKETS as DNS_SOCKETS_MAX};
use sensor_common::network::{DNS_RECEIVED, DNS_SENT, Flow};
use sensor_common::record::Subject;
use sensor_common::tail;

use super::{is_dns, report};
use crate::emit::Tail;
use crate::kernel::object::{AF_INET, AF_INET6};
use crate::kernel::{Address, Probed, follow, object, socket, task};
use crate::{emit, fact};

/// Who was last seen to send from a socket, by socket cookie: what arrives, arrives in an
/// interrupt.
#[map]
static DNS_SOCKETS: LruHashMap<u64, Subject> = LruHashMap::with_max_entries(DNS_SOCKETS_MAX, 0);

/// Lets the packet pass. Anything else would drop it, so nothing else is ever returned.
const PASS: i32 = 1;

/// Sees: DNS messages sent.
/// Hook: cgroup `egress`, run by `ip_finish_output` and its like (`net/ipv4/ip_output.c`,
/// `net/ipv6/ip6_output.c`) in the context of the sender, 5.10 to 7.x alike, on the root of
/// the unified hierarchy.
/// Why: the whole message, in order, whatever call it was sent with.
/// Cost: every packet of the machine passes; what is not UDP leaves after two loads, which
/// with all around it is 27 ns, or 2.5 % of a connect and close on loopback.
#[cgroup_skb(egress)]
pub fn dns_egress(ctx: SkBuffContext) -> i32 {
    if let Some(packet) = Packet::parse(&ctx) {
        packet.sent();
    }
    PASS
}

/// Sees: DNS messages received.
/// Hook: cgroup `ingress`, run by `sk_filter_trim_cap` (`net/core/filter.c`) in an interrupt
/// when the socket is found; all else as above.
#[cgroup_skb(ingress)]
pub fn dns_ingress(ctx: SkBuffContext) -> i32 {
    if let Some(packet) = Packet::parse(&ctx) {
        packet.received();
    }
    PASS
}

/// A UDP datagram on a port of DNS.
struct Packet<'a> {
    ctx: &'a SkBuffContext,
    /// Address family.
    family: u16,
    /// Where its UDP header begins.
    udp: usize,
    /// Source port.
    from: u16,
    /// Destination port.
    to: u16,
    /// Bytes after the UDP header.
    payload: u16,
}

/// `struct udphdr` of `include/uapi/linux/udp.h`.
#[derive(Clone, Copy)]
#[repr(C)]
struct UdpHeader {
    source: u16,
    dest: u16,
    len: u16,
    check: u16,
}

impl<'a> Packet<'a> {
    #[inline(always)]
    fn parse(ctx: &'a SkBuffContext) -> Option<Self> {
        let (family, udp) = locate(ctx)?;
        let header: UdpHeader = ctx.load(udp).ok()?;
        let (from, to) = (u16::from_be(header.source), u16::from_be(header.dest));
        let payload = u16::from_be(header.len).checked_sub(size_of::<UdpHeader>() as u16)?;
        (is_dns(from) || is_dns(to)).then_some(Self {
            ctx,
            family,
            udp,
            from,
            to,
            payload,
        })
    }

    /// In the context of the process that sends.
    #[inline(always)]
    fn sent(&self) {
        let cookie = self.cookie();
        report(
            DNS_SENT,
            u32::from(self.payload),
            |_, subject| {
                task::identify(task::acting(), subject);
                // Without an entry the answer is reported without its owner.
                let _ = DNS_SOCKETS.insert(cookie, &*subject, 0);
            },
            |flow| {
                self.describe(flow);
                [flow.local_address, flow.remote_address] = self.addresses();
                (flow.local_port, flow.remote_port) = (self.from, self.to);
            },
            |tail| self.copy(tail),
        );
    }

    /// In an interrupt, whoever is running.
    #[inline(always)]
    fn received(&self) {
        let owner = DNS_SOCKETS.get_ptr(self.cookie());
        report(
            DNS_RECEIVED,
            u32::from(self.payload),
            // SAFETY: an element of a preallocated map, never freed while the program runs.
            |header, subject| {
                emit::attribute(owner.map(|owner| unsafe { &*owner }), header, subject)
            },
            |flow| {
                self.describe(flow);
                [flow.remote_address, flow.local_address] = self.addresses();
                (flow.remote_port, flow.local_port) = (self.from, self.to);
            },
            |tail| self.copy(tail),
        );
    }

    #[inline(always)]
    fn cookie(&self) -> u64 {
        // SAFETY: the helper takes the context.
        unsafe { bpf_get_socket_cookie(self.ctx.as_ptr()) }
    }

    /// The socket the packet belongs to; its ends are taken from the packet, because a socket
    /// that is not connected does not know them.
    #[inline(always)]
    fn describe(&self, flow: &mut Flow) {
        // `struct __sk_buff` is only a view; the context is the `struct sk_buff`.
        let skb: Address = self.ctx.as_ptr().cast();
        let sk = follow(skb, fact!(skb_sk));
        socket::describe::<Probed>(sk, object::socket_inode(sk), flow);
        flow.family = self.family as u8;
    }

    /// Source and destination address.
    #[inline(always)]
    fn addresses(&self) -> [[u8; 16]; 2] {
        /// `struct ipv6hdr.saddr`, RFC 8200, 3.
        const V6_SOURCE: usize = 8;
        /// `struct iphdr.saddr`, RFC 791, 3.1.
        const V4_SOURCE: usize = 12;
        if self.family == AF_INET6 {
            self.ctx.load(V6_SOURCE).unwrap_or_default()
        } else {
            let [source, dest]: [u32; 2] = self.ctx.load(V4_SOURCE).unwrap_or_default();
            [socket::v4(source), socket::v4(dest)]
        }
    }

    #[inline(always)]
    fn copy(&self, tail: &mut Tail) {
        tail.packet_bytes::<DNS_MAX>(
            tail::PAYLOAD,
            self.ctx,
            self.udp + size_of::<UdpHeader>(),
            self.payload,
        );
    }
}

/// Address family and place of the UDP header, when the packet has one: neither fragments but
/// the first nor IPv6 extension headers, which no DNS server uses.
///
/// VERIFIER: packet bytes are loaded only below `data_end`.
#[inline(always)]
fn locate(ctx: &SkBuffContext) -> Option<(u16, usize)> {
    const UDP: u8 = socket::UDP as u8;
    /// An IPv4 header without options and a UDP header.
    const AT_LEAST: usize = 28;
    // SAFETY: the context is valid while the program runs, the verifier checks these members.
    let (data, end) = unsafe {
        (
            (*ctx.skb.skb).data as usize,
            (*ctx.skb.skb).data_end as usize,
        )
    };
    if data + AT_LEAST > end {
        return None;
    }
    // SAFETY: below `end`, as just checked.
    let byte = |at: usize| unsafe { *((data + at) as *const u8) };
    match byte(0) >> 4 {
        4 if byte(9) == UDP && byte(6) & 0x1f == 0 && byte(7) == 0 => {
            Some((AF_INET, usize::from(byte(0) & 0xf) * 4))
        }
        6 if byte(6) == UDP => Some((AF_INET6, 40)),
        _ => None,
    }
}
