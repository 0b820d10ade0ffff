//! The `sensor` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    sensor::cli::main()
}
