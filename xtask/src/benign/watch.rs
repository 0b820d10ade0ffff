//! What the sensor says about benign work: executions counted and alerts kept, by the control
//! group that they happened in. Judges nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::payloads::sensor::{ALERT, Sensor};

const CGROUP: &str = "\"sensor.cgroup.path\":\"";
const EXEC: &str = "\"event.dataset\":\"process.exec\"";

/// A sensor that watches everything, and what it has seen so far.
pub(super) struct Watch {
    sensor: Sensor,
    seen: Arc<Mutex<Seen>>,
}

/// Executions by control group, and a file for the events of each if they are to be kept.
#[derive(Default)]
struct Seen {
    executions: BTreeMap<String, u64>,
    keep: Option<PathBuf>,
    files: BTreeMap<String, BufWriter<File>>,
}

/// What was seen in all, at the end.
pub(super) struct Account {
    executions: BTreeMap<String, u64>,
    alerts: Vec<Value>,
}

impl Watch {
    /// Starts the sensor and waits until it watches.
    pub(super) fn start(
        binary: &Path,
        arguments: &[String],
        scratch: &Path,
        keep: Option<PathBuf>,
    ) -> Result<Self> {
        if let Some(place) = &keep {
            fs::create_dir_all(place)
                .with_context(|| format!("cannot make {}", place.display()))?;
        }
        let seen = Arc::new(Mutex::new(Seen {
            keep,
            ..Seen::default()
        }));
        let shared = Arc::clone(&seen);
        let sensor = Sensor::start_keeping(binary, arguments, scratch, move |line| {
            let mut seen = shared.lock().unwrap_or_else(PoisonError::into_inner);
            seen.take(line)
        })?;
        Ok(Self { sensor, seen })
    }

    /// Stops the sensor; everything it said.
    pub(super) fn stop(self) -> Result<Account> {
        let lines = self.sensor.stop()?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for file in seen.files.values_mut() {
            file.flush().context("cannot write events")?;
        }
        Ok(Account {
            executions: std::mem::take(&mut seen.executions),
            alerts: lines.into_iter().map(|line| line.event).collect(),
        })
    }
}

impl Seen {
    /// Whether the line is to be kept as an alert of a cage.
    fn take(&mut self, line: &str) -> bool {
        let Some(group) = group(line) else {
            return false;
        };
        if line.contains(EXEC) {
            match self.executions.get_mut(group) {
                Some(count) => *count += 1,
                None => {
                    self.executions.insert(group.to_owned(), 1);
                }
            }
        }
        if let Some(place) = &self.keep {
            if !self.files.contains_key(group)
                && let Ok(file) = File::create(place.join(format!("{group}.ndjson")))
            {
                self.files.insert(group.to_owned(), BufWriter::new(file));
            }
            if let Some(file) = self.files.get_mut(group) {
                let _ = writeln!(file, "{line}");
            }
        }
        line.contains(ALERT)
    }
}

/// The scenario in the name of the control group that a line is of; groups below belong to it.
fn group(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once(CGROUP)?;
    let (path, _) = rest.split_once('"')?;
    scenario(path)
}

/// `/system.slice/benign.NAME-PID.service/…` is of NAME.
fn scenario(path: &str) -> Option<&str> {
    let unit = path.strip_prefix("/system.slice/benign.")?;
    Some(unit.split_once('-')?.0)
}

impl Account {
    /// Programs that were executed in a scenario.
    pub(super) fn executions(&self, scenario: &str) -> u64 {
        self.executions.get(scenario).copied().unwrap_or(0)
    }

    /// Alerts about it.
    pub(super) fn alerts(&self, name: &str) -> Vec<&Value> {
        let is_of = |alert: &&Value| {
            let path = alert.get("sensor.cgroup.path").and_then(Value::as_str);
            path.and_then(scenario) == Some(name)
        };
        self.alerts.iter().filter(is_of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_of_the_scenario_in_whose_group_or_below_it_happened() {
        let line = |path: &str| format!("{{\"a\":1,{CGROUP}{path}\",\"b\":2}}");
        for path in ["", "/user.slice", "/lib/0"] {
            let line = line(&format!("/system.slice/benign.apt-71.service{path}"));
            assert_eq!(group(&line), Some("apt"));
        }
        assert_eq!(group(&line("/system.slice/cron.service")), None);
        assert_eq!(group("{}"), None);
    }

    #[test]
    fn executions_are_counted_and_alerts_kept() {
        let mut seen = Seen::default();
        let place = format!("{CGROUP}/system.slice/benign.apt-71.service\"");
        assert!(!seen.take(&format!("{{{EXEC},{place}}}")));
        assert!(!seen.take(&format!("{{{EXEC},{CGROUP}/\"}}")));
        assert!(seen.take(&format!("{{{ALERT},{place}}}")));
        assert_eq!(seen.executions, BTreeMap::from([("apt".to_owned(), 1)]));
    }
}
