//! The Debian that the web servers run in: all of their packages, installed as the system would
//! be. Which of them is started, and how it is set up, is none of its business.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::debian::PrivateApt;
use crate::payloads::root::install_packages;
use crate::root;
use crate::workspace::Workspace;

const SUITE: &str = "bookworm";
/// Web servers, what they run pages with, and the tools that intruders find on a server.
const PACKAGES: [&str; 21] = [
    "?essential",
    "adduser",
    "apache2",
    "bash",
    "ca-certificates",
    "curl",
    "default-jre-headless",
    "graphicsmagick",
    "gunicorn",
    "iproute2",
    "libapache2-mod-php",
    "netbase",
    "nginx-light",
    "nodejs",
    "passwd",
    "perl",
    "php-cli",
    "php-fpm",
    "procps",
    "python3-flask",
    "tomcat10",
];

/// The installed Debian.
pub(super) struct Root(root::Root);

impl Root {
    /// Installs it, unless it is there already.
    pub(super) fn get(workspace: &Workspace) -> Result<Self> {
        let dir = workspace.target("webshells/root")?;
        let fill = |root: &root::Root| {
            println!("webshells: installing a Debian {SUITE} below target/, once; a few minutes");
            let apt = PrivateApt::new(workspace.target("webshells/apt")?, SUITE, false)?;
            install_packages(&apt, root, &BTreeSet::from(PACKAGES))
        };
        let root = root::Root::get(dir, fill).context("cannot install a Debian for web servers")?;
        Ok(Self(root))
    }

    /// Where it is.
    pub(super) fn dir(&self) -> PathBuf {
        self.0.path("")
    }
}
