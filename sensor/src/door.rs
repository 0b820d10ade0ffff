//! How to reach the running sensor: where its control socket is, how long a request may be, and
//! how to put one. What is asked and answered is the business of `control` and of those who ask.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest request, in bytes: a response whose texts are as long as they may be, with every
/// character of them escaped.
pub const REQUEST_MAX: u64 = 96 * 1024;
/// Longest answer read, in bytes.
const ANSWER_MAX: u64 = 4 * 1024 * 1024;
/// How long one side waits for the other.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The control socket of the sensor with this runtime directory.
#[must_use]
pub fn socket_path(directory: &Path) -> PathBuf {
    directory.join("control.sock")
}

/// Asks the running sensor; gives its answer.
///
/// # Errors
/// When there is none, or it does not answer.
pub fn ask(directory: &Path, request: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket_path(directory))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream.take(ANSWER_MAX)).read_line(&mut answer)?;
    Ok(answer)
}
