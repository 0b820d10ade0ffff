//! The workloads, what they aim at, and running them: one call of the program `load` each. What
//! an operation consists of is decided there (`tests/src/bin/load`).

use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{Bench, Part};
use crate::exec;

/// One kind of work.
pub(super) struct Workload {
    pub(super) part: Part,
    /// The workload of `load`, and its options.
    args: &'static [&'static str],
    /// Operations of a first, short run that tells how many make up a long one.
    trial: u64,
    /// Whether `trial` is all there is, because the work cannot be cut to size.
    fixed: bool,
    aim: Option<Aim>,
}

/// The ratio to reach, at most.
struct Aim {
    /// Where trampolines can be had.
    trampolines: f64,
    /// Where they cannot.
    fallback: f64,
}

const fn aim(trampolines: f64, fallback: f64) -> Option<Aim> {
    Some(Aim {
        trampolines,
        fallback,
    })
}

/// All of them, in the order in which they are shown.
pub(super) const WORKLOADS: [Workload; 7] = [
    Workload {
        part: Part::Exec,
        args: &["exec"],
        trial: 300,
        fixed: false,
        aim: aim(1.03, 1.03),
    },
    Workload {
        part: Part::ExecParallel,
        args: &["exec", "--parallel", "2"],
        trial: 400,
        fixed: false,
        aim: aim(1.06, 1.06),
    },
    Workload {
        part: Part::OpenRead,
        args: &["open-read"],
        trial: 10_000,
        fixed: false,
        aim: aim(1.05, 1.5),
    },
    Workload {
        part: Part::OpenWrite,
        args: &["open-write"],
        trial: 10_000,
        fixed: false,
        aim: aim(1.5, 1.5),
    },
    Workload {
        part: Part::Connect,
        args: &["connect"],
        trial: 1_000,
        fixed: false,
        aim: aim(1.03, 1.03),
    },
    Workload {
        part: Part::Getppid,
        args: &["getppid"],
        trial: 100_000,
        fixed: false,
        aim: aim(1.0, 1.3),
    },
    Workload {
        part: Part::Make,
        args: &["make", "--parallel", "2"],
        trial: 12,
        fixed: true,
        aim: None,
    },
];

impl Workload {
    /// The ratio it may reach on this machine.
    pub(super) fn aim(&self, fallback: bool) -> Option<f64> {
        let aim = self.aim.as_ref()?;
        Some(if fallback {
            aim.fallback
        } else {
            aim.trampolines
        })
    }

    /// How many operations make up one run on this machine.
    pub(super) fn count(&self, bench: &Bench) -> Result<u64> {
        if self.fixed {
            return Ok(self.trial);
        }
        let trial = self.run(bench, self.trial)?;
        Ok(((bench.run.as_secs_f64() * trial.per_second) as u64).max(self.trial))
    }

    /// Does so many operations.
    pub(super) fn run(&self, bench: &Bench, count: u64) -> Result<Sample> {
        let args: Vec<String> = self.args.iter().map(|word| (*word).to_owned()).collect();
        run(bench, &args, count)
    }

    /// Whether it can be run here, else why not.
    pub(super) fn missing(&self) -> Option<&'static str> {
        let absent = |program: &str| exec::which(program).is_none();
        (self.part == Part::Make && (absent("make") || absent("cc")))
            .then_some("there is no make, or no C compiler")
    }
}

/// What one run took.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    pub(super) operations: u64,
    /// Nanoseconds one process spends on an operation, running or waiting.
    pub(super) ns: f64,
    /// Nanoseconds of processor time it costs.
    pub(super) cpu_ns: f64,
    /// Operations a second.
    pub(super) per_second: f64,
}

impl Sample {
    pub(super) fn to_json(self) -> Value {
        json!({
            "operations": self.operations,
            "ns_per_operation": self.ns,
            "cpu_ns_per_operation": self.cpu_ns,
            "operations_per_second": self.per_second,
        })
    }
}

/// Runs `load` with these arguments.
pub(super) fn run(bench: &Bench, args: &[String], count: u64) -> Result<Sample> {
    let mut load = Command::new(&bench.load);
    load.args(args)
        .args(["--count", &count.to_string()])
        .stdin(Stdio::null());
    let text = exec::output(&mut load)?;
    let answer: Value = serde_json::from_str(&text)
        .with_context(|| format!("`{}` did not answer in JSON", exec::shown(&load)))?;
    let number = |key: &str| {
        answer
            .get(key)
            .and_then(Value::as_f64)
            .with_context(|| format!("`{}` did not say {key}", exec::shown(&load)))
    };
    Ok(Sample {
        operations: count,
        ns: number("ns_per_operation")?,
        cpu_ns: number("cpu_ns_per_operation")?,
        per_second: number("operations_per_second")?,
    })
}
