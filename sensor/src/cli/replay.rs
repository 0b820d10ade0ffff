//! `sensor replay`: recorded events through the same detection as the kernel's, without a kernel
//! and without privileges.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;

use anyhow::Context as _;

use super::run::selection_of;
use super::{Failure, NO, OK};
use crate::config::Config;
use crate::detect::sigma;
use crate::export::format::Format;
use crate::export::pretty::Style;
use crate::export::writer::{Output, Writer};
use crate::probe::selection::Selection;
use crate::replay::{Counts, Flaw, Replay};
use crate::respond::rehearsal::Rehearsal;

/// Broken lines told one by one; further ones are only counted.
const COMPLAINTS_MAX: u64 = 100;
/// Bytes read at a time.
const BUFFER_BYTES: usize = 256 * 1024;

/// Options of `sensor replay`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Recorded by `sensor run --output json`, in the schema ecs or native; `-` for standard input. Record
    /// with `--events process,network,file`, or without `--events`.
    file: PathBuf,
    /// Form of the output; pretty on a terminal, json otherwise.
    #[arg(long, value_enum)]
    output: Option<Output>,
    /// Format of the output, unless it is pretty.
    #[arg(long, value_enum, default_value = "ecs")]
    schema: Format,
    /// Write these kinds or families of recorded event as well, separated by commas
    /// (process.exec,network,file.*). Alerts, and what the sensor said of itself, are always
    /// written.
    #[arg(long, value_delimiter = ',', value_name = "KINDS")]
    events: Vec<String>,
    /// Files and directories of Sigma rules to use besides the built-in ones; a rule with the id
    /// of another takes its place.
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// Say as well what the playbooks of this configuration file would have done, all that are not
    /// off; whether something would have been protected is not looked at.
    #[arg(long, value_name = "FILE")]
    playbooks: Option<PathBuf>,
    /// Exit with 1 when a line is not understood.
    #[arg(long)]
    strict: bool,
}

/// Replays a recording.
pub fn run(arguments: Arguments) -> Result<u8, Failure> {
    let selection = if arguments.events.is_empty() {
        Selection::none()
    } else {
        selection_of(&arguments.events)?
    };
    let input = open(&arguments.file).map_err(Failure::usage)?;
    let style = Style::for_stream(io::stdout());
    let output = arguments.output.unwrap_or(if style.width > 0 {
        Output::Pretty
    } else {
        Output::Json
    });
    let writer = Writer::new(io::stdout(), output, arguments.schema, style);
    let name = arguments.file.display();
    let (rules, problems) = sigma::Engine::load(&arguments.rules, true, &sigma::Kinds::all());
    for problem in &problems {
        tracing::warn!(%problem, "a rule cannot be used");
    }
    let mut told = 0;
    let mut replay = Replay::new(Box::new(rules), writer, selection);
    if let Some(file) = &arguments.playbooks {
        let config = Config::load(file).map_err(Failure::usage)?;
        let playbooks = config.respond.playbooks().map_err(Failure::usage)?;
        replay = replay.rehearsing(Rehearsal::new(playbooks, style.utc_offset));
    }
    let counts = replay
        .run(input, |number, flaw| {
            told += 1;
            complain(&name.to_string(), told, number, flaw);
        })
        .with_context(|| format!("{name} cannot be read to its end"))
        .map_err(Failure::refused)?;
    report(&counts);
    Ok(if arguments.strict && counts.broken > 0 {
        NO
    } else {
        OK
    })
}

fn open(path: &PathBuf) -> anyhow::Result<Box<dyn BufRead>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(BufReader::with_capacity(
            BUFFER_BYTES,
            io::stdin(),
        )));
    }
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, file)))
}

fn complain(name: &str, told: u64, number: u64, flaw: &Flaw) {
    if told <= COMPLAINTS_MAX {
        eprintln!("{name}:{number}: {flaw}; the line is left out");
    }
    if told == COMPLAINTS_MAX {
        eprintln!("{name}: further lines like these are only counted");
    }
}

fn report(counts: &Counts) {
    let Counts {
        events,
        recorded_alerts,
        alerts,
        broken,
        with_unknown_fields,
        lost,
    } = *counts;
    eprintln!("{events} events replayed: {alerts} alerts ({recorded_alerts} when recorded)");
    let doubts = [
        (broken, "lines were not understood and left out"),
        (
            with_unknown_fields,
            "events have fields that this version does not know",
        ),
        (lost, "events were lost when this was recorded"),
    ];
    for (count, what) in doubts.into_iter().filter(|(count, _)| *count > 0) {
        eprintln!("{count} {what}");
    }
}
