//! Script files of web services: who wrote one and when, and which a worker opened last. Bounded:
//! the oldest are forgotten first.

use std::collections::{HashMap, VecDeque};

use crate::event::file::{AccessKind, ChangeKind};
use crate::event::process::{FileIdentity, Process, ProcessKey};
use crate::event::{Action, Event, EventId, Stamp};

/// Written files remembered.
const WRITTEN_MAX: usize = 4_096;
/// Processes whose opened scripts are remembered.
const READERS_MAX: usize = 8_192;
/// Directories whose last opened script is remembered.
const DIRECTORIES_MAX: usize = 4_096;
/// Scripts remembered of one process, the latest.
const OPENED_MAX: usize = 16;
/// What web servers run, or have run by others, when it is asked for.
const EXTENSIONS: &[&str] = &[
    "php", "php3", "php4", "php5", "php7", "php8", "phps", "pht", "phtm", "phtml", "phar", "inc",
    "jsp", "jspx", "jspf", "jsw", "jsv", "war", "jar", "class", "asp", "aspx", "ashx", "asmx",
    "cer", "asa", "cfm", "cfml", "py", "pl", "pm", "cgi", "fcgi", "rb", "erb", "sh", "js", "mjs",
    "cjs", "lua", "shtml", "shtm", "stm",
];
/// Files that change what a web server runs.
const SETTINGS: &[&str] = &[".htaccess", ".user.ini", "web.config", "php.ini"];

/// Whether a path is of a file that a web server may run, or that tells it what to run.
#[must_use]
pub fn is_script(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    if is_settings(name) {
        return true;
    }
    // `x.php.jpg` is run by servers that are set up badly, and `x.php;.jpg` by old ones.
    let mut parts = name.split(['.', ';', '%']).skip(1).take(8);
    let known = |part: &str| {
        EXTENSIONS
            .iter()
            .any(|known| part.eq_ignore_ascii_case(known))
    };
    match name.rsplit('.').next() {
        Some(last) if known(last) => name.contains('.'),
        _ => parts.any(|part| {
            part.len() >= 3
                && part.get(..3).is_some_and(|start| {
                    start.eq_ignore_ascii_case("php") || start.eq_ignore_ascii_case("jsp")
                })
        }),
    }
}

/// Whether a path is of a file that tells a web server what to run.
#[must_use]
pub fn is_settings(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    SETTINGS.contains(&name)
}

/// How a file came to be what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// By this process.
    pub by: ProcessKey,
    /// Its name.
    pub who: Box<str>,
    /// The user it ran as.
    pub user: Box<str>,
    /// When.
    pub at: Stamp,
    /// The event that told of it.
    pub event: EventId,
}

/// A script was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Where it is.
    pub path: Box<str>,
    /// When.
    pub at: Stamp,
    /// The event that told of it.
    pub event: EventId,
}

/// A path in a mount namespace.
type Place = (u32, Box<str>);

/// All of them.
#[derive(Debug, Default)]
pub struct Scripts {
    written: HashMap<Place, Written>,
    order: VecDeque<Place>,
    opened: HashMap<ProcessKey, VecDeque<Opened>>,
    /// By directory: servers that keep compiled scripts open each only once for all workers.
    last_in: HashMap<Place, Opened>,
}

/// A path that an event says was given content, and the file.
#[must_use]
pub fn given_content(event: &Event) -> Option<(&str, Option<&FileIdentity>)> {
    match &event.action {
        Action::FileAccess(access) if access.kind == AccessKind::Close && access.writes => {
            Some((&access.path, Some(&access.file)))
        }
        Action::FileChange(change)
            if matches!(
                change.kind,
                ChangeKind::Rename | ChangeKind::Link | ChangeKind::Symlink
            ) =>
        {
            Some((&change.path().path, change.file.as_ref()))
        }
        _ => None,
    }
}

fn directory(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

impl Scripts {
    /// A file was written or given a name.
    pub fn wrote(&mut self, path: &str, process: &Process, event: &Event) {
        let place = (process.namespaces.mnt, Box::from(path));
        let user = match &process.names.user {
            Some(name) => Box::from(&**name),
            None => process.ids.euid.to_string().into(),
        };
        let written = Written {
            by: process.key,
            who: process.name().into(),
            user,
            at: event.time,
            event: event.id,
        };
        if self.written.insert(place.clone(), written).is_none() {
            self.order.push_back(place);
        }
        while self.order.len() > WRITTEN_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.written.remove(&oldest);
            }
        }
    }

    /// A worker opened a script.
    pub fn opened(&mut self, path: &str, process: &Process, event: &Event) {
        let found = Opened {
            path: path.into(),
            at: event.time,
            event: event.id,
        };
        let place = (process.namespaces.mnt, directory(path).into());
        if self.last_in.len() >= DIRECTORIES_MAX && !self.last_in.contains_key(&place) {
            self.last_in.clear();
        }
        self.last_in.insert(place, found.clone());
        if self.opened.len() >= READERS_MAX && !self.opened.contains_key(&process.key) {
            return;
        }
        let opened = self.opened.entry(process.key).or_default();
        opened.retain(|known| *known.path != *path);
        if opened.len() >= OPENED_MAX {
            opened.pop_front();
        }
        opened.push_back(found);
    }

    /// A process ended.
    pub fn ended(&mut self, key: ProcessKey) {
        self.opened.remove(&key);
    }

    /// How a file came to be, if that was seen.
    #[must_use]
    pub fn writing_of(&self, mount_namespace: u32, path: &str) -> Option<&Written> {
        self.written.get(&(mount_namespace, path.into()))
    }

    /// What a process opened, the latest first.
    pub fn opened_by(&self, key: ProcessKey) -> impl Iterator<Item = &Opened> {
        self.opened.get(&key).into_iter().flatten().rev()
    }

    /// The script of a directory that was opened last, by whomever.
    #[must_use]
    pub fn last_opened_in(&self, mount_namespace: u32, directory: &str) -> Option<&Opened> {
        self.last_in.get(&(mount_namespace, directory.into()))
    }

    /// The files written in a mount namespace, the latest first.
    pub fn written_in(&self, mount_namespace: u32) -> impl Iterator<Item = (&str, &Written)> {
        self.order
            .iter()
            .rev()
            .filter(move |(namespace, _)| *namespace == mount_namespace)
            .filter_map(|place| Some((&*place.1, self.written.get(place)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn scripts_are_known_by_their_endings_also_hidden_ones() {
        for script in [
            "/w/x.php",
            "/w/x.PHTML",
            "/w/x.jsp",
            "/w/a.php.jpg",
            "/w/a.php;.jpg",
            "/w/.htaccess",
            "/w/.user.ini",
            "/w/app.war",
            "/w/x.pl",
        ] {
            assert!(is_script(script), "{script}");
        }
        for other in ["/w/x.jpg", "/w/php", "/w/x.txt", "/w.php/x.css", "/w/"] {
            assert!(!is_script(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_names_never_panic(name: String) {
            let _ = is_script(&name);
        }
    }
}
