//! The sensor that watches while something runs: started once, its lines read as they come, and
//! those kept that its caller wants. What the lines mean is not known here.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::linux::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::exec::{end_with_us, terminate};

/// How long it may take to start, and how long it may be silent while it stops.
const PATIENCE: Duration = Duration::from_secs(60);
/// Events kept at most; a payload makes about a hundred.
const LIMIT: usize = 2_000_000;
/// What is in the line of every alert, and in the first line of all.
pub(crate) const ALERT: &str = "\"event.kind\":\"alert\"";
const STARTED: &str = "\"event.dataset\":\"sensor.started\"";

/// An event, and when we had it.
pub(crate) struct Line {
    pub(crate) arrived: SystemTime,
    pub(crate) event: Value,
}

/// A running sensor; killed when dropped without being stopped.
pub(crate) struct Sensor {
    child: Child,
    lines: Receiver<Line>,
}

impl Sensor {
    /// Starts it and waits until it watches. Of the machine around cages only alerts are kept.
    pub(crate) fn start(binary: &Path, arguments: &[String], scratch: &Path) -> Result<Self> {
        let host = fs::metadata("/proc/self/ns/pid")
            .context("no /proc")?
            .st_ino();
        let host = format!("\"sensor.namespace.pid\":{host},");
        Self::start_keeping(binary, arguments, scratch, move |line| {
            !line.contains(&host) || line.contains(ALERT)
        })
    }

    /// Starts it and waits until it watches. Every line is shown to `wanted`, and kept if that
    /// says so.
    pub(crate) fn start_keeping(
        binary: &Path,
        arguments: &[String],
        scratch: &Path,
        wanted: impl FnMut(&str) -> bool + Send + 'static,
    ) -> Result<Self> {
        let directory = scratch.join("sensor");
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let log = scratch.join("sensor.log");
        let log = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(binary);
        command
            .args(["run", "--output", "json", "--schema", "native"])
            .arg("--runtime-directory")
            .arg(&directory)
            .arg("--state-directory")
            .arg(directory.join("state"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        end_with_us(&mut command);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let stdout = child.stdout.take().context("no pipe from the sensor")?;
        let (sender, lines) = channel();
        let (ready, started) = channel();
        thread::spawn(move || read(stdout, wanted, &ready, &sender));
        let sensor = Self { child, lines };
        started.recv_timeout(PATIENCE).with_context(|| {
            let log = scratch.join("sensor.log");
            format!(
                "the sensor does not start: {}",
                fs::read_to_string(log).unwrap_or_default().trim_end()
            )
        })?;
        Ok(sensor)
    }

    /// Asks it to end, as a service manager would; all lines that were kept.
    pub(crate) fn stop(mut self) -> Result<Vec<Line>> {
        terminate(&self.child)?;
        let mut lines = Vec::new();
        // The channel is closed when the pipe is, and that is when it has ended.
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => bail!("the sensor does not stop"),
            }
        }
        let status = self.child.wait().context("cannot wait for the sensor")?;
        ensure!(status.success(), "the sensor ended with {status}");
        ensure!(
            lines.len() < LIMIT,
            "more than {LIMIT} events: not all were kept"
        );
        Ok(lines)
    }
}

impl Drop for Sensor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(
    stdout: ChildStdout,
    mut wanted: impl FnMut(&str) -> bool,
    ready: &Sender<()>,
    kept: &Sender<Line>,
) {
    let mut count = 0;
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let arrived = SystemTime::now();
        if line.contains(STARTED) {
            let _ = ready.send(());
        }
        if !wanted(&line) || count >= LIMIT {
            continue;
        }
        let Ok(event) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        count += 1;
        if kept.send(Line { arrived, event }).is_err() {
            return;
        }
    }
}
