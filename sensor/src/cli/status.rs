//! `sensor status`: asks the running sensor over its control socket.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use serde_json::Value;

use super::{Failure, NO, OK};
use crate::config::Config;
use crate::control::ask;

/// Options of `sensor status`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Directory of the control socket.
    #[arg(long, value_name = "DIR")]
    runtime_directory: Option<PathBuf>,
}

/// Prints the answer; says no when the sensor does not see everything.
pub fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let directory = arguments
        .runtime_directory
        .clone()
        .unwrap_or_else(|| Config::default().runtime_directory);
    let answer = ask(&directory, "status").map_err(|error| {
        Failure::refused(anyhow!(
            "no sensor answers in {}: {error}. Is one running, and are you root?",
            directory.display()
        ))
    })?;
    let report: Value = serde_json::from_str(&answer)
        .context("the sensor's answer is not JSON")
        .map_err(Failure::refused)?;
    if let Some(error) = report.get("error").and_then(Value::as_str) {
        return Err(Failure::refused(anyhow!("the sensor says: {error}")));
    }
    if arguments.json {
        print!("{answer}");
    } else {
        print!("{}", text(&report));
    }
    Ok(
        if report.get("verdict").and_then(Value::as_str) == Some("healthy") {
            OK
        } else {
            NO
        },
    )
}

fn text(report: &Value) -> String {
    let word = |key: &str| report.get(key).map(plain).unwrap_or_default();
    let mut text = format!(
        "sensor {} is {} (pid {}, up {} s)\n{}\n{} processes known, {} forgotten; {} alerts\n\n",
        word("version"),
        word("verdict"),
        word("pid"),
        word("uptime_seconds"),
        word("summary"),
        word("processes"),
        word("processes_forgotten"),
        word("alerts"),
    );
    text.push_str(&format!(
        "{:<22} {:>12} {:>12} {:>12} {:>10} {:>12} {:>12}\n",
        "KIND", "SEEN", "FILTERED", "SUBMITTED", "LOST", "READ", "DELIVERED"
    ));
    let lines = report.pointer("/account/lines").and_then(Value::as_array);
    for line in lines.into_iter().flatten() {
        let number = |key: &str| line.get(key).and_then(Value::as_u64).unwrap_or(0);
        text.push_str(&format!(
            "{:<22} {:>12} {:>12} {:>12} {:>10} {:>12} {:>12}\n",
            line.get("kind").map(plain).unwrap_or_default(),
            number("seen"),
            number("filtered"),
            number("submitted"),
            number("lost_ring") + number("lost_scratch") + number("lost_begun"),
            number("read"),
            number("delivered"),
        ));
    }
    text.push_str(&responses(report));
    text.push_str(&files(report));
    text.push_str(&spool(report));
    text.push_str(&sinks(report));
    text
}

/// A line on what was done about intruders, if there was anything.
fn responses(report: &Value) -> String {
    let Some(responses) = report.get("responses").and_then(Value::as_object) else {
        return String::new();
    };
    let count = |key: &str| responses.get(key).and_then(Value::as_u64).unwrap_or(0);
    if responses.keys().all(|key| count(key) == 0) {
        return String::new();
    }
    format!(
        "\nresponses done {}, rehearsed {}, asked for {}, refused {}, failed {}, not reported {}; \
         alerts no playbook had time for {}\n",
        count("done"),
        count("dry_run"),
        count("asked"),
        count("refused"),
        count("failed"),
        count("unreported"),
        count("overlooked"),
    )
}

/// A line on the scanned files.
fn files(report: &Value) -> String {
    let Some(content) = report.get("content").filter(|content| !content.is_null()) else {
        return String::new();
    };
    let number = |key: &str| content.get(key).and_then(Value::as_u64).unwrap_or(0);
    format!(
        "\nfiles scanned {} ({} bytes), matched {}, known {}, cut {}, timed out {}, scanner killed {}, \
         gone {}, not taken {}; {} YARA rules, scanner pid {}, started again {} times, {} sets refused\n",
        number("scanned"),
        number("bytes"),
        number("matched"),
        number("known"),
        number("too_big"),
        number("timed_out"),
        number("killed"),
        number("gone"),
        number("queue_full"),
        number("rules"),
        number("helper"),
        number("restarts"),
        number("refused"),
    )
}

/// A line for each lane of the spool, where there is one.
fn spool(report: &Value) -> String {
    let lanes = report.pointer("/spool/lanes").and_then(Value::as_array);
    let mut text = String::new();
    for lane in lanes.into_iter().flatten() {
        let number = |key: &str| lane.get(key).and_then(Value::as_u64).unwrap_or(0);
        let lost = [
            "queue_full",
            "failed",
            "refused",
            "dropped_full",
            "dropped_old",
        ];
        text.push_str(&format!(
            "\nspool {}: {} KiB on disk, {} events kept, {} lost for want of room, time or disk",
            lane.get("lane").map(plain).unwrap_or_default(),
            number("bytes") / 1024,
            number("kept"),
            lost.into_iter().map(number).sum::<u64>(),
        ));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// A table of the receivers, where there are any.
fn sinks(report: &Value) -> String {
    let sinks = report.get("sinks").and_then(Value::as_array);
    let Some(sinks) = sinks.filter(|sinks| !sinks.is_empty()) else {
        return String::new();
    };
    let mut text = format!(
        "\n{:<22} {:<14} {:>12} {:>10} {:>9} {:>9}  NOW\n",
        "SINK", "KIND", "DELIVERED", "BEHIND", "REFUSED", "MISSING"
    );
    for sink in sinks {
        let word = |key: &str| sink.get(key).map(plain).unwrap_or_default();
        let trouble = sink.get("trouble").and_then(Value::as_str);
        text.push_str(&format!(
            "{:<22} {:<14} {:>12} {:>10} {:>9} {:>9}  {}\n",
            word("name"),
            word("kind"),
            word("delivered"),
            word("behind"),
            word("refused"),
            word("missing"),
            trouble.unwrap_or("delivers"),
        ));
    }
    text
}

/// Text without quotes, anything else as JSON has it.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
