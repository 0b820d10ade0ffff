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

use crate::door::{PATIENCE, REQUEST_MAX, socket_path};
use crate::event::response::Response;
use crate::respond::asked::{APPROVE, ASKED, DENY};
use crate::respond::journal::{REPORT, Taken};
use crate::respond::outbox::Outbox;
use crate::respond::responder::Handle;
use crate::status::Status;

/// Request for the playbooks in force.
pub const PLAYBOOKS: &str = "playbooks";

pub use crate::door::ask;

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
    /// Answers until dropped.
    pub async fn serve(&self, listener: &UnixListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let answered = tokio::time::timeout(PATIENCE, self.answer(stream)).await;
                    if let Ok(Err(error)) = answered {
                        tracing::debug!(%error, "a control request was not answered");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "control socket");
                    tokio::time::sleep(PATIENCE).await;
                }
            }
        }
    }

    async fn answer(&self, mut stream: tokio::net::UnixStream) -> io::Result<()> {
        // The mode of the socket says so too; this also holds if someone changes that.
        if stream.peer_cred()?.uid() != 0 {
            return stream
                .write_all(b"{\"error\":\"only root may ask\"}\n")
                .await;
        }
        let mut request = String::new();
        let (read, mut write) = stream.split();
        tokio::io::BufReader::new(read.take(REQUEST_MAX))
            .read_line(&mut request)
            .await?;
        let mut answer = self
            .reply(request.trim())
            .unwrap_or_else(|error| json!({ "error": error }).to_string());
        answer.push('\n');
        write.write_all(answer.as_bytes()).await
    }

    /// The answer to a request, or what is wrong with it.
    fn reply(&self, request: &str) -> Result<String, String> {
        let (word, rest) = request.split_once(' ').unwrap_or((request, ""));
        match word {
            "status" => {
                let report = self.status.report().map_err(|error| error.to_string())?;
                serde_json::to_string(&report).map_err(|error| error.to_string())
            }
            REPORT => {
                let response: Response = serde_json::from_str(rest)
                    .map_err(|error| format!("this is no response: {error}"))?;
                let taken = self.outbox.post(response.bounded(), None);
                Ok(json!(Taken { taken }).to_string())
            }
            ASKED => serde_json::to_string(&self.responder.asked()).map_err(|e| e.to_string()),
            PLAYBOOKS => serde_json::to_string(&self.responder.set().listings())
                .map_err(|error| error.to_string()),
            APPROVE | DENY => {
                let id: u32 = rest.trim().parse().map_err(|_| {
                    format!("{:?} is no number of a question", shortened(rest.trim()))
                })?;
                let answered = self.responder.answer(id, word == APPROVE);
                answered.map_err(|error| error.to_string())?;
                Ok(json!(Taken { taken: true }).to_string())
            }
            _ => Err(format!(
                "unknown request {:?}; there are status, {REPORT}, {PLAYBOOKS}, {ASKED}, \
                 {APPROVE} and {DENY}",
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
