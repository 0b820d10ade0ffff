//! The sensor as something that runs beside the work: started, watched, asked and stopped. What
//! is made of its numbers is the callers' business.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::Bench;
use crate::exec::{end_with_us, terminate};

/// How long it may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(20);
/// After its start it reads `/proc` and hashes what runs already. It has come to rest when it
/// takes less than this part of a CPU over such a time.
const AT_REST: f64 = 0.1;
const SETTLE: Duration = Duration::from_millis(100);
/// On a busy machine it never rests.
const SETTLE_AT_MOST: Duration = Duration::from_secs(2);

/// A running sensor; killed when dropped without being stopped.
pub(super) struct Sensor<'a> {
    bench: &'a Bench,
    child: Child,
    began: Instant,
}

/// What it cost over a time, and what it saw.
#[derive(Clone, Default)]
pub(super) struct Cost {
    /// Part of one CPU.
    pub(super) cpu: f64,
    /// Resident memory at the end, and at most, in bytes.
    pub(super) resident: u64,
    pub(super) peak: u64,
    /// Events submitted and lost since its start.
    pub(super) events: u64,
    pub(super) lost: u64,
}

impl Cost {
    pub(super) fn to_json(&self) -> Value {
        let Self {
            cpu,
            resident,
            peak,
            events,
            lost,
        } = self;
        json!({
            "cpu": cpu,
            "resident_bytes": resident,
            "peak_bytes": peak,
            "events": events,
            "lost": lost,
        })
    }
}

/// A point in time from which a [`Cost`] is counted.
pub(super) struct Since {
    at: Instant,
    cpu: Duration,
}

impl<'a> Sensor<'a> {
    /// Starts it and waits until it watches and has come to rest. Output goes to `/dev/null`.
    pub(super) fn start(bench: &'a Bench, output: &str) -> Result<Self> {
        let mut sensor = Self::spawn(bench, output, Stdio::null())?;
        sensor.wait_until_ready()?;
        loop {
            let before = sensor.cpu()?;
            thread::sleep(SETTLE);
            let share = (sensor.cpu()? - before).as_secs_f64() / SETTLE.as_secs_f64();
            if share < AT_REST || sensor.began.elapsed() > SETTLE_AT_MOST {
                return Ok(sensor);
            }
        }
    }

    /// Starts it and returns at once.
    pub(super) fn spawn(bench: &'a Bench, output: &str, stdout: Stdio) -> Result<Self> {
        let log = bench.scratch.join("sensor.log");
        let log = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(&bench.sensor);
        command
            .args(["run", "--schema", "native", "--output", output])
            .arg("--runtime-directory")
            .arg(&bench.scratch)
            .arg("--state-directory")
            .arg(bench.scratch.join("state"))
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(log);
        end_with_us(&mut command);
        let began = Instant::now();
        let child = command.spawn().context("cannot start the sensor")?;
        Ok(Self {
            bench,
            child,
            began,
        })
    }

    /// When it was started.
    pub(super) fn began(&self) -> Instant {
        self.began
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard output, if that is a pipe; once.
    pub(super) fn stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Asks until it answers.
    pub(super) fn wait_until_ready(&mut self) -> Result<()> {
        while self.status().is_err() {
            if let Some(status) = self.child.try_wait().context("cannot wait")? {
                bail!("the sensor ended at once ({status}): {}", self.log());
            }
            ensure!(
                self.began.elapsed() < PATIENCE,
                "the sensor does not get ready: {}",
                self.log()
            );
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// What `sensor status --json` says.
    pub(super) fn status(&self) -> Result<Value> {
        // Its exit code says how well it sees, which is in the answer as well.
        let answer = Command::new(&self.bench.sensor)
            .args(["status", "--json", "--runtime-directory"])
            .arg(&self.bench.scratch)
            .stdin(Stdio::null())
            .output()
            .context("cannot start the sensor")?;
        serde_json::from_slice(&answer.stdout).context("the sensor's status is not JSON")
    }

    /// From now on.
    pub(super) fn since_now(&self) -> Result<Since> {
        Ok(Since {
            cpu: self.cpu()?,
            at: Instant::now(),
        })
    }

    /// What it cost since then. The account is that of all its life.
    pub(super) fn cost(&self, since: &Since) -> Result<Cost> {
        let elapsed = since.at.elapsed();
        let cpu = self.cpu()?.saturating_sub(since.cpu);
        // What is in the rings now is read within a tick.
        thread::sleep(Duration::from_millis(20));
        let status = self.status()?;
        let account = status
            .get("account")
            .context("the sensor's status has no account")?;
        Ok(Cost {
            cpu: cpu.as_secs_f64() / elapsed.as_secs_f64(),
            resident: self.memory("VmRSS:")?,
            peak: self.memory("VmHWM:")?,
            events: column(account, "submitted"),
            lost: ["lost_ring", "lost_scratch", "lost_begun"]
                .map(|name| column(account, name))
                .into_iter()
                .chain(["malformed", "unwritten"].map(|name| number(account, name)))
                .chain(skipped(account))
                .sum(),
        })
    }

    /// Asks it to end, as a service manager would, and waits.
    pub(super) fn stop(mut self) -> Result<()> {
        let asked = Instant::now();
        terminate(&self.child)?;
        loop {
            if let Some(status) = self.child.try_wait().context("cannot wait")? {
                ensure!(
                    status.success(),
                    "the sensor ended with {status}: {}",
                    self.log()
                );
                return Ok(());
            }
            ensure!(asked.elapsed() < PATIENCE, "the sensor does not stop");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Processor time of all its threads since its start, to the nanosecond.
    fn cpu(&self) -> Result<Duration> {
        let pid = i32::try_from(self.pid())?;
        let (mut clock, mut time) = (
            0,
            libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
        );
        // SAFETY: both places are valid for the answers; the process is our child and not yet
        // waited for, so the clock is its own.
        let failed = unsafe {
            libc::clock_getcpuclockid(pid, &mut clock) != 0
                || libc::clock_gettime(clock, &mut time) != 0
        };
        ensure!(
            !failed,
            "the sensor has no processor time; did it end? {}",
            self.log()
        );
        Ok(Duration::new(
            u64::try_from(time.tv_sec)?,
            u32::try_from(time.tv_nsec)?,
        ))
    }

    /// A line of its `/proc/<pid>/status`, in bytes.
    fn memory(&self, key: &str) -> Result<u64> {
        let path = format!("/proc/{}/status", self.pid());
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let kib = text.lines().find_map(|line| {
            let value = line.strip_prefix(key)?.trim().strip_suffix(" kB")?;
            value.parse::<u64>().ok()
        });
        Ok(kib.with_context(|| format!("no {key} in {path}"))? * 1024)
    }

    /// What it complained about.
    fn log(&self) -> String {
        fs::read_to_string(self.bench.scratch.join("sensor.log")).unwrap_or_default()
    }
}

impl Drop for Sensor<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A column of the account, added up.
fn column(account: &Value, name: &str) -> u64 {
    let lines = account.get("lines").and_then(Value::as_array);
    lines
        .into_iter()
        .flatten()
        .map(|line| number(line, name))
        .sum()
}

/// Runs the kernel skipped, of each program.
fn skipped(account: &Value) -> impl Iterator<Item = u64> {
    let programs = account.get("skipped").and_then(Value::as_object);
    programs
        .into_iter()
        .flat_map(|programs| programs.values().filter_map(Value::as_u64))
}

fn number(of: &Value, name: &str) -> u64 {
    of.get(name).and_then(Value::as_u64).unwrap_or(0)
}
