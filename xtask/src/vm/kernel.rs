//! Gets Debian's kernels: which package of which suite, fetched and verified by apt itself in a
//! private root, so that the machine's proxies, mirrors and signature checks apply and the
//! machine's own package state is not touched. Nothing here boots anything.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::exec;
use crate::workspace::Workspace;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

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
    let apt = PrivateApt::new(workspace, release)?;
    let (_, _, version) = release.source();
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

    let debs = apt.dir.join("debs");
    let fresh = apt.dir.join("tree");
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
    let _ = fs::remove_dir_all(&apt.dir);
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

/// An apt that knows nothing but the suites of one kernel.
struct PrivateApt {
    dir: PathBuf,
    options: Vec<String>,
}

impl PrivateApt {
    fn new(workspace: &Workspace, release: Release) -> Result<Self> {
        ensure!(
            Path::new(KEYRING).exists(),
            "{KEYRING} is missing: install debian-archive-keyring; test kernels need Debian's apt"
        );
        let dir = workspace.target(&format!("vm/{}/apt", release.label()))?;
        for sub in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(sub))
                .with_context(|| format!("cannot create {}", dir.display()))?;
        }
        let (suite, has_security, _) = release.source();
        let mirror = Mirror::find()?;
        let mut list = format!(
            "deb [signed-by={KEYRING} target=Packages] {} {suite} main\n",
            mirror.main
        );
        if let (true, Some(site)) = (has_security, &mirror.security) {
            list += &format!(
                "deb [signed-by={KEYRING} target=Packages] {site} {suite}-security main\n"
            );
        }
        fs::write(dir.join("sources.list"), list).context("cannot write sources.list")?;
        fs::write(dir.join("status"), "").context("cannot write an empty dpkg status")?;

        let at = |key: &str, path: &str| format!("{key}={}", dir.join(path).display());
        let options = vec![
            at("Dir::State", ""),
            at("Dir::State::lists", "lists"),
            at("Dir::State::status", "status"),
            at("Dir::Cache", "cache"),
            at("Dir::Etc::sourcelist", "sources.list"),
            "Dir::Etc::sourceparts=-".to_owned(),
            "Dir::Etc::preferencesparts=-".to_owned(),
            "APT::Architecture=amd64".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            // An archived suite is no longer re-signed.
            "Acquire::Check-Valid-Until=false".to_owned(),
        ];
        let apt = Self { dir, options };
        exec::output(apt.command("apt-get").arg("update"))?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for option in &self.options {
            command.arg("-o").arg(option);
        }
        command
    }
}

/// Where this machine gets Debian from; never written down in the repository.
struct Mirror {
    main: String,
    security: Option<String>,
}

impl Mirror {
    fn find() -> Result<Self> {
        let format = "$(CREATED_BY) $(CODENAME) $(REPO_URI)";
        let targets =
            exec::output(Command::new("apt-get").args(["indextargets", "--format", format]))
                .context(
                    "test kernels come from Debian packages; this machine has no working apt",
                )?;
        let (mut main, mut security) = (None, None);
        for line in targets.lines() {
            let mut words = line.split_whitespace();
            let (Some("Packages"), Some(suite), Some(site)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            if suite.ends_with("-security") && site.contains("security") {
                security.get_or_insert_with(|| site.to_owned());
            } else if site.contains("debian") {
                main.get_or_insert_with(|| site.to_owned());
            }
        }
        let main = main
            .context("apt has no Debian mirror; add one to its sources and run apt-get update")?;
        Ok(Self { main, security })
    }
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
