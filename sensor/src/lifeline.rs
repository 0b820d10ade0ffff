//! The sign of life that outlives a run: which run it was, when it last got on, and whether it
//! stopped in order, so that the next one can say from when until when nobody watched. On a thread
//! of its own, because disks can be slow. What is done with it is the caller's business.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{boot_ns, wall_ns};
use crate::event::health::Previous;

/// Name of the file in the state directory.
const NAME: &str = "run.json";
/// How often the sign is renewed. By as much, at most, is the time in which nobody watched told
/// too long; after a power cut by what the kernel had not yet written besides
/// (`vm.dirty_expire_centisecs`, half a minute). It is never told too short.
const EVERY: Duration = Duration::from_secs(5);
/// Longest file read back, in bytes.
const FILE_MAX: u64 = 4_096;

/// What is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sign {
    run: u32,
    alive_wall_ns: u64,
    stopped: bool,
}

/// Renews the sign until [`Lifeline::finish`].
#[derive(Debug)]
pub struct Lifeline {
    end: Sender<()>,
    thread: JoinHandle<()>,
}

impl Lifeline {
    /// Takes the place of the run before, and says what is known of that. `turned` says when this run
    /// last got on, in nanoseconds since boot, 0 before it does.
    ///
    /// # Errors
    /// When the state directory cannot be used.
    pub fn start(
        state: &Path,
        run: u32,
        turned: impl Fn() -> u64 + Send + 'static,
    ) -> io::Result<(Self, Option<Previous>)> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(state)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(state.join(NAME))?;
        let previous = read(&file)?;
        let sign = Sign {
            run,
            alive_wall_ns: wall_ns(),
            stopped: false,
        };
        write(&file, sign)?;
        file.sync_all()?;
        File::open(state)?.sync_all()?;
        let (end, ended) = channel();
        let thread = thread::Builder::new()
            .name("lifeline".to_owned())
            .spawn(move || work(&file, sign, &ended, turned))?;
        Ok((Self { end, thread }, previous))
    }

    /// The run has stopped in order. Without this, the next one says that it did not.
    pub fn finish(self) {
        let _ = self.end.send(());
        let _ = self.thread.join();
    }
}

fn work(file: &File, mut sign: Sign, ended: &Receiver<()>, turned: impl Fn() -> u64) {
    let mut seen = 0;
    loop {
        let waited = ended.recv_timeout(EVERY);
        if waited == Err(RecvTimeoutError::Disconnected) {
            return;
        }
        sign.stopped = waited.is_ok();
        let now = turned();
        if now != seen {
            seen = now;
            sign.alive_wall_ns = wall_ns().saturating_sub(boot_ns().saturating_sub(now));
        } else if !sign.stopped {
            continue;
        }
        let mut written = write(file, sign);
        if sign.stopped {
            written = written.and_then(|()| file.sync_all());
        }
        if let Err(error) = written {
            tracing::debug!(%error, "the sign of life cannot be renewed");
        }
        if sign.stopped {
            return;
        }
    }
}

/// In place, so that a full disk is no obstacle. Only the first line counts: what is behind it is
/// left of a longer one.
fn write(file: &File, sign: Sign) -> io::Result<()> {
    let line = serde_json::to_string(&sign)? + "\n";
    file.write_all_at(line.as_bytes(), 0)
}

/// What the run before left, if it left anything that makes sense.
fn read(file: &File) -> io::Result<Option<Previous>> {
    let mut text = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut text)?;
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.is_empty() {
        return Ok(None);
    }
    match serde_json::from_slice::<Sign>(line) {
        Ok(sign) => Ok(Some(Previous {
            run: sign.run,
            until_wall_ns: sign.alive_wall_ns,
            in_order: sign.stopped,
        })),
        Err(error) => {
            tracing::warn!(%error, "{NAME} in the state directory cannot be read: how the run before ended is not known");
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run that is killed leaves its thread and its file as they are.
    fn killed(lifeline: Lifeline) {
        drop(lifeline.end);
        lifeline.thread.join().unwrap();
    }

    #[test]
    fn the_next_run_knows_how_the_one_before_ended() {
        let home = tempfile::tempdir().unwrap();
        let state = home.path().join("state");
        let (first, before) = Lifeline::start(&state, 1, || 0).unwrap();
        assert_eq!(before, None);
        let started = wall_ns();
        killed(first);

        let (second, before) =
            Lifeline::start(&state, 0xffff_ffff, || boot_ns() - 1_000_000_000).unwrap();
        let before = before.unwrap();
        assert_eq!((before.run, before.in_order), (1, false));
        assert!(before.until_wall_ns <= started);
        second.finish();

        let (third, before) = Lifeline::start(&state, 3, || 0).unwrap();
        let before = before.unwrap();
        assert_eq!((before.run, before.in_order), (0xffff_ffff, true));
        // It last got on a second before it stopped.
        let ago = wall_ns().saturating_sub(before.until_wall_ns);
        assert!((1_000_000_000..60_000_000_000).contains(&ago), "{ago}");
        third.finish();
    }

    #[test]
    fn a_shorter_sign_over_a_longer_one_is_read_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(NAME);
        std::fs::write(&path, [b'x'; 200]).unwrap();
        let (lifeline, before) = Lifeline::start(home.path(), 1, || 0).unwrap();
        assert_eq!(before, None, "what makes no sense is nothing");
        killed(lifeline);
        let (lifeline, before) = Lifeline::start(home.path(), 2, || 0).unwrap();
        assert_eq!(before.unwrap().run, 1);
        lifeline.finish();
    }

    #[test]
    fn a_sign_that_is_a_link_is_not_followed() {
        let home = tempfile::tempdir().unwrap();
        let elsewhere = home.path().join("elsewhere");
        std::fs::write(&elsewhere, "untouched").unwrap();
        std::os::unix::fs::symlink(&elsewhere, home.path().join(NAME)).unwrap();
        assert!(Lifeline::start(home.path(), 1, || 0).is_err());
        assert_eq!(std::fs::read(&elsewhere).unwrap(), b"untouched");
    }
}
