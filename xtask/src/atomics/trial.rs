//! One test from its cage's beginning to its end: what was said, and when it was. What the
//! sensor saw of it is not known here.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::linux::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::cage::{DONE, READY, Spec};
use super::corpus::Test;
use super::root::Root;
use crate::exec;
use crate::mount::check;
use crate::payloads::network::{Address, Network};

/// How long getting ready may take: compilers and environments of Python.
const PREPARATION: Duration = Duration::from_secs(60);
/// How long a test may take; those that do not end have done what they do by then.
const PATIENCE: Duration = Duration::from_secs(40);
/// What it started in the background does something, too.
const AFTERWARDS: Duration = Duration::from_millis(300);

/// How it went.
pub(super) struct Trial {
    /// Its exit code; none when it did not end in time.
    pub(super) code: Option<i32>,
    /// When it began and ended, in nanoseconds since boot.
    pub(super) during: (u64, u64),
    /// The process namespace of its cage, and what keeps its number from being another's.
    pub(super) namespace: u64,
    _kept: File,
    /// The end of what it wrote.
    pub(super) said: String,
}

/// Runs a test.
pub(super) fn run(test: &Test, root: &Root, scratch: &Path) -> Result<Trial> {
    let network = Network::new(Address::Public)?;
    let place = scratch.join("mount");
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    let spec = Spec {
        root: root.dir(),
        scratch: place,
        shell: test.shell.clone(),
        command: test.command.clone(),
        needs: test.needs.clone(),
        is_elevated: test.is_elevated,
    };
    let cage = Cage::start(&spec, &network, scratch)?;
    let (namespace, kept) = cage.namespace()?;
    let began = cage.says(READY, PREPARATION);
    let Some(began) = began.and_then(|at| at.parse().ok()) else {
        bail!("{}", cage.said());
    };
    let done = cage.says(DONE, PATIENCE);
    thread::sleep(AFTERWARDS);
    let ended = since_boot();
    Ok(Trial {
        code: done.and_then(|code| code.trim().parse().ok()),
        during: (began, ended),
        namespace,
        _kept: kept,
        said: cage.said(),
    })
}

/// Now, in nanoseconds since boot, as events have it.
pub(super) fn since_boot() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a place for the result that lives through the call.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// The process that keeps a cage; when it is gone, so is everything in it.
struct Cage {
    keeper: Child,
    lines: Receiver<String>,
    log: std::path::PathBuf,
}

impl Cage {
    fn start(spec: &Spec, network: &Network, scratch: &Path) -> Result<Self> {
        let (file, log) = (scratch.join("cage.json"), scratch.join("cage.log"));
        let text = serde_json::to_string(spec).context("a cage that cannot be written")?;
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        let errors =
            File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let program = std::env::current_exe().context("who are we?")?;
        let mut command = Command::new(program);
        command
            .arg("atomic-cage")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors);
        exec::end_with_us(&mut command);
        let namespace = network.server().fd();
        // SAFETY: between fork and exec a single system call, without memory; the descriptor is
        // open as long as the network lives, which is longer than this call.
        unsafe {
            command.pre_exec(move || check(libc::setns(namespace, libc::CLONE_NEWNET)));
        }
        let mut keeper = command.spawn().context("cannot start a cage")?;
        let out = keeper.stdout.take().context("no pipe from the cage")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { keeper, lines, log })
    }

    /// The rest of the line that begins so, when it comes in time and is the next.
    fn says(&self, word: &str, patience: Duration) -> Option<String> {
        let line = self.lines.recv_timeout(patience).ok()?;
        line.strip_prefix(word).map(str::to_owned)
    }

    fn namespace(&self) -> Result<(u64, File)> {
        if self.says("made", PREPARATION).is_none() {
            bail!("{}", self.said());
        }
        let path = format!("/proc/{}/ns/pid_for_children", self.keeper.id());
        let namespace = File::open(&path).with_context(|| format!("cannot open {path}"))?;
        let number = namespace.metadata().context("no namespace")?.st_ino();
        Ok((number, namespace))
    }

    fn said(&self) -> String {
        const KEPT: usize = 300;
        let text = fs::read(&self.log).unwrap_or_default();
        let end = text.get(text.len().saturating_sub(KEPT)..);
        String::from_utf8_lossy(end.unwrap_or_default())
            .trim()
            .to_owned()
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
