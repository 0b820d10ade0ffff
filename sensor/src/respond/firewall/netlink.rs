//! Questions to the kernel over netlink(7), and its answers, message by message and attribute by
//! attribute. What is asked and what the answers mean is known to the callers.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Bytes of `struct nlattr`.
const ATTRIBUTE: usize = 4;
/// Bits of an attribute's type that say what it is (`NLA_TYPE_MASK`).
const TYPE_MASK: u16 = 0x3fff;
/// The kernel sends no more at a time (`NLMSG_GOODSIZE`, at most 32 KiB in a dump).
const BUFFER: usize = 64 * 1024;
/// Answers read for one question: more than any table of a host has.
const ANSWERS_MAX: usize = 8_000_000;
/// How long an answer is waited for, in seconds.
const PATIENCE: libc::time_t = 5;

/// `struct nlmsghdr`.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Header {
    length: u32,
    kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
}

/// A socket of one netlink family, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// Opens it.
    pub(super) fn open(family: libc::c_int) -> io::Result<Self> {
        // SAFETY: no memory is passed.
        let fd = unsafe {
            libc::socket(
                libc::AF_NETLINK,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC,
                family,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just made, and ours.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        let time = libc::timeval {
            tv_sec: PATIENCE,
            tv_usec: 0,
        };
        // SAFETY: the structure outlives the call and is as long as said. Failing, it only waits
        // longer.
        unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVTIMEO,
                (&raw const time).cast(),
                size_of::<libc::timeval>() as libc::socklen_t,
            )
        };
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Asks for all there is of a kind; `look` gets each message's body.
    pub(super) fn dump(
        &mut self,
        kind: u16,
        body: &[u8],
        mut look: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        self.send(kind, libc::NLM_F_DUMP as u16, body)?;
        self.answers(&mut look)
    }

    /// Asks for something to be done, and waits until it is.
    pub(super) fn ask(&mut self, kind: u16, body: &[u8]) -> io::Result<()> {
        self.send(kind, libc::NLM_F_ACK as u16, body)?;
        self.answers(&mut |_| {})
    }

    fn send(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let header = Header {
            length: u32::try_from(HEADER + body.len()).map_err(io::Error::other)?,
            kind,
            flags: libc::NLM_F_REQUEST as u16 | flags,
            sequence: self.sequence,
            port: 0,
        };
        let mut message = header.as_bytes().to_vec();
        message.extend_from_slice(body);
        // SAFETY: the message outlives the call and is as long as said.
        let sent = unsafe {
            libc::send(
                self.socket.as_raw_fd(),
                message.as_ptr().cast(),
                message.len(),
                0,
            )
        };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    fn answers(&self, look: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let mut buffer = vec![0_u8; BUFFER];
        let mut seen = 0;
        while seen < ANSWERS_MAX {
            // SAFETY: the buffer outlives the call and is as long as said.
            let length = unsafe {
                libc::recv(
                    self.socket.as_raw_fd(),
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                    0,
                )
            };
            let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
            let mut rest = buffer.get(..length).unwrap_or_default();
            while let Some((header, body, after)) = message(rest) {
                rest = after;
                seen += 1;
                if header.sequence != self.sequence {
                    continue;
                }
                match libc::c_int::from(header.kind) {
                    libc::NLMSG_DONE => return outcome(body),
                    libc::NLMSG_ERROR => return outcome(body),
                    libc::NLMSG_NOOP => {}
                    _ => look(body),
                }
            }
        }
        Err(io::Error::other("the kernel's answer has no end"))
    }
}

/// What `NLMSG_ERROR` and `NLMSG_DONE` begin with: 0 or a negated errno.
fn outcome(body: &[u8]) -> io::Result<()> {
    match i32::read_from_prefix(body) {
        Ok((code, _)) if code < 0 => Err(io::Error::from_raw_os_error(-code)),
        _ => Ok(()),
    }
}

/// The first message, its body, and what follows.
fn message(bytes: &[u8]) -> Option<(Header, &[u8], &[u8])> {
    let (header, _) = Header::read_from_prefix(bytes).ok()?;
    let length = header.length as usize;
    let body = bytes.get(HEADER..length)?;
    let after = bytes.get(aligned(length)..).unwrap_or_default();
    Some((header, body, after))
}

/// Messages and attributes begin at multiples of four bytes.
const fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

/// Attributes, by type and content, up to the first that is broken.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let ([length, kind], _) = <[u16; 2]>::read_from_prefix(bytes).ok()?;
        let length = usize::from(length);
        let content = bytes.get(ATTRIBUTE..length)?;
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
        Some((kind & TYPE_MASK, content))
    })
}

/// Begins a message's body with a structure of fixed length.
pub(super) fn fixed<T: FromBytes>(body: &[u8]) -> Option<(T, &[u8])> {
    T::read_from_prefix(body).ok()
}

/// A number.
pub(super) fn number(content: &[u8]) -> Option<u32> {
    u32::read_from_prefix(content)
        .ok()
        .map(|(number, _)| number)
}

/// An address of either family.
pub(super) fn address(content: &[u8]) -> Option<std::net::IpAddr> {
    match content.len() {
        4 => <[u8; 4]>::try_from(content).ok().map(Into::into),
        16 => <[u8; 16]>::try_from(content).ok().map(Into::into),
        _ => None,
    }
}

/// A text that ends with NUL.
pub(super) fn name(content: &[u8]) -> String {
    let end = content.iter().position(|byte| *byte == 0);
    let text = content.get(..end.unwrap_or(content.len()));
    String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn attributes_are_read_one_by_one() {
        let bytes = [5, 0, 3, 0, b'l', 0, 0, 0, 8, 0, 0x1d, 0x80, 7, 0, 0, 0];
        let found: Vec<_> = attributes(&bytes).collect();
        assert_eq!(found, [(3, &b"l"[..]), (29, &[7, 0, 0, 0][..])]);
    }

    #[test]
    fn the_kernels_no_is_an_error() {
        let error = Netlink::open(libc::NETLINK_ROUTE)
            .unwrap()
            .ask(0x7fff, &[0; 16])
            .unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
    }

    proptest! {
        #[test]
        fn arbitrary_answers_never_panic(bytes: Vec<u8>) {
            let mut rest = bytes.as_slice();
            while let Some((_, body, after)) = message(rest) {
                let _ = attributes(body).count();
                let _ = outcome(body);
                prop_assert!(after.len() < rest.len());
                rest = after;
            }
            for (_, content) in attributes(&bytes) {
                let _ = (number(content), address(content), name(content));
            }
        }
    }
}
