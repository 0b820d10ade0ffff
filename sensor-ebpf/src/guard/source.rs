//! Reading packets, wherever they are: straight from the buffer where XDP sees them, through a
//! helper that puts scattered packets together elsewhere. What is read is not known here.

use core::arch::asm;

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_skb_ancestor_cgroup_id;
use aya_ebpf::programs::XdpContext;
use aya_ebpf::programs::sk_buff::SkBuff;

/// Where a packet comes from or goes to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    In,
    Out,
}

/// A packet at a hook.
pub trait Source {
    /// Not a packet yet, but a process that wants to talk to somebody.
    const IS_CALL: bool = false;
    /// Whether it is known whose socket it is about.
    const HAS_SOCKET: bool = false;

    /// Some of its bytes, in the order they have there; none when it is too short.
    fn words<const N: usize>(&self, at: usize) -> Option<[u32; N]>;

    /// Its length as the hook sees it.
    fn bytes(&self) -> u64;

    /// Which way it goes.
    fn direction(&self) -> Direction;

    /// The control group of its socket that is so many levels below the root; 0 when there is
    /// none.
    fn group(&self, _level: u32) -> u64 {
        0
    }
}

/// A frame at XDP, from its link layer on.
pub struct Frame {
    data: usize,
    end: usize,
}

/// Farthest into a frame that is looked; one less than a power of two.
pub const REACH: usize = 0x7fff;

impl Frame {
    #[inline(always)]
    pub fn of(ctx: &XdpContext) -> Self {
        Self {
            data: ctx.data(),
            end: ctx.data_end(),
        }
    }
}

impl Source for Frame {
    /// VERIFIER: one and the same register is compared with the end and loaded from, and what is
    /// added to it is bounded.
    #[inline(always)]
    fn words<const N: usize>(&self, at: usize) -> Option<[u32; N]> {
        // Otherwise the compiler would make it a second time.
        let from = opaque(self.data + (at & REACH));
        if from + 4 * N > self.end {
            return None;
        }
        let mut words = [0; N];
        for (number, word) in words.iter_mut().enumerate() {
            // SAFETY: inside of the packet, as just checked.
            *word = unsafe { load(from + 4 * number) };
        }
        Some(words)
    }

    #[inline(always)]
    fn bytes(&self) -> u64 {
        (self.end - self.data) as u64
    }

    #[inline(always)]
    fn direction(&self) -> Direction {
        Direction::In
    }
}

/// The same number; the compiler no longer knows which, or how it was made. The verifier does.
#[inline(always)]
pub fn opaque(mut number: usize) -> usize {
    // SAFETY: changes nothing. Without an instruction, two source lines would fall on the next
    // one, which the kernel does not like.
    unsafe { asm!("{0} = {0}", inout(reg) number, options(pure, nomem, nostack, preserves_flags)) };
    number
}

/// The same number, of which the verifier knows nothing any more: it would go through all that
/// follows once for each way of getting there otherwise.
///
/// VERIFIER: `unknown` has to be something it does not know.
#[inline(always)]
pub fn forget(number: usize, unknown: usize) -> usize {
    opaque(number ^ unknown) ^ unknown
}

/// Loads a word in one instruction. Network headers are not aligned, kernels that run this do not
/// mind, and the compiler would load byte by byte.
///
/// # Safety
/// All four bytes have to be inside of the packet.
#[inline(always)]
unsafe fn load(from: usize) -> u32 {
    let word: u64;
    // SAFETY: by the contract of this function.
    unsafe {
        asm!("{word} = *(u32 *)({from} + 0)", word = out(reg) word, from = in(reg) from,
            options(pure, readonly, nostack, preserves_flags));
    }
    word as u32
}

/// A packet in a socket buffer, at the socket that sends or receives it or at an interface.
pub struct Buffer<const AT_SOCKET: bool> {
    skb: SkBuff,
    direction: Direction,
}

impl<const AT_SOCKET: bool> Buffer<AT_SOCKET> {
    #[inline(always)]
    pub fn new(skb: *mut __sk_buff, direction: Direction) -> Self {
        Self {
            skb: SkBuff::new(skb),
            direction,
        }
    }
}

impl<const AT_SOCKET: bool> Source for Buffer<AT_SOCKET> {
    const HAS_SOCKET: bool = AT_SOCKET;

    #[inline(always)]
    fn words<const N: usize>(&self, at: usize) -> Option<[u32; N]> {
        self.skb.load(at).ok()
    }

    #[inline(always)]
    fn bytes(&self) -> u64 {
        u64::from(self.skb.len())
    }

    #[inline(always)]
    fn direction(&self) -> Direction {
        self.direction
    }

    #[inline(always)]
    fn group(&self, level: u32) -> u64 {
        // SAFETY: the helper takes the context.
        unsafe { bpf_skb_ancestor_cgroup_id(self.skb.skb, level.cast_signed()) }
    }
}

/// A packet of ours that another one quotes: it went out.
pub struct Quoted<'a, S>(pub &'a S);

impl<S: Source> Source for Quoted<'_, S> {
    #[inline(always)]
    fn words<const N: usize>(&self, at: usize) -> Option<[u32; N]> {
        self.0.words(at)
    }

    #[inline(always)]
    fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    #[inline(always)]
    fn direction(&self) -> Direction {
        Direction::Out
    }
}
