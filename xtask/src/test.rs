//! `cargo xtask test`: every test there is, each thing compiled once, and one line at the end
//! that adds everything up. What the tests check is in the crates; where they run is decided here.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Result;

use crate::artifacts::{self, EndToEnd};
use crate::tally::Tally;
use crate::workspace::Workspace;
use crate::{build, exec, setup, vm};

/// `cargo xtask test`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out the kernels under qemu
    #[arg(long)]
    pub(crate) no_vm: bool,
}

/// Runs everything, even after failures, and fails if anything did. The sum is the last line.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let started = Instant::now();
    setup::quietly(workspace)?;
    setup::host_mounts();
    let mut sum = units(workspace)?;
    let sensor = build::sensor(workspace)?;
    let tests = artifacts::end_to_end(workspace)?;
    sum += on_this_kernel(&sensor, &tests)?;
    if !args.no_vm {
        sum += vm::matrix(workspace, &vm::everything(), &sensor, &tests)?;
    }
    println!("test: done in {:.0} s", started.elapsed().as_secs_f64());
    sum.print();
    Ok(sum.exit_code())
}

/// Unit and documentation tests of every crate that is built for the host.
fn units(workspace: &Workspace) -> Result<Tally> {
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--no-fail-fast", "--workspace"]);
    cargo.args(["--exclude", "sensor-ebpf", "--exclude", "sensor-tests"]);
    let mut tally = Tally::default();
    let success = exec::lines(&mut cargo, |line| {
        println!("{line}");
        tally.line(line);
    })?;
    tally.ended(success, 0);
    Ok(tally)
}

/// The end-to-end tests on the kernel that runs us. They load programs into it, so one at a time.
fn on_this_kernel(sensor: &Path, tests: &EndToEnd) -> Result<Tally> {
    let mut tally = Tally::default();
    for test in &tests.tests {
        println!("test: {} on this kernel", test.name);
        let mut command = Command::new(&test.path);
        command
            .env("SENSOR_BIN", sensor)
            .env("RUST_TEST_THREADS", "1");
        let before = tally.failed;
        let success = exec::lines(&mut command, |line| {
            println!("{line}");
            tally.line(line);
        })?;
        tally.ended(success, before);
    }
    Ok(tally)
}
