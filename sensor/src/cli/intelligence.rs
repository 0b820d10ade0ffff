//! `sensor intelligence`: asks the running sensor for its lists, and for what is on them.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use serde_json::Value;

use super::{Failure, NO, OK};
use crate::config::Config;
use crate::control::ask;
use crate::event::text::escape_terminal;
use crate::export::json::rfc3339;

/// Options of `sensor intelligence`.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Ask the running sensor which lists of hostile addresses, names and files are in \
                  use (`[[intelligence]]` in the configuration), how fresh they are, and what of \
                  them is of no use. Exit code 1 when a list could not be fetched, or when what \
                  --check asks for is on none."
)]
pub struct Arguments {
    /// Say whether an address, name, URL or hash is listed.
    #[arg(long, value_name = "INDICATOR", conflicts_with = "refresh")]
    check: Option<String>,
    /// Fetch all lists now, and do not wait for it.
    #[arg(long)]
    refresh: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Directory of the control socket.
    #[arg(long, value_name = "DIR")]
    runtime_directory: Option<PathBuf>,
}

/// Asks, and prints the answer.
pub fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let request = match &arguments.check {
        Some(text) => {
            let text: String = text.chars().filter(|c| !c.is_control()).collect();
            format!("intelligence check {}", text.trim())
        }
        None if arguments.refresh => "intelligence refresh".to_owned(),
        None => "intelligence".to_owned(),
    };
    let answer = answer(arguments, &request)?;
    if arguments.json {
        println!("{answer}");
    } else if arguments.check.is_some() {
        println!("{}", checked(&answer));
    } else if !arguments.refresh {
        print!("{}", lists(&answer));
    }
    let is_yes = match (&arguments.check, arguments.refresh) {
        (Some(_), _) => !answer.get("indicator").is_none_or(Value::is_null),
        (None, true) => answer.get("started") == Some(&Value::Bool(true)),
        (None, false) => sources(&answer).all(|source| text(source, "error").is_empty()),
    };
    Ok(if is_yes { OK } else { NO })
}

fn answer(arguments: &Arguments, request: &str) -> Result<Value, Failure> {
    let directory = arguments
        .runtime_directory
        .clone()
        .unwrap_or_else(|| Config::default().runtime_directory);
    let answer = ask(&directory, request).map_err(|error| {
        Failure::refused(anyhow!(
            "no sensor answers in {}: {error}. Is one running, and are you root?",
            directory.display()
        ))
    })?;
    let answer: Value = serde_json::from_str(&answer)
        .context("the sensor's answer is not JSON")
        .map_err(Failure::refused)?;
    match answer.get("error").and_then(Value::as_str) {
        Some(error) if request.starts_with("intelligence check") => {
            Err(Failure::usage(anyhow!("{error}")))
        }
        Some(error) => Err(Failure::refused(anyhow!("the sensor says: {error}"))),
        None => Ok(answer),
    }
}

fn sources(answer: &Value) -> impl Iterator<Item = &Value> {
    answer
        .get("sources")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

/// To the minute; lists come from elsewhere, and so may times.
fn time(seconds: Option<u64>) -> String {
    let Some(seconds) = seconds else {
        return "never".to_owned();
    };
    let text = rfc3339(seconds.min(u64::MAX / 1_000_000_000) * 1_000_000_000);
    text.get(..16)
        .map_or(text.clone(), |minute| minute.replace('T', " "))
}

fn clean(text: &str) -> String {
    escape_terminal(text.as_bytes()).into_owned()
}

fn checked(answer: &Value) -> String {
    let asked = clean(text(answer, "asked"));
    let indicator = text(answer, "indicator");
    if indicator.is_empty() {
        return format!("{asked} is on no list");
    }
    let title = Some(clean(text(answer, "title"))).filter(|title| !title.is_empty());
    let title = title
        .map(|title| format!(" as {title:?}"))
        .unwrap_or_default();
    let blocks = match answer.get("blocks") {
        Some(Value::Bool(true)) => ", to be blocked",
        _ => "",
    };
    format!(
        "{asked} is on the list {}{title}: {}, {} % sure, until {} UTC{blocks}",
        clean(text(answer, "list")),
        clean(indicator),
        number(answer, "/confidence"),
        time(answer.get("until").and_then(Value::as_u64)),
    )
}

fn lists(answer: &Value) -> String {
    let mut out = format!(
        "{} addresses, {} networks, {} names, {} hashes in force, {} MiB; {} to be blocked\n",
        number(answer, "/sizes/addresses"),
        number(answer, "/sizes/networks"),
        number(answer, "/sizes/domains"),
        number(answer, "/sizes/files"),
        number(answer, "/memory") / (1024 * 1024),
        number(answer, "/blocked"),
    );
    if let Some(error) = answer.get("block_error").and_then(Value::as_str) {
        out.push_str(&format!("not blocked: {}\n", clean(error)));
    }
    for source in sources(answer) {
        let fetched = time(source.get("fetched").and_then(Value::as_u64));
        let next = time(source.get("next").and_then(Value::as_u64));
        out.push_str(&format!(
            "\n{} ({}) {}\n  {} in use; fetched {fetched}, next {next} UTC\n",
            clean(text(source, "name")),
            text(source, "kind"),
            clean(text(source, "location")),
            number(source, "/counts/indicators"),
        ));
        let unused: Vec<String> = [
            ("unfit", "no indicators"),
            ("unsupported", "of patterns not supported"),
            ("revoked", "revoked"),
            ("benign", "benign"),
            ("expired", "expired"),
            ("early", "not valid yet"),
            ("dropped", "without room"),
        ]
        .iter()
        .map(|(key, words)| (number(source, &format!("/counts/{key}")), words))
        .filter(|(count, _)| *count > 0)
        .map(|(count, words)| format!("{count} {words}"))
        .collect();
        if !unused.is_empty() {
            let first = source
                .pointer("/counts/first_problem")
                .and_then(Value::as_str);
            let first = first.map(|first| format!(" (first: {})", clean(first)));
            out.push_str(&format!(
                "  not in use: {}{}\n",
                unused.join(", "),
                first.unwrap_or_default()
            ));
        }
        let error = text(source, "error");
        if !error.is_empty() {
            let failures = number(source, "/failures");
            out.push_str(&format!("  failed {failures} times: {}\n", clean(error)));
        }
    }
    out
}
