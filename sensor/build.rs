//! Builds `sensor-ebpf` for the BPF target and leaves its two objects in `OUT_DIR`, where `probe`
//! and `respond` embed them. What toolchain to use is decided by `cargo xtask setup`, which writes
//! its answer to `target/ebpf-toolchain.env`; without that file the build says what to do.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    // Not returned as an error: that would be shown as one line with escapes.
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<()> {
    let manifest = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = manifest.parent().ok_or("no workspace root")?.to_path_buf();
    let out = PathBuf::from(env::var("OUT_DIR")?);

    for dir in [
        "sensor-ebpf/src",
        "sensor-ebpf/Cargo.toml",
        "sensor-common/src",
        "sensor-common/Cargo.toml",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(dir).display());
    }
    embed_rules(&root.join("rules"), &out.join("rules.rs"))?;
    embed_yara(&root.join("rules/yara"), &out.join("yara.rs"))?;
    let choice = root.join("target/ebpf-toolchain.env");
    println!("cargo::rerun-if-changed={}", choice.display());

    let toolchain = Toolchain::read(&choice)?;
    let built = build_objects(&root, &toolchain)?;
    for (program, object) in OBJECTS {
        strip(&toolchain, &built.join(program), &out.join(object))?;
    }
    Ok(())
}

/// Programs of the package `sensor-ebpf`, and what they are called in `OUT_DIR`.
const OBJECTS: [(&str, &str); 2] = [
    ("sensor-ebpf", "sensor-ebpf.o"),
    ("guard", "sensor-guard.o"),
];

/// Writes the list of rule files that `detect/sigma/builtin.rs` takes in: name, text, samples.
fn embed_rules(directory: &Path, out: &Path) -> Result<()> {
    embed(directory, "yml", out)
}

fn embed(directory: &Path, kind: &str, out: &Path) -> Result<()> {
    println!("cargo::rerun-if-changed={}", directory.display());
    let mut files: Vec<PathBuf> = fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::result::Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == kind));
    files.sort();
    let mut code = String::from("const RULES: &[(&str, &str, &str)] = &[\n");
    for file in files {
        println!("cargo::rerun-if-changed={}", file.display());
        let samples = file.with_extension("samples.jsonl");
        let name = file.file_name().ok_or("a rule file without a name")?;
        code.push_str(&format!(
            "    ({:?}, include_str!({:?}), include_str!({:?})),\n",
            name.display().to_string(),
            file,
            samples
        ));
    }
    code.push_str("];\n");
    fs::write(out, code)?;
    Ok(())
}

/// The same of the YARA rules, for `content/source.rs`.
fn embed_yara(directory: &Path, out: &Path) -> Result<()> {
    embed(directory, "yar", out)
}

/// What `cargo xtask setup` found or installed.
struct Toolchain {
    cargo: String,
    rustc: String,
    linker: String,
    strip: Option<String>,
}

impl Toolchain {
    fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|e| {
            format!(
                "no BPF toolchain chosen yet ({}: {e}); run `cargo xtask setup` once, as root",
                path.display()
            )
        })?;
        let get = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
                .map(str::to_owned)
        };
        let need = |key: &str| {
            get(key).ok_or_else(|| {
                format!(
                    "{}: no line {key}=; run `cargo xtask setup`",
                    path.display()
                )
            })
        };
        Ok(Self {
            cargo: need("CARGO")?,
            rustc: need("RUSTC")?,
            linker: need("BPF_LINKER")?,
            strip: get("STRIP"),
        })
    }
}

/// Runs cargo for the BPF target in a target directory of its own: the outer cargo holds the
/// lock of the usual one, and `core` is then built once for all profiles of the daemon. Gives the
/// directory with the results.
fn build_objects(root: &Path, toolchain: &Toolchain) -> Result<PathBuf> {
    let endian = env::var("CARGO_CFG_TARGET_ENDIAN")?;
    let arch = env::var("CARGO_CFG_TARGET_ARCH")?;
    let target = if endian == "big" {
        "bpfeb-unknown-none"
    } else {
        "bpfel-unknown-none"
    };
    let debug_log = env::var_os("CARGO_FEATURE_DEBUG_LOG").is_some();
    let target_dir = root
        .join("target")
        .join(if debug_log { "ebpf-debug" } else { "ebpf" });

    let rustflags = [
        format!("--cfg=bpf_target_arch=\"{arch}\""),
        "-Cdebuginfo=2".to_owned(),
        "-Cpanic=abort".to_owned(),
        format!("-Clinker={}", toolchain.linker),
        "-Clink-arg=--btf".to_owned(),
        format!("--remap-path-prefix={}=.", root.display()),
    ];
    let mut cargo = Command::new(&toolchain.cargo);
    cargo
        .current_dir(root)
        .args([
            "build",
            "--package",
            "sensor-ebpf",
            "--bins",
            "--release",
            "--locked",
        ])
        .args(["-Z", "build-std=core", "--target", target])
        .arg("--target-dir")
        .arg(&target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags.join("\x1f"))
        .env("RUSTC", &toolchain.rustc)
        .env("RUSTC_BOOTSTRAP", "1");
    if debug_log {
        cargo.args(["--features", "debug-log"]);
    }
    // What the outer cargo set for itself must not steer the inner one.
    for key in [
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTUP_TOOLCHAIN",
        "CARGO",
        "CARGO_BUILD_TARGET",
        "RUSTFLAGS",
        "CARGO_MAKEFLAGS",
        "MAKEFLAGS",
    ] {
        cargo.env_remove(key);
    }

    let output = cargo
        .output()
        .map_err(|e| format!("cannot start {}: {e}", toolchain.cargo))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("the eBPF build failed:\n{stderr}").into());
    }
    let warnings = stderr
        .lines()
        .skip_while(|line| !line.starts_with("warning"));
    for line in warnings {
        println!("cargo::warning={line}");
    }
    Ok(target_dir.join(target).join("release"))
}

/// Drops DWARF but keeps `.BTF`, so that source lines still appear in verifier logs.
fn strip(toolchain: &Toolchain, from: &Path, to: &Path) -> Result<()> {
    let Some(strip) = &toolchain.strip else {
        fs::copy(from, to)?;
        return Ok(());
    };
    let status = Command::new(strip)
        .arg("--strip-debug")
        .arg("-o")
        .arg(to)
        .arg(from)
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{strip} failed: {status}").into())
    }
}
