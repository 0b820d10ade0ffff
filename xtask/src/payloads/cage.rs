//! The inside of a cage, process 1 of its own process, mount and host-name namespaces: makes a
//! throw-away copy of the Debian its root directory, starts the payload under the parent it was
//! given, and stays until it is killed, which ends everything in it. It runs as a process of its
//! own (`cargo xtask` has a hidden command for it), because namespaces want a single thread.

pub(crate) mod mounts;
mod parent;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::cage;

/// Who starts the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub(super) enum Parent {
    /// A shell that was there already
    Shell,
    /// A script in a web root, run by php-fpm when it is asked for
    PhpFpm,
    /// Debian's cron
    Cron,
    /// A service manager: own session, own control group, no terminal
    Systemd,
}

impl Parent {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Shell => "shell",
            Self::PhpFpm => "php-fpm",
            Self::Cron => "cron",
            Self::Systemd => "systemd",
        }
    }
}

/// What is to be done in a cage. It comes in a file, so that no command line but the payload's
/// own has the payload in it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Spec {
    /// The Debian, which stays as it is.
    pub(super) root: PathBuf,
    /// An empty directory to mount things at, in the cage's own namespace.
    pub(super) scratch: PathBuf,
    pub(super) parent: Parent,
    /// The shell that the payload is written for, and the payload.
    pub(super) shell: String,
    pub(super) command: String,
    /// Command lines to be run before.
    pub(super) setup: Vec<String>,
    /// Alternatives to be set: name, and where it points.
    pub(super) alternatives: BTreeMap<String, String>,
    /// Programs to be copied: to, from.
    pub(super) copies: BTreeMap<String, String>,
    /// Whether standard input is something that does not end.
    pub(super) keep_stdin_open: bool,
    /// The control group for what a service manager starts.
    pub(super) cgroup: Option<PathBuf>,
}

/// `cargo xtask payload-cage FILE`, started by the harness only.
#[derive(clap::Args)]
pub(crate) struct Args {
    spec: PathBuf,
}

/// Process 1: starts the payload; what it says goes to standard error.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    cage::keep(&args.spec, inside)
}

fn inside(spec: &Spec) -> Result<()> {
    let cgroup = spec.cgroup.as_deref().map(open_cgroup).transpose()?;
    mounts::enter(&spec.root, &spec.scratch)?;
    for (name, target) in &spec.alternatives {
        let link = Path::new("/etc/alternatives").join(name);
        let _ = fs::remove_file(&link);
        symlink(target, &link).with_context(|| format!("cannot link {}", link.display()))?;
    }
    for (to, from) in &spec.copies {
        let place = Path::new(to).parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(place).with_context(|| format!("cannot make {}", place.display()))?;
        fs::copy(from, to).with_context(|| format!("cannot copy {from} to {to}"))?;
    }
    for line in &spec.setup {
        parent::prepare(spec, line)?;
    }
    // Open as long as process 1 is.
    std::mem::forget(parent::start(spec, cgroup.as_ref())?);
    Ok(())
}

/// To be written to by whoever joins it; opened while the machine's own mounts are in reach.
fn open_cgroup(directory: &Path) -> Result<File> {
    let path = directory.join("cgroup.procs");
    OpenOptions::new()
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))
}
