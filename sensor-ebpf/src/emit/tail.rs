//! The variable part of a record: sections of bytes, strings and paths behind its fixed part
//! (see [`sensor_common::tail`]). Knows how to copy, not what is copied.

use core::ffi::c_void;
use core::hint::black_box;
use core::mem::size_of;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::generated::{
    bpf_probe_read_kernel, bpf_probe_read_kernel_str, bpf_probe_read_user, bpf_probe_read_user_str,
    bpf_skb_load_bytes,
};
use aya_ebpf::maps::lpm_trie::Key;
use aya_ebpf::programs::SkBuffContext;
use sensor_common::limits::{ARGV_MAX, PATH_MAX, TAIL_MAX};
use sensor_common::tail::{TRUNCATED, UNREADABLE};

use crate::kernel::Address;
use crate::kernel::path::{self, Location};

/// The variable part of a record (see [`sensor_common::tail`]).
///
/// VERIFIER: `len` is masked with `TAIL_MAX - 1` before each use as an index, and each copy is
/// masked to its own bound; the scratch buffer has room for both together.
pub struct Tail {
    pub(super) at: *mut u8,
    pub(super) len: usize,
    pub(super) slot: u32,
    /// Somebody may have to act on the record: the reader is woken for it.
    pub urgent: bool,
}

impl Tail {
    /// Length of a section header.
    const HEAD: usize = 4;

    /// Where the next section's bytes go, or `None` when `want` bytes no longer fit.
    #[inline(always)]
    fn room(&self, want: usize) -> Option<usize> {
        (self.len + Self::HEAD + want < TAIL_MAX).then_some(black_box(self.len) & (TAIL_MAX - 1))
    }

    #[inline(always)]
    fn close(&mut self, offset: usize, tag: u8, flags: u8, len: usize) {
        let head = u32::from(tag) | (u32::from(flags) << 8) | ((len as u32) << 16);
        // SAFETY: `offset` is below `TAIL_MAX`, and the buffer goes on well past that.
        unsafe {
            self.at
                .add(offset)
                .cast::<u32>()
                .write_unaligned(head.to_le())
        };
        self.len = offset + Self::HEAD + len;
    }

    /// Memory behind what is used of the tail, for `N` bytes of which nothing is kept.
    #[inline(always)]
    pub fn aside<const N: usize>(&self) -> *mut u8 {
        const { assert!(N <= ARGV_MAX) };
        // SAFETY: the scratch buffer goes on for that long behind the longest tail.
        unsafe { self.at.add(TAIL_MAX + Self::HEAD) }
    }

    /// A run of bytes in the current process's memory, up to `MAX` (a power of two less one).
    #[inline(always)]
    pub fn user_bytes<const MAX: usize>(&mut self, tag: u8, from: u64, len: u64) {
        self.bytes::<MAX>(tag, len, |to, len| {
            // SAFETY: `to` has room for `len` bytes; the helper takes any source.
            unsafe { bpf_probe_read_user(to, len, from as *const _) }
        });
    }

    #[inline(always)]
    fn bytes<const MAX: usize>(
        &mut self,
        tag: u8,
        len: u64,
        copy: impl FnOnce(*mut c_void, u32) -> i64,
    ) {
        let cut = len > MAX as u64;
        let len = if cut { MAX } else { len as usize };
        let Some(offset) = self.room(len) else { return };
        let len = black_box(len) & MAX;
        // SAFETY: the destination has room (see the type).
        let to = unsafe { self.at.add(offset + Self::HEAD) };
        if copy(to.cast(), len as u32) != 0 {
            self.close(offset, tag, UNREADABLE, 0);
        } else {
            self.close(offset, tag, if cut { TRUNCATED } else { 0 }, len);
        }
    }

    /// A run of bytes in kernel memory, up to `MAX` (a power of two less one).
    #[inline(always)]
    pub fn kernel_bytes<const MAX: usize>(&mut self, tag: u8, from: Address, len: u64) {
        self.bytes::<MAX>(tag, len, |to, len| {
            // SAFETY: `to` has room for `len` bytes; the helper takes any source.
            unsafe { bpf_probe_read_kernel(to, len, from.cast()) }
        });
    }

    /// Bytes of a packet from `from` on, up to `MAX` (a power of two less one).
    #[inline(always)]
    pub fn packet_bytes<const MAX: usize>(
        &mut self,
        tag: u8,
        ctx: &SkBuffContext,
        from: usize,
        len: u16,
    ) {
        if len == 0 {
            return;
        }
        self.bytes::<MAX>(tag, u64::from(len), |to, len| {
            // VERIFIER: this helper wants to be told that there is at least one byte.
            let len = (black_box(len.wrapping_sub(1)) & MAX as u32) + 1;
            // SAFETY: `to` has room for `len` bytes; the helper checks the packet's bounds.
            unsafe { bpf_skb_load_bytes(ctx.as_ptr(), from as u32, to, len) }
        });
    }

    /// A NUL-ended string in kernel memory, without its NUL.
    #[inline(always)]
    pub fn kernel_string(&mut self, tag: u8, from: Address) {
        self.string(tag, |to, size| {
            // SAFETY: `to` has room for `size` bytes; the helper takes any source.
            unsafe { bpf_probe_read_kernel_str(to, size, from.cast()) }
        });
    }

    /// A NUL-ended string in the current process's memory, without its NUL.
    #[inline(always)]
    pub fn user_string(&mut self, tag: u8, from: u64) {
        self.string(tag, |to, size| {
            // SAFETY: `to` has room for `size` bytes; the helper takes any source.
            unsafe { bpf_probe_read_user_str(to, size, from as *const _) }
        });
    }

    #[inline(always)]
    fn string(&mut self, tag: u8, copy: impl FnOnce(*mut c_void, u32) -> i64) {
        let Some(offset) = self.room(PATH_MAX) else {
            return;
        };
        // SAFETY: the destination has room (see the type).
        let to = unsafe { self.at.add(offset + Self::HEAD) };
        let copied = copy(to.cast(), PATH_MAX as u32 + 1);
        if copied <= 0 {
            return self.close(offset, tag, UNREADABLE, 0);
        }
        let len = black_box(copied as usize - 1) & PATH_MAX;
        self.close(
            offset,
            tag,
            if len == PATH_MAX { TRUNCATED } else { 0 },
            len,
        );
    }

    /// The absolute path of `location`; also left as a whole at the end of the path buffer.
    #[inline(always)]
    pub fn path(&mut self, tag: u8, location: Location) -> Option<Path> {
        let walked = path::walk(location, self.slot);
        self.walked(tag, walked)
    }

    /// The absolute path of the entry `name`, `len` bytes long, in the directory `location`;
    /// otherwise like [`Tail::path`].
    #[inline(always)]
    pub fn entry_path(
        &mut self,
        tag: u8,
        location: Location,
        name: Address,
        len: usize,
    ) -> Option<Path> {
        let walked = path::walk_to_entry(location, name, len, self.slot);
        self.walked(tag, walked)
    }

    #[inline(always)]
    fn walked(&mut self, tag: u8, walked: path::Walked) -> Option<Path> {
        let buffer = path::buffer(self.slot)?;
        let start = black_box(walked.start) & PATH_MAX;
        let len = black_box(PATH_MAX.wrapping_sub(start)) & PATH_MAX;
        let path = Some(Path { buffer, len });
        let Some(offset) = self.room(len) else {
            return path;
        };
        // SAFETY: source and destination have room (see the type, and `path::BUFFER`).
        unsafe {
            bpf_probe_read_kernel(
                self.at.add(offset + Self::HEAD).cast(),
                len as u32,
                buffer.add(start).cast(),
            );
        }
        self.close(
            offset,
            tag,
            if walked.truncated { TRUNCATED } else { 0 },
            len,
        );
        path
    }
}

/// A path as [`Tail::path`] has just found it, valid until it finds the next.
#[derive(Clone, Copy)]
pub struct Path {
    buffer: *mut u8,
    /// Length in bytes, up to [`PATH_MAX`].
    pub len: usize,
}

impl Path {
    /// The beginning of the path as the key of a trie, `N` bytes of which the first `used`
    /// count; behind the path is a NUL. Made where the path is: a key is large for a stack.
    #[inline(always)]
    pub fn key<const N: usize>(&self, used: usize) -> Option<&Key<[u8; N]>> {
        const { assert!(N < path::BUFFER - PATH_MAX) };
        const LENGTH: usize = size_of::<u32>();
        let start = PATH_MAX.wrapping_sub(self.len);
        if start < LENGTH {
            return None;
        }
        let at = black_box(start - LENGTH) & PATH_MAX;
        // SAFETY: `at` and a whole key behind it are inside the buffer, of which nothing is
        // used before the path; the type of the key is packed plain data.
        unsafe {
            let key = self.buffer.add(at);
            key.cast::<u32>().write_unaligned(8 * used as u32);
            Some(&*key.cast::<Key<[u8; N]>>())
        }
    }

    /// The `N`th eight bytes from the end, last byte in the lowest place. Bytes before the
    /// path may be anything.
    #[inline(always)]
    pub fn ending<const N: usize>(&self) -> u64 {
        // SAFETY: a constant place inside the buffer.
        unsafe {
            self.buffer
                .add(PATH_MAX - 8 * (N + 1))
                .cast::<u64>()
                .read_unaligned()
                .swap_bytes()
        }
    }
}
