//! Peers on the same work: what others cost the machine when they are told to watch the same
//! things. How each is started and what it is told is here; where it comes from is in
//! `peers/root`. Whoever cannot be had or does not start is named, with the reason.

mod root;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::bpf::Programs;
use super::load::{WORKLOADS, Workload};
use super::statistics::{Spread, ratios};
use super::{Bench, Part};
use crate::exec::{self, end_with_us, terminate};
use crate::table::{Table, ratio};
use crate::workspace::Workspace;
use root::Root;

/// Rounds at most: peers take long to start.
const ROUNDS: usize = 5;
/// Their runs are shorter than ours, because some of them slow the work down twentyfold.
const SHORTER: u64 = 4;
/// How long a peer may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(30);
/// And how long it is left alone then.
const SETTLE: Duration = Duration::from_millis(500);

#[derive(Clone, Copy)]
enum Peer {
    Auditd,
    Bpftrace,
    Sysdig,
}

const PEERS: [Peer; 3] = [Peer::Auditd, Peer::Bpftrace, Peer::Sysdig];

/// Rules that see what the sensor sees: execs, connections, files opened for writing.
const AUDIT_RULES: [&str; 4] = [
    "-a always,exit -F arch=b64 -S execve,execveat -k exec",
    "-a always,exit -F arch=b64 -S connect,accept,accept4 -k network",
    "-a always,exit -F arch=b64 -S open -F a1&3 -k write",
    "-a always,exit -F arch=b64 -S openat -F a2&3 -k write",
];
/// Once audit has been on, each new task is made ready for it, and every system call pays, until
/// the machine is restarted; unless this rule says that no task is.
const AUDIT_NEVER: &str = "-a never,task";

/// Nothing is written, so that only the watching counts.
const AUDITD_CONF: &str = "local_events = yes\nwrite_logs = no\nlog_format = RAW\n\
    log_file = /var/log/audit/audit.log\nspace_left = 75\nspace_left_action = IGNORE\n\
    admin_space_left = 50\nadmin_space_left_action = IGNORE\ndisk_full_action = IGNORE\ndisk_error_action = IGNORE\n";

const BPFTRACE_PROGRAM: &str = "
    tracepoint:syscalls:sys_enter_execve { printf(\"exec %d %s %s\\n\", pid, comm, str(args.filename)); }
    tracepoint:syscalls:sys_enter_openat { if (args.flags & 3) {
        printf(\"write %d %s %s\\n\", pid, comm, str(args.filename)); } }
    tracepoint:syscalls:sys_enter_connect { printf(\"connect %d %s %d\\n\", pid, comm, args.fd); }";

const SYSDIG_FILTER: &str = "evt.type in (execve, execveat, connect, accept, accept4) or \
    (evt.type in (open, openat, openat2, creat) and evt.is_open_write=true)";

/// Ratios by workload, or why there are none.
type Outcome = Result<BTreeMap<String, Spread>>;

/// Measures each peer and prints the table, our own ratios beside theirs.
pub(super) fn run(
    workspace: &Workspace,
    bench: &Bench,
    ours: &BTreeMap<String, f64>,
    wanted: impl Fn(Part) -> bool,
) -> Result<Value> {
    let root = Root::get(workspace)?;
    let workloads: Vec<_> = WORKLOADS
        .iter()
        .filter(|workload| wanted(workload.part) && workload.missing().is_none())
        .collect();
    let mut columns = Vec::new();
    for peer in PEERS {
        let version = root.version(peer.name()).unwrap_or_default();
        let title = format!("{} {version}", peer.name());
        println!("bench: {title}");
        let outcome = peer.measure(&root, bench, &workloads);
        columns.push((title, outcome));
    }

    let names = workloads.iter().map(|workload| workload.part.name());
    let mut table = Table::new(["workload", "this sensor", "auditd", "bpftrace", "sysdig"]);
    for name in names {
        let shown = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), ratio);
        let theirs = columns.iter().map(|(_, outcome)| {
            let spread = outcome.as_ref().ok().and_then(|ratios| ratios.get(&name));
            shown(spread.map(|spread| spread.median))
        });
        let mut cells = vec![name.clone(), shown(ours.get(&name).copied())];
        cells.extend(theirs);
        table.row(cells);
    }
    table.print("Peers on the same work: ratio to the work alone, medians");
    let mut results = serde_json::Map::new();
    for (title, outcome) in columns {
        let value = match outcome {
            Ok(ratios) => ratios
                .into_iter()
                .map(|(name, spread)| (name, spread.to_json()))
                .collect(),
            Err(error) => {
                println!("  {title} left out: {error:#}");
                json!({ "left_out": format!("{error:#}") })
            }
        };
        results.insert(title, value);
    }
    Ok(results.into())
}

impl Peer {
    /// As its package is called, and mostly its program.
    fn name(self) -> &'static str {
        match self {
            Self::Auditd => "auditd",
            Self::Bpftrace => "bpftrace",
            Self::Sysdig => "sysdig",
        }
    }

    fn measure(self, root: &Root, bench: &Bench, workloads: &[&Workload]) -> Outcome {
        // Before anything is timed: it may not start at all.
        self.start(root, bench)?.stop()?;
        let counts = workloads
            .iter()
            .map(|workload| Ok((*workload, workload.peer_count(bench)?)))
            .collect::<Result<Vec<_>>>()?;
        let all = || {
            let samples = counts
                .iter()
                .map(|(workload, count)| Ok(workload.run(bench, *count)?.ns));
            samples.collect::<Result<Vec<f64>>>()
        };
        let mut rounds = Vec::new();
        for round in 0..bench.pairs.min(ROUNDS) {
            let with = || {
                let running = self.start(root, bench)?;
                let samples = all()?;
                running.stop()?;
                Ok::<_, anyhow::Error>(samples)
            };
            rounds.push(if round % 2 == 0 {
                (all()?, with()?)
            } else {
                let with = with()?;
                (all()?, with)
            });
        }
        let mut outcome = BTreeMap::new();
        for (place, workload) in workloads.iter().enumerate() {
            let pairs = rounds
                .iter()
                .filter_map(|(without, with)| Some((*without.get(place)?, *with.get(place)?)));
            outcome.extend(ratios(pairs).map(|spread| (workload.part.name(), spread)));
        }
        Ok(outcome)
    }

    fn start<'a>(self, root: &'a Root, bench: &Bench) -> Result<Running<'a>> {
        let mut command = root.command(match self {
            Self::Auditd => "/usr/sbin/auditd",
            Self::Bpftrace => "/usr/bin/bpftrace",
            Self::Sysdig => "/usr/bin/sysdig",
        })?;
        match self {
            Self::Auditd => {
                audit_is_ours(root)?;
                let conf = root.path("/etc/audit/auditd.conf");
                fs::write(&conf, AUDITD_CONF)
                    .with_context(|| format!("cannot write {}", conf.display()))?;
                command.arg("-n")
            }
            Self::Bpftrace => command.args(["-e", BPFTRACE_PROGRAM]),
            Self::Sysdig => command.args(["--modern-bpf", SYSDIG_FILTER]),
        };
        let log = bench.scratch.join(format!("{}.log", self.name()));
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file);
        end_with_us(&mut command);
        let child = command.spawn().context("cannot start it")?;
        let mut running = Running {
            peer: self,
            root,
            child,
        };
        let began = Instant::now();
        while !running.is_ready()? {
            if let Some(status) = running.child.try_wait().context("cannot wait")? {
                let words = fs::read_to_string(&log).unwrap_or_default();
                let words: Vec<&str> = words.lines().filter(|line| !line.is_empty()).collect();
                bail!("it ended at once ({status}): {}", words.join("; "));
            }
            ensure!(began.elapsed() < PATIENCE, "it does not get ready");
            thread::sleep(Duration::from_millis(50));
        }
        if matches!(self, Self::Auditd) {
            auditctl(root, "-D")?;
            auditctl(root, "-b 8192")?;
            for rule in AUDIT_RULES {
                auditctl(root, rule)?;
            }
        }
        thread::sleep(SETTLE);
        Ok(running)
    }
}

impl Workload {
    fn peer_count(&self, bench: &Bench) -> Result<u64> {
        let count = self.count(bench)?;
        let shorter = if self.part == Part::Make { 1 } else { SHORTER };
        Ok(count / shorter)
    }
}

/// A running peer. When it is dropped it is ended, and what it changed is put back.
struct Running<'a> {
    peer: Peer,
    root: &'a Root,
    child: Child,
}

impl Running<'_> {
    fn is_ready(&self) -> Result<bool> {
        match self.peer {
            Peer::Auditd => {
                let status = auditctl(self.root, "-s")?;
                let pid = format!("pid {}", self.child.id());
                Ok(status.lines().any(|line| line == pid))
            }
            // It loads its programs last.
            Peer::Bpftrace | Peer::Sysdig => Ok(
                Programs::of(self.child.id()).is_ok_and(|programs| programs.names().count() > 0)
            ),
        }
    }

    /// Ends it. How it ends is its own business (auditd 4.1 crashes), that it does is ours.
    fn stop(mut self) -> Result<()> {
        let asked = Instant::now();
        terminate(&self.child)?;
        while self.child.try_wait().context("cannot wait")?.is_none() {
            ensure!(asked.elapsed() < PATIENCE, "it does not stop");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if matches!(self.peer, Peer::Auditd) {
            for words in ["-D", "-e 0", AUDIT_NEVER] {
                if let Err(error) = auditctl(self.root, words) {
                    println!("bench: audit is not as it was: {error:#}");
                }
            }
        }
    }
}

/// Runs auditctl with these words.
fn auditctl(root: &Root, words: &str) -> Result<String> {
    let mut command: Command = root.command("/usr/sbin/auditctl")?;
    exec::output(command.args(words.split(' ')).stdin(Stdio::null()))
}

/// Rules of somebody else are not ours to remove.
fn audit_is_ours(root: &Root) -> Result<()> {
    let status = auditctl(root, "-s").context("this kernel has no audit")?;
    ensure!(
        status
            .lines()
            .any(|line| line == "enabled 0" || line == "pid 0"),
        "audit is in use on this machine"
    );
    let rules = auditctl(root, "-l")?;
    let foreign = rules
        .lines()
        .find(|line| *line != "No rules" && *line != AUDIT_NEVER);
    match foreign {
        None => Ok(()),
        Some(rule) => bail!("audit is in use on this machine: {rule}"),
    }
}
