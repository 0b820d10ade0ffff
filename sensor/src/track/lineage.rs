//! Which programs begin a lineage: package managers, login services, schedulers, databases, each
//! in the place where packages put it, which only root can write to. A copy elsewhere begins
//! none. What descends from them is kept in the process table.

use crate::event::lineage::Lineage;
use crate::event::process::Program;

/// Where packages put programs.
const PLACES: [&str; 6] = [
    "/usr/bin/",
    "/usr/sbin/",
    "/bin/",
    "/sbin/",
    "/usr/lib/",
    "/usr/libexec/",
];
/// They write what packages hold, or run the packages' own scripts. `apt` itself is not here:
/// it hands over to dpkg, and is easily talked into running a shell.
const PACKAGE_MANAGERS: &[&str] = &[
    "dpkg",
    "dpkg-reconfigure",
    "rpm",
    "rpm-ostree",
    "dnf",
    "dnf-3",
    "dnf5",
    "dnf5daemon-server",
    "microdnf",
    "yum",
    "zypper",
    "packagekitd",
    "pacman",
    "apk",
    "emerge",
    "xbps-install",
    "snapd",
];
const LOGIN_SERVICES: &[&str] = &[
    "sshd",
    "sshd-session",
    "dropbear",
    "in.telnetd",
    "telnetd",
    "in.rlogind",
    "in.rshd",
    "mosh-server",
];
const SCHEDULERS: &[&str] = &["cron", "crond", "atd", "anacron"];
const DATABASES: &[&str] = &[
    "mysqld",
    "mariadbd",
    "postgres",
    "redis-server",
    "redis-check-rdb",
    "valkey-server",
    "mongod",
    "memcached",
];

/// The lineage that a program begins.
#[must_use]
pub fn begun_by(program: &Program) -> Lineage {
    let Some(name) = name_in_place(program) else {
        return Lineage::NONE;
    };
    let all = [
        (PACKAGE_MANAGERS, Lineage::PACKAGE_MANAGER),
        (LOGIN_SERVICES, Lineage::REMOTE_LOGIN),
        (SCHEDULERS, Lineage::SCHEDULER),
        (DATABASES, Lineage::DATABASE),
    ];
    all.into_iter()
        .find(|(names, _)| names.contains(&name))
        .map_or(Lineage::NONE, |(_, lineage)| lineage)
}

/// Its name, if it stands where packages put programs. Of a script that an interpreter was
/// started for, the script's.
fn name_in_place(program: &Program) -> Option<&str> {
    let path = program.executable.as_deref()?;
    let name = in_place(path)?;
    if name.starts_with("python") || name.starts_with("perl") || name == "platform-python" {
        let script = program
            .args
            .iter()
            .skip(1)
            .find(|arg| !arg.starts_with('-'));
        return script.and_then(|script| in_place(script));
    }
    Some(name)
}

fn in_place(path: &str) -> Option<&str> {
    PLACES
        .iter()
        .any(|place| path.starts_with(place))
        .then(|| path.rsplit('/').next())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(executable: &str, args: &[&str]) -> Lineage {
        begun_by(&Program {
            executable: Some(executable.into()),
            args: args.iter().map(|arg| (*arg).into()).collect(),
            ..Program::default()
        })
    }

    #[test]
    fn a_package_manager_is_one_in_its_place_only() {
        assert_eq!(begun("/usr/bin/dpkg", &["dpkg"]), Lineage::PACKAGE_MANAGER);
        assert_eq!(begun("/tmp/dpkg", &["dpkg"]), Lineage::NONE);
        assert_eq!(begun("/usr/local/bin/rpm", &["rpm"]), Lineage::NONE);
    }

    #[test]
    fn a_package_manager_in_python_is_known_by_its_script() {
        let dnf = ["/usr/bin/python3", "-s", "/usr/bin/dnf", "install", "x"];
        assert_eq!(begun("/usr/bin/python3.11", &dnf), Lineage::PACKAGE_MANAGER);
        let other = ["python3", "/tmp/dnf"];
        assert_eq!(begun("/usr/bin/python3.11", &other), Lineage::NONE);
        assert_eq!(begun("/usr/bin/python3.11", &["python3"]), Lineage::NONE);
    }
}
