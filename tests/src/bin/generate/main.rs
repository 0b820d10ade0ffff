//! Ground truth: performs a known number of known operations, and prints what it did as one
//! line of JSON per kind, so that a test can compare every event of the sensor with it, field by
//! field. What each operation looks like is in `sensor_tests::plan`; nothing here is random, and
//! nothing leaves the directory given, loopback, and namespaces of its own.

mod files;
mod network;
mod processes;
mod sys;
mod system;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use serde_json::{Value, json};

/// Performs known operations and says what they were.
#[derive(Parser)]
#[command(name = "generate")]
struct Arguments {
    /// What to do; several are done one after the other
    #[arg(long = "kind", value_enum, value_delimiter = ',', required = true)]
    kinds: Vec<Kind>,
    /// How often
    #[arg(long, default_value_t = 1_000)]
    count: u64,
    /// Decides every name and argument
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Directory for files and mounts; it has to exist
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Pause after each operation, in microseconds
    #[arg(long, value_name = "US", default_value_t = 0)]
    pause: u64,
}

/// A kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// fork, exec of this program with known arguments, exit with a known status
    Exec,
    /// fork, exit with a known status
    Fork,
    /// memfd_create, close
    Memfd,
    /// connect, accept, close on loopback
    Connect,
    /// open, write, close, rename, unlink
    File,
    /// chown, chmod, truncate, link, unlink, symlink, unlink, mkdir, rmdir
    Change,
    /// a child becomes user 1000, raises CAP_SETUID and becomes root again
    Setuid,
    /// mount and unmount in a mount namespace of its own
    Mount,
    /// mkdir and rmdir of a control group
    Cgroup,
}

/// What the operations need to know.
struct Job {
    count: u64,
    seed: u64,
    dir: PathBuf,
    pause: u64,
}

impl Job {
    /// The indices of the operations, with the pause between them.
    fn indices(&self) -> impl Iterator<Item = u64> + use<> {
        let pause = std::time::Duration::from_micros(self.pause);
        (0..self.count).inspect(move |index| {
            if *index > 0 && !pause.is_zero() {
                std::thread::sleep(pause);
            }
        })
    }
}

/// First argument of the program that [`Kind::Exec`] executes: this one.
const LEAF: &str = "leaf";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    if arguments.next().is_some_and(|name| name == LEAF) {
        // The second argument after the name is the exit status (`plan::arguments`).
        let status = arguments
            .nth(1)
            .and_then(|status| status.to_str()?.parse().ok());
        return ExitCode::from(status.unwrap_or(255));
    }
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("generate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let Arguments {
        kinds,
        count,
        seed,
        dir,
        pause,
    } = arguments;
    let dir = dir
        .canonicalize()
        .with_context(|| format!("cannot use {}", dir.display()))?;
    let job = Job {
        count,
        seed,
        dir,
        pause,
    };
    for kind in kinds {
        let begin = Instant::now();
        let mut done = match kind {
            Kind::Exec => processes::exec(&job),
            Kind::Fork => processes::fork(&job),
            Kind::Memfd => processes::memfd(&job),
            Kind::Setuid => processes::setuid(&job),
            Kind::Connect => network::connect(&job),
            Kind::File => files::write_rename_unlink(&job),
            Kind::Change => files::change(&job),
            Kind::Mount => system::mount(&job),
            Kind::Cgroup => system::cgroup(&job),
        }
        .with_context(|| format!("{kind:?} failed"))?;
        let common = json!({
            "kind": kind.to_possible_value().map(|value| value.get_name().to_owned()),
            "count": job.count,
            "seed": job.seed,
            "pid": std::process::id(),
            "dir": job.dir,
            "seconds": begin.elapsed().as_secs_f64(),
        });
        if let (Value::Object(done), Value::Object(common)) = (&mut done, common) {
            done.extend(common);
        }
        println!("{done}");
    }
    Ok(())
}
