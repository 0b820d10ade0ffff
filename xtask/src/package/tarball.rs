//! The static tarball, for systems with another package manager: the same tree, and a script that
//! puts it in its place.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::tree::Tree;
use super::{Source, VERSION};
use crate::exec;
use crate::workspace::Workspace;

/// Builds it and says where it is.
pub(super) fn build(workspace: &Workspace, source: &Source) -> Result<PathBuf> {
    let name = format!("sensor-{VERSION}-{}-linux-static", std::env::consts::ARCH);
    let top = workspace.target("package/tarball")?;
    source.fill(&Tree::new(top.join(&name).join("root"))?)?;
    for (file, place) in [
        ("tarball/install.sh", "install.sh"),
        // What a purge has to look for does not hang on how the sensor was installed.
        ("debian/postrm", "purge"),
    ] {
        let to = top.join(&name).join(place);
        std::fs::copy(source.packaging(file), to)?;
    }
    let place = workspace.target(&format!("package/{name}.tar.gz"))?;
    let mut tar = Command::new("tar");
    tar.args(["--create", "--gzip", "--sort=name", "--numeric-owner"])
        .args(["--owner=0", "--group=0", "--mode=go-w"])
        .arg(format!("--mtime=@{}", source.epoch))
        .arg("--directory")
        .arg(&top)
        .arg("--file")
        .arg(&place);
    exec::output(tar.arg(&name))?;
    Ok(place)
}
