//! The host programs that the end-to-end tests want beside them in a test machine, as listed in
//! `tests/vm-programs`: one a line, `PATH[:DEST] [PACKAGE]`, where PATH may be a plain name and
//! PACKAGE is what Debian calls the package it comes from. How they get in is in `initramfs`.

use std::fs;
use std::io;

use anyhow::{Context, Result};

use crate::exec;
use crate::workspace::Workspace;

const LIST: &str = "tests/vm-programs";

/// One line of the list.
pub(super) struct Companion {
    with: String,
    package: Option<String>,
}

impl Companion {
    /// The list; empty if there is none.
    pub(super) fn list(workspace: &Workspace) -> Result<Vec<Self>> {
        match fs::read_to_string(workspace.root().join(LIST)) {
            Ok(text) => Ok(text.lines().filter_map(Self::parse).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error).with_context(|| format!("cannot read {LIST}")),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let line = line.split_once('#').map_or(line, |(line, _)| line);
        let mut words = line.split_whitespace().map(str::to_owned);
        Some(Self {
            with: words.next()?,
            package: words.next(),
        })
    }

    /// The package to install first, if the program is not here.
    pub(super) fn missing_package(&self) -> Option<&str> {
        if self.is_here() {
            None
        } else {
            self.package.as_deref()
        }
    }

    /// What to take along. A program that this machine has not got is left out and mentioned:
    /// the tests that want it skip themselves.
    pub(super) fn present(self) -> Option<String> {
        if self.is_here() {
            return Some(self.with);
        }
        println!(
            "vm: {} of {LIST} is not on this machine; left out",
            self.with
        );
        None
    }

    fn is_here(&self) -> bool {
        let path = self
            .with
            .split_once(':')
            .map_or(self.with.as_str(), |(path, _)| path);
        if path.contains('/') {
            fs::exists(path).unwrap_or(false)
        } else {
            exec::which(path).is_some()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_a_program_and_perhaps_its_package() {
        let line = Companion::parse("nc.openbsd:/bin/nc netcat-openbsd # with -U").unwrap();
        assert_eq!(
            (line.with.as_str(), line.package.as_deref()),
            ("nc.openbsd:/bin/nc", Some("netcat-openbsd"))
        );
        assert!(Companion::parse("bash").unwrap().package.is_none());
        assert!(Companion::parse("  # nothing").is_none());
    }
}
