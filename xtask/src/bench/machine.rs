//! The machine that was measured, in words and numbers; and the same measurements in a machine of
//! `cargo xtask vm`, where this very program does them beside the sensor and the load.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::ask;
use crate::vm::{self, Release};
use crate::workspace::Workspace;
use crate::{artifacts, build, setup};

/// Processor, kernel, date and what else it has to do at the moment.
pub(super) fn describe() -> Result<Value> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
    let cpu = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, name)| name);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Option<f64> = load.split(' ').next().and_then(|load| load.parse().ok());
    Ok(json!({
        "cpu": cpu,
        "cpus": std::thread::available_parallelism().map_or(1, usize::from),
        "virtual": cpuinfo.contains(" hypervisor"),
        "kernel": ask("uname", &["-r"]),
        "date": ask("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
        "load": load,
    }))
}

/// The same on one line.
pub(super) fn remark(machine: &Value) -> String {
    let text = |key: &str| match machine.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    };
    let kind = match machine.get("virtual") {
        Some(Value::Bool(true)) => ", virtual",
        _ => "",
    };
    format!(
        "{} CPUs ({}{kind}), Linux {}, {}, load average {}",
        text("cpus"),
        text("cpu"),
        text("kernel"),
        text("date"),
        text("load")
    )
}

/// Boots the kernel with and without trampolines and measures there. Under emulation every
/// instruction costs about the same, so that only the ratios say something, and roughly.
pub(super) fn run(workspace: &Workspace, release: Release, args: &[String]) -> Result<ExitCode> {
    setup::quietly(workspace)?;
    let sensor = build::sensor(workspace)?;
    let load = super::build_load(workspace)?;
    let tests = artifacts::end_to_end(workspace)?;
    let this = std::env::current_exe().context("cannot tell where this program is")?;
    let root = workspace.root();
    let with = |path: &Path, dest: &str| format!("{}:{dest}", path.display());
    // A workspace of two files is one that this program finds its way in.
    let with = vec![
        with(&this, "/usr/bin/xtask"),
        with(&load, "/usr/bin/load"),
        with(&root.join("Cargo.toml"), "/root/Cargo.toml"),
        with(
            &root.join("sensor-ebpf/Cargo.toml"),
            "/root/sensor-ebpf/Cargo.toml",
        ),
    ];
    let command = format!("exec xtask bench --built /usr/bin {}", args.join(" "));
    let tally = vm::matrix(
        workspace,
        &vm::command(release, command, with),
        &sensor,
        &tests,
    )?;
    Ok(tally.exit_code())
}
