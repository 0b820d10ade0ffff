//! Gets Debian's kernels: which package of which suite, and where the image is in it. Fetching
//! is `debian`'s business. Nothing here boots anything.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::debian::PrivateApt;
use crate::exec;
use crate::workspace::Workspace;

/// The kernels every test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Release {
    /// Debian 11, the oldest kernel supported
    #[value(name = "5.10")]
    V5_10,
    /// Debian 12
    #[value(name = "6.1")]
    V6_1,
    /// Debian 13
    #[value(name = "6.12")]
    V6_12,
    /// The newest kernel Debian has packaged
    #[value(name = "7.x")]
    V7,
}

impl Release {
    pub(crate) const ALL: [Self; 4] = [Self::V5_10, Self::V6_1, Self::V6_12, Self::V7];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::V5_10 => "5.10",
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::V7 => "7.x",
        }
    }

    /// Whether it is the oldest or the newest.
    pub(super) fn is_an_end(self) -> bool {
        matches!(self, Self::V5_10 | Self::V7)
    }

    /// The suite that carries it, whether security updates are a suite of their own, and how
    /// its version starts.
    fn source(self) -> (&'static str, bool, &'static str) {
        match self {
            Self::V5_10 => ("bullseye", true, "5.10."),
            Self::V6_1 => ("bookworm", true, "6.1."),
            Self::V6_12 => ("trixie", true, "6.12."),
            Self::V7 => ("trixie-backports", false, "7."),
        }
    }
}

/// A kernel on disk.
pub(super) struct Kernel {
    pub(super) image: PathBuf,
    /// Its modules, if the package had any.
    pub(super) modules: Option<PathBuf>,
}

/// Returns the kernel, fetching it when it is not in `target/vm` yet or a newer one is wanted.
pub(super) fn get(workspace: &Workspace, release: Release, refresh: bool) -> Result<Kernel> {
    let dir = workspace.target(&format!("vm/{}/tree", release.label()))?;
    if !refresh && let Ok(kernel) = look(&dir) {
        return Ok(kernel);
    }
    let fetched = fetch(workspace, release, &dir);
    fetched.with_context(|| format!("cannot get the {} kernel from Debian", release.label()))?;
    look(&dir)
}

/// What is in the unpacked packages. The image is in `/boot`, or since 7.2 beside the modules.
fn look(dir: &Path) -> Result<Kernel> {
    let trees = ["lib/modules", "usr/lib/modules"];
    let modules = trees.iter().find_map(|tree| first(&dir.join(tree), ""));
    let beside = modules
        .as_deref()
        .and_then(|modules| first(modules, "vmlinuz"));
    let image = first(&dir.join("boot"), "vmlinuz-").or(beside);
    let image = image.with_context(|| format!("no vmlinuz in {}", dir.display()))?;
    Ok(Kernel { image, modules })
}

/// An entry of the directory whose name starts like this.
fn first(dir: &Path, prefix: &str) -> Option<PathBuf> {
    let mut entries = fs::read_dir(dir).ok()?.flatten();
    let entry = entries.find(|entry| entry.file_name().to_string_lossy().starts_with(prefix))?;
    Some(entry.path())
}

fn fetch(workspace: &Workspace, release: Release, dir: &Path) -> Result<()> {
    let (suite, has_security, version) = release.source();
    let apt = PrivateApt::new(
        workspace.target(&format!("vm/{}/apt", release.label()))?,
        suite,
        has_security,
    )?;
    let names = exec::output(apt.command("apt-cache").args(["pkgnames", "linux-"]))?;
    let image = newest(&names, version).with_context(|| format!("no linux-image-{version}*"))?;
    let mut packages = vec![image.to_owned()];
    // Since 7.2 the image and the modules are packages of their own, and linux-image is empty.
    for part in ["linux-binary-", "linux-modules-"] {
        let name = image.replacen("linux-image-", part, 1);
        if names.lines().any(|known| known == name) {
            packages.push(name);
        }
    }
    println!("vm: fetching {}", packages.join(", "));

    let debs = apt.dir().join("debs");
    let fresh = apt.dir().join("tree");
    for path in [&debs, &fresh] {
        let _ = fs::remove_dir_all(path);
        fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
    }
    exec::output(
        apt.command("apt-get")
            .arg("download")
            .args(&packages)
            .current_dir(&debs),
    )?;
    for entry in fs::read_dir(&debs).context("cannot list the downloads")? {
        let deb = entry.context("cannot list the downloads")?.path();
        exec::output(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&fresh))?;
    }
    look(&fresh)?;
    let _ = fs::remove_dir_all(dir);
    fs::rename(&fresh, dir)
        .with_context(|| format!("cannot put the kernel at {}", dir.display()))?;
    let _ = fs::remove_dir_all(apt.dir());
    Ok(())
}

/// The newest `linux-image-<version>…-amd64`, without the cloud, rt and unsigned flavours.
fn newest<'a>(names: &'a str, version: &str) -> Option<&'a str> {
    let candidates = names.lines().filter_map(|name| {
        let full = name.strip_prefix("linux-image-")?.strip_suffix("-amd64")?;
        let plain = !full.contains("-cloud") && !full.contains("-rt");
        (plain && full.starts_with(version)).then(|| (numbers(full), name))
    });
    candidates.max().map(|(_, name)| name)
}

/// The numbers in a version, which is how kernel versions are ordered.
fn numbers(version: &str) -> Vec<u64> {
    version
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|part| part.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_plain_kernel_is_taken() {
        let names = "linux-image-7.2.12+deb13-amd64\nlinux-image-7.10.1+deb13-amd64\n\
                     linux-image-7.11.0+deb13-cloud-amd64\nlinux-image-7.11.0+deb13-amd64-unsigned\n\
                     linux-image-6.19.1+deb13-amd64\n";
        assert_eq!(newest(names, "7."), Some("linux-image-7.10.1+deb13-amd64"));
    }

    #[test]
    fn the_abi_number_decides_within_a_version() {
        let names = "linux-image-5.10.0-9-amd64\nlinux-image-5.10.0-46-amd64\nlinux-image-5.10.0-46-rt-amd64\n";
        assert_eq!(newest(names, "5.10."), Some("linux-image-5.10.0-46-amd64"));
    }
}
