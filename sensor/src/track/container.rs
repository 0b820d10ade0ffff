//! What a cgroup path says about the process in it: which container, pod, systemd unit and
//! login session. Reads the path only: no runtime sockets, no image names (those are looked
//! up elsewhere, later, by the id found here).
//!
//! There is no standard: each runtime names cgroups its own way, with the `cgroupfs` or the
//! `systemd` driver, and version 1 and 2 hierarchies differ only in what comes before. So this
//! is a table of names, read from the innermost element outwards: with containers in
//! containers the process belongs to the innermost. A runtime's own supervisor (`conmon`,
//! nspawn's `supervisor`, LXC's `monitor`) is not in the container it supervises.
//!
//! A path is a claim: whoever may create cgroups (root, or a user below `user@UID.service`)
//! may choose such a name. [`login`] and the namespaces of the process tell more.

use std::borrow::Cow;

use crate::event::text::lossy;

/// Longest cgroup path looked at, in bytes (the kernel's `PATH_MAX`); longer ones name nothing.
pub const MAX_PATH: usize = 4096;
/// Length of a full container id, in hexadecimal digits.
const FULL_ID: usize = 64;
/// Shortest id accepted where the name around it already says "container".
const SHORT_ID: usize = 12;

/// What started a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Runtime {
    /// Docker Engine (also Amazon ECS on EC2).
    Docker,
    /// containerd, through Kubernetes, nerdctl or ctr.
    Containerd,
    /// CRI-O.
    CriO,
    /// Podman.
    Podman,
    /// LXC, LXD, Incus, Proxmox, libvirt-lxc.
    Lxc,
    /// systemd-nspawn.
    Nspawn,
    /// Cloud Foundry's Garden.
    Garden,
    /// A full container id in a place no table row names (`--cgroup-parent`).
    Unknown,
}

impl Runtime {
    /// The value of ECS `container.runtime`; none when not known.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Podman => "podman",
            Self::Lxc => "lxc",
            Self::Nspawn => "systemd-nspawn",
            Self::Garden => "garden",
            Self::Unknown => return None,
        })
    }
}

/// One container as its cgroup names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContainerRef {
    /// The id as found: 64 hexadecimal digits, a short id of at least 12, or for LXC, nspawn
    /// and Garden the machine's name.
    pub id: String,
    /// Who started it.
    pub runtime: Runtime,
}

/// Whose login a process belongs to, by systemd-logind's slices.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Login {
    /// The user of `user-UID.slice`.
    pub uid: u32,
    /// The session of `session-ID.scope`; none for the user's own services.
    pub session: Option<String>,
}

/// `PREFIX<id>` or `PREFIX<id>.scope`.
const PREFIXES: &[(&str, Runtime)] = &[
    ("docker-", Runtime::Docker),
    ("cri-containerd-", Runtime::Containerd),
    ("containerd-", Runtime::Containerd),
    ("nerdctl-", Runtime::Containerd),
    ("crio-", Runtime::CriO),
    ("libpod-payload-", Runtime::Podman),
    ("libpod-", Runtime::Podman),
];

/// `SLICE:NAME:<id>`, what runc makes of a systemd name under the cgroupfs driver.
const COLON_NAMES: &[(&str, Runtime)] = &[
    ("docker", Runtime::Docker),
    ("cri-containerd", Runtime::Containerd),
    ("nerdctl", Runtime::Containerd),
    ("crio", Runtime::CriO),
    ("libpod", Runtime::Podman),
];

/// `…/PARENT/…/<id>`: what a bare id means, by the nearest element above it that says so.
const PARENTS: &[(&str, Runtime)] = &[
    ("docker", Runtime::Docker),
    ("ecs", Runtime::Docker),
    ("libpod_parent", Runtime::Podman),
    ("k8s.io", Runtime::Containerd),
    ("default", Runtime::Containerd),
];

/// The container a process in this cgroup runs in. Any bytes are safe.
pub fn container(path: &[u8]) -> Option<ContainerRef> {
    let elements = elements(path)?;
    (0..elements.len()).rev().find_map(|at| {
        let (above, rest) = elements.split_at_checked(at)?;
        let (element, below) = rest.split_first()?;
        by_prefix(element)
            .or_else(|| by_name(element, above, below))
            .or_else(|| by_bare_id(element, above))
    })
}

/// The Kubernetes pod's uid, with dashes, as the API shows it (32 digits for static pods).
pub fn pod_uid(path: &[u8]) -> Option<String> {
    let elements = elements(path)?;
    elements.iter().rev().find_map(|element| {
        let name = element.split(':').next().unwrap_or_default();
        let name = name.strip_suffix(".slice").unwrap_or(name);
        let uid = match name.strip_prefix("pod") {
            Some(uid) => uid,
            None if name.contains("kubepods") => name.rsplit_once("-pod")?.1,
            None => return None,
        };
        let uid = uid.replace('_', "-");
        let digits = uid.bytes().filter(u8::is_ascii_hexdigit).count();
        let dashes = uid.len() - digits;
        (digits == 32 && (dashes == 0 || dashes == 4 && uid.matches('-').count() == 4))
            .then_some(uid)
    })
}

/// The innermost systemd unit that can hold processes (`.service`, `.scope`, `.socket`,
/// `.mount`, `.swap`), its name unescaped: `\x2d` becomes `-`.
pub fn systemd_unit(path: &[u8]) -> Option<String> {
    const KINDS: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];
    let elements = elements(path)?;
    let unit = elements.iter().rev().find(|e| {
        KINDS
            .iter()
            .any(|kind| e.len() > kind.len() && e.ends_with(kind))
    })?;
    Some(unescape(unit))
}

/// The login a process belongs to; none for system services and containers of theirs.
pub fn login(path: &[u8]) -> Option<Login> {
    let elements = elements(path)?;
    let at = elements.iter().position(|e| e == "user.slice")?;
    let mut rest = elements.iter().skip(at + 1);
    let uid = rest
        .next()?
        .strip_prefix("user-")?
        .strip_suffix(".slice")?
        .parse()
        .ok()?;
    let session = rest
        .next()
        .and_then(|e| e.strip_prefix("session-")?.strip_suffix(".scope"));
    Some(Login {
        uid,
        session: session.map(str::to_owned),
    })
}

/// The path worth asking about, from the text of `/proc/PID/cgroup`: the first line that
/// names a container, else the unified hierarchy's, else systemd's own.
pub fn path_in_proc(text: &[u8]) -> Option<&[u8]> {
    let lines = || {
        text.split(|b| *b == b'\n').filter_map(|line| {
            let mut fields = line.splitn(3, |b| *b == b':');
            let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            Some((controllers, path))
        })
    };
    let of = |wanted: &[u8]| {
        lines()
            .find(|(c, path)| *c == wanted && *path != b"/")
            .map(|(_, path)| path)
    };
    let any = || lines().map(|(_, path)| path).next();
    lines()
        .map(|(_, path)| path)
        .find(|p| container(p).is_some())
        .or_else(|| of(b""))
        .or_else(|| of(b"name=systemd"))
        .or_else(any)
}

/// The path's elements, outermost first. A leading `_` only keeps systemd's names apart from
/// the kernel's own files, see `cg_escape` in systemd's `cgroup-util.c`.
fn elements(path: &[u8]) -> Option<Vec<Cow<'_, str>>> {
    if path.len() > MAX_PATH {
        return None;
    }
    let parts = path
        .split(|b| *b == b'/')
        .filter(|e| !e.is_empty() && *e != b"..");
    Some(
        parts
            .map(|e| lossy(e.strip_prefix(b"_").unwrap_or(e)))
            .collect(),
    )
}

fn by_prefix(element: &str) -> Option<ContainerRef> {
    let name = element.strip_suffix(".scope").unwrap_or(element);
    let prefixed = PREFIXES
        .iter()
        .find_map(|(prefix, runtime)| found(name.strip_prefix(prefix)?, *runtime));
    prefixed.or_else(|| {
        let (before, id) = name.rsplit_once(':')?;
        let (_, who) = before.rsplit_once(':')?;
        let (_, runtime) = COLON_NAMES.iter().find(|(name, _)| *name == who)?;
        found(id, *runtime)
    })
}

/// Containers that go by a name instead of a hexadecimal id.
fn by_name(element: &str, above: &[Cow<'_, str>], below: &[Cow<'_, str>]) -> Option<ContainerRef> {
    let parent = above.last().map(AsRef::as_ref).unwrap_or_default();
    let named = |name: &str, runtime| {
        let name = unescape(name);
        (!name.is_empty()).then_some(ContainerRef { id: name, runtime })
    };
    if let Some(name) = element.strip_prefix("lxc.payload.") {
        return named(name, Runtime::Lxc);
    }
    match parent {
        "lxc" | "lxc.payload" => return named(element, Runtime::Lxc),
        "garden" => return named(element, Runtime::Garden),
        "machine.slice" => {}
        _ => return None,
    }
    if below.first().is_some_and(|e| e == "supervisor") {
        return None;
    }
    if let Some(name) = element
        .strip_prefix("systemd-nspawn@")
        .and_then(|e| e.strip_suffix(".service"))
    {
        return named(name, Runtime::Nspawn);
    }
    let machine = unescape(element.strip_prefix("machine-")?.strip_suffix(".scope")?);
    if machine.starts_with("qemu-") {
        return None;
    }
    // libvirt writes lxc-NUMBER-NAME.
    match machine
        .strip_prefix("lxc-")
        .and_then(|rest| rest.split_once('-'))
    {
        Some((number, name)) if number.bytes().all(|b| b.is_ascii_digit()) => {
            named(name, Runtime::Lxc)
        }
        _ => named(&machine, Runtime::Nspawn),
    }
}

fn by_bare_id(element: &str, above: &[Cow<'_, str>]) -> Option<ContainerRef> {
    let in_pod = above.iter().any(|e| e.contains("kubepods"));
    if in_pod {
        return found(element, Runtime::Containerd).filter(|c| c.id.len() == FULL_ID);
    }
    let row = above
        .iter()
        .rev()
        .find_map(|e| PARENTS.iter().find(|(name, _)| name == e));
    if above.last().is_some_and(|e| e == "docker") {
        return found(element, Runtime::Docker);
    }
    // Fargate: TASK-NUMBER under /ecs/TASK.
    if let Some((task, number)) = element.split_once('-')
        && row.is_some_and(|(name, _)| *name == "ecs")
        && task.len() == 32
        && is_hex(task)
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
    {
        return Some(ContainerRef {
            id: element.to_owned(),
            runtime: Runtime::Containerd,
        });
    }
    let runtime = row.map_or(Runtime::Unknown, |(_, runtime)| *runtime);
    found(element, runtime).filter(|c| c.id.len() == FULL_ID)
}

fn found(id: &str, runtime: Runtime) -> Option<ContainerRef> {
    let ok = (SHORT_ID..=FULL_ID).contains(&id.len()) && is_hex(id);
    ok.then(|| ContainerRef {
        id: id.to_owned(),
        runtime,
    })
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Undoes systemd's `\xNN`, as `unit_name_unescape` does; anything else stays.
fn unescape(name: &str) -> String {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = match rest {
            [b'\\', b'x', high, low, ..] => hex_digit(*high).zip(hex_digit(*low)),
            _ => None,
        };
        match code {
            Some((high, low)) => {
                out.push(high << 4 | low);
                rest = rest.get(4..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    lossy(&out).into_owned()
}

fn hex_digit(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).map(|d| d as u8)
}

#[cfg(test)]
mod tests;
