//! `cargo xtask ci`: everything that must hold before a change is merged. The checks are run
//! one after the other and all of them, so that one run names every problem. What a check means
//! is configured where its tool looks for it (rustfmt, Cargo.toml, clippy.toml, deny.toml).

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use crate::{exec, setup, test};

type Check = fn(&Workspace) -> Result<()>;

/// `cargo xtask ci`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Stop before the tests
    #[arg(long)]
    no_test: bool,
    /// Leave out the kernels under qemu
    #[arg(long)]
    no_vm: bool,
}

/// Runs the checks, then the tests; fails if anything did.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    setup::quietly(workspace)?;
    let checks: [(&str, Check); 4] = [
        ("format", format),
        ("lints", lints),
        ("documentation", documentation),
        ("dependencies", dependencies),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        let started = Instant::now();
        let outcome = check(workspace);
        let seconds = started.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => println!("ci: {name}: ok ({seconds:.0} s)"),
            Err(error) => {
                println!("ci: {name}: {error:#}");
                failed.push(name);
            }
        }
    }
    let mut code = ExitCode::SUCCESS;
    if !args.no_test {
        code = test::run(workspace, &test::Args { no_vm: args.no_vm })?;
    }
    if !failed.is_empty() {
        bail!(
            "not as it should be: {}; details are above",
            failed.join(", ")
        );
    }
    Ok(code)
}

/// All crates, `sensor-ebpf` too.
fn format(workspace: &Workspace) -> Result<()> {
    exec::run(workspace.cargo().args(["fmt", "--all", "--", "--check"]))
}

/// `sensor-ebpf` is not for the host, so only its compiler sees it, in sensor's build script.
fn lints(workspace: &Workspace) -> Result<()> {
    exec::run(
        workspace
            .cargo()
            .args(["clippy", "--all-targets", "--", "-D", "warnings"]),
    )
}

fn documentation(workspace: &Workspace) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["doc", "--no-deps", "--document-private-items"]);
    exec::run(cargo.env("RUSTDOCFLAGS", "-D warnings"))
}

/// Licences, sources and bans. The advisory database lives on a git host that a build machine
/// need not reach, so advisories are a job of their own: `cargo deny check advisories`.
fn dependencies(workspace: &Workspace) -> Result<()> {
    let deny = setup::cargo_deny(workspace)?;
    let mut command = Command::new(deny);
    command.current_dir(workspace.root());
    exec::run(command.args([
        "--log-level",
        "error",
        "check",
        "bans",
        "licenses",
        "sources",
    ]))
}
