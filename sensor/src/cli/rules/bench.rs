//! `sensor rules bench`: recorded events through the rule engine, as fast as one thread can.
//! Rule sets of other sizes are made of the one given: fewer by leaving out, more by copies in
//! which the letters of all values are shifted (and numbers moved), so that copies look for other texts of the same
//! length in the same places.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rsigma_parser::value::StringPart;
use rsigma_parser::{Detection, Modifier, SigmaRule, SigmaValue};

use crate::cli::OK;
use crate::detect::sigma::load::{Found, Sources};
use crate::detect::sigma::{Engine, Kinds};
use crate::event::Event;
use crate::event::parse::{self, Parsed};

/// Options of `sensor rules bench`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Files and directories of rules.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Recorded events, as `sensor run --output json --schema native` writes them.
    #[arg(long, value_name = "FILE")]
    events: PathBuf,
    /// Sizes of the rule set to try, separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000, 4000])]
    rules: Vec<usize>,
    /// Seconds to measure each.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// How many of the rules that were candidates most often to show.
    #[arg(long, default_value_t = 0)]
    show: usize,
    /// Only events of these kinds (event.dataset), separated by commas.
    #[arg(long, value_delimiter = ',')]
    kinds: Vec<String>,
}

/// The event of a line, if it is one.
fn recorded(line: &str) -> Option<Event> {
    match parse::line(line.as_bytes()) {
        Ok(Parsed::Event { event, .. }) => Some(*event),
        _ => None,
    }
}

/// Measures.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let text = fs::read_to_string(&arguments.events)
        .with_context(|| format!("cannot read {}", arguments.events.display()))?;
    let lines = text.lines().count();
    let mut events: Vec<Event> = text.lines().filter_map(recorded).collect();
    if !arguments.kinds.is_empty() {
        let name = |event: &Event| event.action.label().name.to_owned();
        events.retain(|event| arguments.kinds.contains(&name(event)));
    }
    ensure!(!events.is_empty(), "no event of a known kind was recorded");
    println!("{} events, of {lines} recorded", events.len());
    for size in &arguments.rules {
        let mut sources = Sources::default();
        for path in &arguments.paths {
            sources.add_path(path);
        }
        resize(&mut sources.rules, *size);
        let before = resident_kib();
        let start = Instant::now();
        let (mut engine, _) = Engine::new(sources, &Kinds::all());
        let built = start.elapsed();
        let after = resident_kib();
        let common = commonest(&mut engine, &events);
        let result = measure(&mut engine, &events, Duration::from_secs(arguments.seconds));
        println!(
            "{:>5} rules: {:>9.0} events/s, {:.2} candidates and {:.4} matches an event; loaded in {} ms, \
             resident +{} KiB, of which indexes {} KiB",
            engine.len(),
            result.rate,
            common.iter().map(|(_, count)| count).sum::<usize>() as f64 / events.len() as f64,
            result.matches,
            built.as_millis(),
            after.saturating_sub(before),
            engine.index_memory() / 1024
        );
        for (title, count) in common.iter().take(arguments.show) {
            let each = *count as f64 / events.len() as f64;
            println!("        candidate {each:.3} times an event: {title}");
        }
    }
    Ok(OK)
}

struct Measured {
    rate: f64,
    matches: f64,
}

/// How often each rule was a candidate, the most frequent first.
fn commonest(engine: &mut Engine, events: &[Event]) -> Vec<(Box<str>, usize)> {
    let mut counts: HashMap<Box<str>, usize> = HashMap::new();
    for event in events {
        for rule in engine.candidates(event) {
            *counts.entry(rule.name.clone()).or_default() += 1;
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| Reverse(*count));
    counts
}

fn measure(engine: &mut Engine, events: &[Event], time: Duration) -> Measured {
    let (mut done, mut matches) = (0_usize, 0_usize);
    let (start, begin) = (Instant::now(), processor_time());
    while start.elapsed() < time {
        for event in events {
            matches += engine.evaluate(event).len();
        }
        done += events.len();
    }
    let took = (processor_time() - begin).as_secs_f64();
    Measured {
        rate: done as f64 / took,
        matches: matches as f64 / done as f64,
    }
}

/// Processor time of this thread: what others do on the machine is not counted.
fn processor_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid timespec that the call fills.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// Resident memory of this process.
fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1))
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// Makes a set of rules this large.
fn resize(rules: &mut Vec<Found<SigmaRule>>, size: usize) {
    let originals = rules.clone();
    if originals.is_empty() {
        return;
    }
    for (number, original) in (0..size).zip(originals.iter().cycle()) {
        let copy = number / originals.len();
        if copy == 0 {
            continue;
        }
        let mut rule = original.clone();
        let document = &mut rule.document;
        let id = document.id.take().unwrap_or_default();
        document.id = Some(format!("{id}-{copy}"));
        let shift = u8::try_from(copy % 25 + 1).unwrap_or(1);
        for detection in document.detection.named.values_mut() {
            alter(detection, shift);
        }
        rules.push(rule);
    }
    rules.truncate(size);
}

fn alter(detection: &mut Detection, shift: u8) {
    match detection {
        Detection::AllOf(items) => {
            for item in items {
                // These say what record is meant, not what is looked for in it.
                let name = item.field.name.as_deref();
                let says_record =
                    matches!(name, Some("type" | "SYSCALL" | "nametype" | "Initiated"));
                if says_record || item.field.modifiers.contains(&Modifier::Cidr) {
                    continue;
                }
                for value in &mut item.values {
                    alter_value(value, shift);
                }
            }
        }
        Detection::AnyOf(inner) | Detection::And(inner) => {
            inner.iter_mut().for_each(|inner| alter(inner, shift));
        }
        Detection::Keywords(values) => values
            .iter_mut()
            .for_each(|value| alter_value(value, shift)),
        _ => {}
    }
}

fn alter_value(value: &mut SigmaValue, shift: u8) {
    let text = match value {
        SigmaValue::String(text) => text,
        SigmaValue::Integer(number) => {
            *number += i64::from(shift) * 1_000;
            return;
        }
        _ => return,
    };
    // An expression would become another expression, or none.
    if text.original.contains(['\\', '(', '[']) {
        return;
    }
    // A text without letters would stay the same, and its copies would match together.
    if !text.original.contains(|c: char| c.is_ascii_alphabetic()) {
        text.parts
            .push(StringPart::Plain(char::from(b'a' + shift).to_string()));
        return;
    }
    for part in &mut text.parts {
        if let StringPart::Plain(plain) = part {
            *plain = plain.chars().map(|c| shifted(c, shift)).collect();
        }
    }
}

fn shifted(c: char, shift: u8) -> char {
    match u8::try_from(c) {
        Ok(byte @ b'a'..=b'z') => char::from(b'a' + (byte - b'a' + shift) % 26),
        Ok(byte @ b'A'..=b'Z') => char::from(b'A' + (byte - b'A' + shift) % 26),
        _ => c,
    }
}
