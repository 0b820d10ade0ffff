//! The Debian that payloads run in: installed as the system would be, with its alternatives, users
//! and configuration, so that what runs in it runs as it does on a server. What runs is none of
//! its business.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::corpus::Payload;
use crate::debian::PrivateApt;
use crate::exec;
use crate::root;
use crate::workspace::Workspace;

/// The suite the corpora were made for.
const SUITE: &str = "bookworm";
/// A server's worth of programs around those that payloads ask for, and the parents.
const ALWAYS: [&str; 15] = [
    "?essential",
    "adduser",
    "bash",
    "cron",
    "curl",
    "gawk",
    "iproute2",
    "mawk",
    "netbase",
    "openssl",
    "passwd",
    "php-cli",
    "php-fpm",
    "procps",
    "python3",
];
/// Where the packages are while they are being installed, and the list of those asked for.
const ARCHIVES: &str = "archives";
const WANTED: &str = "packages";

/// The installed Debian. As long as this lives, nobody installs another in its place.
pub(super) struct Root {
    root: root::Root,
    _lock: File,
}

impl Root {
    /// Installs it, unless one with all these payloads' packages is there already.
    pub(super) fn get(workspace: &Workspace, payloads: &[Payload]) -> Result<Self> {
        let dir = workspace.target("payloads/root")?;
        let lock = workspace.target("payloads/lock")?;
        let lock = File::create(&lock).with_context(|| format!("no {}", lock.display()))?;
        let current = || existing(&dir).filter(|root| wanted(root, payloads).is_empty());
        lock.lock_shared().context("cannot lock the Debian")?;
        if current().is_none() {
            lock.lock().context("cannot lock the Debian")?;
            // Somebody else may have done it while we waited.
            if current().is_none() {
                reinstall(workspace, &dir, payloads)
                    .context("cannot install a Debian for payloads")?;
            }
            lock.lock_shared().context("cannot lock the Debian")?;
        }
        let root = current().context("what was installed is not what was asked for")?;
        Ok(Self { root, _lock: lock })
    }

    /// Where it is.
    pub(super) fn dir(&self) -> PathBuf {
        self.root.path("")
    }

    /// The program that a name stands for in it, as seen from inside.
    pub(super) fn program(&self, name: &str) -> Option<String> {
        let places = ["/usr/local/bin", "/usr/bin", "/usr/sbin"];
        let candidates: Vec<String> = match name.rsplit_once('/') {
            None => places.map(|place| format!("{place}/{name}")).to_vec(),
            Some(("/bin" | "/sbin", _)) => vec![format!("/usr{name}")],
            Some(_) => vec![name.to_owned()],
        };
        candidates.into_iter().find(|path| {
            fs::symlink_metadata(self.root.path(path)).is_ok_and(|meta| !meta.is_dir())
        })
    }

    /// The alternatives a payload needs set differently from how they are: it names `nc` and
    /// needs the package of one particular. Name of the alternative, and where it must point.
    pub(super) fn alternatives(&self, payload: &Payload) -> BTreeMap<String, String> {
        let mut files = BTreeSet::new();
        for list in self.lists(payload) {
            let list = fs::read_to_string(list).unwrap_or_default();
            files.extend(list.lines().map(str::to_owned));
        }
        let mut choice = BTreeMap::new();
        let directory = self.root.path("/var/lib/dpkg/alternatives");
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(text) = fs::read_to_string(entry.path()) else {
                continue;
            };
            let candidate = text.lines().find(|line| files.contains(*line));
            if let (Some(candidate), Ok(name)) = (candidate, entry.file_name().into_string()) {
                choice.insert(name, candidate.to_owned());
            }
        }
        choice
    }

    /// The lists of files of a payload's packages, the first that is in here where there is a
    /// choice.
    fn lists(&self, payload: &Payload) -> impl Iterator<Item = PathBuf> {
        payload
            .needs_pkg
            .iter()
            .filter_map(|choice| list(&self.root, choice))
    }

    /// The packages of a payload that Debian does not have.
    pub(super) fn missing<'p>(&self, payload: &'p Payload) -> Vec<&'p str> {
        missing(&self.root, payload).collect()
    }
}

/// The list of files of a package that is installed, the first of `a|b`.
fn list(root: &root::Root, choice: &str) -> Option<PathBuf> {
    let info = root.path("/var/lib/dpkg/info");
    choice
        .split('|')
        .flat_map(|package| [format!("{package}.list"), format!("{package}:amd64.list")])
        .map(|name| info.join(name))
        .find(|path| path.exists())
}

fn missing<'p>(root: &root::Root, payload: &'p Payload) -> impl Iterator<Item = &'p str> {
    let needs = payload.needs_pkg.iter().map(String::as_str);
    needs.filter(|choice| list(root, choice).is_none())
}

fn existing(dir: &Path) -> Option<root::Root> {
    root::Root::get(dir.to_owned(), |_| bail!("there is none")).ok()
}

/// What payloads need, is not in it, and has not been asked for in vain before.
fn wanted<'p>(root: &root::Root, payloads: &'p [Payload]) -> BTreeSet<&'p str> {
    let asked = asked(root);
    payloads
        .iter()
        .flat_map(|payload| missing(root, payload))
        .filter(|choice| !asked.contains(*choice))
        .collect()
}

/// All that was ever asked for stays in it, or two lists would take turns.
fn reinstall(workspace: &Workspace, dir: &Path, payloads: &[Payload]) -> Result<()> {
    let needs = payloads.iter().flat_map(|payload| &payload.needs_pkg);
    let mut wanted: BTreeSet<String> = needs.cloned().collect();
    if let Some(old) = existing(dir) {
        wanted.extend(asked(&old));
        fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    root::Root::get(dir.to_owned(), |root| install(workspace, root, &wanted))?;
    Ok(())
}

/// The packages that were asked for when it was installed, there or not.
fn asked(root: &root::Root) -> BTreeSet<String> {
    let list = fs::read_to_string(root.path(WANTED)).unwrap_or_default();
    list.lines().map(str::to_owned).collect()
}

fn install(workspace: &Workspace, root: &root::Root, wanted: &BTreeSet<String>) -> Result<()> {
    let apt = PrivateApt::new(workspace.target("payloads/apt")?, SUITE, false)?;
    let names: Vec<&str> = wanted.iter().flat_map(|choice| choice.split('|')).collect();
    let known = known(&apt, &names)?;
    let chosen = wanted
        .iter()
        .filter_map(|choice| choice.split('|').find(|name| known.contains(*name)));
    let packages: BTreeSet<&str> = ALWAYS.into_iter().chain(chosen).collect();
    println!("payloads: installing a Debian {SUITE} below target/, once; a few minutes");
    install_packages(&apt, root, &packages)?;
    let list: String = wanted.iter().map(|name| format!("{name}\n")).collect();
    fs::write(root.path(WANTED), list).context("cannot write the list of packages")?;
    Ok(())
}

/// Makes an empty root a Debian with these packages and all that they need, each one configured.
pub(crate) fn install_packages(
    apt: &PrivateApt,
    root: &root::Root,
    packages: &BTreeSet<&str>,
) -> Result<()> {
    let archives = apt.download(packages)?;
    root.unpack(&archives)?;
    configure(root, &archives)?;
    apt.clean();
    Ok(())
}

/// Which of these packages the suite has.
fn known(apt: &PrivateApt, names: &[&str]) -> Result<BTreeSet<String>> {
    let text = exec::output(apt.command("apt-cache").arg("madison").args(names))?;
    let first = |line: &str| Some(line.split('|').next()?.trim().to_owned());
    Ok(text.lines().filter_map(first).collect())
}

/// What an installer does after unpacking: dpkg itself installs everything again, properly.
fn configure(root: &root::Root, archives: &[PathBuf]) -> Result<()> {
    let place = root.path(ARCHIVES);
    fs::create_dir_all(&place).context("cannot make a place for packages")?;
    for archive in archives {
        let name = archive.file_name().context("a package without a name")?;
        fs::hard_link(archive, place.join(name)).context("cannot link a package")?;
    }
    for name in ["passwd", "group"] {
        let master = root.path(&format!("/usr/share/base-passwd/{name}.master"));
        fs::copy(&master, root.path(&format!("/etc/{name}")))
            .with_context(|| format!("no {}", master.display()))?;
    }
    for name in ["status", "available"] {
        fs::write(root.path(&format!("/var/lib/dpkg/{name}")), "").context("no dpkg in it")?;
    }
    // Nothing is to be started by a package's script.
    script(&root.path("/usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 101\n")?;
    let dpkg = |arguments: &[&str]| {
        let mut command: Command = root.command("/usr/bin/dpkg")?;
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["--force-depends", "--force-unsafe-io"])
            .args(arguments);
        exec::output(&mut command)
    };
    // Mail servers want to know who they are, and this machine's name is all that there is yet.
    let name = fs::read_to_string("/proc/sys/kernel/hostname").context("no host name")?;
    fs::write(
        root.path("/etc/hosts"),
        format!("127.0.0.1 localhost {name}"),
    )
    .context("cannot write /etc/hosts")?;
    // A script may fail because it wants what a later one makes.
    let install = || {
        dpkg(&[
            "--unpack",
            "--skip-same-version",
            "--recursive",
            "/archives",
        ])?;
        dpkg(&["--configure", "--pending"])
    };
    install().or_else(|_| {
        let _ = dpkg(&["--configure", "--pending"]);
        install()
    })?;
    let _ = fs::remove_dir_all(&place);
    Ok(())
}

fn script(path: &Path, text: &str) -> Result<()> {
    let context = || format!("cannot write {}", path.display());
    fs::write(path, text).with_context(context)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).with_context(context)
}
