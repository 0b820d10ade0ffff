//! `cargo xtask payloads`

mod corpus;
mod root;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::workspace::Workspace;

/// `cargo xtask payloads`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The list of payloads, one JSON object a line
    #[arg(long, value_name = "FILE")]
    corpus: Option<PathBuf>,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let path = args.corpus.clone().unwrap_or_else(|| workspace.root().join("../shared/corpora/revshells/payloads.jsonl"));
    let payloads = corpus::read(&path)?;
    let root = root::Root::get(workspace, &payloads)?;
    for p in &payloads { println!("{} {:?} {:?}", p.id, root.missing(p), root.alternatives(p)); }
    Ok(ExitCode::SUCCESS)
}
