//! A cage as seen from both sides: from the harness, which starts a process that keeps it and
//! ends it with that process; and from process 1 of it, which does its work and stays. It is a
//! process of its own because namespaces want a single thread. What is done in a cage, and what
//! its root directory is, is the callers' business.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::linux::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::exec;
use crate::mount::check;
use crate::payloads::network::Namespace;

/// What process 1 says when its work is done.
const READY: &str = "ready";
/// How long it may take where nobody says otherwise.
const PATIENCE: Duration = Duration::from_secs(120);
/// How much of the end of what was written in it an error shows.
const SHOWN: usize = 400;

/// The process that keeps a cage; when it is gone, so is everything in it.
pub(crate) struct Cage {
    keeper: Child,
    log: PathBuf,
}

impl Cage {
    /// Starts `cargo xtask COMMAND SPEC` in a network. What is written in it goes to a file.
    pub(crate) fn start(
        command: &str,
        spec: &impl Serialize,
        network: &Namespace,
        scratch: &Path,
    ) -> Result<Self> {
        // In a file, so that no command line in the cage has in it what is to be done there.
        let (file, log) = (scratch.join("cage.json"), scratch.join("cage.log"));
        let text = serde_json::to_string(spec).context("a cage that cannot be written")?;
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        let errors =
            File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut keeper = Command::new(std::env::current_exe().context("who are we?")?);
        keeper
            .arg(command)
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors);
        exec::end_with_us(&mut keeper);
        let network = network.fd();
        // SAFETY: between fork and exec a single system call, without memory; the descriptor is
        // open as long as the network lives, which is longer than this call.
        unsafe { keeper.pre_exec(move || check(libc::setns(network, libc::CLONE_NEWNET))) };
        let keeper = keeper.spawn().context("cannot start a cage")?;
        Ok(Self { keeper, log })
    }

    /// Waits until process 1 has done its work.
    pub(crate) fn ready(&mut self) -> Result<()> {
        self.ready_within(PATIENCE)
    }

    /// The same, for as long as this.
    pub(crate) fn ready_within(&mut self, limit: Duration) -> Result<()> {
        let out = self.keeper.stdout.take().context("no pipe from the cage")?;
        let (sender, receiver) = channel();
        // It ends with the cage at the latest.
        thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(out).read_line(&mut line);
            let _ = sender.send(line);
        });
        match receiver.recv_timeout(limit) {
            Ok(line) if line.trim_end() == READY => Ok(()),
            Ok(_) => bail!("{}", self.said()),
            Err(_) => bail!("it took longer than {} s", limit.as_secs()),
        }
    }

    /// Its process namespace, and what keeps the number of that from being another's.
    pub(crate) fn namespace(&self) -> Result<(u64, File)> {
        let path = format!("/proc/{}/ns/pid_for_children", self.keeper.id());
        let namespace = File::open(&path).with_context(|| format!("cannot open {path}"))?;
        let number = namespace.metadata().context("no namespace")?.st_ino();
        Ok((number, namespace))
    }

    /// A path in it as seen from outside.
    pub(crate) fn path(&self, inside: &str) -> Result<PathBuf> {
        let keeper = self.keeper.id();
        let children = format!("/proc/{keeper}/task/{keeper}/children");
        let first = fs::read_to_string(&children).with_context(|| format!("no {children}"))?;
        let first = first.split_whitespace().next().context("an empty cage")?;
        Ok(format!("/proc/{first}/root{inside}").into())
    }

    /// The file that everything in it writes to.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Ends it and all in it. The end of what was written in it.
    pub(crate) fn end(mut self) -> String {
        self.kill();
        self.said()
    }

    fn kill(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }

    fn said(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let end = text.len().saturating_sub(SHOWN);
        let end = text.get(end..).unwrap_or_default();
        String::from_utf8_lossy(end).trim().to_owned()
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The keeper's side: makes a process namespace and process 1 in it, which does `work`, says so,
/// and stays until it is killed. For a process with a single thread.
pub(crate) fn keep<S: DeserializeOwned>(
    spec: &Path,
    work: impl FnOnce(&S) -> Result<()>,
) -> Result<ExitCode> {
    let text =
        fs::read_to_string(spec).with_context(|| format!("cannot read {}", spec.display()))?;
    let spec: S = serde_json::from_str(&text).context("not a cage")?;
    // SAFETY: no memory is passed.
    check(unsafe { libc::unshare(libc::CLONE_NEWPID) }).context("no process namespace")?;
    // SAFETY: this process has a single thread, so the child may do anything.
    match unsafe { libc::fork() } {
        0 => first_process(&spec, work),
        child if child > 0 => {
            // SAFETY: no memory is passed but a null pointer, which is allowed.
            unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(io::Error::last_os_error()).context("cannot fork"),
    }
}

fn first_process<S>(spec: &S, work: impl FnOnce(&S) -> Result<()>) -> Result<ExitCode> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })
        .context("cannot be made to end with the harness")?;
    work(spec)?;
    writeln!(io::stdout(), "{READY}").context("the harness is gone")?;
    loop {
        // SAFETY: no memory is passed but a null pointer, which is allowed.
        if unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } < 0 {
            // Nobody is left to be waited for, and process 1 stays until it is killed.
            // SAFETY: no memory is passed.
            unsafe { libc::pause() };
        }
    }
}
