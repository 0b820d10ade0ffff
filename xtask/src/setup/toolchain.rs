//! Chooses a Rust toolchain that has the sources of `core` (there is no prebuilt one for the BPF
//! target) and the LLVM that goes with it. What is done with them is not decided here.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::{Say, apt, linker};
use crate::exec;

/// Older compilers lack what aya-ebpf uses.
const OLDEST: (u32, u32) = (1, 88);

/// Packages of Debian's current Rust for its older suites, and of its usual one.
const DEBIAN: [[&str; 3]; 2] = [
    ["rustc-web", "cargo-web", "rust-web-src"],
    ["rustc", "cargo", "rust-src"],
];

/// A compiler that can build `core`, with the LLVM libraries of the same major version.
pub(super) struct Toolchain {
    pub(super) rust: Rust,
    /// Where LLVM is installed; has `bin/llvm-config`.
    pub(super) llvm: PathBuf,
}

/// Real programs, not rustup's proxies: those would ask which toolchain is meant.
pub(super) struct Rust {
    pub(super) cargo: PathBuf,
    pub(super) rustc: PathBuf,
    pub(super) llvm_major: u32,
    release: String,
}

/// Takes rustup's nightly if it has the sources, else Debian's packages, else explains.
pub(super) fn choose(say: Say) -> Result<Toolchain> {
    if let Some(rust) = nightly()
        && linker::LLVM_MAJORS.contains(&rust.llvm_major)
        && let Ok(llvm) = llvm(rust.llvm_major, say)
    {
        return Ok(found(rust, llvm, say));
    }
    if apt::is_here() {
        let rust = debian(say)?;
        ensure!(
            linker::LLVM_MAJORS.contains(&rust.llvm_major),
            "{} uses LLVM {}, which bpf-linker {} does not know; it knows {:?}",
            rust.rustc.display(),
            rust.llvm_major,
            linker::VERSION,
            linker::LLVM_MAJORS
        );
        let llvm = llvm(rust.llvm_major, say)?;
        return Ok(found(rust, llvm, say));
    }
    bail!(
        "no Rust toolchain with the sources of `core` and the LLVM libraries it was built with. Install both: \
         `rustup toolchain install nightly --component rust-src`, and the development package of the LLVM that \
         `rustc +nightly -vV` names (llvm-devel on Fedora, llvm on Arch, from https://apt.llvm.org on Ubuntu)"
    )
}

fn found(rust: Rust, llvm: PathBuf, say: Say) -> Toolchain {
    say.found(&format!(
        "BPF compiler {} ({}), with sources; LLVM {} in {}",
        rust.rustc.display(),
        rust.release,
        rust.llvm_major,
        llvm.display()
    ));
    Toolchain { rust, llvm }
}

/// A nightly of rustup's with the component rust-src. Never makes rustup download anything.
fn nightly() -> Option<Rust> {
    let list =
        exec::output(Command::new("rustup").args(["toolchain", "list", "--verbose"])).ok()?;
    let sysroots = list
        .lines()
        .filter(|line| line.starts_with("nightly"))
        .filter_map(|line| {
            let at = line.find('/')?;
            line.get(at..)
        });
    sysroots
        .map(str::trim)
        .find_map(|sysroot| in_sysroot(Path::new(sysroot)))
}

/// Debian's own compiler, installed if need be.
fn debian(say: Say) -> Result<Rust> {
    if let Some(rust) = in_sysroot(Path::new("/usr")) {
        return Ok(rust);
    }
    if let Some(packages) = apt::look_up(recent_enough, say) {
        apt::ensure(&packages, "to compile the BPF programs", say)?;
        return in_sysroot(Path::new("/usr")).with_context(|| {
            format!(
                "{} are installed, but there is no /usr/bin/rustc with sources",
                packages.join(", ")
            )
        });
    }
    bail!(
        "this Debian has no Rust from {}.{} on with sources. Either take it from backports, or install rustup and \
         `rustup toolchain install nightly --component rust-src`",
        OLDEST.0,
        OLDEST.1
    )
}

/// The packages of a compiler that is new enough, as far as the package lists know.
fn recent_enough() -> Option<[&'static str; 3]> {
    DEBIAN.into_iter().find(|[rustc, ..]| {
        apt::candidate(rustc)
            .and_then(|version| release(&version))
            .is_some_and(|release| release >= OLDEST)
    })
}

/// The compiler in a sysroot, if it is new enough and its sources are there.
fn in_sysroot(sysroot: &Path) -> Option<Rust> {
    let (cargo, rustc) = (sysroot.join("bin/cargo"), sysroot.join("bin/rustc"));
    let sources = sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml");
    if !cargo.exists() || !rustc.exists() || !sources.exists() {
        return None;
    }
    let about = exec::output(Command::new(&rustc).arg("-vV")).ok()?;
    let value = |key: &str| about.lines().find_map(|line| line.strip_prefix(key));
    let llvm_major = value("LLVM version: ")?.split('.').next()?.parse().ok()?;
    let version = value("release: ")?;
    (release(version)? >= OLDEST).then(|| Rust {
        cargo,
        rustc,
        llvm_major,
        release: version.to_owned(),
    })
}

/// Major and minor of `1.96.0+dfsg1-1`.
fn release(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Where LLVM of this major version is installed, with headers and libraries.
fn llvm(major: u32, say: Say) -> Result<PathBuf> {
    let look = || {
        let named = std::env::var_os("LLVM_PREFIX").map(PathBuf::from);
        let usual = [
            format!("/usr/lib/llvm-{major}"),
            format!("/usr/lib64/llvm{major}"),
            format!("/usr/lib/llvm{major}"),
        ];
        let all = named
            .into_iter()
            .chain(usual.map(PathBuf::from))
            .chain([PathBuf::from("/usr")]);
        all.into_iter().find(|prefix| is_llvm(prefix, major))
    };
    if let Some(prefix) = look() {
        return Ok(prefix);
    }
    apt::ensure(
        &[&format!("llvm-{major}-dev")],
        "to build the BPF linker",
        say,
    )?;
    look().with_context(|| {
        format!("no LLVM {major} with llvm-config; set LLVM_PREFIX to where it is installed")
    })
}

fn is_llvm(prefix: &Path, major: u32) -> bool {
    let config = prefix.join("bin/llvm-config");
    config.exists()
        && exec::output(Command::new(config).arg("--version"))
            .is_ok_and(|version| version.split('.').next() == Some(major.to_string().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_compilers_and_packages_compare() {
        assert_eq!(release("1.96.0+dfsg1-1~deb12u2"), Some((1, 96)));
        assert_eq!(release("1.97.0-nightly"), Some((1, 97)));
        assert!(release("1.63.0+dfsg1-2") < Some(OLDEST));
        assert_eq!(release("nonsense"), None);
    }
}
