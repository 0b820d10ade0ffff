//! The `sensor` binary: reads the command line and starts what it asks for.

mod cli;
mod config;
mod control;
mod detached;
mod event;
mod export;
mod pipeline;
mod probe;
mod status;
mod track;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
