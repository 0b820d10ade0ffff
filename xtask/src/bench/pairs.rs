//! The workloads without the sensor, with it, and with it writing JSON, in turn: A B C, C B A, …
//! Whatever slows the machine down for a while then slows all three, and a ratio within a round
//! still means something. What a workload is, is in `load`.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};

use super::bpf;
use super::load::{Sample, WORKLOADS, Workload};
use super::sensor::{Cost, Sensor};
use super::statistics::{Spread, ratios};
use super::{Bench, Part};
use crate::table::{Table, hundredths, megabytes, percent, ratio, time, verdict};

/// With whom the work is done.
#[derive(Clone, Copy, PartialEq)]
struct Side {
    name: &'static str,
    /// Of the sensor, if there is one.
    output: Option<&'static str>,
}

const SIDES: [Side; 3] = [
    Side {
        name: "without",
        output: None,
    },
    Side {
        name: "with",
        output: Some("none"),
    },
    Side {
        name: "json",
        output: Some("json"),
    },
];

/// One run.
struct Run {
    sample: Sample,
    cost: Cost,
    /// BPF programs of others that were loaded before or after it.
    others: usize,
}

/// All runs of one workload: one of each side per round.
struct Rounds {
    workload: &'static Workload,
    rounds: Vec<[Run; SIDES.len()]>,
}

/// What came out.
pub(super) struct Ratios {
    all: Vec<Rounds>,
    /// Services that hook system calls.
    fallbacks: Vec<String>,
}

/// Does all of it and prints the table.
pub(super) fn run(bench: &Bench, wanted: impl Fn(Part) -> bool) -> Result<Ratios> {
    let mut all = Vec::new();
    let wanted: Vec<_> = WORKLOADS.iter().filter(|w| wanted(w.part)).collect();
    let fallbacks = match wanted.is_empty() {
        true => Vec::new(),
        false => on_system_calls(bench)?,
    };
    for workload in wanted {
        if let Some(reason) = workload.missing() {
            println!("bench: {} left out: {reason}", workload.part.name());
            continue;
        }
        all.push(rounds(bench, workload)?);
    }
    let ratios = Ratios { all, fallbacks };
    ratios.print();
    Ok(ratios)
}

fn rounds(bench: &Bench, workload: &'static Workload) -> Result<Rounds> {
    let count = workload.count(bench)?;
    println!(
        "bench: {}, {} rounds of {count} operations",
        workload.part.name(),
        bench.pairs
    );
    let mut rounds = Vec::new();
    for round in 0..bench.pairs {
        let [without, with, json] = SIDES;
        let visit = |side| visit(bench, workload, side, count);
        rounds.push(if round % 2 == 0 {
            [visit(without)?, visit(with)?, visit(json)?]
        } else {
            let mut runs = [visit(json)?, visit(with)?, visit(without)?];
            runs.reverse();
            runs
        });
    }
    Ok(Rounds { workload, rounds })
}

fn visit(bench: &Bench, workload: &Workload, side: Side, count: u64) -> Result<Run> {
    let others = bpf::observers()?;
    let Some(output) = side.output else {
        return Ok(Run {
            sample: workload.run(bench, count)?,
            cost: Cost::default(),
            others: others.max(bpf::observers()?),
        });
    };
    let sensor = Sensor::start(bench, output)?;
    let since = sensor.since_now()?;
    let sample = workload.run(bench, count)?;
    let cost = sensor.cost(&since)?;
    sensor.stop()?;
    let others = others.max(bpf::observers()?);
    Ok(Run {
        sample,
        cost,
        others,
    })
}

/// The services that hook single system calls, for want of anything better: that makes every
/// system call of everybody take longer.
fn on_system_calls(bench: &Bench) -> Result<Vec<String>> {
    let sensor = Sensor::start(bench, "none")?;
    let status = sensor.status()?;
    sensor.stop()?;
    let services = status.get("services").and_then(Value::as_array);
    let hooks_calls = |service: &&Value| {
        let hooks = service.get("hooks").and_then(Value::as_array);
        let mut hooks = hooks.into_iter().flatten().filter_map(Value::as_str);
        hooks.any(|hook| hook.starts_with("tracepoint/sys_"))
    };
    let name = |service: &Value| Some(service.get("name")?.as_str()?.to_owned());
    Ok(services
        .into_iter()
        .flatten()
        .filter(hooks_calls)
        .filter_map(name)
        .collect())
}

impl Rounds {
    fn median(&self, side: usize, value: impl Fn(&Run) -> f64) -> f64 {
        let values: Vec<f64> = self
            .rounds
            .iter()
            .filter_map(|round| round.get(side).map(&value))
            .collect();
        Spread::of(&values).map_or(f64::NAN, |spread| spread.median)
    }

    /// How a side compares to the work alone.
    fn ratio(&self, side: usize, value: impl Fn(&Sample) -> f64) -> Option<Spread> {
        ratios(self.rounds.iter().filter_map(|round| {
            let [without, ..] = round;
            Some((value(&without.sample), value(&round.get(side)?.sample)))
        }))
    }

    /// Runs that others may have slowed down by watching, too.
    fn disturbed(&self) -> usize {
        let runs = self.rounds.iter().flatten();
        runs.filter(|run| run.others > 0).count()
    }

    fn lost(&self) -> u64 {
        let runs = self.rounds.iter().flatten();
        runs.map(|run| run.cost.lost).sum()
    }
}

impl Ratios {
    /// The ratio with the sensor, by workload.
    pub(super) fn medians(&self) -> BTreeMap<String, f64> {
        let ratio = |rounds: &Rounds| rounds.ratio(1, |sample| sample.ns);
        self.all
            .iter()
            .filter_map(|rounds| Some((rounds.workload.part.name(), ratio(rounds)?.median)))
            .collect()
    }

    fn print(&self) {
        if self.all.is_empty() {
            return;
        }
        let mut table = Table::new([
            "workload",
            "alone",
            "with",
            "ratio",
            "[min–max]",
            "aim",
            "",
            "CPU ratio",
            "JSON",
            "sensor CPU",
            "memory",
            "lost",
        ]);
        for rounds in &self.all {
            let wall = rounds.ratio(1, |sample| sample.ns);
            let json = rounds.ratio(2, |sample| sample.ns);
            let cpu = rounds.ratio(1, |sample| sample.cpu_ns);
            let (Some(wall), Some(json), Some(cpu)) = (wall, json, cpu) else {
                continue;
            };
            let aim = rounds.workload.aim(!self.fallbacks.is_empty());
            let peak = rounds.median(1, |run| run.cost.peak as f64);
            table.row(vec![
                rounds.workload.part.name(),
                time(rounds.median(0, |run| run.sample.ns)),
                time(rounds.median(1, |run| run.sample.ns)),
                ratio(wall.median),
                format!("[{:.2}–{:.2}]", wall.min, wall.max),
                aim.map_or_else(String::new, |aim| format!("≤ {aim:.2}")),
                verdict(hundredths(wall.median), aim),
                ratio(cpu.median),
                ratio(json.median),
                percent(rounds.median(1, |run| run.cost.cpu)),
                megabytes(peak as u64),
                rounds.lost().to_string(),
            ]);
        }
        table.print(&format!(
            "Time of one operation, medians of {} rounds",
            self.all.first().map_or(0, |rounds| rounds.rounds.len())
        ));
        if !self.fallbacks.is_empty() {
            println!(
                "  The aims are those for kernels without trampolines; by system call: {}",
                self.fallbacks.join(", ")
            );
        }
        let disturbed: usize = self.all.iter().map(Rounds::disturbed).sum();
        if disturbed > 0 {
            println!(
                "  In {disturbed} runs somebody else's BPF programs were watching this machine too: \
                 end them and measure again."
            );
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let rounds = |rounds: &Rounds| {
            let runs = |round: &[Run; SIDES.len()]| {
                let run = |(side, run): (&Side, &Run)| {
                    let value =
                        json!({ "load": run.sample.to_json(), "sensor": run.cost.to_json() });
                    (side.name.to_owned(), value)
                };
                SIDES.iter().zip(round).map(run).collect::<Value>()
            };
            let spread = |side| rounds.ratio(side, |sample| sample.ns).map(Spread::to_json);
            let cpu = |side| {
                rounds
                    .ratio(side, |sample| sample.cpu_ns)
                    .map(Spread::to_json)
            };
            json!({
                "name": rounds.workload.part.name(),
                "aim": rounds.workload.aim(!self.fallbacks.is_empty()),
                "ratio": { "with": spread(1), "json": spread(2) },
                "cpu_ratio": { "with": cpu(1), "json": cpu(2) },
                "lost": rounds.lost(),
                "disturbed_runs": rounds.disturbed(),
                "rounds": rounds.rounds.iter().map(runs).collect::<Value>(),
            })
        };
        self.all.iter().map(rounds).collect()
    }
}
