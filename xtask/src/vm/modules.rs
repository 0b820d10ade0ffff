//! Chooses kernel modules for a test machine and puts them in loading order. Debian runs depmod
//! when a kernel is installed, which never happens here, so dependencies are read from the
//! modules themselves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::exec;

/// A module ready to be loaded.
pub(super) struct Module {
    pub(super) name: String,
    pub(super) content: Vec<u8>,
}

/// What was found, dependencies first, and the names for which there is no module: built in,
/// or not there at all.
#[derive(Default)]
pub(super) struct Chosen {
    pub(super) modules: Vec<Module>,
    pub(super) absent: Vec<String>,
}

/// Collects the wanted modules and everything they need.
pub(super) fn choose(tree: &Path, wanted: &[String]) -> Result<Chosen> {
    let mut files = BTreeMap::new();
    index(tree, &mut files).with_context(|| format!("cannot list {}", tree.display()))?;
    let mut chosen = Chosen::default();
    for name in wanted {
        add(&files, &canonical(name), &mut chosen)?;
    }
    Ok(chosen)
}

fn add(files: &BTreeMap<String, PathBuf>, name: &str, chosen: &mut Chosen) -> Result<()> {
    let known = chosen.modules.iter().any(|module| module.name == name);
    if known || chosen.absent.iter().any(|absent| absent == name) {
        return Ok(());
    }
    let Some(path) = files.get(name) else {
        chosen.absent.push(name.to_owned());
        return Ok(());
    };
    let content = read(path)?;
    for dependency in dependencies(&content) {
        add(files, &dependency, chosen)?;
    }
    chosen.modules.push(Module {
        name: name.to_owned(),
        content,
    });
    Ok(())
}

/// Every module file below `dir`, by module name.
fn index(dir: &Path, files: &mut BTreeMap<String, PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            index(&entry.path(), files)?;
        } else if let Some((stem, _)) = entry.file_name().to_string_lossy().split_once(".ko") {
            files.insert(canonical(stem), entry.path());
        }
    }
    Ok(())
}

/// Dash and underscore are the same in module names.
fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// The module, unpacked: some of these kernels cannot do it themselves.
fn read(path: &Path) -> Result<Vec<u8>> {
    let tool = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return fs::read(path).with_context(|| format!("cannot read {}", path.display())),
    };
    let mut command = Command::new(tool);
    command.arg("-dc").arg(path);
    let output = command
        .output()
        .with_context(|| format!("cannot start {tool} to unpack a kernel module; install it"))?;
    if !output.status.success() {
        bail!("`{}` failed: {}", exec::shown(&command), output.status);
    }
    Ok(output.stdout)
}

/// The names after `depends=` in the module's `.modinfo`.
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let list = module.get(at + KEY.len()..).unwrap_or_default();
    let list = list.split(|byte| *byte == 0).next().unwrap_or_default();
    let names = String::from_utf8_lossy(list);
    names
        .split(',')
        .filter(|name| !name.is_empty())
        .map(canonical)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_read_from_modinfo() {
        let module = b"junk\0license=GPL\0depends=x-tables,nf_nat\0name=t\0";
        assert_eq!(dependencies(module), ["x_tables", "nf_nat"]);
        assert!(dependencies(b"\0depends=\0name=t\0").is_empty());
    }
}
