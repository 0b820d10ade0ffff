//! Cargo's own helpers (`cargo-deny`, `cargo-fuzz`): built once, in a pinned version, into
//! `target/tools`. What they are for is the callers' business.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::Say;
use crate::exec;
use crate::workspace::Workspace;

/// Returns the program of that name in exactly that version: the one in `target/tools`, else one
/// the shell finds, else a new one.
pub(super) fn ensure(
    workspace: &Workspace,
    name: &str,
    version: &str,
    say: Say,
) -> Result<PathBuf> {
    let tools = workspace.target("tools")?;
    let ours = tools.join("bin").join(name);
    let wanted = format!("{name} {version}");
    let is_wanted = |path: &PathBuf| {
        exec::output(Command::new(path).arg("--version"))
            .is_ok_and(|about| about.trim_end() == wanted)
    };
    let there = [Some(ours.clone()), exec::which(name)];
    if let Some(path) = there.into_iter().flatten().find(is_wanted) {
        say.found(&wanted);
        return Ok(path);
    }
    say.doing(&format!("building {wanted}; takes some minutes, once"));
    let mut cargo = workspace.cargo();
    cargo
        .args(["install", name, "--version", &format!("={version}")])
        .args(["--locked", "--force", "--root"])
        .arg(&tools)
        // Outside the workspace, whose configuration would link it statically.
        .current_dir("/");
    exec::run(&mut cargo).with_context(|| format!("cannot build {wanted}"))?;
    Ok(ours)
}
