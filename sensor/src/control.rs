//! The running sensor's door: a lock, so that there is only one, and a Unix socket for root
//! only, on which a request is one line and the answer is one line of JSON.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::task::JoinSet;

use crate::door::{PATIENCE, REQUEST_MAX, socket_path};
use crate::event::response::Response;
use crate::intelligence::refresh::{INTELLIGENCE, Question};
use crate::respond::asked::{APPROVE, ASKED, DENY};
use crate::respond::journal::{REPORT, Taken};
use crate::respond::outbox::Outbox;
use crate::respond::responder::Handle;
use crate::status::Status;

/// Request for the playbooks in force.
pub const PLAYBOOKS: &str = "playbooks";

pub use crate::door::ask;

/// Requests answered at a time.
const CONVERSATIONS_MAX: usize = 32;

/// Why the runtime directory cannot be had.
#[derive(Debug, Error)]
pub enum ControlError {
    /// Another sensor is running.
    #[error("another sensor is already running here{} (lock {}); `sensor status` asks it", pid.map(|pid| format!(", pid {pid}")).unwrap_or_default(), lock.display())]
    Running {
        /// Its pid, if it wrote it.
        pid: Option<u32>,
        /// The lock file.
        lock: PathBuf,
    },
    /// The directory or the lock cannot be made.
    #[error("cannot use {} as runtime directory: {source}; choose another with --runtime-directory", path.display())]
    Directory {
        /// What failed.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The right to be the running sensor.
pub struct Instance {
    directory: PathBuf,
    /// Held for its lock.
    _lock: File,
}

impl Instance {
    /// Claims it.
    ///
    /// # Errors
    /// When another sensor has it, or the directory cannot be used.
    pub fn claim(directory: &Path) -> Result<Self, ControlError> {
        let fail = |path: &Path, source| ControlError::Directory {
            path: path.to_owned(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|e| fail(directory, e))?;
        let path = directory.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(|e| fail(&path, e))?;
        // SAFETY: the descriptor is open; no memory is passed.
        if unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            let mut text = String::new();
            let _ = (&lock).take(32).read_to_string(&mut text);
            return Err(ControlError::Running {
                pid: text.trim().parse().ok(),
                lock: path,
            });
        }
        // The number only helps people; a full disk must not keep the sensor from starting.
        let _ = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()));
        Ok(Self {
            directory: directory.to_owned(),
            _lock: lock,
        })
    }

    /// Opens the control socket, for root only; a left-over one of a killed sensor is replaced.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn listen(&self) -> io::Result<UnixListener> {
        let path = socket_path(&self.directory);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    }
}

/// Pid of the sensor that runs with this runtime directory, if one does: it holds the lock.
#[must_use]
pub fn running(directory: &Path) -> Option<u32> {
    let lock = File::open(directory.join("lock")).ok()?;
    // SAFETY: the descriptor is open; no memory is passed. Closing it gives the lock back.
    if unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_SH | libc::LOCK_NB) } == 0 {
        return None;
    }
    let mut text = String::new();
    (&lock).take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = fs::remove_file(socket_path(&self.directory));
    }
}

/// What is behind the door: answers requests.
pub struct Control {
    /// How the sensor is.
    pub status: Arc<Status>,
    /// Where reports of what the command line did go.
    pub outbox: Outbox,
    /// Who knows what waits for a yes.
    pub responder: Handle,
}

impl Control {
    /// Answers until dropped; who is slow keeps nobody else waiting.
    pub async fn serve(self: Arc<Self>, listener: &UnixListener) {
        let mut conversations = JoinSet::new();
        loop {
            while conversations.try_join_next().is_some() {}
            if conversations.len() >= CONVERSATIONS_MAX {
                conversations.join_next().await;
            }
            match listener.accept().await {
                Ok((stream, _)) => {
                    let control = Arc::clone(&self);
                    conversations.spawn(async move {
                        let answered = tokio::time::timeout(PATIENCE, control.answer(stream)).await;
                        if let Ok(Err(error)) = answered {
                            tracing::debug!(%error, "a control request was not answered");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "control socket");
                    tokio::time::sleep(PATIENCE).await;
                }
            }
        }
    }

    async fn answer(&self, mut stream: tokio::net::UnixStream) -> io::Result<()> {
        let is_root = stream.peer_cred()?.uid() == 0;
        let mut request = String::new();
        let (read, mut write) = stream.split();
        tokio::io::BufReader::new(read.take(REQUEST_MAX))
            .read_line(&mut request)
            .await?;
        // The mode of the socket says so too; this also holds if someone changes that.
        if !is_root {
            return write
                .write_all(b"{\"error\":\"only root may ask\"}\n")
                .await;
        }
        let mut answer = self
            .reply(request.trim())
            .unwrap_or_else(|error| json!({ "error": error }).to_string());
        answer.push('\n');
        write.write_all(answer.as_bytes()).await
    }

    /// The answer to a request, or what is wrong with it.
    fn reply(&self, request: &str) -> Result<String, String> {
        let taken = |taken| json!(Taken { taken }).to_string();
        let answer = match Request::parse(request)? {
            Request::Status => {
                let report = self.status.report().map_err(|error| error.to_string())?;
                serde_json::to_string(&report)
            }
            Request::Playbooks => serde_json::to_string(&self.responder.set().listings()),
            Request::Asked => serde_json::to_string(&self.responder.asked()),
            Request::Report(response) => Ok(taken(self.outbox.post(*response, None))),
            Request::Intelligence(question) => match self.status.intelligence.get() {
                Some(intelligence) => intelligence.answer(&question),
                None => return Err("this sensor runs without detection".to_owned()),
            },
            Request::Answer { id, yes } => {
                let answered = self.responder.answer(id, yes);
                answered.map_err(|error| error.to_string())?;
                Ok(taken(true))
            }
        };
        answer.map_err(|error| error.to_string())
    }
}

/// What the running sensor can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// How it is.
    Status,
    /// To write down what the command line did.
    Report(Box<Response>),
    /// Which playbooks are in force.
    Playbooks,
    /// What waits for a yes.
    Asked,
    /// Which lists are in use, or what is on them.
    Intelligence(Question),
    /// Yes or no to that.
    Answer {
        /// The number of the question.
        id: u32,
        /// Whether it is a yes.
        yes: bool,
    },
}

impl Request {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &str) -> Result<Self, String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (word, rest.trim()) {
            ("status", "") => Ok(Self::Status),
            (PLAYBOOKS, "") => Ok(Self::Playbooks),
            (ASKED, "") => Ok(Self::Asked),
            (REPORT, text) => serde_json::from_str(text)
                .map(|response: Response| Self::Report(Box::new(response.bounded())))
                .map_err(|error| format!("this is no response: {error}")),
            (INTELLIGENCE, rest) => Question::parse(rest).map(Self::Intelligence),
            (APPROVE | DENY, number) => number
                .parse()
                .map(|id| Self::Answer {
                    id,
                    yes: word == APPROVE,
                })
                .map_err(|_| format!("{:?} is no number of a question", shortened(number))),
            _ => Err(format!(
                "unknown request {:?}; there are status, {REPORT}, {PLAYBOOKS}, {ASKED}, \
                 {APPROVE}, {DENY} and {INTELLIGENCE}",
                shortened(word)
            )),
        }
    }
}

/// Enough of a text to know it again.
fn shortened(text: &str) -> &str {
    const ENOUGH: usize = 64;
    text.get(..text.floor_char_boundary(ENOUGH))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn requests_are_understood_or_refused_with_a_word() {
        assert_eq!(Request::parse("status"), Ok(Request::Status));
        let yes = Request::Answer { id: 3, yes: true };
        assert_eq!(Request::parse("approve 3"), Ok(yes));
        for (line, says) in [
            ("", "unknown request"),
            ("status now", "unknown request"),
            ("intelligence dance", "no question"),
            ("intelligence check nothing", "neither an address"),
            ("approve", "no number"),
            ("deny -1", "no number"),
            ("approve 4294967296", "no number"),
            ("report", "no response"),
            ("report {\"verb\":\"destroy\"}", "no response"),
        ] {
            let error = Request::parse(line).unwrap_err();
            assert!(error.contains(says), "{line}: {error}");
        }
        let long = "x".repeat(10_000);
        assert!(Request::parse(&long).unwrap_err().len() < 300);
    }

    proptest! {
        #[test]
        fn hostile_requests_never_panic(
            line in prop_oneof![
                any::<String>(),
                "(report|approve|deny|status|asked) [\\PC]{0,40}",
                "report \\{(\"(verb|outcome|target|origin|by|undo)\":(\"(kill|done|operator|[a-z]{0,9})\"|null|-?[0-9]{1,22}),?){0,7}\\}",
            ],
        ) {
            if let Ok(Request::Report(response)) = Request::parse(&line) {
                prop_assert_eq!(response.clone().bounded(), *response);
            }
        }
    }
}
