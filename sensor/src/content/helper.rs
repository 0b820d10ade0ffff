//! The other side: what runs in the helper process, `sensor content-scanner`. It shuts itself in,
//! compiles the rules it is sent, names them, and looks at one file after the other. Its standard
//! input is the socket to the sensor; when that closes it ends. It opens nothing.

use std::fs::File;
use std::io::{self, Write as _};
use std::mem;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::SIZE_MAX;
use super::engine::Engine;
use super::sandbox;
use super::source::Source;
use super::wire::{End, Frames, Order, Report, frame};

/// Bytes taken from the socket at a time.
const PIECE: usize = 64 * 1024;
/// Room for one descriptor beside the bytes, aligned as the kernel wants it.
const CONTROL: usize = 64;
/// First room for a file's content; grows to its size.
const READ_AT_ONCE: usize = 256 * 1024;

/// Serves on standard input until it closes.
///
/// # Errors
/// When standard input is no socket, or the sensor does not make sense.
pub fn run() -> io::Result<()> {
    name_process();
    // SAFETY: no preconditions; only descriptors that nothing here uses are closed. An older
    // kernel refuses, and then there are none: all that the sensor opens closes at exec.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
    // SAFETY: a plain system call; the sensor itself comes first.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 10) };
    // SAFETY: standard input is open, and nothing else in this process uses it.
    let socket = UnixStream::from(unsafe { OwnedFd::from_raw_fd(libc::STDIN_FILENO) });
    let lacks = sandbox::confine();
    serve(socket, lacks)
}

fn name_process() {
    // SAFETY: a NUL-ended text of less than 16 bytes.
    unsafe { libc::prctl(libc::PR_SET_NAME, c"content-scanner".as_ptr()) };
}

/// Does what it is told over the socket, until it closes.
///
/// # Errors
/// When the other side does not make sense, or is gone in the middle of an answer.
pub fn serve(socket: UnixStream, lacks: Vec<String>) -> io::Result<()> {
    let mut server = Server {
        socket,
        frames: Frames::default(),
        lacks,
        sources: Vec::new(),
        engine: None,
        file: None,
        content: Vec::new(),
    };
    while let Some(order) = server.order()? {
        server.obey(order)?;
    }
    Ok(())
}

struct Server {
    socket: UnixStream,
    frames: Frames,
    lacks: Vec<String>,
    sources: Vec<Source>,
    engine: Option<Engine>,
    /// The descriptor that came last.
    file: Option<File>,
    content: Vec<u8>,
}

impl Server {
    /// The next order, `None` when there will be none.
    fn order(&mut self) -> io::Result<Option<Order>> {
        let mut piece = vec![0; PIECE];
        loop {
            if let Some(order) = self.frames.take().map_err(io::Error::other)? {
                return Ok(Some(order));
            }
            let (count, file) = receive(&self.socket, &mut piece)?;
            if count == 0 {
                return Ok(None);
            }
            self.file = file.or(self.file.take());
            self.frames.push(piece.get(..count).unwrap_or_default());
        }
    }

    fn obey(&mut self, order: Order) -> io::Result<()> {
        match order {
            Order::Source { name, text } => {
                self.sources.push(Source { name, text });
                Ok(())
            }
            Order::Compile => self.compile(),
            Order::Scan {
                ticket,
                size_max,
                time_ms,
            } => {
                let report = self.scan(ticket, size_max, Duration::from_millis(time_ms));
                self.say(&report)
            }
        }
    }

    fn compile(&mut self) -> io::Result<()> {
        let (engine, problems) = Engine::compile(&mem::take(&mut self.sources));
        for text in problems {
            self.say(&Report::Problem { text })?;
        }
        for card in engine.cards() {
            self.say(&Report::Rule { card: card.clone() })?;
        }
        self.engine = Some(engine);
        let lacks = mem::take(&mut self.lacks);
        self.say(&Report::Ready { lacks })
    }

    fn scan(&mut self, ticket: u64, size_max: u64, time: Duration) -> Report {
        let answer = |bytes, end, hits| Report::Scanned {
            ticket,
            bytes,
            end,
            hits,
        };
        let (Some(file), Some(engine)) = (self.file.take(), &mut self.engine) else {
            return answer(0, End::Unreadable, Vec::new());
        };
        let size_max = usize::try_from(size_max.min(SIZE_MAX)).unwrap_or(0);
        if read(&file, size_max, &mut self.content).is_err() {
            return answer(0, End::Unreadable, Vec::new());
        }
        let scan = engine.scan(&self.content, time);
        let end = if scan.timed_out {
            End::TimedOut
        } else {
            End::Done
        };
        answer(self.content.len() as u64, end, scan.hits)
    }

    fn say(&mut self, report: &Report) -> io::Result<()> {
        let bytes = frame(report).map_err(io::Error::other)?;
        self.socket.write_all(&bytes)
    }
}

/// Reads a file from its beginning; not by mapping it, since it may be cut short meanwhile. The
/// offset of the descriptor, which is shared, is left alone.
fn read(file: &File, size_max: usize, content: &mut Vec<u8>) -> io::Result<()> {
    content.clear();
    // What a large file took is given back.
    content.shrink_to(READ_AT_ONCE);
    let mut length = 0;
    while length < size_max {
        let more = READ_AT_ONCE.max(length).min(size_max - length);
        content.resize(length + more, 0);
        let place = content.get_mut(length..).unwrap_or_default();
        match file.read_at(place, length as u64) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    content.truncate(length);
    Ok(())
}

/// Bytes, and the descriptor that came with them.
fn receive(socket: &UnixStream, piece: &mut [u8]) -> io::Result<(usize, Option<File>)> {
    #[repr(align(8))]
    struct Control([u8; CONTROL]);
    let mut control = Control([0; CONTROL]);
    let mut vector = libc::iovec {
        iov_base: piece.as_mut_ptr().cast(),
        iov_len: piece.len(),
    };
    // SAFETY: a structure of numbers and pointers, for which zero is nothing.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CONTROL as _;
    let flags = libc::MSG_CMSG_CLOEXEC;
    let count = loop {
        // SAFETY: all that the message points to outlives the call and is as long as it says.
        let count = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
        match usize::try_from(count) {
            Ok(count) => break count,
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    };
    // SAFETY: the kernel has filled the message in, and the buffers are still there.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    // SAFETY: null, or a header within the control buffer, aligned by `Control`.
    let Some(header) = (unsafe { header.as_ref() }) else {
        return Ok((count, None));
    };
    if (header.cmsg_level, header.cmsg_type) != (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
        return Ok((count, None));
    }
    // SAFETY: such a message holds at least one descriptor, which is ours from now on. The sender
    // passes one at a time.
    let file = unsafe {
        let place = libc::CMSG_DATA(header).cast::<libc::c_int>();
        OwnedFd::from_raw_fd(place.read_unaligned())
    };
    Ok((count, Some(File::from(file))))
}
