//! The sensor under a steady load, and under none: what it loses, how much of a CPU and how much
//! memory it takes. Ratios of the work itself are `pairs`' business.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::Bench;
use super::load;
use super::sensor::{Cost, Sensor};
use crate::table::{Table, megabytes, percent, verdict};

/// Execs a second that have to be possible without a loss.
const SUSTAINED: f64 = 10_000.0;
/// Seconds for which they are.
const SUSTAINED_S: f64 = 8.0;
/// Execs a second at which the sensor's share of a CPU is looked at, and what it may be.
const PACED: u64 = 1_000;
const PACED_S: u64 = 8;
const PACED_CPU: f64 = 0.05;
/// How long to look at a sensor with nothing to do, and what it may take.
const IDLE: Duration = Duration::from_secs(60);
const IDLE_CPU: f64 = 0.005;
const IDLE_MEMORY: u64 = 64_000_000;

/// Execs a second, as many as the machine can do and no more than have to be possible.
pub(super) fn sustained(bench: &Bench) -> Result<Value> {
    let words = |rate: u64| {
        let rate = rate.to_string();
        ["exec", "--parallel", "2", "--rate", &rate].map(str::to_owned)
    };
    let most = SUSTAINED as u64;
    let trial = load::run(bench, &words(most), most)?;
    let count = (trial.per_second.min(SUSTAINED) * SUSTAINED_S) as u64;
    println!("bench: {count} execs, at {most} a second if the machine can");
    let mut table = Table::new([
        "output", "reached", "events", "events/s", "lost", "", "CPU", "memory",
    ]);
    let mut results = Vec::new();
    for output in ["none", "json"] {
        let sensor = Sensor::start(bench, output)?;
        let since = sensor.since_now()?;
        let sample = load::run(bench, &words(most), count)?;
        let cost = sensor.cost(&since)?;
        sensor.stop()?;
        let seconds = count as f64 / sample.per_second;
        table.row(vec![
            output.to_owned(),
            format!("{:.0}/s", sample.per_second),
            cost.events.to_string(),
            format!("{:.0}", cost.events as f64 / seconds),
            cost.lost.to_string(),
            verdict(cost.lost as f64, Some(0.0)),
            percent(cost.cpu),
            megabytes(cost.peak),
        ]);
        results.push(json!({
            "output": output,
            "per_second": sample.per_second,
            "sensor": cost.to_json(),
        }));
    }
    table.print(&format!(
        "Sustained: {most} execs a second asked of this machine, nothing may be lost"
    ));
    Ok(json!(results))
}

/// Execs at a rate any server may see.
pub(super) fn paced(bench: &Bench) -> Result<Value> {
    let words = ["exec", "--rate", &PACED.to_string()].map(str::to_owned);
    println!("bench: {PACED} execs a second");
    let mut table = Table::new([
        "output", "reached", "events/s", "lost", "CPU", "aim", "", "memory",
    ]);
    let mut results = Vec::new();
    for output in ["none", "json"] {
        let sensor = Sensor::start(bench, output)?;
        let since = sensor.since_now()?;
        let sample = load::run(bench, &words, PACED * PACED_S)?;
        let cost = sensor.cost(&since)?;
        sensor.stop()?;
        table.row(vec![
            output.to_owned(),
            format!("{:.0}/s", sample.per_second),
            format!("{:.0}", cost.events as f64 / PACED_S as f64),
            cost.lost.to_string(),
            percent(cost.cpu),
            format!("≤ {}", percent(PACED_CPU)),
            verdict(cost.cpu, Some(PACED_CPU)),
            megabytes(cost.peak),
        ]);
        results.push(json!({
            "output": output,
            "per_second": sample.per_second,
            "sensor": cost.to_json(),
        }));
    }
    table.print(&format!("Paced: {PACED} execs a second"));
    Ok(json!(results))
}

/// Nothing, for a while. What else happens on the machine is seen by the sensor all the same.
pub(super) fn idle(bench: &Bench) -> Result<Value> {
    println!("bench: idle for {} s", IDLE.as_secs());
    let sensor = Sensor::start(bench, "json")?;
    // The start is over when what was running has been hashed.
    thread::sleep(Duration::from_secs(2));
    let before = sensor.cost(&sensor.since_now()?)?.events;
    let since = sensor.since_now()?;
    thread::sleep(IDLE);
    let cost = sensor.cost(&since)?;
    sensor.stop()?;
    let Cost {
        cpu,
        resident,
        peak,
        events,
        lost,
    } = cost.clone();
    let per_second = events.saturating_sub(before) as f64 / IDLE.as_secs_f64();
    let mut table = Table::new(["", "measured", "aim", ""]);
    table.row(vec![
        "CPU".to_owned(),
        percent(cpu),
        format!("≤ {}", percent(IDLE_CPU)),
        verdict(cpu, Some(IDLE_CPU)),
    ]);
    for (what, bytes) in [("resident memory", resident), ("… at most", peak)] {
        table.row(vec![
            what.to_owned(),
            megabytes(bytes),
            format!("≤ {}", megabytes(IDLE_MEMORY)),
            verdict(bytes as f64, Some(IDLE_MEMORY as f64)),
        ]);
    }
    table.print(&format!(
        "Idle for {} s; the rest of the machine caused {per_second:.0} events a second, {lost} lost",
        IDLE.as_secs()
    ));
    Ok(json!({ "sensor": cost.to_json(), "events_per_second": per_second }))
}
