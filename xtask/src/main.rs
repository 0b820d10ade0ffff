//! `cargo xtask`: everything a person or a CI job does with this repository, so that nobody has
//! to know how the BPF toolchain, the test kernels or the checks are put together. This file
//! only names the subcommands; what one of them does is in the file named after it.

mod artifacts;
mod atomics;
mod bench;
mod benign;
mod build;
mod cage;
mod ci;
mod debian;
mod exec;
mod fuzz;
mod mount;
mod package;
mod payloads;
mod root;
mod run;
mod setup;
mod table;
mod tally;
mod test;
mod vm;
mod webshells;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Project tasks. Each one first makes sure that this machine has what it needs.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Find or install the BPF toolchain and the linkers (quick when there is nothing to do)
    Setup,
    /// Build the static release binary and leave it at target/release/sensor
    Build(build::Args),
    /// Make the Debian package and the static tarball, and try the package in a booted Debian
    Package(package::Args),
    /// Build, then become `sensor run` with the given arguments
    Run(run::Args),
    /// Run the end-to-end tests, or a command, on Debian kernels under qemu
    Vm(vm::Args),
    /// Run every test: units, end-to-end on this kernel, end-to-end on the kernel matrix
    Test(test::Args),
    /// Run the fuzz targets: everything that reads bytes from outside
    Fuzz(fuzz::Args),
    /// Show what the sensor costs, beside none and beside its peers
    Bench(bench::Args),
    /// Run real reverse and bind shells, and show which of them the sensor catches
    Payloads(payloads::Args),
    /// Inside of a cage, for `payloads` only
    #[command(hide = true)]
    PayloadCage(payloads::cage::Args),
    /// Put webshells on real web servers, and show what the sensor makes of them
    Webshells(webshells::Args),
    /// Inside of a web server's cage, for `webshells` only
    #[command(hide = true)]
    WebshellCage(webshells::cage::Args),
    /// Run tests of Atomic Red Team, and show what the sensor makes of each
    Atomics(atomics::Args),
    /// Inside of a test's cage, for `atomics` only
    #[command(hide = true)]
    AtomicCage(atomics::cage::Args),
    /// Do what servers do all day, and show what alarms the sensor
    Benign(benign::Args),
    /// Inside of a cage, for `benign` only
    #[command(hide = true)]
    BenignCage(benign::cage::Args),
    /// Check format, lints, dependencies and documentation, then run every test
    Ci(ci::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = Workspace::find().and_then(|workspace| run(&workspace, cli.task));
    outcome.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(workspace: &Workspace, task: Task) -> Result<ExitCode> {
    let done = |()| ExitCode::SUCCESS;
    match task {
        Task::Setup => setup::run(workspace).map(done),
        Task::Build(args) => build::run(workspace, &args).map(done),
        Task::Package(args) => package::run(workspace, &args),
        Task::Run(args) => run::run(workspace, &args).map(done),
        Task::Vm(args) => vm::run(workspace, &args),
        Task::Test(args) => test::run(workspace, &args),
        Task::Fuzz(args) => fuzz::run(workspace, &args),
        Task::Bench(args) => bench::run(workspace, &args),
        Task::Payloads(args) => payloads::run(workspace, &args),
        Task::PayloadCage(args) => payloads::cage::run(&args),
        Task::Webshells(args) => webshells::run(workspace, &args),
        Task::WebshellCage(args) => webshells::cage::run(&args),
        Task::Atomics(args) => atomics::run(workspace, &args),
        Task::AtomicCage(args) => atomics::cage::run(&args),
        Task::Benign(args) => benign::run(workspace, &args),
        Task::BenignCage(args) => benign::cage::run(&args),
        Task::Ci(args) => ci::run(workspace, &args),
    }
}
