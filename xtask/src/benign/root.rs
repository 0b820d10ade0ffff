//! The Debian that benign work is done in: what servers have installed, each package configured,
//! and a pool of further packages that are installed and removed as part of that work. What is
//! done in it is none of its business.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::debian::PrivateApt;
use crate::payloads::root::install_packages;
use crate::root;
use crate::workspace::Workspace;

const SUITE: &str = "bookworm";
/// What the work is done with.
const PACKAGES: &[&str] = &[
    "?essential",
    "adduser",
    "anacron",
    "ansible-core",
    "apache2",
    "apt",
    "apt-utils",
    "at",
    "autoconf",
    "automake",
    "bash",
    "bc",
    "borgbackup",
    "bsd-mailx",
    "ca-certificates",
    "cargo",
    "ccache",
    "cmake",
    "cron",
    "crun",
    "curl",
    "dpkg-dev",
    "duplicity",
    "file",
    "gcc",
    "git",
    "imagemagick",
    "iproute2",
    "jq",
    "less",
    "libapache2-mod-php",
    "libc6-dev",
    "logrotate",
    "lsof",
    "make",
    "man-db",
    "mariadb-server",
    "monitoring-plugins-basic",
    "munin-node",
    "nagios-nrpe-server",
    "nagios-nrpe-plugin",
    "netbase",
    "netcat-openbsd",
    "nginx-light",
    "nodejs",
    "openbsd-inetd",
    "openssh-client",
    "openssh-server",
    "passwd",
    "perl",
    "php-cli",
    "php-fpm",
    "php-gd",
    "php-mysql",
    "php-xml",
    "php-zip",
    "pkg-config",
    "podman",
    "postfix",
    "procmail",
    "procps",
    "prometheus-node-exporter",
    "prometheus-node-exporter-collectors",
    "psmisc",
    "python3",
    "python3-apt",
    "python3-pip",
    "python3-setuptools",
    "python3-venv",
    "python3-wheel",
    "restic",
    "rsync",
    "screen",
    "socat",
    "sshpass",
    "sudo",
    "systemd",
    "systemd-container",
    "tmux",
    "ucspi-tcp",
    "unattended-upgrades",
    "unzip",
    "wordpress",
    "xz-utils",
    "zabbix-agent",
    "zip",
];
/// What is installed and removed: services, users, triggers, alternatives, and many small ones.
const POOL: &[&str] = &[
    "avahi-daemon",
    "bind9",
    "chrony",
    "dnsmasq",
    "docbook-xml",
    "dovecot-imapd",
    "fail2ban",
    "fontconfig",
    "haproxy",
    "keepalived",
    "lighttpd",
    "locales",
    "memcached",
    "monit",
    "mosquitto",
    "npm",
    "redis-server",
    "rsyslog",
    "shared-mime-info",
    "smartmontools",
    "snmpd",
    "tftpd-hpa",
    "unbound",
    "vim-nox",
    "vsftpd",
];
/// Where the pool is, inside.
const PLACE: &str = "/srv/pool";
/// What it was filled for.
const WANTED: &str = "/srv/pool/wanted";

/// The installed Debian.
pub(super) struct Root(root::Root);

impl Root {
    /// Installs it, unless it is there already.
    pub(super) fn get(workspace: &Workspace) -> Result<Self> {
        let dir = workspace.target("benign/root")?;
        let fill = |root: &root::Root| {
            println!("benign: installing a Debian {SUITE} below target/, once; ten minutes");
            let apt = PrivateApt::new(workspace.target("benign/apt")?, SUITE, false)?;
            let packages: BTreeSet<&str> = PACKAGES.iter().copied().collect();
            install_packages(&apt, root, &packages)
        };
        let root = root::Root::get(dir, fill).context("cannot install a Debian to work in")?;
        if fs::read_to_string(root.path(WANTED)).unwrap_or_default() != POOL.join("\n") {
            let apt = PrivateApt::new(workspace.target("benign/apt")?, SUITE, false)?;
            fill_pool(&apt, &root).context("cannot fetch packages to be installed")?;
        }
        Ok(Self(root))
    }

    /// Where it is.
    pub(super) fn dir(&self) -> PathBuf {
        self.0.path("")
    }
}

/// Fetches the pool, and leaves word of what is to be installed from it.
fn fill_pool(apt: &PrivateApt, root: &root::Root) -> Result<()> {
    let place = root.path(PLACE);
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).context("cannot make a place for packages")?;
    for archive in apt.download(POOL)? {
        let name = archive.file_name().context("a package without a name")?;
        fs::hard_link(&archive, place.join(name)).context("cannot link a package")?;
    }
    apt.clean();
    fs::write(root.path(WANTED), POOL.join("\n")).context("cannot write the list of packages")
}
