//! `sensor approve`: what playbooks ask for, and the answer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Failure, NO, OK};
use crate::config::Config;
use crate::control::ask;
use crate::event::text::escape_terminal;
use crate::respond::asked::{APPROVE, ASKED, DENY, Summary};
use crate::respond::clock::{show_span, wall_ns};

/// Options of `sensor approve`.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Say yes to what a playbook with ask = true wants to do; without a number, list \
                  what waits. Exit code 1 when nothing waits, or not under that number."
)]
pub struct Arguments {
    /// The number of the question.
    id: Option<u32>,
    /// Say no: it is not done, and not asked again for the same alert.
    #[arg(long, requires = "id")]
    deny: bool,
    /// The list as JSON.
    #[arg(long)]
    json: bool,
    /// Directory of the control socket.
    #[arg(long, value_name = "DIR")]
    runtime_directory: Option<PathBuf>,
}

/// Lists or answers.
pub fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let directory = directory(arguments.runtime_directory.as_ref());
    let Some(id) = arguments.id else {
        return list(&directory, arguments.json);
    };
    let word = if arguments.deny { DENY } else { APPROVE };
    let answer: Value = request(&directory, &format!("{word} {id}"))?;
    if let Some(error) = answer.get("error").and_then(Value::as_str) {
        eprintln!("sensor: {error}");
        return Ok(NO);
    }
    if arguments.deny {
        println!("denied; it is not done");
    } else {
        println!("approved; what becomes of it is among the sensor's events");
    }
    Ok(OK)
}

fn list(directory: &Path, json: bool) -> Result<u8, Failure> {
    let waiting: Vec<Summary> = request(directory, ASKED)?;
    for question in &waiting {
        if json {
            let line = serde_json::to_string(question).map_err(Failure::refused)?;
            println!("{line}");
        } else {
            println!("{}", text(question));
        }
    }
    if waiting.is_empty() && !json {
        println!("nothing waits for a yes");
    }
    Ok(if waiting.is_empty() { NO } else { OK })
}

fn text(question: &Summary) -> String {
    let left = Duration::from_nanos(question.until_wall_ns.saturating_sub(wall_ns()));
    let clean = |text: &str| escape_terminal(text.as_bytes()).into_owned();
    format!(
        "{:<4} {}\n     by        playbook {}, for {} more\n     because   {}",
        question.id,
        clean(&question.steps.join(", ")),
        question.playbook,
        show_span(left),
        clean(&question.reason),
    )
}

/// Where the running sensor is.
pub(super) fn directory(given: Option<&PathBuf>) -> PathBuf {
    let default = || Config::default().runtime_directory;
    given.cloned().unwrap_or_else(default)
}

/// Asks the running sensor something that it answers with JSON.
pub(super) fn request<T: DeserializeOwned>(directory: &Path, request: &str) -> Result<T, Failure> {
    let answer = ask(directory, request).map_err(|error| {
        Failure::refused(anyhow!(
            "no sensor answers in {}: {error}. Is one running, and are you root?",
            directory.display()
        ))
    })?;
    serde_json::from_str(&answer)
        .with_context(|| format!("the sensor answers: {}", answer.trim()))
        .map_err(Failure::refused)
}
