//! `sensor drill --respond`: a reverse shell to a documentation address, a playbook that blocks the
//! peer and kills the shell, and how long each takes, as the sensor, the peer and the kernel tell.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, io};

use anyhow::Context as _;
use serde::Serialize;
use serde_json::Value;

use super::{Arguments, NO, OK, Watcher, own_network, text};
use crate::drill::implant::CALLED_SHELL;
use crate::drill::persistent::Persistent;

/// How long a response may take.
const RESPONSE: Duration = Duration::from_secs(5);

/// How long things took, in nanoseconds from the kernel's time of the exec that decided the alert.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Times {
    /// Until the alert was raised.
    alert: u64,
    /// Until the block was in force and its connections ended.
    block: u64,
    /// Until the shell was killed, as the responder saw it.
    kill: u64,
    /// Until the last answer that the peer had; 0 when it never had any.
    last_answer: u64,
    /// Until the first word of the peer that was not answered any more; 0 when none was.
    unanswered: u64,
    /// Until the shell ended, as the kernel tells.
    dead: u64,
}

/// Does it as often as wanted.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let events = "alert,process.exit";
    let mut watcher = Watcher::start(events, arguments.no_trampolines, |runtime| {
        configure(runtime)
            .map(Some)
            .context("cannot configure the sensor")
    })?;
    let outcome = repeat(arguments, &mut watcher);
    let pins = pins(&watcher.runtime);
    watcher.stop();
    // The firewall outlives the sensor; not this one.
    let _ = fs::remove_dir_all(pins);
    outcome
}

fn repeat(arguments: &Arguments, watcher: &mut Watcher) -> anyhow::Result<u8> {
    own_network().context("drills of responses need a network namespace of their own")?;
    let mut all = Vec::new();
    let mut failed = 0;
    for number in 0..arguments.repeat {
        match hold(number, watcher) {
            Ok(times) => {
                if arguments.json {
                    println!("{}", serde_json::to_string(&times)?);
                }
                all.push(times);
            }
            Err(error) => {
                failed += 1;
                eprintln!("drill {number}: {error:#}");
            }
        }
    }
    if !arguments.json {
        summarise(&all, failed);
    }
    Ok(if failed == 0 { OK } else { NO })
}

/// Where the sensor of the drill pins its firewall.
fn pins(runtime: &Path) -> PathBuf {
    let name = runtime.file_name().unwrap_or_default();
    Path::new("/sys/fs/bpf").join(name)
}

fn configure(runtime: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(runtime)?;
    let file = runtime.join("drill.toml");
    let pins = pins(runtime);
    let text = format!(
        "[respond]\nmode = \"enforce\"\npins = {:?}\n\n\
         [[respond.playbook]]\nname = \"drill\"\nmode = \"enforce\"\n\
         when = {{ rules = [\"remote-shell.*\"] }}\n\
         actions = [\"block-peer\", \"kill\"]\nttl = \"3s\"\nper_hour = 100000\n",
        pins.display().to_string()
    );
    fs::write(&file, text)?;
    Ok(file)
}

/// One drill.
fn hold(number: u32, watcher: &mut Watcher) -> anyhow::Result<Times> {
    let master = Persistent::ready(number).context("no address for the master")?;
    let peer = master.address().ip().to_string();
    let mut implant = Command::new(std::env::current_exe()?)
        .args(["drill", "--act", CALLED_SHELL, "--master"])
        .arg(master.address().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start the implant")?;
    let pid = implant.id();
    let talk = master.talk(|| !matches!(implant.try_wait(), Ok(None)));
    let _ = implant.kill();
    implant.wait()?;
    let talk = talk.context("the implant never called")?;

    let [mut alert, mut block, mut kill, mut exit] = [const { None }; 4];
    watcher
        .wait(RESPONSE, |event| {
            let target = text(event, "sensor.response.target");
            let is_ours = event.get("process.pid").and_then(Value::as_u64) == Some(pid.into());
            let slot = match text(event, "event.dataset") {
                "alert" if is_ours => &mut alert,
                "response.block" if target == peer => &mut block,
                "response.kill" if is_ours => &mut kill,
                "process.exit" if is_ours => &mut exit,
                _ => return false,
            };
            slot.get_or_insert_with(|| event.clone());
            alert.is_some() && block.is_some() && kill.is_some() && exit.is_some()
        })
        .with_context(|| {
            format!("not all came: alert {alert:?} block {block:?} kill {kill:?} exit {exit:?}")
        })?;
    let (alert, exit) = (alert.unwrap_or_default(), exit.unwrap_or_default());
    let (block, kill) = (done(block)?, done(kill)?);
    let decided = number_of(&alert, "sensor.boot_ns");
    let since = |boot_ns: u64| boot_ns.saturating_sub(decided);
    Ok(Times {
        alert: number_of(&alert, "sensor.alert.latency"),
        block: number_of(&block, "sensor.response.latency"),
        kill: number_of(&kill, "sensor.response.latency"),
        last_answer: since(talk.last_answer_boot_ns),
        unanswered: since(talk.first_unanswered_boot_ns),
        dead: since(number_of(&exit, "sensor.boot_ns")),
    })
}

fn done(response: Option<Value>) -> anyhow::Result<Value> {
    let response = response.unwrap_or_default();
    anyhow::ensure!(
        text(&response, "sensor.response.outcome") == "done",
        "{} {}: {}",
        text(&response, "sensor.response.outcome"),
        text(&response, "sensor.response.target"),
        text(&response, "sensor.response.detail"),
    );
    Ok(response)
}

fn number_of(event: &Value, field: &str) -> u64 {
    event.get(field).and_then(Value::as_u64).unwrap_or(0)
}

fn summarise(all: &[Times], failed: u32) {
    println!(
        "{:<44} {:>10} {:>10}",
        "from the exec that decided, in ms", "median", "p99"
    );
    type Row = (&'static str, fn(&Times) -> u64);
    let rows: [Row; 6] = [
        ("alert raised", |times| times.alert),
        ("peer blocked, its connections ended", |times| times.block),
        ("last answer that the peer had", |times| times.last_answer),
        ("first word that was not answered", |times| times.unanswered),
        ("shell dead, as the kernel tells", |times| times.dead),
        ("shell dead, as the responder saw", |times| times.kill),
    ];
    for (what, of) in rows {
        let mut values: Vec<_> = all.iter().map(of).collect();
        values.sort_unstable();
        let at = |share: usize| {
            let last = values.len().saturating_sub(1);
            values.get(last * share / 100).copied().unwrap_or(0) as f64 / 1e6
        };
        println!("{what:<44} {:>10.2} {:>10.2}", at(50), at(99));
    }
    println!(
        "{} drills, {failed} without the response they should have",
        all.len() + failed as usize
    );
}
