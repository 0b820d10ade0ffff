//! Installing Debian packages. Which ones, and why, is the callers' business.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Say;
use crate::exec;

/// Whether this system installs packages with apt.
pub(super) fn is_here() -> bool {
    exec::which("apt-get").is_some() && Path::new("/etc/debian_version").exists()
}

/// Installs what is missing of the packages, or says which command would.
pub(super) fn ensure(packages: &[&str], why: &str, say: Say) -> Result<()> {
    let missing: Vec<&str> = packages
        .iter()
        .copied()
        .filter(|package| !is_installed(package))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !is_here() {
        bail!(
            "needed {why}: what Debian calls {list}; install it with this system's package manager"
        );
    }
    if !exec::is_root() {
        bail!("needed {why}: as root, run `apt-get install --no-install-recommends {list}`");
    }
    say.doing(&format!("installing {list} {why}"));
    if install(&missing).is_ok() {
        return Ok(());
    }
    // The package lists may be missing, or older than what the mirror still has.
    update(say)?;
    install(&missing).with_context(|| format!("cannot install {list}, needed {why}"))
}

/// What `find` finds in the package lists; where it finds nothing, they are fetched anew, because
/// there may be none, or old ones.
pub(super) fn look_up<T>(find: impl Fn() -> Option<T>, say: Say) -> Option<T> {
    find().or_else(|| {
        if !exec::is_root() || update(say).is_err() {
            return None;
        }
        find()
    })
}

/// The version apt would install.
pub(super) fn candidate(package: &str) -> Option<String> {
    let text = exec::output(Command::new("apt-cache").args(["policy", package])).ok()?;
    let version = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (version != "(none)").then(|| version.to_owned())
}

fn is_installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${db:Status-Status}", package]);
    exec::output(&mut query).is_ok_and(|status| status == "installed")
}

fn update(say: Say) -> Result<()> {
    say.doing("fetching package lists");
    exec::output(Command::new("apt-get").args(["update", "-q"]))?;
    Ok(())
}

fn install(packages: &[&str]) -> Result<()> {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive")
        .args([
            "install",
            "-q",
            "-y",
            "--no-install-recommends",
            "-o",
            "DPkg::Lock::Timeout=300",
        ])
        .args(packages);
    exec::output(&mut apt)?;
    Ok(())
}
