//! Asks cargo to build something and reads from its messages where the programs are, instead of
//! guessing paths. What is built, and what for, is decided by the callers.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};
use serde_json::Value;

use crate::exec;
use crate::workspace::Workspace;

/// A program cargo has built.
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// `bin`, `test`, `lib`, …
    pub(crate) kind: String,
    /// Whether it is a test harness.
    pub(crate) is_test: bool,
}

/// The end-to-end tests, the programs they start, and process 1 of the test machines.
pub(crate) struct EndToEnd {
    pub(crate) init: PathBuf,
    pub(crate) helpers: Vec<Program>,
    pub(crate) tests: Vec<Program>,
}

/// Builds the package `sensor-tests` without running anything.
pub(crate) fn end_to_end(workspace: &Workspace) -> Result<EndToEnd> {
    let mut cargo = workspace.cargo();
    cargo.args([
        "test",
        "--no-run",
        "--package",
        "sensor-tests",
        "--test",
        "*",
        "--bins",
    ]);
    let programs = programs(&mut cargo)?;
    let init = programs
        .iter()
        .find(|program| program.name == "vm-init" && !program.is_test);
    let Some(init) = init.map(|program| program.path.clone()) else {
        bail!("cargo built no vm-init; is it still a program of the package sensor-tests?");
    };
    let (helpers, harnesses): (Vec<_>, Vec<_>) = programs
        .into_iter()
        .filter(|program| program.path != init)
        .partition(|program| program.kind == "bin" && !program.is_test);
    let tests = harnesses
        .into_iter()
        .filter(|program| program.is_test && program.kind == "test")
        .collect();
    Ok(EndToEnd {
        init,
        helpers,
        tests,
    })
}

/// Runs the cargo command and returns the programs it names, warnings and errors rendered.
pub(crate) fn programs(cargo: &mut Command) -> Result<Vec<Program>> {
    cargo.arg("--message-format=json-render-diagnostics");
    let mut programs = Vec::new();
    let success = exec::lines(cargo, |line| programs.extend(program(line)))?;
    if !success {
        bail!("`{}` failed; what is wrong is above", exec::shown(cargo));
    }
    Ok(programs)
}

fn program(line: &str) -> Option<Program> {
    let message: Value = serde_json::from_str(line).ok()?;
    let text = |pointer: &str| message.pointer(pointer)?.as_str().map(str::to_owned);
    if text("/reason")? != "compiler-artifact" {
        return None;
    }
    Some(Program {
        name: text("/target/name")?,
        path: text("/executable")?.into(),
        kind: text("/target/kind/0")?,
        is_test: message.pointer("/profile/test")?.as_bool()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_artifacts_with_a_program_count() {
        let line = r#"{"reason":"compiler-artifact","target":{"kind":["test"],"name":"smoke"},
            "profile":{"test":true},"executable":"/t/smoke-1"}"#;
        let found = program(line).unwrap();
        assert_eq!((found.name.as_str(), found.is_test), ("smoke", true));
        assert!(program(&line.replace("\"/t/smoke-1\"", "null")).is_none());
        assert!(program(r#"{"reason":"build-finished","success":true}"#).is_none());
        assert!(program("not json").is_none());
    }
}
