//! The Debian that tests run in, with the tools they call, and the tests' own files. Which test
//! runs is none of its business.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::debian::PrivateApt;
use crate::exec;
use crate::payloads::root::install_packages;
use crate::root;
use crate::workspace::Workspace;

const SUITE: &str = "bookworm";
/// A server's programs, a compiler, and what the tests call.
const PACKAGES: [&str; 35] = [
    "?essential",
    "adduser",
    "at",
    "bash",
    "busybox",
    "ca-certificates",
    "cron",
    "curl",
    "e2fsprogs",
    "file",
    "gcc",
    "gpg",
    "iproute2",
    "kmod",
    "libc6-dev",
    "libcap2-bin",
    "lsof",
    "make",
    "net-tools",
    "netbase",
    "nmap",
    "openssh-client",
    "openssl",
    "passwd",
    "perl",
    "procps",
    "psmisc",
    "python3",
    "python3-venv",
    "sshpass",
    "sudo",
    "unzip",
    "wget",
    "xxd",
    "zip",
];
/// Where the tests' files are in it.
pub(super) const FILES: &str = "/atomics";

/// The installed Debian.
pub(super) struct Root(root::Root);

impl Root {
    /// Installs it, unless it is there already, and puts the tests' files into it.
    pub(super) fn get(workspace: &Workspace, corpus: &Path) -> Result<Self> {
        let dir = workspace.target("atomics/root")?;
        let fill = |root: &root::Root| {
            println!("atomics: installing a Debian {SUITE} below target/, once; a few minutes");
            let apt = PrivateApt::new(workspace.target("atomics/apt")?, SUITE, false)?;
            install_packages(&apt, root, &BTreeSet::from(PACKAGES))
        };
        let root = root::Root::get(dir, fill).context("cannot install a Debian for atomics")?;
        let files = root.path(FILES);
        let _ = fs::remove_dir_all(&files);
        let mut copy = Command::new("cp");
        exec::output(copy.args(["-r", "--"]).arg(corpus).arg(&files))?;
        Ok(Self(root))
    }

    /// Where it is.
    pub(super) fn dir(&self) -> PathBuf {
        self.0.path("")
    }
}
