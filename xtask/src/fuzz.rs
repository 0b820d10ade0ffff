//! `cargo xtask fuzz`: runs the fuzz targets of `fuzz/`, one after the other, and says what they
//! found. What a target feeds to what is in the target.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;
use crate::{exec, setup};

/// An input that takes longer is a finding.
const SLOWEST_INPUT_SECONDS: u32 = 10;
/// Needing more memory is one as well.
const MOST_MEMORY_MIB: u32 = 2048;

/// `cargo xtask fuzz`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// One target; all of them when left out
    target: Option<String>,
    /// How long to run each
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// Runs what is asked for, even after findings, and fails if there were any.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let fuzzer = setup::for_fuzzing(workspace)?;
    let fuzz = workspace.root().join("fuzz");
    let mut targets = targets(&fuzz)?;
    if let Some(wanted) = &args.target {
        if !targets.contains(wanted) {
            bail!("no fuzz target {wanted}; there are {}", targets.join(", "));
        }
        targets.retain(|target| target == wanted);
    }
    let mut found = Vec::new();
    for target in targets {
        println!("fuzz: {target}, {} s", args.seconds);
        let mut command = command(workspace, &fuzzer, &fuzz, &target)?;
        command.arg(format!("-max_total_time={}", args.seconds));
        if let Err(error) = exec::run(&mut command) {
            println!("fuzz: {target}: {error:#}");
            found.push(target);
        }
    }
    if found.is_empty() {
        println!("fuzz: nothing found");
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "fuzz: look at {}; the inputs are in fuzz/artifacts",
        found.join(", ")
    );
    Ok(ExitCode::FAILURE)
}

/// Names of the targets, in their order.
fn targets(fuzz: &Path) -> Result<Vec<String>> {
    let directory = fuzz.join("fuzz_targets");
    let entries = directory
        .read_dir()
        .with_context(|| format!("cannot list {}", directory.display()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// cargo-fuzz with one target, its own corpus first (new inputs go there), then our seeds.
fn command(
    workspace: &Workspace,
    fuzzer: &setup::Fuzzer,
    fuzz: &Path,
    target: &str,
) -> Result<Command> {
    let corpus = fuzz.join("corpus").join(target);
    std::fs::create_dir_all(&corpus)
        .with_context(|| format!("cannot create {}", corpus.display()))?;
    let seeds: Option<PathBuf> = Some(fuzz.join("seeds").join(target)).filter(|dir| dir.is_dir());
    let mut command = Command::new(&fuzzer.program);
    command
        .current_dir(workspace.root())
        // Sanitizers and coverage are not in stable's promise, but in its compiler.
        .env("RUSTC_BOOTSTRAP", "1")
        .args(["fuzz", "run", "--sanitizer", fuzzer.sanitizer, target])
        .arg(corpus)
        .args(seeds)
        .arg("--")
        .arg(format!("-timeout={SLOWEST_INPUT_SECONDS}"))
        .arg(format!("-rss_limit_mb={MOST_MEMORY_MIB}"))
        .arg("-print_final_stats=1");
    Ok(command)
}
