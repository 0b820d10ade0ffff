//! What a service is there for, from what it listens on, who calls it, and its program: names
//! alone decide only for programs that do nothing else. No state.

use crate::event::process::Program;

/// Ports that web pages are usually served from.
const WEB_PORTS: &[u16] = &[
    80, 81, 443, 591, 2080, 3000, 3001, 3030, 4000, 4200, 5000, 5001, 5601, 7001, 7080, 7443, 8000,
    8001, 8008, 8009, 8010, 8042, 8069, 8080, 8081, 8082, 8083, 8088, 8090, 8161, 8180, 8181, 8280,
    8443, 8500, 8800, 8834, 8880, 8888, 8983, 9000, 9001, 9080, 9090, 9443, 10000,
];
/// Programs that do nothing but serve pages, or run scripts for those who do.
const WEB_SERVERS: &[&str] = &[
    "nginx",
    "openresty",
    "angie",
    "apache2",
    "httpd",
    "lighttpd",
    "caddy",
    "litespeed",
    "lshttpd",
    "openlitespeed",
    "h2o",
    "hiawatha",
    "cherokee-worker",
    "thttpd",
    "mini_httpd",
    "boa",
    "uwsgi",
    "uwsgi-core",
    "frankenphp",
    "rr",
    "unitd",
    "puma",
    "unicorn",
    "passenger",
];
/// The beginnings of further such names, which go on with a version.
const WEB_FAMILIES: &[&str] = &["php-fpm", "php-cgi", "lsphp"];
/// Programs that run what others wrote, pages among it.
const RUNTIMES: &[&str] = &[
    "php", "python", "pypy", "java", "node", "nodejs", "ruby", "perl", "deno", "bun", "dotnet",
    "mono", "beam.smp", "lua", "luajit", "raku", "guile", "tclsh",
];
/// Modules and scripts that make a runtime a web server, whatever its port.
const FRAMEWORKS: &[&str] = &[
    "gunicorn",
    "uvicorn",
    "hypercorn",
    "daphne",
    "waitress-serve",
    "uwsgi",
    "flask",
    "puma",
    "unicorn",
    "passenger",
    "thin",
    "starman",
    "plackup",
    "catalina",
    "jetty",
    "org.apache.catalina",
];
/// Services that run commands for people, or for those who run machines.
const OTHERS: &[&str] = &[
    "sshd",
    "sshd-session",
    "dropbear",
    "systemd",
    "init",
    "inetd",
    "xinetd",
    "containerd",
    "dockerd",
    "docker-proxy",
    "kubelet",
    "cockpit-ws",
    "cockpit-tls",
    "haproxy",
    "cron",
    "crond",
    "master",
    "exim4",
    "mysqld",
    "mariadbd",
    "postgres",
    "redis-server",
    "memcached",
    "mongod",
    "sensor",
];

/// What is known of a service when its trade is asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clues<'s> {
    /// TCP ports it listens on.
    pub ports: &'s [u16],
    /// A web service calls it.
    pub is_called_by_web: bool,
}

/// Whether it serves pages, or runs scripts for one that does.
#[must_use]
pub fn is_web(program: &Program, clues: Clues<'_>) -> bool {
    let Some(name) = program.name() else {
        return false;
    };
    if WEB_SERVERS.contains(&name) || WEB_FAMILIES.iter().any(|family| name.starts_with(family)) {
        return true;
    }
    if OTHERS.contains(&name) {
        return false;
    }
    let has_web_port = clues.ports.iter().any(|port| WEB_PORTS.contains(port));
    if is_runtime(name) {
        let is_framework = program.args.iter().skip(1).take(24).any(|arg| {
            let last = arg.rsplit('/').next().unwrap_or(arg);
            FRAMEWORKS.iter().any(|known| last.starts_with(known))
        });
        return has_web_port || clues.is_called_by_web || is_framework;
    }
    has_web_port
}

fn is_runtime(name: &str) -> bool {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    RUNTIMES.contains(&name) || RUNTIMES.contains(&stem)
}

/// What to call it: the program, and for one that runs others' work, which.
#[must_use]
pub fn title(program: &Program) -> String {
    let name = program.name().unwrap_or("a service");
    if !is_runtime(name) {
        return name.to_owned();
    }
    let is_work = |arg: &&str| !arg.starts_with('-') && (arg.contains('/') || arg.contains('.'));
    let work = program.args.iter().skip(1).map(|arg| &**arg);
    match work
        .filter(|arg| arg.len() < 200 && !arg.contains([':', ' ']))
        .find(is_work)
    {
        Some(work) => format!("{name} ({})", work.rsplit('/').next().unwrap_or(work)),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(line: &[&str]) -> Program {
        Program {
            executable: Some(format!("/usr/bin/{}", line[0]).into()),
            args: line.iter().map(|arg| (*arg).into()).collect(),
            ..Program::default()
        }
    }

    fn web(line: &[&str], ports: &[u16], is_called_by_web: bool) -> bool {
        is_web(
            &program(line),
            Clues {
                ports,
                is_called_by_web,
            },
        )
    }

    #[test]
    fn servers_are_web_services_and_runtimes_are_when_they_act_so() {
        assert!(web(&["nginx"], &[], false) && web(&["php-fpm8.2"], &[], false));
        assert!(web(&["java"], &[8080], false) && web(&["python3.11", "app.py"], &[5000], false));
        assert!(web(
            &["python3.11", "/usr/bin/gunicorn", "app:app"],
            &[9999],
            false
        ));
        assert!(web(&["node", "server.js"], &[7777], true) && web(&["my-app"], &[80], false));
    }

    #[test]
    fn what_listens_elsewhere_or_is_known_for_another_trade_is_none() {
        assert!(!web(&["python3.11", "app.py"], &[9999], false) && !web(&["sshd"], &[443], false));
        assert!(!web(&["mysqld"], &[], true) && !web(&["my-app"], &[2222], true));
        assert!(!is_web(&Program::default(), Clues::default()));
    }

    #[test]
    fn a_runtime_is_called_by_what_it_runs() {
        assert_eq!(
            title(&program(&["node", "/srv/app/server.js"])),
            "node (server.js)"
        );
        assert_eq!(title(&program(&["nginx", "-c", "/x.conf"])), "nginx");
    }
}
