//! Completions and manual pages, by a program beside the sensor that knows its command line.

use std::path::PathBuf;

use anyhow::Result;

use crate::exec;
use crate::workspace::Workspace;

/// Writes them and says where.
pub(super) fn write(workspace: &Workspace) -> Result<PathBuf> {
    let directory = workspace.target("package/pages")?;
    let _ = std::fs::remove_dir_all(&directory);
    let mut cargo = workspace.cargo();
    cargo.args([
        "run",
        "--quiet",
        "--package",
        "sensor",
        "--example",
        "pages",
        "--",
    ]);
    exec::run(cargo.arg(&directory))?;
    Ok(directory)
}
