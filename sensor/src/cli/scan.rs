//! `sensor scan`: tries YARA rules on files and directories, with the same confined helper that
//! `sensor run` uses. Also the entrance of that helper.

use std::collections::VecDeque;
use std::fs;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use serde_json::json;

use super::{Failure, NO, OK};
use crate::config::Config;
use crate::content::child::Helper;
use crate::content::scanner::{Examined, examine};
use crate::content::{Found, Unscanned, helper as inside};
use crate::event::text::{escape_terminal, json_line};

/// Most files of one scan.
const FILES_MAX: u64 = 5_000_000;
/// How deep directories may be nested.
const DEPTH_MAX: usize = 64;
/// Not walked into unless named: what is there is made up by the kernel.
const PASSED_OVER: &[&str] = &["/proc", "/sys", "/dev"];

/// Options of `sensor scan`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Files and directories, with all that is in them. Links are not followed.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Configuration file: its `[content]` says which rules and how much of a file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Rules beside those of the configuration: files and directories.
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// One JSON object a line: each match, each file that was not scanned, and the sums.
    #[arg(long)]
    json: bool,
}

/// What came of it all.
#[derive(Debug, Default)]
struct Sums {
    files: u64,
    bytes: u64,
    matched: u64,
    cut: u64,
    unscanned: u64,
}

/// Scans; says no when something matches.
pub fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let config = match &arguments.config {
        Some(path) => Config::load(path).map_err(Failure::usage)?,
        None => Config::default(),
    };
    let mut content = config.content;
    content.rules.extend(arguments.rules.iter().cloned());
    let settings = content.settings();
    let helper = Helper::start(&settings.sources).map_err(Failure::refused)?;
    if let Some(problem) = helper.problems().first() {
        return Err(Failure::usage(anyhow!("a rule cannot be used: {problem}")));
    }
    for lack in helper.lacks() {
        tracing::warn!(lack, "the scanner is less confined than it should be");
    }
    let mut scan = Scan {
        json: arguments.json,
        colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        size_max: settings.size_max,
        rules: helper.cards().len(),
        helper: Some(helper),
        sums: Sums::default(),
        start: Box::new(move || Helper::start(&settings.sources)),
    };
    let started = Instant::now();
    for path in &arguments.paths {
        let metadata = fs::symlink_metadata(path)
            .with_context(|| format!("cannot scan {}", path.display()))
            .map_err(Failure::refused)?;
        scan.walk(path, &metadata)?;
    }
    scan.conclude(started.elapsed().as_secs_f64());
    Ok(if scan.sums.matched > 0 { NO } else { OK })
}

/// What runs in the helper.
pub fn helper() -> Result<u8, Failure> {
    inside::run().map_err(Failure::refused)?;
    Ok(OK)
}

type Starter = dyn Fn() -> Result<Helper, crate::content::child::ChildError>;

struct Scan {
    json: bool,
    colour: bool,
    size_max: u64,
    rules: usize,
    helper: Option<Helper>,
    sums: Sums,
    start: Box<Starter>,
}

impl Scan {
    /// A file, or all files in a directory and below.
    fn walk(&mut self, path: &Path, metadata: &fs::Metadata) -> Result<(), Failure> {
        if !metadata.is_dir() {
            return self.file(path);
        }
        let mut directories = VecDeque::from([(path.to_owned(), 0)]);
        while let Some((directory, depth)) = directories.pop_front() {
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) => {
                    self.unscanned(&directory, &error.to_string());
                    continue;
                }
            };
            for entry in entries.flatten() {
                let path = entry.path();
                let Ok(kind) = entry.file_type() else {
                    continue;
                };
                if kind.is_dir() {
                    let is_made_up = PASSED_OVER.iter().any(|made_up| path == Path::new(made_up));
                    if is_made_up {
                        continue;
                    }
                    if depth >= DEPTH_MAX {
                        self.unscanned(&path, "it is nested too deep");
                    } else {
                        directories.push_back((path, depth + 1));
                    }
                } else if kind.is_file() {
                    self.file(&path)?;
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<(), Failure> {
        if self.sums.files >= FILES_MAX {
            return Err(Failure::refused(anyhow!(
                "more than {FILES_MAX} files; scan parts of it"
            )));
        }
        let helper = match self.helper.take() {
            Some(helper) => helper,
            None => (self.start)().map_err(Failure::refused)?,
        };
        let mut helper = helper;
        match examine(&mut helper, path, self.size_max) {
            Ok(examined) => {
                self.helper = Some(helper);
                self.count(path, examined);
            }
            // It is of no use any more; the next file gets another.
            Err(why @ (Unscanned::Died | Unscanned::Hung)) => self.unscanned(path, why.words()),
            Err(why) => {
                self.helper = Some(helper);
                self.unscanned(path, why.words());
            }
        }
        Ok(())
    }

    fn count(&mut self, path: &Path, examined: Examined) {
        self.sums.files += 1;
        self.sums.bytes += examined.bytes;
        self.sums.cut += u64::from(examined.bytes < examined.size);
        if let Some(found) = examined.found {
            self.sums.matched += 1;
            self.say(path, &found);
        }
    }

    fn say(&self, path: &Path, found: &Found) {
        let path = path.to_string_lossy();
        if self.json {
            for hit in &found.rules {
                let card = &hit.card;
                let place = hit.place.as_ref();
                print_json(&json!({
                    "file.path": path,
                    "file.size": found.size,
                    "file.hash.sha256": found.sha256,
                    "rule.name": card.name,
                    "rule.description": card.description,
                    "rule.reference": card.file,
                    "sensor.alert.severity": card.severity().name(),
                    "sensor.alert.confidence": card.confidence,
                    "threat": card.attack,
                    "string": place.map(|(name, _)| name),
                    "offset": place.map(|(_, offset)| offset),
                    "sensor.content.scanned": found.scanned,
                }));
            }
            return;
        }
        for hit in &found.rules {
            let card: &Arc<_> = &hit.card;
            let severity = card.severity();
            let (on, off) = match (self.colour, severity.name()) {
                (true, "high" | "critical") => ("\x1b[1;31m", "\x1b[0m"),
                (true, _) => ("\x1b[1;33m", "\x1b[0m"),
                (false, _) => ("", ""),
            };
            println!(
                "{on}{:<8} {}{off} {}: {}",
                severity.name(),
                escape_terminal(path.as_bytes()),
                escape_terminal(card.name.as_bytes()),
                escape_terminal(card.description.as_bytes()),
            );
        }
    }

    fn unscanned(&mut self, path: &Path, why: &str) {
        self.sums.unscanned += 1;
        let path = path.to_string_lossy();
        if self.json {
            print_json(&json!({"file.path": path, "not_scanned": why}));
        } else {
            let path = escape_terminal(path.as_bytes());
            eprintln!("sensor: not scanned: {path}: {why}");
        }
    }

    fn conclude(&self, seconds: f64) {
        let Sums {
            files,
            bytes,
            matched,
            cut,
            unscanned,
        } = self.sums;
        // A display of speed, where precision is of no matter.
        let speed = bytes as f64 / 1e6 / seconds.max(1e-3);
        if self.json {
            return print_json(&json!({
                "files": files,
                "bytes": bytes,
                "matched": matched,
                "cut": cut,
                "not_scanned": unscanned,
                "rules": self.rules,
                "seconds": seconds,
            }));
        }
        println!(
            "{files} files, {bytes} bytes in {seconds:.1} s ({speed:.0} MB/s), {} rules: {matched} \
             matched, {cut} looked at in part, {unscanned} not scanned",
            self.rules
        );
    }
}

fn print_json(value: &serde_json::Value) {
    if let Ok(line) = json_line(value) {
        println!("{line}");
    }
}
