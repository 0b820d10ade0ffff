//! The sensor's end of one helper: starts it, sends it the rules, hands it files, and takes no
//! longer over it than agreed. A helper lives with one set of rules; another set is another helper.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::mem;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::card::Card;
use super::source::Sources;
use super::wire::{End, Frames, Order, Report, WireError, WireHit, frame};
use super::{COMPILE_LIMIT, GRACE, Hit, TIME_LIMIT};

/// The program, also when its file was replaced or removed.
const PROGRAM: &str = "/proc/self/exe";
/// Its hidden subcommand.
pub const SUBCOMMAND: &str = "content-scanner";
/// Bytes taken from the socket at a time.
const PIECE: usize = 64 * 1024;
/// Most rules of a set.
const RULES_MAX: usize = 100_000;

/// Why a helper is of no use any more.
#[derive(Debug, Error)]
pub enum ChildError {
    /// It cannot be started.
    #[error("the content scanner cannot be started from {PROGRAM}: {0}")]
    Start(io::Error),
    /// It did not answer in time.
    #[error("the content scanner did not answer in time")]
    Hung,
    /// It ended, or closed its socket.
    #[error("the content scanner ended: {0}")]
    Ended(io::Error),
    /// It says what makes no sense.
    #[error("the content scanner makes no sense: {0}")]
    Nonsense(String),
}

impl From<io::Error> for ChildError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Hung,
            _ => Self::Ended(error),
        }
    }
}

impl From<WireError> for ChildError {
    fn from(error: WireError) -> Self {
        Self::Nonsense(error.to_string())
    }
}

/// What a helper says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// Bytes looked at.
    pub bytes: u64,
    /// How it ended.
    pub end: End,
    /// Rules that match, worst first.
    pub hits: Vec<Hit>,
}

/// A helper that is ready.
#[derive(Debug)]
pub struct Helper {
    child: Child,
    socket: UnixStream,
    frames: Frames,
    cards: Vec<Arc<Card>>,
    problems: Vec<String>,
    lacks: Vec<String>,
    ticket: u64,
}

impl Helper {
    /// Starts one with these rules. Files of rules that cannot be used are left out; see
    /// [`Helper::problems`].
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(sources: &Sources) -> Result<Self, ChildError> {
        let (ours, theirs) = UnixStream::pair().map_err(ChildError::Start)?;
        let child = Command::new(PROGRAM)
            .arg(SUBCOMMAND)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(ChildError::Start)?;
        let mut helper = Self {
            child,
            socket: ours,
            frames: Frames::default(),
            cards: Vec::new(),
            problems: sources.problems.clone(),
            lacks: Vec::new(),
            ticket: 0,
        };
        helper.send_rules(sources)?;
        Ok(helper)
    }

    fn send_rules(&mut self, sources: &Sources) -> Result<(), ChildError> {
        let deadline = Instant::now() + COMPILE_LIMIT;
        self.socket.set_write_timeout(Some(COMPILE_LIMIT))?;
        for source in &sources.files {
            let order = Order::Source {
                name: source.name.clone(),
                text: source.text.clone(),
            };
            self.socket.write_all(&frame(&order)?)?;
        }
        self.socket.write_all(&frame(&Order::Compile)?)?;
        loop {
            match self.report(deadline)? {
                Report::Problem { text } => self.problems.push(text),
                Report::Rule { card } if self.cards.len() < RULES_MAX => {
                    self.cards.push(Arc::new(card));
                }
                Report::Ready { lacks } => {
                    self.lacks = lacks;
                    return Ok(());
                }
                other => return Err(ChildError::Nonsense(format!("{other:?}"))),
            }
        }
    }

    /// What is wrong with rule files that are left out.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// What of its confinement the kernel refused.
    #[must_use]
    pub fn lacks(&self) -> &[String] {
        &self.lacks
    }

    /// Its rules.
    #[must_use]
    pub fn cards(&self) -> &[Arc<Card>] {
        &self.cards
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself, or by somebody else's hand.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Has it look at the beginning of a file.
    ///
    /// # Errors
    /// When it is of no use any more.
    pub fn scan(&mut self, file: &File, size_max: u64) -> Result<Looked, ChildError> {
        let deadline = Instant::now() + TIME_LIMIT + GRACE;
        self.ticket += 1;
        let order = Order::Scan {
            ticket: self.ticket,
            size_max,
            time_ms: u64::try_from(TIME_LIMIT.as_millis()).unwrap_or(u64::MAX),
        };
        self.socket.set_write_timeout(Some(GRACE))?;
        send_with(&self.socket, &frame(&order)?, file)?;
        match self.report(deadline)? {
            Report::Scanned {
                ticket,
                bytes,
                end,
                hits,
            } if ticket == self.ticket => Ok(Looked {
                bytes,
                end,
                hits: self.hits(hits)?,
            }),
            other => Err(ChildError::Nonsense(format!("{other:?}"))),
        }
    }

    fn hits(&self, hits: Vec<WireHit>) -> Result<Vec<Hit>, ChildError> {
        let named = |hit: WireHit| {
            let card = self.cards.get(hit.rule as usize);
            let card = card.ok_or_else(|| ChildError::Nonsense(format!("no rule {}", hit.rule)))?;
            Ok(Hit {
                card: Arc::clone(card),
                place: hit.string.map(|name| (name.into(), hit.offset)),
            })
        };
        let mut hits: Vec<Hit> = hits
            .into_iter()
            .map(named)
            .collect::<Result<_, ChildError>>()?;
        hits.sort_by_key(|hit| {
            std::cmp::Reverse((hit.card.severity(), hit.card.confidence.unwrap_or(0)))
        });
        Ok(hits)
    }

    /// The next thing it says; however slowly it talks, no later than the deadline.
    fn report(&mut self, deadline: Instant) -> Result<Report, ChildError> {
        let mut piece = vec![0; PIECE];
        loop {
            if let Some(report) = self.frames.take()? {
                return Ok(report);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ChildError::Hung);
            }
            self.socket.set_read_timeout(Some(left))?;
            match self.socket.read(&mut piece) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(count) => self.frames.push(piece.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for Helper {
    /// Kills it. One that is stuck in the kernel is waited for elsewhere.
    fn drop(&mut self) {
        let _ = self.child.kill();
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let pid = self.child.id().cast_signed();
        let wait = move || {
            // SAFETY: a child of ours that nobody else waits for; no status is asked for.
            unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
        };
        // Without a thread it stays a zombie until the sensor ends.
        let _ = thread::Builder::new().name("reaper".to_owned()).spawn(wait);
    }
}

/// Sends bytes, and with the first of them a descriptor.
fn send_with(socket: &UnixStream, bytes: &[u8], file: &File) -> io::Result<()> {
    #[repr(align(8))]
    struct Control([u8; 64]);
    let mut control = Control([0; 64]);
    let size = u32::try_from(size_of::<libc::c_int>()).unwrap_or(4);
    let mut vector = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: a structure of numbers and pointers, for which zero is nothing.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    // SAFETY: the macros compute sizes and places; one descriptor takes 24 of the 64 bytes.
    unsafe {
        message.msg_controllen = libc::CMSG_SPACE(size) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size) as _;
        let place = libc::CMSG_DATA(header).cast::<libc::c_int>();
        place.write_unaligned(file.as_raw_fd());
    }
    let flags = libc::MSG_NOSIGNAL;
    // SAFETY: all that the message points to outlives the call and is as long as it says.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) };
    let sent = usize::try_from(sent).map_err(|_| io::Error::last_os_error())?;
    (&*socket).write_all(bytes.get(sent..).unwrap_or_default())
}

/// How long to wait before another one is started, by how many have failed in a row.
#[must_use]
pub fn back_off(failures: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(30);
    let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helpers_are_started_ever_more_rarely_but_never_not() {
        assert_eq!(back_off(1), Duration::from_millis(100));
        assert_eq!(back_off(3), Duration::from_millis(400));
        assert_eq!(back_off(u32::MAX), Duration::from_secs(30));
    }
}
