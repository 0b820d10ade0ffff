//! The inside of a cage: a throw-away copy of the Debian, the files of a scenario, and its script,
//! which runs to its end. The other machine is a second network, which the script reaches by name.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::cage;
use crate::mount::mount;
use crate::payloads::cage::mounts;

/// Where files of a scenario are; the script is one of them.
pub(super) const PLACE: &str = "/srv/work";
/// The network of the other machine, as a file to join it by.
const PEER: &str = "/run/netns/peer";

/// What is to be done in a cage.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Spec {
    /// The Debian, which stays as it is.
    pub(super) root: PathBuf,
    /// An empty directory to mount things at, in the cage's own namespace.
    pub(super) scratch: PathBuf,
    /// The control group that all of it happens in, by which its events are known.
    pub(super) cgroup: PathBuf,
    /// The other machine's network.
    pub(super) peer: PathBuf,
    /// Files by their name in [`PLACE`].
    pub(super) files: Vec<(String, String)>,
    /// Which of them is run.
    pub(super) script: String,
}

/// `cargo xtask benign-cage FILE`, started by the harness only.
#[derive(clap::Args)]
pub(crate) struct Args {
    spec: PathBuf,
}

/// Process 1: does the work.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    cage::keep(&args.spec, inside)
}

fn inside(spec: &Spec) -> Result<()> {
    let members = spec.cgroup.join("cgroup.procs");
    // Zero is whoever writes it.
    fs::write(&members, "0").with_context(|| format!("cannot join {}", members.display()))?;
    let peer = File::open(&spec.peer).context("the other machine is gone")?;
    mounts::enter(&spec.root, &spec.scratch)?;
    bind_peer(&peer)?;
    drop(peer);
    for (name, text) in &spec.files {
        let path = Path::new(PLACE).join(name);
        let context = || format!("cannot write {}", path.display());
        fs::create_dir_all(PLACE).with_context(context)?;
        fs::write(&path, text).with_context(context)?;
        fs::set_permissions(&path, Permissions::from_mode(0o755)).with_context(context)?;
    }
    let out = io::stderr().as_fd().try_clone_to_owned();
    let status = Command::new("/bin/bash")
        .arg(Path::new(PLACE).join(&spec.script))
        .current_dir("/root")
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("HOME", "/root")
        .env("USER", "root")
        .env("LANG", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(out.context("no standard error")?)
        .status()
        .context("no shell")?;
    writeln!(io::stderr(), "{}: {status}", spec.script).context("nobody listens")?;
    ensure!(status.success(), "the script ended with {status}");
    Ok(())
}

/// Gives the network a name, for programs to join it by.
fn bind_peer(peer: &File) -> Result<()> {
    use std::ffi::CString;
    use std::os::fd::AsRawFd as _;

    let target = Path::new(PEER);
    let place = target.parent().unwrap_or(Path::new("/run"));
    fs::create_dir_all(place).with_context(|| format!("cannot make {}", place.display()))?;
    File::create(target).with_context(|| format!("cannot make {PEER}"))?;
    let source = CString::new(format!("/proc/self/fd/{}", peer.as_raw_fd()))?;
    let target = CString::new(target.as_os_str().as_bytes())?;
    // SAFETY: the cage has a mount namespace of its own.
    unsafe { mount(Some(&source), &target, None, libc::MS_BIND, None) }
        .with_context(|| format!("cannot mount at {PEER}"))
}
