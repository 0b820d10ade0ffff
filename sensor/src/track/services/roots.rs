//! Where a web service has its pages and programs: found from its configuration files, its
//! working directory and the places that packages use, on a thread of its own because it reads
//! files that may be far away. Bounded. Decides nothing about who is a service.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;

use super::config::{Dialect, Said};
use super::inside::{Inside, handle};
use super::scripts::is_script;
use crate::event::process::{ProcessKey, Program};
use crate::glance;

/// Services waiting to be looked at.
const WAITING_MAX: usize = 64;
/// Configuration files read for one service.
const FILES_MAX: usize = 128;
/// Roots of one service.
const ROOTS_MAX: usize = 64;
/// Directories of one service with scripts in them that are watched.
const DIRECTORIES_MAX: usize = 512;
/// Directory entries looked at for one service.
const ENTRIES_MAX: usize = 50_000;
/// Depth below a root.
const DEPTH_MAX: usize = 10;
/// Where packages put pages, if a service says nothing.
const DEFAULTS: &[&str] = &[
    "/var/www",
    "/usr/share/nginx/html",
    "/srv/www",
    "/srv/http",
    "/usr/lib/cgi-bin",
    "/usr/local/apache2/htdocs",
    "/opt/tomcat*/webapps",
    "/opt/*/tomcat*/webapps",
    "/var/lib/tomcat*/webapps",
];
/// Working directories that say nothing.
const COMMONPLACE: &[&str] = &[
    "/",
    "/root",
    "/home",
    "/tmp",
    "/var",
    "/usr",
    "/etc",
    "/run",
    "/opt",
    "/srv",
    "/var/lib",
    "/var/tmp",
    "/dev/shm",
    "/usr/bin",
    "/usr/sbin",
    "/usr/lib",
    "/usr/share",
];
/// Not walked into: libraries, of which there are many and which nobody calls by address.
const PASSED_OVER: &[&str] = &["node_modules", "site-packages", "__pycache__", ".git"];

/// What was found of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots {
    /// Directories, by the names the kernel gives them, without a slash at the end.
    pub paths: Vec<Box<str>>,
    /// Directories below them that have scripts, as paths that lead there from the sensor.
    pub with_scripts: Vec<Box<str>>,
}

impl Roots {
    /// Whether a path is below one of them.
    #[must_use]
    pub fn have(&self, path: &str) -> bool {
        self.paths.iter().any(|root| {
            path.strip_prefix(&**root)
                .is_some_and(|rest| rest.starts_with('/'))
        })
    }
}

/// The thread.
#[derive(Debug)]
pub struct Scanner {
    wanted: SyncSender<(ProcessKey, Arc<Program>)>,
    found: Receiver<(ProcessKey, Roots)>,
}

impl Scanner {
    /// Starts it; it ends with this.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start() -> std::io::Result<Self> {
        let (wanted, requests) = sync_channel::<(ProcessKey, Arc<Program>)>(WAITING_MAX);
        let (answers, found) = sync_channel(WAITING_MAX);
        thread::Builder::new()
            .name("web-roots".to_owned())
            .spawn(move || {
                for (key, program) in requests {
                    let roots = scan(key.pid, &program).unwrap_or_default();
                    if answers.send((key, roots)).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self { wanted, found })
    }

    /// Asks for a service; false when too many are waiting.
    pub fn ask(&self, key: ProcessKey, program: &Arc<Program>) -> bool {
        self.wanted.try_send((key, Arc::clone(program))).is_ok()
    }

    /// An answer, if there is one.
    pub fn answer(&self) -> Result<(ProcessKey, Roots), TryRecvError> {
        self.found.try_recv()
    }
}

/// Looks for the roots of a process that runs a program. What somebody else serves is passed
/// over, and so is a process with mounts of its own that has a file system in user space: who
/// waits for one that never answers cannot even be killed.
fn scan(pid: u32, program: &Program) -> Option<Roots> {
    let inside = Inside::of(pid).ok()?;
    let foreign = glance::foreign(pid).ok()?;
    if inside.is_apart() && foreign.iter().any(|mount| mount.fuse) {
        return None;
    }
    let foreign: Vec<PathBuf> = foreign.into_iter().map(|mount| mount.point).collect();
    let is_foreign = |path: &Path| foreign.iter().any(|point| path.starts_with(point));
    let mut named: Vec<String> = DEFAULTS
        .iter()
        .flat_map(|pattern| inside.expand(pattern))
        .collect();
    named.extend(configured(&inside, program));
    let mut roots = Roots::default();
    let directory = fs::read_link(format!("/proc/{pid}/cwd")).ok();
    named.extend(directory.and_then(|path| path.into_os_string().into_string().ok()));
    let mut with_scripts = Vec::new();
    let mut entries = ENTRIES_MAX;
    for name in named {
        if is_foreign(Path::new(&name)) {
            continue;
        }
        let Some((opened, path)) = inside.directory(&name) else {
            continue;
        };
        let Some(text) = path.to_str().filter(|text| is_telling(text)) else {
            continue;
        };
        if roots.paths.len() >= ROOTS_MAX
            || roots.have(text)
            || roots.paths.iter().any(|known| **known == *text)
        {
            continue;
        }
        roots.paths.push(text.into());
        walk(
            &handle(&opened),
            &path,
            &is_foreign,
            &mut with_scripts,
            &mut entries,
        );
    }
    roots.with_scripts = with_scripts
        .iter()
        .filter_map(|path| inside.from_here(path).to_str().map(Box::from))
        .collect();
    Some(roots)
}

fn is_telling(path: &str) -> bool {
    !COMMONPLACE.contains(&path)
}

/// Finds the directories that have scripts, but for those left out. Goes by `at`, reports by the
/// names below `name`.
fn walk(
    at: &Path,
    name: &Path,
    left_out: &impl Fn(&Path) -> bool,
    found: &mut Vec<PathBuf>,
    entries: &mut usize,
) {
    let mut to_do: Vec<(PathBuf, PathBuf, usize)> = vec![(at.to_owned(), name.to_owned(), 0)];
    while let Some((at, name, depth)) = to_do.pop() {
        if left_out(&name) {
            continue;
        }
        let mut has_script = false;
        for entry in fs::read_dir(&at).into_iter().flatten().flatten() {
            if *entries == 0 || found.len() >= DIRECTORIES_MAX {
                return;
            }
            *entries -= 1;
            let (Ok(kind), Ok(file)) = (entry.file_type(), entry.file_name().into_string()) else {
                continue;
            };
            if kind.is_dir() && depth < DEPTH_MAX && !PASSED_OVER.contains(&&*file) {
                to_do.push((at.join(&file), name.join(&file), depth + 1));
            }
            has_script |= !kind.is_dir() && is_script(&file);
        }
        // The root itself always: something may be put there.
        if has_script || depth == 0 {
            found.push(name);
        }
    }
}

/// Roots that the configuration files name.
fn configured(inside: &Inside, program: &Program) -> Vec<String> {
    let Some((dialect, base, patterns)) = sources(program) else {
        return Vec::new();
    };
    let absolute = |path: &str| {
        if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("{base}/{path}")
        }
    };
    let mut to_do: Vec<String> = patterns
        .iter()
        .flat_map(|pattern| inside.expand(pattern))
        .collect();
    let (mut read, mut roots) = (0, Vec::new());
    while let Some(file) = to_do.pop() {
        if read >= FILES_MAX || roots.len() >= ROOTS_MAX {
            break;
        }
        read += 1;
        let Some(text) = inside.read(&file) else {
            continue;
        };
        let said = Said::read(dialect, &text);
        roots.extend(said.roots.iter().map(|root| absolute(root)));
        for include in &said.includes {
            let room = FILES_MAX.saturating_sub(to_do.len());
            to_do.extend(inside.expand(&absolute(include)).into_iter().take(room));
        }
    }
    roots
}

/// The configuration of a program: language, directory that paths start from, files.
fn sources(program: &Program) -> Option<(Dialect, String, Vec<String>)> {
    let name = program.name()?;
    let option = |flag: &str| {
        let at = program.args.iter().position(|arg| &**arg == flag)?;
        program.args.get(at + 1).map(|value| value.to_string())
    };
    let files = |given: Option<String>, usual: &[&str]| match given {
        Some(given) => vec![given],
        None => usual.iter().map(|path| (*path).to_owned()).collect(),
    };
    Some(match name {
        "nginx" | "openresty" => (
            Dialect::Nginx,
            "/etc/nginx".to_owned(),
            files(
                option("-c"),
                &["/etc/nginx/nginx.conf", "/usr/local/nginx/conf/nginx.conf"],
            ),
        ),
        "apache2" => (
            Dialect::Apache,
            "/etc/apache2".to_owned(),
            files(option("-f"), &["/etc/apache2/apache2.conf"]),
        ),
        "httpd" => (
            Dialect::Apache,
            "/etc/httpd".to_owned(),
            files(option("-f"), &["/etc/httpd/conf/httpd.conf"]),
        ),
        "lighttpd" => (
            Dialect::Lighttpd,
            "/etc/lighttpd".to_owned(),
            files(option("-f"), &["/etc/lighttpd/lighttpd.conf"]),
        ),
        "caddy" => (
            Dialect::Caddy,
            "/etc/caddy".to_owned(),
            files(option("--config"), &["/etc/caddy/Caddyfile"]),
        ),
        "java" => {
            let base = program
                .args
                .iter()
                .find_map(|arg| arg.strip_prefix("-Dcatalina.base="))?;
            (
                Dialect::Tomcat,
                base.to_owned(),
                vec![format!("{base}/conf/server.xml")],
            )
        }
        name if name.starts_with("php-fpm") => (
            Dialect::PhpFpm,
            "/etc/php".to_owned(),
            files(
                option("--fpm-config").or_else(|| option("-y")),
                &[
                    "/etc/php/*/fpm/php-fpm.conf",
                    "/etc/php-fpm.conf",
                    "/etc/php-fpm.d/*.conf",
                ],
            ),
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_below_a_root_only_after_a_slash() {
        let roots = Roots {
            paths: vec!["/var/www".into()],
            with_scripts: Vec::new(),
        };
        assert!(roots.have("/var/www/x.php") && !roots.have("/var/wwwx/x.php"));
        assert!(!roots.have("/var/www"));
    }

    #[test]
    fn directories_with_scripts_are_found_and_others_are_not() {
        let place = tempfile::tempdir().unwrap();
        for (directory, file) in [("img", "a.png"), ("up", "x.php"), ("a/b", "c.jsp")] {
            let directory = place.path().join(directory);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join(file), "").unwrap();
        }
        let (mut found, mut entries) = (Vec::new(), ENTRIES_MAX);
        let nothing = |_: &Path| false;
        let root = Path::new("/w");
        walk(place.path(), root, &nothing, &mut found, &mut entries);
        found.sort();
        assert_eq!(found, ["/w", "/w/a/b", "/w/up"].map(PathBuf::from));

        found.clear();
        let a_is_foreign = |path: &Path| path == Path::new("/w/a");
        walk(place.path(), root, &a_is_foreign, &mut found, &mut entries);
        found.sort();
        assert_eq!(found, ["/w", "/w/up"].map(PathBuf::from));
    }

    #[test]
    fn tomcat_says_by_its_arguments_where_its_configuration_is() {
        let program = Program {
            executable: Some("/usr/lib/jvm/bin/java".into()),
            args: ["java", "-Dcatalina.base=/var/lib/tomcat10"]
                .map(Into::into)
                .into(),
            ..Program::default()
        };
        let (dialect, base, files) = sources(&program).unwrap();
        assert_eq!(
            (dialect, base.as_str()),
            (Dialect::Tomcat, "/var/lib/tomcat10")
        );
        assert_eq!(files, ["/var/lib/tomcat10/conf/server.xml"]);
    }
}
