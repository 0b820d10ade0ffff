//! Where things are in this repository, and how cargo is called in it. No task logic here.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The checkout this task works on.
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The workspace that holds xtask when cargo runs us, else the one around the current directory.
    pub(crate) fn find() -> Result<Self> {
        let start = match env::var_os("CARGO_MANIFEST_DIR") {
            Some(dir) => PathBuf::from(dir),
            None => env::current_dir().context("cannot tell the current directory")?,
        };
        for dir in start.ancestors() {
            if dir.join("sensor-ebpf").is_dir() && dir.join("Cargo.toml").is_file() {
                return Ok(Self {
                    root: dir.to_path_buf(),
                });
            }
        }
        bail!(
            "no workspace at or above {}; run this inside the repository",
            start.display()
        )
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// `target/<path>`; its parent directory exists on return.
    pub(crate) fn target(&self, path: &str) -> Result<PathBuf> {
        let full = self.root.join("target").join(path);
        let parent = full.parent().unwrap_or(&self.root);
        fs::create_dir_all(parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
        Ok(full)
    }

    /// The path as shown to people: relative to the workspace where it can be.
    pub(crate) fn show(&self, path: &Path) -> String {
        path.strip_prefix(&self.root)
            .unwrap_or(path)
            .display()
            .to_string()
    }

    /// The cargo that runs us, in the workspace, without what it told us about xtask itself.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root);
        for (key, _) in env::vars_os() {
            let name = key.to_string_lossy();
            let ours = [
                "CARGO_PKG_",
                "CARGO_BIN_",
                "CARGO_MANIFEST_",
                "CARGO_CRATE_",
                "CARGO_PRIMARY_",
            ];
            if ours.iter().any(|prefix| name.starts_with(prefix)) || name == "OUT_DIR" {
                command.env_remove(&key);
            }
        }
        command
    }
}
