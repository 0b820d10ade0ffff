//! `sensor rules`: checks, lists and tries Sigma rules. What rules mean is in `detect::sigma`.

mod bench;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use serde::Deserialize;
use serde_json::json;

use super::{Failure, NO, OK};
use crate::content;
use crate::detect::sigma::load::Problem;
use crate::detect::sigma::sample::Sample;
use crate::detect::sigma::verdict::Verdict;
use crate::detect::sigma::{Engine, Kinds, builtin};
use crate::event::text::json_line;

/// Options of `sensor rules`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check rule files: everything that cannot be used, with file, line and reason. Exit code 1
    /// when there is something.
    Lint {
        /// Files and directories.
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// List rules and whether they can fire here, and why not.
    List {
        /// Files and directories; the built-in rules when there are none.
        #[arg(value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Try rules on the samples beside them (`RULE.samples.jsonl`). Exit code 1 when one does not
    /// do what its sample says.
    Test {
        /// Files and directories; the built-in rules when there are none.
        #[arg(value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// Measure how many recorded events a second the rules can take.
    #[command(hide = true)]
    Bench(bench::Arguments),
}

/// Does what was asked.
pub fn run(arguments: Arguments) -> Result<u8, Failure> {
    match arguments.command {
        Command::Lint { paths } => Ok(lint(&paths)),
        Command::List { paths, json } => list(&paths, json),
        Command::Test { paths } => test(&paths),
        Command::Bench(arguments) => bench::run(&arguments).map_err(Failure::usage),
    }
}

/// Rules of some paths, or the built-in ones.
fn engine(paths: &[PathBuf]) -> (Engine, Vec<Problem>) {
    Engine::load(paths, paths.is_empty(), &Kinds::all())
}

fn lint(paths: &[PathBuf]) -> u8 {
    let (engine, problems) = engine(paths);
    for problem in &problems {
        println!("{problem}");
    }
    println!("{} rules, {} problems", engine.len(), problems.len());
    if problems.is_empty() { OK } else { NO }
}

fn list(paths: &[PathBuf], json: bool) -> Result<u8, Failure> {
    let (engine, problems) = engine(paths);
    for problem in &problems {
        eprintln!("{problem}");
    }
    let (mut total, mut firing) = (0, 0);
    for listed in engine.list() {
        total += 1;
        firing += usize::from(listed.verdict.fires());
        if json {
            let (reason, kinds) = match listed.verdict {
                Verdict::Fires(kinds) => (None, kinds.clone()),
                Verdict::Never(why) => (Some(&why.words), Vec::new()),
            };
            let line = json_line(&json!({
                "id": listed.rule.id,
                "level": listed.severity.name(),
                "title": listed.rule.name,
                "fires": listed.verdict.fires(),
                "events": kinds,
                "reason": reason,
                "file": listed.file,
            }));
            println!("{}", line.map_err(Failure::usage)?);
        } else {
            println!(
                "{}  {:<13} {}\n{:38}{}",
                listed.rule.id,
                listed.severity.name(),
                listed.rule.name,
                "",
                listed.verdict
            );
        }
    }
    if !json {
        println!(
            "{firing} of {total} rules can fire, {} problems",
            problems.len()
        );
    }
    Ok(if problems.is_empty() { OK } else { NO })
}

/// A line of a file of samples.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// Whether the rule beside it must fire.
    fires: bool,
    /// The event, as `sensor run --output json --schema native` writes it.
    event: serde_json::Value,
}

#[derive(Default)]
struct Tally {
    tried: usize,
    wrong: usize,
    without: Vec<String>,
}

fn test(paths: &[PathBuf]) -> Result<u8, Failure> {
    let (mut engine, problems) = engine(paths);
    for problem in &problems {
        println!("{problem}");
    }
    let mut files: BTreeMap<String, BTreeSet<Box<str>>> = BTreeMap::new();
    for listed in engine.list() {
        let ids = files.entry(listed.file.to_owned()).or_default();
        ids.insert(listed.rule.id.clone());
    }
    let built_in: BTreeMap<String, &str> = builtin::samples().collect();
    let mut tally = Tally::default();
    for (file, ids) in files {
        let text = match built_in.get(&file) {
            Some(text) => (*text).to_owned(),
            None => match fs::read_to_string(Path::new(&file).with_extension("samples.jsonl")) {
                Ok(text) => text,
                Err(_) => {
                    tally.without.push(file);
                    continue;
                }
            },
        };
        try_samples(&mut engine, &file, &ids, &text, &mut tally).map_err(Failure::usage)?;
    }
    if paths.is_empty() {
        try_yara(&mut tally).map_err(Failure::usage)?;
    }
    for file in &tally.without {
        println!("{file}: no samples beside it");
    }
    println!(
        "{} samples tried, {} wrong; {} files without samples; {} problems",
        tally.tried,
        tally.wrong,
        tally.without.len(),
        problems.len()
    );
    let good = tally.wrong == 0 && tally.tried > 0 && problems.is_empty();
    Ok(if good { OK } else { NO })
}

/// Tries the built-in YARA rules on their samples.
fn try_yara(tally: &mut Tally) -> anyhow::Result<()> {
    let sources = content::source::Sources::read(&[], true);
    let (mut engine, problems) = content::engine::Engine::compile(&sources.files);
    if let Some(problem) = problems.first() {
        return Err(anyhow!("{problem}"));
    }
    for (file, text) in content::source::builtin_samples() {
        for (number, line) in (1..).zip(text.lines()) {
            let sample = content::samples::Sample::parse(line)
                .with_context(|| format!("sample {number} of {file}"))?;
            let hits = engine.scan(&sample.content, content::TIME_LIMIT).hits;
            let fired = hits.iter().any(|hit| {
                let card = engine.cards().get(hit.rule as usize);
                card.is_some_and(|card| card.name == sample.rule)
            });
            tally.tried += 1;
            if fired != sample.fires {
                tally.wrong += 1;
                println!("sample {number} of {file}: not as it says: {}", sample.rule);
            }
        }
    }
    Ok(())
}

fn try_samples(
    engine: &mut Engine,
    file: &str,
    ids: &BTreeSet<Box<str>>,
    text: &str,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    for (number, line) in (1_i64..).zip(text.lines()) {
        let place = || format!("sample {number} of {file}");
        let line: Line = serde_json::from_str(line)
            .map_err(|error| anyhow!("{error}; a line is {{\"fires\": true, \"event\": {{…}}}}"))
            .with_context(place)?;
        // Samples are a second apart, for rules that count within a time.
        let sample = Sample::from_json(line.event, number).with_context(place)?;
        let matches = engine.evaluate_record(&sample);
        let fired = matches.iter().any(|found| ids.contains(&found.rule.id));
        tally.tried += 1;
        if fired != line.fires {
            tally.wrong += 1;
            let (did, should) = if fired {
                ("fires", "should not")
            } else {
                ("does not fire", "should")
            };
            println!("{}: {did}, and {should}", place());
        }
    }
    Ok(())
}
