//! Measures the firewall beside others, on the same packets, in one run: each measurement is one
//! line of JSON. Everything happens in network namespaces and a control group of its own. What is
//! made of the numbers is `cargo xtask bench --only guard`'s business.

mod entries;
mod frames;
mod namespace;
mod single;
mod stream;
mod wire;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use serde_json::Value;

/// What to measure.
#[derive(Parser)]
struct Args {
    /// An unpacked Debian with xdp-filter and nft in it
    #[arg(long, value_name = "DIR")]
    peers: Option<PathBuf>,
    /// Rounds of each measurement
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Most entries there are
    #[arg(long, default_value_t = 1_000_000)]
    most: u32,
}

/// How many entries there are.
fn counts(most: u32) -> Vec<u32> {
    let counts = [0, 1_000, 100_000, 1_000_000];
    counts.into_iter().filter(|count| *count <= most).collect()
}

fn main() -> Result<()> {
    let args = Args::parse();
    single::run(&args)?;
    wire::run(&args)?;
    stream::run(&args)
}

/// Says what was measured; whoever asked reads it line by line.
fn tell(measured: &Value) {
    println!("{measured}");
}

/// The middle one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
