//! Drives the real sensor for end-to-end tests: starts the binary, reads its JSON lines as
//! they come, stops it, and hands over the final account. Knows nothing of what is tested.

pub mod field;
pub mod files;
pub mod network;
pub mod plan;
pub mod uring;

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// How long to wait for something that has to come.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The binary under test: `SENSOR_BIN`, set by `cargo xtask test` and `cargo xtask vm`.
///
/// # Errors
/// When the variable is not set.
pub fn sensor_binary() -> Result<PathBuf> {
    std::env::var_os("SENSOR_BIN")
        .map(PathBuf::from)
        .context("SENSOR_BIN is not set; run the end-to-end tests with `cargo xtask test`")
}

/// The generator of known operations: beside the tests where cargo built them, among the
/// programs of a test machine.
#[must_use]
pub fn generator() -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    let built = test
        .parent()
        .and_then(std::path::Path::parent)
        .map(|target| target.join("generate"));
    built
        .filter(|path| path.exists())
        .unwrap_or_else(|| "/usr/bin/generate".into())
}

/// An event as the sensor printed it, flat: dotted names.
pub type Event = Value;

/// A field of an event, null when it has none.
#[must_use]
pub fn field<'e>(event: &'e Event, name: &str) -> &'e Value {
    event.get(name).unwrap_or(&Value::Null)
}

/// A field as text, empty when it has none.
#[must_use]
pub fn text<'e>(event: &'e Event, name: &str) -> &'e str {
    field(event, name).as_str().unwrap_or_default()
}

/// Waits until a condition holds that nobody tells us of: what it is about happens in the kernel
/// or in another process.
///
/// # Panics
/// When it does not come to hold in time; `what` says what is wrong then.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// How to start the sensor.
#[derive(Debug, Default)]
pub struct Launch {
    arguments: Vec<String>,
    fields: Option<&'static [&'static str]>,
    detection: bool,
    state: Option<PathBuf>,
    environment: Vec<(String, String)>,
}

impl Launch {
    /// Looking for intruders: then everything is observed that detection needs.
    #[must_use]
    pub fn detecting(mut self) -> Self {
        self.detection = true;
        self
    }

    /// With these further arguments to `sensor run`.
    #[must_use]
    pub fn with<A: Into<String>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// With what is remembered in this directory, which stays.
    #[must_use]
    pub fn remembering(mut self, state: impl Into<PathBuf>) -> Self {
        self.state = Some(state.into());
        self
    }

    /// With this in its environment.
    #[must_use]
    pub fn in_environment(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Keeping no more of each event than these fields, besides those of the sensor's own: for
    /// tests with so many events that whole ones would fill the memory.
    #[must_use]
    pub fn keeping(mut self, fields: &'static [&'static str]) -> Self {
        self.fields = Some(fields);
        self
    }

    /// Starts it and waits until it watches.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(self) -> Result<Sensor> {
        let directory = tempdir()?;
        let mut child = Command::new(sensor_binary()?)
            .args([
                "run",
                "--output",
                "json",
                "--schema",
                "native",
                "--runtime-directory",
            ])
            .arg(&directory)
            .arg("--state-directory")
            .arg(self.state.unwrap_or_else(|| directory.join("state")))
            .args((!self.detection).then_some("--no-detection"))
            .args(&self.arguments)
            .envs(self.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the sensor")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let (sender, events) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let event = parse(&line, self.fields);
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        let mut sensor = Sensor {
            child,
            events,
            seen: Vec::new(),
            directory,
        };
        sensor.wait_for(|event| text(event, "event.dataset") == "sensor.started")?;
        Ok(sensor)
    }
}

fn parse(line: &str, fields: Option<&[&str]>) -> Result<Event> {
    let mut event: Event =
        serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
    if let (Some(fields), Value::Object(all)) = (fields, &mut event) {
        all.retain(|name, _| {
            matches!(name.as_str(), "event.dataset" | "process.pid")
                || ["sensor.account", "sensor.health.", "sensor.lost."]
                    .iter()
                    .any(|own| name.starts_with(own))
                || fields.contains(&name.as_str())
        });
    }
    Ok(event)
}

/// A directory of its own below the temporary one, for this process and call.
fn tempdir() -> Result<PathBuf> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("sensor-test-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path)
}

/// A running sensor.
pub struct Sensor {
    child: Child,
    events: Receiver<Result<Event>>,
    seen: Vec<Event>,
    directory: PathBuf,
}

/// What a run left behind.
pub struct Finished {
    /// All events, in the order they were printed.
    pub events: Vec<Event>,
    /// The account of the last event.
    pub account: Value,
    /// Verdict and words of the last event.
    pub detail: String,
}

impl Sensor {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its runtime directory.
    #[must_use]
    pub fn directory(&self) -> &std::path::Path {
        &self.directory
    }

    /// Waits for an event that has not been waited for yet; earlier ones count as well.
    ///
    /// # Errors
    /// When it does not come in time, or the sensor ends.
    pub fn wait_for(&mut self, wanted: impl Fn(&Event) -> bool) -> Result<Event> {
        self.wait_within(PATIENCE, wanted)
    }

    /// The same for a shorter time.
    ///
    /// # Errors
    /// As [`Sensor::wait_for`].
    pub fn wait_within(
        &mut self,
        time: Duration,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Event> {
        if let Some(event) = self.seen.iter().find(|event| wanted(event)) {
            return Ok(event.clone());
        }
        let deadline = Instant::now() + time;
        loop {
            let event = self.next(deadline)?;
            self.seen.push(event.clone());
            if wanted(&event) {
                return Ok(event);
            }
        }
    }

    /// Has it read its configuration again.
    pub fn hang_up(&self) {
        // SAFETY: no memory is passed; the child is ours and not yet waited for.
        unsafe { libc::kill(self.child.id().cast_signed(), libc::SIGHUP) };
    }

    fn next(&mut self, deadline: Instant) -> Result<Event> {
        match self
            .events
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => {
                bail!("the event did not come; {} others did", self.seen.len())
            }
            Err(RecvTimeoutError::Disconnected) => {
                bail!("the sensor ended: {:?}", self.child.wait())
            }
        }
    }

    /// Stops it as a service manager would, and collects everything it printed.
    ///
    /// # Errors
    /// When it does not end well.
    pub fn stop(mut self) -> Result<Finished> {
        let pid = i32::try_from(self.child.id())?;
        // SAFETY: no memory is passed; the child is ours and not yet waited for.
        unsafe { libc::kill(pid, libc::SIGTERM) };
        let stopped = self.wait_for(|event| text(event, "event.dataset") == "sensor.stopped")?;
        let status = self.ended()?;
        if !status.success() {
            bail!("the sensor ended with {status}");
        }
        Ok(Finished {
            account: serde_json::from_str(text(&stopped, "sensor.account"))
                .context("the last event has no account")?,
            detail: text(&stopped, "sensor.health.detail").to_owned(),
            events: std::mem::take(&mut self.seen),
        })
    }
}

impl Sensor {
    /// Waits for its end; one that hangs says where.
    fn ended(&mut self) -> Result<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(10));
        }
        let tasks = format!("/proc/{}/task", self.child.id());
        let stacks: Vec<String> = std::fs::read_dir(tasks)?
            .flatten()
            .map(|task| {
                let read = |name| std::fs::read_to_string(task.path().join(name));
                let [name, stack] = ["comm", "stack"].map(|name| read(name).unwrap_or_default());
                format!("{name}{stack}")
            })
            .collect();
        bail!(
            "the sensor said that it stopped, and did not end:\n{}",
            stacks.join("\n")
        )
    }
}

impl Drop for Sensor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        if let Err(error) = self.ended() {
            eprintln!("{error:#}");
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Finished {
    /// A number of the account.
    #[must_use]
    pub fn count(&self, kind: &str, column: &str) -> u64 {
        let lines = self.account.get("lines").and_then(Value::as_array);
        lines
            .into_iter()
            .flatten()
            .find(|line| line.get("kind").and_then(Value::as_str) == Some(kind))
            .and_then(|line| line.get(column)?.as_u64())
            .unwrap_or(0)
    }

    /// Whether every event is accounted for, and every loss declared. Where kernel code can be
    /// preempted, the kernel skips programs that another task is in the middle of.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.detail != "the account does not balance"
            && self.declared_losses() == self.lost() + self.skipped()
    }

    /// Events that were seen and lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let lines = self.account.get("lines").and_then(Value::as_array);
        lines
            .into_iter()
            .flatten()
            .flat_map(|line| {
                ["lost_ring", "lost_scratch", "lost_begun"].map(|column| line.get(column)?.as_u64())
            })
            .flatten()
            .sum()
    }

    /// Runs of programs that the kernel skipped.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        let programs = self.account.get("skipped").and_then(Value::as_object);
        programs
            .into_iter()
            .flat_map(|programs| programs.values().filter_map(Value::as_u64))
            .sum()
    }

    /// What `sensor.lost` events say.
    fn declared_losses(&self) -> u64 {
        self.events
            .iter()
            .filter(|event| text(event, "event.dataset") == "sensor.lost")
            .filter_map(|event| field(event, "sensor.lost.count").as_u64())
            .sum()
    }

    /// Whether `found` is all that was `made`, or all but what the kernel skipped.
    #[must_use]
    pub fn has_all(&self, found: usize, made: usize) -> bool {
        found == made
            || (self.skipped() > 0 && found < made && (made - found) as u64 <= self.skipped())
    }
}

/// Whether the sensor gets the events of a service the second-best way on this kernel, according
/// to `sensor doctor`.
///
/// # Errors
/// When it does not say.
pub fn uses_fallback(service: &str) -> Result<bool> {
    let report = doctor()?;
    let services = report.get("services").and_then(Value::as_array);
    services
        .into_iter()
        .flatten()
        .find(|line| line.get("name").and_then(Value::as_str) == Some(service))
        .and_then(|line| line.get("fallback")?.as_bool())
        .with_context(|| format!("sensor doctor does not mention {service}"))
}

/// What `sensor doctor` reports. It loads every program there is, which is slow in emulated
/// machines: where `SENSOR_DOCTOR` names a file, it is asked once for all tests.
fn doctor() -> Result<Value> {
    let kept = std::env::var_os("SENSOR_DOCTOR").map(PathBuf::from);
    let known = kept.as_ref().and_then(|path| std::fs::read(path).ok());
    let report = match known {
        Some(report) => report,
        None => {
            let report = Command::new(sensor_binary()?)
                .args(["doctor", "--json"])
                .output()?
                .stdout;
            if let Some(path) = &kept {
                std::fs::write(path, &report)
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
            report
        }
    };
    serde_json::from_slice(&report).context("the doctor's report is not JSON")
}

/// Says that a test cannot run here; `cargo xtask` then counts it as skipped. Written straight
/// to standard output, which libtest does not capture.
pub fn skip(reason: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "test-skipped: {reason}");
}
