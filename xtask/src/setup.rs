//! `cargo xtask setup`: finds, or installs, what building and testing need, and writes down for
//! `sensor/build.rs` which BPF toolchain to use. Idempotent, and quick when nothing is missing,
//! because every other task calls it. How each thing is found is in `setup/`.

mod apt;
mod linker;
mod tool;
mod toolchain;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::exec;
use crate::workspace::Workspace;

/// Says what setup does, and on request what it finds.
#[derive(Clone, Copy)]
struct Say {
    findings: bool,
}

impl Say {
    fn doing(self, what: &str) {
        println!("setup: {what}");
    }

    fn found(self, what: &str) {
        if self.findings {
            println!("setup: {what}");
        }
    }
}

/// `cargo xtask setup`
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    prepare(workspace, Say { findings: true })
}

/// The same for other tasks, which only want to know what is being changed.
pub(crate) fn quietly(workspace: &Workspace) -> Result<()> {
    prepare(workspace, Say { findings: false })
}

fn prepare(workspace: &Workspace, say: Say) -> Result<()> {
    host_linker(say)?;
    let toolchain = toolchain::choose(say)?;
    let linker = linker::ensure(workspace, &toolchain, say)?;

    let mut text = format!(
        "CARGO={}\nRUSTC={}\nBPF_LINKER={}\n",
        toolchain.rust.cargo.display(),
        toolchain.rust.rustc.display(),
        linker.display()
    );
    let strip = toolchain.llvm.join("bin/llvm-strip");
    if strip.exists() {
        text += &format!("STRIP={}\n", strip.display());
    }
    let path = workspace.target("ebpf-toolchain.env")?;
    // sensor's build script runs again whenever this file is touched.
    if fs::read_to_string(&path).is_ok_and(|old| old == text) {
        say.found(&format!("{} is up to date", workspace.show(&path)));
        return Ok(());
    }
    write_whole(&path, &text)?;
    say.doing(&format!("wrote {}", workspace.show(&path)));
    Ok(())
}

/// A C compiler as linker and a C library to link statically, for everything built for the host.
fn host_linker(say: Say) -> Result<()> {
    if exec::which("cc").is_none() || static_libc().is_none() {
        apt::ensure(
            &["gcc", "libc6-dev"],
            "to link programs for this machine",
            say,
        )?;
    }
    match static_libc() {
        Some(path) => say.found(&format!("cc, and the static C library {path}")),
        None => bail!(
            "no static C library (libc.a) for `cc`; install it (glibc-static on Fedora, libc6-dev on Debian)"
        ),
    }
    Ok(())
}

fn static_libc() -> Option<String> {
    // The compiler prints the bare name back if it knows no such file.
    let path = exec::output(Command::new("cc").arg("-print-file-name=libc.a")).ok()?;
    let path = path.trim();
    (path.starts_with('/') && Path::new(path).exists()).then(|| path.to_owned())
}

/// What `cargo xtask vm` needs on top: qemu, a shell, and the packages the tests ask for.
pub(crate) fn for_vm<'a>(packages: impl Iterator<Item = &'a str>) -> Result<()> {
    let say = Say { findings: false };
    let ours = [
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("busybox", "busybox-static"),
    ];
    let ours = ours
        .into_iter()
        .filter(|(program, _)| exec::which(program).is_none());
    let missing: Vec<&str> = ours.map(|(_, package)| package).chain(packages).collect();
    if missing.is_empty() {
        return Ok(());
    }
    apt::ensure(&missing, "to boot test kernels", say)
}

/// Pinned, so that a new release cannot fail a change that has nothing to do with it.
const CARGO_DENY: &str = "0.20.2";
const CARGO_FUZZ: &str = "0.13.2";

/// The checker of licences and dependencies.
pub(crate) fn cargo_deny(workspace: &Workspace) -> Result<PathBuf> {
    tool::ensure(workspace, "cargo-deny", CARGO_DENY, Say { findings: false })
}

/// What fuzzing takes.
pub(crate) struct Fuzzer {
    /// cargo-fuzz.
    pub(crate) program: PathBuf,
    /// The sanitizer to build with, as cargo-fuzz names it.
    pub(crate) sanitizer: &'static str,
}

/// What `cargo xtask fuzz` needs on top: cargo-fuzz, and a C++ compiler for libFuzzer.
pub(crate) fn for_fuzzing(workspace: &Workspace) -> Result<Fuzzer> {
    let say = Say { findings: false };
    quietly(workspace)?;
    linker::cpp(say)?;
    let program = tool::ensure(workspace, "cargo-fuzz", CARGO_FUZZ, say)?;
    let sanitizer = if has_address_sanitizer()? {
        "address"
    } else {
        say.doing(
            "this compiler comes without the address sanitizer (rustup's have it); fuzzing without",
        );
        "none"
    };
    Ok(Fuzzer { program, sanitizer })
}

/// Whether the compiler for the host brings the sanitizer's library, as rustup's do and Debian's
/// does not.
fn has_address_sanitizer() -> Result<bool> {
    let libraries = exec::output(Command::new("rustc").args(["--print", "target-libdir"]))?;
    let entries = fs::read_dir(libraries.trim()).context("cannot list the compiler's libraries")?;
    Ok(entries.flatten().any(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().ends_with("_rt.asan.a")
    }))
}

/// File systems that tests and people expect to be mounted on this machine. The sensor copes
/// without them, so whatever does not work here is only mentioned.
pub(crate) fn host_mounts() {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for (kind, dir) in [
        ("tracefs", "/sys/kernel/tracing"),
        ("securityfs", "/sys/kernel/security"),
        ("bpf", "/sys/fs/bpf"),
    ] {
        let mounted = mounts
            .lines()
            .any(|line| line.split(' ').nth(1) == Some(dir));
        if mounted || !Path::new(dir).is_dir() {
            continue;
        }
        if !exec::is_root() {
            println!("setup: {dir} is not mounted; as root: mount -t {kind} {kind} {dir}");
            continue;
        }
        match mount(kind, dir) {
            Ok(()) => println!("setup: mounted {kind} on {dir}"),
            Err(error) => {
                println!("setup: cannot mount {kind} on {dir}: {error:#}; going on without")
            }
        }
    }
}

fn mount(kind: &str, dir: &str) -> Result<()> {
    use std::ffi::CString;
    let (kind, dir) = (CString::new(kind)?, CString::new(dir)?);
    // SAFETY: the strings are terminated and live until the call returns; no data is passed.
    let done = unsafe {
        libc::mount(
            kind.as_ptr(),
            dir.as_ptr(),
            kind.as_ptr(),
            0,
            std::ptr::null(),
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error().into())
    }
}

/// Replaces a file in one step.
fn write_whole(path: &Path, text: &str) -> Result<()> {
    let fresh = path.with_extension("new");
    fs::write(&fresh, text).with_context(|| format!("cannot write {}", fresh.display()))?;
    fs::rename(&fresh, path).with_context(|| format!("cannot replace {}", path.display()))
}
