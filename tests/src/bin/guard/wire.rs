//! Packets through a cable, from many addresses in turn: what one takes with the guard, with
//! nftables and with nothing at the other end. Sending, the cable and receiving are in each
//! number, and all on one processor; the difference is what filtering takes, caches included.

use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};
use aya::programs::TcAttachType;
use aya::programs::tc;
use aya::programs::xdp::XdpMode;
use sensor::respond::firewall::object::Guard;
use serde_json::json;

use crate::entries::{self, Kind};
use crate::frames::{allowed, denied, udp};
use crate::namespace::Cable;
use crate::{Args, counts, median, tell};

/// Packets of one measurement.
const PACKETS: usize = 200_000;
/// Addresses that they come from, in turn: more than caches hold the entries of.
const SENDERS: u32 = 65_536;
/// Packets handed over in one call.
const BATCH: usize = 64;

pub fn run(args: &Args) -> Result<()> {
    for count in counts(args.most) {
        // Each has a cable of its own; all are measured in turn.
        let mut sides = vec![Side::new("nothing", Cable::new()?)];
        for at in [At::Xdp, At::Tc] {
            let mut side = Side::new(at.name(), Cable::new()?);
            side.guard = Some(at.attach(&side.cable, count)?);
            sides.push(side);
        }
        if let Some(root) = &args.peers {
            let side = Side::new("nftables", Cable::new()?);
            nftables(root, &side.cable, count)?;
            sides.push(side);
        }
        for passes in [true, false] {
            if !passes && count == 0 {
                continue;
            }
            let frames: Vec<_> = (0..SENDERS)
                .map(|number| {
                    // Spread over all entries.
                    let number = number.wrapping_mul(40_503) % count.max(SENDERS);
                    udp(if passes {
                        allowed(number, true)
                    } else {
                        denied(number % count, true)
                    })
                })
                .collect();
            let mut times = vec![Vec::new(); sides.len()];
            for _ in 0..args.rounds {
                for (side, times) in sides.iter().zip(&mut times) {
                    times.push(side.cable.sender.within(|| send(&frames))?);
                }
            }
            for (side, times) in sides.iter().zip(times) {
                tell(&json!({
                    "what": "wire",
                    "program": side.name,
                    "count": count,
                    "passes": passes,
                    "ns": median(times.clone()),
                    "rounds": times,
                }));
            }
        }
    }
    Ok(())
}

/// One way to filter.
struct Side {
    name: &'static str,
    cable: Cable,
    /// Held, so that it stays attached.
    guard: Option<Guard>,
}

impl Side {
    fn new(name: &'static str, cable: Cable) -> Self {
        Self {
            name,
            cable,
            guard: None,
        }
    }
}

/// Where the guard is attached.
#[derive(Clone, Copy)]
pub enum At {
    /// In the driver. A cable's driver copies each packet for it, and sends no large ones.
    Xdp,
    /// Where nftables' hook is, too.
    Tc,
}

impl At {
    pub fn name(self) -> &'static str {
        match self {
            Self::Xdp => "guard at XDP",
            Self::Tc => "guard at TC",
        }
    }

    /// The guard at the host's end.
    pub fn attach(self, cable: &Cable, count: u32) -> Result<Guard> {
        let mut guard = entries::guard(Kind::Hosts4, count)?;
        match self {
            Self::Xdp => {
                let program = guard.xdp("guard_xdp")?;
                cable.host.within(|| {
                    program.attach("eth0", XdpMode::default())?;
                    Ok(())
                })?;
            }
            Self::Tc => {
                let program = guard.classifier("guard_tc_ingress")?;
                cable.host.within(|| {
                    // Where there is no TCX yet, it is needed, and may be there.
                    let _ = tc::qdisc_add_clsact("eth0");
                    program.attach("eth0", TcAttachType::Ingress)?;
                    Ok(())
                })?;
            }
        }
        Ok(guard)
    }
}

/// A set of addresses, and a rule that drops what comes from them, as early as nftables can.
fn nftables(root: &Path, cable: &Cable, count: u32) -> Result<()> {
    // With a size, nftables takes the fastest of its kinds of sets.
    let mut rules = format!(
        "table netdev guard {{\n\
         set denied {{ type ipv4_addr; size {}; }}\n\
         chain in {{\n\
         type filter hook ingress device eth0 priority 0;\n\
         ip saddr @denied counter drop\n}}\n}}\n",
        count.max(1)
    );
    for number in 0..count {
        match number % 1_000 {
            0 if number == 0 => rules += "add element netdev guard denied { ",
            0 => rules += " }\nadd element netdev guard denied { ",
            _ => rules += ", ",
        }
        rules += &denied(number, true).to_string();
    }
    if count > 0 {
        rules += " }\n";
    }
    let library = root.join("usr/lib/x86_64-linux-gnu");
    let mut nft = Command::new(library.join("ld-linux-x86-64.so.2"));
    nft.arg("--library-path")
        .arg(&library)
        .arg(root.join("usr/sbin/nft"));
    nft.args(["-f", "-"]);
    cable.host.feed(&mut nft, rules.as_bytes())
}

/// Sends frames in turn through `eth0`; nanoseconds for one.
fn send(frames: &[Vec<u8>]) -> Result<f64> {
    let socket = packet_socket()?;
    let mut vectors: Vec<_> = frames
        .iter()
        .map(|frame| libc::iovec {
            iov_base: frame.as_ptr().cast_mut().cast(),
            iov_len: frame.len(),
        })
        .collect();
    let mut messages: Vec<libc::mmsghdr> = vectors
        .iter_mut()
        .map(|vector| {
            // SAFETY: all zero is a valid message, of which the data is then set.
            let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
            message.msg_hdr.msg_iov = vector;
            message.msg_hdr.msg_iovlen = 1;
            message
        })
        .collect();
    let mut sent = 0;
    let started = Instant::now();
    while sent < PACKETS {
        for batch in messages.chunks_mut(BATCH) {
            // SAFETY: messages, vectors and frames live through the call.
            let done = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    batch.as_mut_ptr(),
                    batch.len() as u32,
                    0,
                )
            };
            ensure!(done > 0, "cannot send: {}", std::io::Error::last_os_error());
            sent += done as usize;
            if sent >= PACKETS {
                break;
            }
        }
    }
    Ok(started.elapsed().as_nanos() as f64 / sent as f64)
}

/// A socket that frames can be written to, past the queue of `eth0`.
fn packet_socket() -> Result<OwnedFd> {
    /// `include/uapi/linux/if_packet.h`.
    const PACKET_QDISC_BYPASS: libc::c_int = 20;
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0) };
    ensure!(
        fd >= 0,
        "no packet socket: {}",
        std::io::Error::last_os_error()
    );
    // SAFETY: the kernel has just given us this descriptor.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let yes: libc::c_int = 1;
    // SAFETY: the number lives through the call.
    let done = unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_PACKET,
            PACKET_QDISC_BYPASS,
            (&raw const yes).cast(),
            size_of_val(&yes) as u32,
        )
    };
    ensure!(done == 0, "cannot bypass the queue");
    // SAFETY: a terminated name.
    let index = unsafe { libc::if_nametoindex(c"eth0".as_ptr()) };
    // SAFETY: all zero is a valid address, of which family and interface are then set.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = index.cast_signed();
    // SAFETY: the address lives through the call.
    let bound = unsafe {
        libc::bind(
            fd,
            (&raw const address).cast(),
            size_of_val(&address) as u32,
        )
    };
    ensure!(bound == 0, "no eth0: {}", std::io::Error::last_os_error());
    Ok(socket)
}
