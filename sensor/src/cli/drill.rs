//! `sensor drill`: attacks this machine, harmlessly, and says whether the sensor saw it.

mod respond;

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde_json::Value;

use super::{Failure, NO, OK};
use crate::drill::master::Master;
use crate::drill::{DRILLS, Drill, decoys, find, implant, own_network};
use crate::export::pretty::Style;

/// How long the sensor may take to start.
const START: Duration = Duration::from_secs(60);
/// How long an alert may take after the drill.
const ALERT: Duration = Duration::from_secs(5);

/// Arguments of `sensor drill`.
#[derive(Debug, Args)]
#[command(
    long_about = "Attack this machine, harmlessly and on its own loopback, and see whether the \
                  sensor raises the alarm. A sensor of its own is started for that; one that runs \
                  already will see the drills too. Exit code 1 when a drill stays unseen."
)]
pub struct Arguments {
    /// Only these drills [default: all].
    names: Vec<String>,
    /// Say what drills there are.
    #[arg(long)]
    list: bool,
    /// One JSON object per drill.
    #[arg(long)]
    json: bool,
    /// How often each is done.
    #[arg(long, default_value_t = 1, value_name = "TIMES")]
    repeat: u32,
    /// See instead what a playbook does about a reverse shell, and how fast: the peer, a
    /// documentation address in a network of its own, is blocked, and the shell is killed.
    #[arg(long, conflicts_with_all = ["names", "list"])]
    respond: bool,
    /// Do not patch kernel functions, as `sensor run --no-trampolines`.
    #[arg(long)]
    no_trampolines: bool,
    /// Play the implant of this drill; used by the drills themselves.
    #[arg(long, hide = true)]
    act: Option<String>,
    /// The port its master is at.
    #[arg(long, hide = true, default_value_t = 0)]
    port: u16,
    /// The address of its master, where that is not this host's own.
    #[arg(long, hide = true)]
    master: Option<SocketAddrV4>,
}

/// What came of one drill.
struct Outcome {
    drill: &'static Drill,
    obeyed: Result<bool, String>,
    alert: Option<Value>,
}

/// Runs the drills.
pub fn run(arguments: &Arguments) -> Result<u8, Failure> {
    if let Some(name) = &arguments.act {
        return act(name, arguments).map_err(Failure::refused);
    }
    if arguments.respond {
        return respond::run(arguments).map_err(Failure::refused);
    }
    if arguments.list {
        for drill in DRILLS {
            println!("{:<18} {}", drill.name, drill.what);
        }
        return Ok(OK);
    }
    let drills = chosen(&arguments.names)?;
    // The sensor goes along, so that its decoy port is where the implants are.
    if let Err(error) = own_network() {
        tracing::info!(%error, "drills use the loopback device everybody has");
    }
    let configure = |runtime: &Path| Ok(Some(decoys::configure(runtime)?));
    let mut watcher =
        Watcher::start("alert", arguments.no_trampolines, configure).map_err(Failure::refused)?;
    let mut unseen = 0;
    let mut latencies = Vec::new();
    for drill in drills
        .iter()
        .cycle()
        .take(drills.len() * arguments.repeat as usize)
    {
        let outcome = hold(drill, &mut watcher).map_err(Failure::refused)?;
        unseen += u32::from(outcome.alert.is_none());
        latencies.extend(outcome.alert.as_ref().and_then(latency));
        report(&outcome, arguments.json);
    }
    watcher.stop();
    summarise(
        drills.len() * arguments.repeat as usize,
        unseen,
        &mut latencies,
        arguments.json,
    );
    Ok(if unseen == 0 { OK } else { NO })
}

fn chosen(names: &[String]) -> Result<Vec<&'static Drill>, Failure> {
    if names.is_empty() {
        return Ok(DRILLS.iter().collect());
    }
    names
        .iter()
        .map(|name| {
            find(name).ok_or_else(|| {
                Failure::usage(anyhow!(
                    "no drill is called {name:?}; `sensor drill --list` says what there is"
                ))
            })
        })
        .collect()
}

fn act(name: &str, arguments: &Arguments) -> anyhow::Result<u8> {
    let port = arguments.port;
    match (name, arguments.master) {
        (implant::CALLED_SHELL, Some(master)) => implant::called_shell(master)?,
        _ => return play(name, port),
    }
    Ok(OK)
}

fn play(name: &str, port: u16) -> anyhow::Result<u8> {
    match name {
        implant::RELAY => implant::relay(port)?,
        implant::LATE_RELAY => implant::late_relay(port)?,
        name => {
            let drill = find(name).context("no such drill")?;
            (drill.act)(port)?;
        }
    }
    Ok(OK)
}

/// Does one drill and waits for its alert.
fn hold(drill: &'static Drill, watcher: &mut Watcher) -> anyhow::Result<Outcome> {
    let master = Master::ready(drill.line)?;
    let program = planted(drill)?;
    let mut implant = Command::new(&program)
        .args(["drill", "--act", drill.name, "--port"])
        .arg(master.port().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start the implant")?;
    let pid = implant.id();
    let obeyed = master.talk(drill.rounds).map_err(|error| error.to_string());
    if obeyed.is_err() {
        let _ = implant.kill();
    }
    implant.wait()?;
    if drill.planted {
        std::fs::remove_file(&program)?;
    }
    // Who calls a decoy port is only known by address.
    let pid = (drill.rule != decoys::PORT_RULE).then_some(pid);
    let alert = watcher.alert(drill.rule, pid);
    Ok(Outcome {
        drill,
        obeyed,
        alert,
    })
}

/// The program that plays the implant.
fn planted(drill: &Drill) -> std::io::Result<PathBuf> {
    let itself = std::env::current_exe()?;
    if !drill.planted {
        return Ok(itself);
    }
    let copy = std::env::temp_dir().join(format!("drill-{}", std::process::id()));
    std::fs::copy(itself, &copy)?;
    Ok(copy)
}

/// A sensor that tells us of its alerts.
struct Watcher {
    sensor: Child,
    events: Receiver<Value>,
    runtime: PathBuf,
}

impl Watcher {
    /// Starts one that delivers these events, with the configuration that is written to a file in
    /// its directory, if any is.
    fn start(
        events: &str,
        no_trampolines: bool,
        configure: impl FnOnce(&Path) -> anyhow::Result<Option<PathBuf>>,
    ) -> anyhow::Result<Self> {
        let runtime = std::env::temp_dir().join(format!("sensor-drill-{}", std::process::id()));
        let config = configure(&runtime)?;
        let mut sensor = Command::new(std::env::current_exe()?)
            .args([
                "--log", "error", "run", "--output", "json", "--schema", "native",
            ])
            .args(["--events", events, "--runtime-directory"])
            .arg(&runtime)
            .args(
                config
                    .iter()
                    .flat_map(|file| [OsStr::new("--config"), file.as_os_str()]),
            )
            .arg("--state-directory")
            .arg(runtime.join("state"))
            .args(no_trampolines.then_some("--no-trampolines"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the sensor")?;
        let output = sensor.stdout.take().context("no standard output")?;
        let (sender, events) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let Ok(event) = serde_json::from_str(&line) else {
                    continue;
                };
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        let watcher = Self {
            sensor,
            events,
            runtime,
        };
        watcher
            .wait(START, |event| {
                text(event, "event.dataset") == "sensor.started"
            })
            .context("the sensor did not start; `sensor doctor` may say why")?;
        Ok(watcher)
    }

    /// The alert of a drill whose implant had this pid, where that can be known.
    fn alert(&mut self, rule: &str, pid: Option<u32>) -> Option<Value> {
        let mark = pid.map(|pid| format!("[{pid}]")).unwrap_or_default();
        self.wait(ALERT, |event| {
            text(event, "event.kind") == "alert"
                && text(event, "rule.id").starts_with(rule)
                && event
                    .get("sensor.alert.ancestry")
                    .and_then(Value::as_array)
                    .is_some_and(|names| {
                        names
                            .iter()
                            .any(|name| name.as_str().is_some_and(|name| name.ends_with(&mark)))
                    })
        })
    }

    fn wait(&self, time: Duration, mut wanted: impl FnMut(&Value) -> bool) -> Option<Value> {
        let begin = Instant::now();
        loop {
            let left = time.checked_sub(begin.elapsed())?;
            match self.events.recv_timeout(left) {
                Ok(event) if wanted(&event) => return Some(event),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn stop(mut self) {
        // SAFETY: a signal to a child that was not waited for yet, so the pid is still its.
        unsafe { libc::kill(self.sensor.id().cast_signed(), libc::SIGTERM) };
        let _ = self.sensor.wait();
        let _ = std::fs::remove_dir_all(&self.runtime);
        let _ = std::fs::remove_file(decoys::file(std::process::id()));
    }
}

fn text<'e>(event: &'e Value, field: &str) -> &'e str {
    event.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn latency(alert: &Value) -> Option<u64> {
    alert.get("sensor.alert.latency")?.as_u64()
}

fn report(outcome: &Outcome, json: bool) {
    let name = outcome.drill.name;
    if json {
        let line = serde_json::json!({
            "drill": name,
            "obeyed": outcome.obeyed.as_ref().unwrap_or(&false),
            "error": outcome.obeyed.as_ref().err(),
            "seen": outcome.alert.is_some(),
            "alert": outcome.alert,
        });
        println!("{line}");
        return;
    }
    let mark = |colour: &str, word: &str| {
        if Style::for_stream(std::io::stdout()).colour {
            format!("\x1b[{colour}m{word}\x1b[0m")
        } else {
            word.to_owned()
        }
    };
    let seen = match &outcome.alert {
        Some(_) => mark("32", "seen  "),
        None => mark("1;31", "UNSEEN"),
    };
    println!("{seen} {name:<18} {}", outcome.drill.what);
    if let Some(alert) = &outcome.alert {
        let ms = latency(alert).unwrap_or_default() as f64 / 1e6;
        println!(
            "       after {ms:.1} ms: {}, {}",
            text(alert, "sensor.alert.severity"),
            text(alert, "message")
        );
        println!("       {}", text(alert, "sensor.alert.path"));
    }
    match &outcome.obeyed {
        Ok(true) => {}
        Ok(false) => println!("       the implant did not do what it was told"),
        Err(error) => println!("       the implant could not be reached: {error}"),
    }
}

fn summarise(drills: usize, unseen: u32, latencies: &mut [u64], json: bool) {
    if json {
        return;
    }
    latencies.sort_unstable();
    let at = |share: usize| {
        let last = latencies.len().saturating_sub(1);
        latencies.get(last * share / 100).copied().unwrap_or(0) as f64 / 1e6
    };
    println!(
        "\n{drills} drills, {unseen} unseen; from event to alert: median {:.1} ms, p99 {:.1} ms",
        at(50),
        at(99)
    );
}
