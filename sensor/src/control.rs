//! The running sensor's door: a lock, so that there is only one, and a Unix socket for root
//! only, on which a request is one line and the answer is one line of JSON.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use crate::status::Status;

/// Longest request, in bytes.
const REQUEST_MAX: u64 = 4_096;
/// Longest answer read, in bytes.
const ANSWER_MAX: u64 = 4 * 1024 * 1024;
/// How long one side waits for the other.
const PATIENCE: Duration = Duration::from_secs(5);

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

    fn socket(&self) -> PathBuf {
        socket_path(&self.directory)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.socket());
    }
}

fn socket_path(directory: &Path) -> PathBuf {
    directory.join("control.sock")
}

/// The listening side.
pub struct Control {
    listener: UnixListener,
    status: Arc<Status>,
}

impl Control {
    /// Opens the socket; a left-over one of a killed sensor is replaced.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn listen(instance: &Instance, status: Arc<Status>) -> io::Result<Self> {
        let path = instance.socket();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, status })
    }

    /// Answers until dropped.
    pub async fn serve(&self) {
        loop {
            match self.listener.accept().await {
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
        let mut answer = match request.trim() {
            "status" => match self.status.report() {
                Ok(report) => serde_json::to_string(&report)?,
                Err(error) => serde_json::json!({ "error": error.to_string() }).to_string(),
            },
            request if request.split(' ').next() == Some("intelligence") => {
                match self.status.intelligence.get() {
                    Some(intelligence) => intelligence.answer(request).to_string(),
                    None => r#"{"error":"this sensor runs without detection"}"#.to_owned(),
                }
            }
            other => {
                serde_json::json!({ "error": format!("unknown request {other:?}") }).to_string()
            }
        };
        answer.push('\n');
        write.write_all(answer.as_bytes()).await
    }
}

/// Asks the running sensor; gives its answer.
///
/// # Errors
/// When there is none, or it does not answer.
pub fn ask(directory: &Path, request: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket_path(directory))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    writeln!(stream, "{request}")?;
    let mut answer = String::new();
    BufReader::new(stream.take(ANSWER_MAX)).read_line(&mut answer)?;
    Ok(answer)
}
