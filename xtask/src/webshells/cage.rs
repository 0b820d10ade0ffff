//! The inside of a web server's cage, process 1 of its own process, mount and host-name
//! namespaces: makes a throw-away copy of the Debian the root directory, writes the site, starts
//! the server, and stays until it is killed, which ends everything in it. It runs as a process of
//! its own, because namespaces want a single thread.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::stack::Stack;
use crate::cage;
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

/// Process 1: starts the server.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    cage::keep(&args.spec, inside)
}

fn inside(spec: &Spec) -> Result<()> {
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
    Ok(())
}
