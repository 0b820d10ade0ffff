//! `cargo xtask build`: the release binary, checked to be static, at the one path that people,
//! packages and tests use. Nothing here decides how it is compiled; that is in Cargo.toml and
//! .cargo/config.toml.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::Workspace;
use crate::{artifacts, setup};

/// `cargo xtask build`
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Builds and says where the result is.
pub(crate) fn run(workspace: &Workspace, _: &Args) -> Result<()> {
    setup::quietly(workspace)?;
    let path = sensor(workspace)?;
    let size = fs::metadata(&path)
        .with_context(|| format!("cannot read {}", path.display()))?
        .len();
    println!(
        "build: {} ({:.1} MB, static)",
        workspace.show(&path),
        size as f64 / 1e6
    );
    Ok(())
}

/// Builds the release binary and returns `target/release/sensor`.
pub(crate) fn sensor(workspace: &Workspace) -> Result<PathBuf> {
    let mut cargo = workspace.cargo();
    cargo.args([
        "build",
        "--release",
        "--package",
        "sensor",
        "--bin",
        "sensor",
    ]);
    let programs = artifacts::programs(&mut cargo)?;
    let built = programs
        .iter()
        .find(|program| program.name == "sensor" && program.kind == "bin");
    let built = &built.context("cargo built no program named sensor")?.path;

    let image = fs::read(built).with_context(|| format!("cannot read {}", built.display()))?;
    ensure!(
        is_static(&image).with_context(|| format!("cannot understand {}", built.display()))?,
        "{} is linked dynamically, so it would not start on other systems; \
         is `crt-static` set for this target in .cargo/config.toml?",
        built.display()
    );
    let wanted = workspace.target("release/sensor")?;
    place(built, &wanted)?;
    Ok(wanted)
}

/// Puts the file where people look for it in one step: whoever runs the old one keeps it.
fn place(built: &Path, wanted: &Path) -> Result<()> {
    if built == wanted {
        return Ok(());
    }
    let fresh = wanted.with_extension("new");
    let _ = fs::remove_file(&fresh);
    if fs::hard_link(built, &fresh).is_err() {
        fs::copy(built, &fresh).with_context(|| format!("cannot copy to {}", fresh.display()))?;
    }
    // Renaming a link over another link of the same file does nothing, not even remove itself.
    fs::rename(&fresh, wanted).with_context(|| format!("cannot replace {}", wanted.display()))?;
    let _ = fs::remove_file(&fresh);
    Ok(())
}

/// Whether a 64-bit little-endian ELF file asks for no loader (has no PT_INTERP).
fn is_static(elf: &[u8]) -> Result<bool> {
    const PT_INTERP: u64 = 3;
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        bail!("not a 64-bit little-endian ELF file");
    }
    let field = |at: usize, size: usize| -> Result<u64> {
        let bytes = elf
            .get(at..at.saturating_add(size))
            .context("the file ends early")?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)))
    };
    let (table, size, count) = (field(0x20, 8)?, field(0x36, 2)?, field(0x38, 2)?);
    for number in 0..count {
        let at = usize::try_from(table + number * size).context("header table out of range")?;
        if field(at, 4)? == PT_INTERP {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(kind: u8) -> Vec<u8> {
        let mut elf = vec![0; 0x40 + 0x38];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (elf[0x20], elf[0x36], elf[0x38], elf[0x40]) = (0x40, 0x38, 1, kind);
        elf
    }

    #[test]
    fn a_program_with_an_interpreter_is_not_static() {
        assert!(is_static(&elf(1)).unwrap());
        assert!(!is_static(&elf(3)).unwrap());
    }

    #[test]
    fn a_torn_file_is_an_error_not_a_verdict() {
        assert!(is_static(&elf(1)[..0x41]).is_err());
        assert!(is_static(b"#!/bin/sh").is_err());
    }
}
