//! `cargo xtask run`: builds the sensor and becomes it, so that signals and exit codes are its own.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Result, anyhow};

use crate::workspace::Workspace;
use crate::{build, setup};

/// `cargo xtask run`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Arguments for `sensor run`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    sensor: Vec<OsString>,
}

/// Returns only if something went wrong.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    setup::quietly(workspace)?;
    let sensor = build::sensor(workspace)?;
    setup::host_mounts();
    let error = Command::new(&sensor).arg("run").args(&args.sensor).exec();
    Err(anyhow!("cannot start {}: {error}", sensor.display()))
}
