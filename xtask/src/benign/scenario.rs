//! The scenarios: what each is about, its files in `work/`, and how long it may take. What is done
//! in one is in its script.

use std::time::Duration;

/// Something that servers do.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// Its script, and then what that uses.
    files: &'static [(&'static str, &'static str)],
    pub(super) limit: Duration,
}

/// What scripts have in common.
const SHARED: &[(&str, &str)] = &[
    ("lib.sh", include_str!("work/lib.sh")),
    ("names.py", include_str!("work/names.py")),
];

impl Scenario {
    /// Everything it needs: name, text.
    pub(super) fn files(&self) -> Vec<(String, String)> {
        let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        self.files.iter().chain(SHARED).map(owned).collect()
    }

    /// Which of its files is run.
    pub(super) fn script(&self) -> String {
        let first = self.files.first();
        first.map_or_else(String::new, |(name, _)| (*name).to_owned())
    }
}

/// A file of `work/` by its name.
macro_rules! files {
    ($($name:literal),+) => {
        &[$(($name, include_str!(concat!("work/", $name)))),+]
    };
}

/// All there are, those most likely to alarm first.
pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "ci",
        about: "agents that run jobs for a controller: polling, streaming, one held connection",
        files: files!(
            "ci.sh",
            "controller.py",
            "poller.py",
            "runner.py",
            "remoting.js",
            "job.sh"
        ),
        limit: Duration::from_secs(180),
    },
    Scenario {
        name: "inetd",
        about: "services that are given their connection: inetd, tcpserver, socat, systemd, monitoring",
        files: files!("inetd.sh", "time.py"),
        limit: Duration::from_secs(180),
    },
    Scenario {
        name: "ssh",
        about: "logins: terminals, tmux, git, copies, tunnels, jumps, agents",
        files: files!("ssh.sh"),
        limit: Duration::from_secs(240),
    },
    Scenario {
        name: "web",
        about: "WordPress on Apache and on nginx with php-fpm: installed, extended, visited, maintained",
        files: files!(
            "web.sh",
            "admin.py",
            "plugin.php",
            "tools.php",
            "maintain.php"
        ),
        limit: Duration::from_secs(300),
    },
    Scenario {
        name: "ansible",
        about: "a playbook over SSH, with a key and with a password",
        files: files!("ansible.sh", "playbook.yml"),
        limit: Duration::from_secs(400),
    },
    Scenario {
        name: "backup",
        about: "rsync, borg, restic, duplicity, dumps and archives sent to another machine",
        files: files!("backup.sh"),
        limit: Duration::from_secs(240),
    },
    Scenario {
        name: "cron",
        about: "cron, anacron, at, logrotate, unattended upgrades, renewal hooks, mail delivery",
        files: files!("cron.sh"),
        limit: Duration::from_secs(240),
    },
    Scenario {
        name: "containers",
        about: "namespaces and containers: unshare, nsenter, systemd-nspawn, podman",
        files: files!("containers.sh"),
        limit: Duration::from_secs(180),
    },
    Scenario {
        name: "build",
        about: "C with autotools and cmake, Rust, Python, Node",
        files: files!("build.sh"),
        limit: Duration::from_secs(400),
    },
    Scenario {
        name: "apt",
        about: "more than 300 packages installed, configured, upgraded, removed",
        files: files!("apt.sh"),
        limit: Duration::from_secs(600),
    },
    Scenario {
        name: "habits",
        about: "what administrators type all day, by the thousand, and monitoring plug-ins",
        files: files!("habits.sh", "lines.txt"),
        limit: Duration::from_secs(900),
    },
];
