//! The Debian that the peers are started in: which suite, and which packages.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::debian::PrivateApt;
use crate::exec;
use crate::root;
use crate::workspace::Workspace;

/// The suite whose versions of the peers are measured: the newest that is not in flux.
const SUITE: &str = "forky";
const PACKAGES: [&str; 3] = ["auditd", "bpftrace", "sysdig"];

/// The unpacked Debian.
pub(super) struct Root(root::Root);

impl Root {
    /// Unpacks it if that has not been done yet.
    pub(super) fn get(workspace: &Workspace) -> Result<Self> {
        let dir = workspace.target("bench/peers/root")?;
        let fill = |root: &root::Root| {
            let apt = PrivateApt::new(workspace.target("bench/peers/apt")?, SUITE, false)?;
            println!("bench: fetching {} from {SUITE}", PACKAGES.join(", "));
            let packages = apt.download(PACKAGES)?;
            root.unpack(&packages)?;
            write_versions(root, &packages)?;
            apt.clean();
            Ok(())
        };
        let root = root::Root::get(dir, fill).context("cannot get the peers from Debian")?;
        Ok(Self(root))
    }

    /// A path in it as seen from outside.
    pub(super) fn path(&self, inside: &str) -> PathBuf {
        self.0.path(inside)
    }

    /// The version of a package in it.
    pub(super) fn version(&self, package: &str) -> Option<String> {
        fs::read_to_string(self.path("versions"))
            .ok()?
            .lines()
            .find_map(|line| Some(line.strip_prefix(package)?.strip_prefix(' ')?.to_owned()))
    }

    /// A program in it, which will have the process id that the caller gets.
    pub(super) fn command(&self, program: &str) -> Result<Command> {
        self.0.command(program)
    }
}

fn write_versions(root: &root::Root, packages: &[PathBuf]) -> Result<()> {
    let mut versions = String::new();
    for package in packages {
        let mut show = Command::new("dpkg-deb");
        show.args(["--show", "--showformat=${Package} ${Version}\n"]);
        versions += &exec::output(show.arg(package))?;
    }
    fs::write(root.path("versions"), versions).context("cannot write the list of versions")
}
