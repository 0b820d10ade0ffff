//! The inside of a web server's cage, process 1 of its own process, mount and host-name
//! namespaces: makes a throw-away copy of the Debian the root directory, writes the site, starts
//! the server, and stays until it is killed, which ends everything in it. It runs as a process of
//! its own, because namespaces want a single thread.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::stack::Stack;
use crate::mount::check;
use crate::payloads::cage::mounts;

/// What is to be done in a cage.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Spec {
    /// The Debian, which stays as it is.
    pub(super) root: PathBuf,
    /// An empty directory to mount things at, in the cage's own namespace.
    pub(super) scratch: PathBuf,
    pub(super) stack: Stack,
}

/// `cargo xtask webshell-cage FILE`, started by the harness only.
#[derive(clap::Args)]
pub(crate) struct Args {
    spec: PathBuf,
}

/// Makes the process namespace, and process 1 in it. Says `started` on standard output when the
/// server was started.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let text = fs::read_to_string(&args.spec)
        .with_context(|| format!("cannot read {}", args.spec.display()))?;
    let spec: Spec = serde_json::from_str(&text).context("not a cage")?;
    // SAFETY: no memory is passed.
    check(unsafe { libc::unshare(libc::CLONE_NEWPID) }).context("no process namespace")?;
    // SAFETY: this process has a single thread, so the child may do anything.
    match unsafe { libc::fork() } {
        0 => inside(&spec),
        child if child > 0 => {
            // SAFETY: no memory is passed but a null pointer, which is allowed.
            unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(io::Error::last_os_error()).context("cannot fork"),
    }
}

/// Process 1.
fn inside(spec: &Spec) -> Result<ExitCode> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })
        .context("cannot be made to end with the harness")?;
    mounts::enter(&spec.root, &spec.scratch)?;
    for (path, text) in spec.stack.files() {
        let place = Path::new(path).parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(place).with_context(|| format!("cannot make {}", place.display()))?;
        fs::write(path, text).with_context(|| format!("cannot write {path}"))?;
    }
    let status = Command::new("/bin/bash")
        .args(["-c", spec.stack.start()])
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("LANG", "C.UTF-8")
        .stdin(Stdio::null())
        // What is started must not keep our pipe.
        .stdout(Stdio::null())
        .status()
        .context("no shell")?;
    ensure!(
        status.success(),
        "{} does not start: {status}",
        spec.stack.name
    );
    writeln!(io::stdout(), "started").context("the harness is gone")?;
    loop {
        // SAFETY: no memory is passed but a null pointer, which is allowed.
        if unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } < 0 {
            // Nobody is left to be waited for, and process 1 stays until it is killed.
            // SAFETY: no memory is passed.
            unsafe { libc::pause() };
        }
    }
}
