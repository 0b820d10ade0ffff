//! Builds bpf-linker once, against the LLVM that the BPF compiler uses: it reads that compiler's
//! bitcode, which another major version may not understand.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use super::toolchain::Toolchain;
use super::{Say, apt, write_whole};
use crate::exec;
use crate::workspace::Workspace;

/// Pinned: another version may place sections or BTF differently.
pub(super) const VERSION: &str = "0.13.0";

/// The LLVM versions that version can be built with.
pub(super) const LLVM_MAJORS: [u32; 3] = [21, 22, 23];

/// Returns the linker, building it if it is not there, or there for another LLVM.
pub(super) fn ensure(workspace: &Workspace, toolchain: &Toolchain, say: Say) -> Result<PathBuf> {
    let tools = workspace.target("tools")?;
    let linker = tools.join("bin/bpf-linker");
    let stamp = tools.join("bpf-linker.stamp");
    let major = toolchain.rust.llvm_major;
    let wanted = format!(
        "bpf-linker {VERSION} with LLVM {major} of {}\n",
        toolchain.llvm.display()
    );
    if fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == wanted)
        // It is linked to LLVM's shared library, which may have been removed since.
        && exec::output(Command::new(&linker).arg("--version")).is_ok()
    {
        say.found(wanted.trim_end());
        return Ok(linker);
    }

    cpp(say)?;
    say.doing(&format!(
        "building bpf-linker {VERSION} with LLVM {major}; takes a minute"
    ));
    let started = Instant::now();
    let mut cargo = Command::new(&toolchain.rust.cargo);
    cargo
        .args([
            "install",
            "bpf-linker",
            "--version",
            &format!("={VERSION}"),
            "--locked",
            "--force",
        ])
        .args([
            "--no-default-features",
            "--features",
            &format!("llvm-{major}"),
            "--root",
        ])
        .arg(&tools)
        // Outside the workspace, whose configuration would link it statically.
        .current_dir("/")
        .env("RUSTC", &toolchain.rust.rustc)
        .env("LLVM_PREFIX", &toolchain.llvm)
        .env(format!("LLVM_SYS_{major}1_PREFIX"), &toolchain.llvm);
    for key in [
        "RUSTUP_TOOLCHAIN",
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "CARGO_TARGET_DIR",
    ] {
        cargo.env_remove(key);
    }
    exec::run(&mut cargo).context("cannot build bpf-linker")?;
    write_whole(&stamp, &wanted)?;
    say.doing(&format!(
        "built bpf-linker in {:.0} s",
        started.elapsed().as_secs_f64()
    ));
    Ok(linker)
}

/// A C++ compiler with its library, which LLVM and libFuzzer are written for.
pub(super) fn cpp(say: Say) -> Result<()> {
    if exec::which("c++").is_some() && links_cpp().is_some() {
        return Ok(());
    }
    apt::ensure(&["g++"], "to build what is written in C++", say)
}

/// The C++ library, needed at link time.
fn links_cpp() -> Option<String> {
    let path = exec::output(Command::new("cc").arg("-print-file-name=libstdc++.so")).ok()?;
    path.starts_with('/').then_some(path)
}
