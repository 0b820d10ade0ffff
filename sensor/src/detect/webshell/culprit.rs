//! Who is behind what a web worker does: which script, and which client. Both are told by
//! somebody only to CGI programs; otherwise they are concluded from what the worker opened, where
//! it stands and whom it is connected to, and it is said how sure that is. Decides nothing.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::detect::program::Look;
use crate::event::Endpoint;
use crate::event::network::Direction;
use crate::event::process::{Exec, Process, ProcessKey};
use crate::event::{Event, EventId};
use crate::glance::Root;
use crate::track::Tracker;
use crate::track::services::{Worker, Written};
use crate::track::streams::Ends;

/// How long after a script was opened a command is still its work, in nanoseconds.
const REQUEST_NS: u64 = 60 * 1_000_000_000;
/// How long a script that appeared is held for the likeliest one, in nanoseconds.
const FRESH_NS: u64 = 60 * 60 * 1_000_000_000;
/// How old a call between services may be to be the one that matters, in nanoseconds.
const CALL_NS: u64 = 60 * 1_000_000_000;

/// A script held responsible.
#[derive(Clone, Debug)]
pub struct Script {
    /// Where it is.
    pub path: Box<str>,
    /// How sure, in percent.
    pub certainty: u8,
    /// How it came to be, in words.
    pub origin: Option<String>,
    /// Who wrote it, if that was seen.
    pub writer: Option<ProcessKey>,
    /// Events it rests on.
    pub evidence: Vec<EventId>,
}

/// The client a worker works for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address and port.
    pub endpoint: Endpoint,
    /// Nobody else can be meant.
    pub is_certain: bool,
}

/// The script behind a command, if any can be found.
#[must_use]
pub fn script(
    worker: &Worker<'_>,
    process: &Process,
    exec: &Exec,
    event: &Event,
    host: &Tracker,
) -> Option<Script> {
    let (path, certainty, evidence) = find(worker, process, exec, event, host)?;
    let written = host
        .services()
        .scripts()
        .writing_of(process.namespaces.mnt, &path);
    let origin = match written {
        Some(written) => Some(origin(written, event)),
        None if host.is_here() => age(worker.key, &path),
        None => None,
    };
    let mut evidence: Vec<EventId> = evidence.into_iter().collect();
    evidence.extend(written.map(|written| written.event));
    Some(Script {
        path,
        certainty,
        origin,
        writer: written.map(|written| written.by),
        evidence,
    })
}

type Found = (Box<str>, u8, Option<EventId>);

fn find(
    worker: &Worker<'_>,
    process: &Process,
    exec: &Exec,
    event: &Event,
    host: &Tracker,
) -> Option<Found> {
    if let Some(request) = worker.request {
        return Some((request.script.clone(), 97, None));
    }
    let scripts = host.services().scripts();
    let now = event.time.boot_ns;
    let directory = exec.working_directory.as_deref().unwrap_or_default();
    let is_here = |path: &str| {
        path.rsplit_once('/')
            .is_some_and(|(place, _)| place == directory)
    };
    let recent = |at: u64, within: u64| now.saturating_sub(at) <= within;
    let just_opened = || {
        scripts
            .opened_by(worker.key)
            .filter(|opened| recent(opened.at.boot_ns, REQUEST_NS))
    };
    // PHP goes to the directory of the script that was asked for; what that includes is elsewhere.
    if let Some(opened) = just_opened().find(|opened| is_here(&opened.path)) {
        return Some((opened.path.clone(), 92, Some(opened.event)));
    }
    let written = || scripts.written_in(process.namespaces.mnt).take(256);
    if let Some((path, _)) = written().find(|(path, _)| is_here(path)) {
        return Some((path.into(), 80, None));
    }
    if let Some(opened) = just_opened().next() {
        return Some((opened.path.clone(), 75, Some(opened.event)));
    }
    // By another worker, or long ago: compiled scripts are kept.
    if let Some(opened) = scripts.last_opened_in(process.namespaces.mnt, directory) {
        return Some((opened.path.clone(), 70, Some(opened.event)));
    }
    let mut fresh = written().filter(|(path, written)| {
        recent(written.at.boot_ns, FRESH_NS) && worker.service.roots.have(path)
    });
    if let Some((path, written)) = fresh.next() {
        // Put there by the service itself just now, and nothing else was.
        let by = host.services().web_worker(written.by);
        let is_own = by.is_some_and(|by| by.service.master == worker.service.master);
        let is_only = is_own && recent(written.at.boot_ns, REQUEST_NS) && fresh.next().is_none();
        return Some((path.into(), if is_only { 72 } else { 50 }, None));
    }
    let own = Look::at(&worker.service.program).script()?;
    Some((own.into(), 40, None))
}

/// The worker that a process was started by, however many steps before.
#[must_use]
pub fn of_web(key: ProcessKey, host: &Tracker) -> Option<(Worker<'_>, usize)> {
    /// Steps from a command to the worker that had it run.
    const STEPS_MAX: usize = 8;
    host.ancestors(key)
        .take(STEPS_MAX)
        .enumerate()
        .find_map(|(at, ancestor)| Some((host.services().web_worker(ancestor)?, at + 1)))
}

fn origin(written: &Written, event: &Event) -> String {
    let ago = event.time.boot_ns.saturating_sub(written.at.boot_ns) / 1_000_000_000;
    format!(
        "written {} before by {}[{}] as {}",
        span(ago),
        written.who,
        written.by.pid,
        written.user
    )
}

/// Of a file that was there before the sensor, what the file system says.
fn age(worker: ProcessKey, path: &str) -> Option<String> {
    let root = Root::of(worker.pid).ok()?;
    let found = root.find(Path::new(path), true)?.status().ok()?;
    let changed = Duration::new(found.stx_mtime.tv_sec.try_into().ok()?, 0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let ago = now.checked_sub(changed)?;
    Some(format!(
        "last changed {} before, owned by user {}",
        span(ago.as_secs()),
        found.stx_uid
    ))
}

/// A length of time for people.
#[must_use]
pub fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// The client of a worker: who is connected to it, or to the web server that called it.
#[must_use]
pub fn client(worker: &Worker<'_>, now_ns: u64, host: &Tracker) -> Option<Client> {
    if let Some(request) = worker.request
        && let Some(address) = request.client
    {
        let port = request.port;
        return Some(Client {
            endpoint: Endpoint { address, port },
            is_certain: true,
        });
    }
    let own = callers(worker.key, host);
    if let Some(client) = named(&own, |address| !address.is_loopback()) {
        return Some(client);
    }
    // From a proxy on this machine: then it is the proxy's client.
    let proxy = own.iter().find_map(|(local, remote)| {
        let ends = Ends {
            local: *remote,
            remote: *local,
            protocol: libc::IPPROTO_TCP as u8,
        };
        Some(host.streams().connections().with_ends(&ends)?.opener)
    });
    let caller = worker.service.caller;
    let caller = caller.filter(|caller| now_ns.saturating_sub(caller.boot_ns) < CALL_NS);
    let proxy = proxy.or(caller.map(|caller| caller.key));
    let beyond = proxy.map(|proxy| callers(proxy, host)).unwrap_or_default();
    named(&beyond, |address| !address.is_loopback())
        .or_else(|| named(&beyond, IpAddr::is_loopback))
        .or_else(|| named(&own, IpAddr::is_loopback))
}

/// Both ends of the connections that a process accepted, the latest first.
fn callers(key: ProcessKey, host: &Tracker) -> Vec<(Endpoint, Endpoint)> {
    host.streams()
        .connections_of(key)
        .filter(|connection| connection.direction == Direction::Ingress)
        .map(|connection| (connection.local, connection.remote))
        .collect()
}

/// The latest of them that is wanted; certain when all have the same address.
fn named(ends: &[(Endpoint, Endpoint)], is_wanted: impl Fn(&IpAddr) -> bool) -> Option<Client> {
    let mut remotes = ends
        .iter()
        .map(|(_, remote)| *remote)
        .filter(|remote| is_wanted(&remote.address));
    let endpoint = remotes.next()?;
    Some(Client {
        endpoint,
        is_certain: remotes.all(|other| other.address == endpoint.address),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(text: &str) -> Endpoint {
        let address: std::net::SocketAddr = text.parse().unwrap();
        Endpoint {
            address: address.ip(),
            port: address.port(),
        }
    }

    #[test]
    fn a_client_is_certain_when_nobody_else_is_connected() {
        let one = [
            (end("10.0.0.1:80"), end("203.0.113.7:1")),
            (end("10.0.0.1:80"), end("203.0.113.7:2")),
        ];
        let client = named(&one, |_| true).unwrap();
        assert_eq!((client.endpoint.port, client.is_certain), (1, true));
        let two = [one[0], (end("10.0.0.1:80"), end("203.0.113.8:2"))];
        assert!(!named(&two, |_| true).unwrap().is_certain);
        assert_eq!(named(&one, IpAddr::is_loopback), None);
    }

    #[test]
    fn spans_are_told_in_what_people_count_in() {
        assert_eq!((span(5), span(300)), ("5 s".to_owned(), "5 min".to_owned()));
        assert_eq!(span(400_000), "4 days");
    }
}
