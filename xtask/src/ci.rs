//! `cargo xtask ci`
use crate::workspace::Workspace;
use anyhow::Result;
/// `cargo xtask ci`
#[derive(clap::Args)]
pub(crate) struct Args {}
pub(crate) fn run(_: &Workspace, _: &Args) -> Result<()> {
    Ok(())
}
