//! Lines over a connection: as they are (one per line), or as syslog. Nothing on the way says that
//! a line was read, so what the other side's kernel has acknowledged counts as arrived, and what it
//! may not have handed on is sent again when the connection breaks.

use std::time::Duration;

use super::batch::Item;
use super::syslog::Header;
use super::{Failure, Outcome, Transport, Unread};
use crate::net::stream::{Stream, Target};

/// Bytes that may stand unread in the other side's socket: the most that Linux gives one by itself
/// (`net.ipv4.tcp_rmem`, 6 MiB, of which a part is overhead), in whole.
const UNREAD_BYTES: usize = 6 * 1024 * 1024;
/// A receiver that lives has read after this long.
const UNREAD_TIME: Duration = Duration::from_secs(15);

/// How lines are told apart.
pub(super) enum Framing {
    /// Each ends with a line feed.
    Newline,
    /// A syslog message, its length before it (RFC 6587 3.4.1, RFC 5425 4.3).
    Syslog(Header),
}

/// Writes lines to a connection.
pub(super) struct Lines {
    /// Where to; or why that cannot be said yet, because a certificate is not readable, say.
    target: Box<dyn Fn() -> Result<Target, String> + Send>,
    framing: Framing,
    stream: Option<Stream>,
    bytes: Vec<u8>,
}

impl Lines {
    /// `target` is asked at every attempt to connect, so that renewed certificates are used.
    pub(super) fn new(
        target: impl Fn() -> Result<Target, String> + Send + 'static,
        framing: Framing,
    ) -> Self {
        Self {
            target: Box::new(target),
            framing,
            stream: None,
            bytes: Vec::new(),
        }
    }

    fn write(&mut self) -> Result<(), Failure> {
        if self.stream.is_none() {
            let target = (self.target)().map_err(|why| Failure { why, wait: None })?;
            self.stream = Some(Stream::connect(&target)?);
        }
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        stream.check()?;
        stream.write_all(&self.bytes)?;
        Ok(stream.settle()?)
    }
}

impl Transport for Lines {
    fn deliver(&mut self, items: &[Item<'_>]) -> Result<Outcome, Failure> {
        self.bytes.clear();
        for item in items {
            match &self.framing {
                Framing::Newline => {
                    self.bytes.extend_from_slice(item.line);
                    self.bytes.push(b'\n');
                }
                Framing::Syslog(header) => header.counted(item, &mut self.bytes),
            }
        }
        let result = self.write();
        if result.is_err() {
            self.stream = None;
        }
        result.map(|()| Outcome::default())
    }

    fn unread(&self) -> Option<Unread> {
        Some(Unread {
            bytes: UNREAD_BYTES,
            time: UNREAD_TIME,
        })
    }
}
