//! The Debian package: the tree, with control files beside it, packed by `dpkg-deb`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::Source;
use super::tree::Tree;
use crate::exec;
use crate::workspace::Workspace;

/// Scripts that the package manager runs.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Builds it and says where it is.
pub(super) fn build(workspace: &Workspace, source: &Source, version: &str) -> Result<PathBuf> {
    let tree = Tree::new(workspace.target("package/deb")?)?;
    source.fill(&tree)?;
    tree.file(
        &source.packaging("debian/lintian-overrides"),
        "usr/share/lintian/overrides/sensor",
        0o644,
    )?;
    let changelog = text(source, "changelog")?
        .replace("@VERSION@", version)
        .replace("@DATE@", &date(&source.epoch)?);
    tree.compressed(changelog.as_bytes(), "usr/share/doc/sensor/changelog.gz")?;

    let sums = sums(&tree)?;
    let control = text(source, "control")?
        .replace("@VERSION@", version)
        .replace("@ARCHITECTURE@", architecture()?.trim())
        .replace("@SIZE@", &tree.size()?.div_ceil(1024).to_string());
    tree.content(control.as_bytes(), "DEBIAN/control", 0o644)?;
    tree.content(sums.as_bytes(), "DEBIAN/md5sums", 0o644)?;
    tree.content(b"/etc/sensor/sensor.toml\n", "DEBIAN/conffiles", 0o644)?;
    for name in SCRIPTS {
        let script = source.packaging(&format!("debian/{name}"));
        tree.file(&script, &format!("DEBIAN/{name}"), 0o755)?;
    }

    let place = format!("package/sensor_{version}_{}.deb", architecture()?.trim());
    let place = workspace.target(&place)?;
    let mut dpkg = Command::new("dpkg-deb");
    dpkg.env("SOURCE_DATE_EPOCH", &source.epoch);
    dpkg.args(["--root-owner-group", "-Zxz", "--build"]);
    exec::output(dpkg.arg(tree.path()).arg(&place))
        .context("packages are made with dpkg-deb; elsewhere than on Debian, take the tarball")?;
    Ok(place)
}

fn text(source: &Source, name: &str) -> Result<String> {
    let path = source.packaging(&format!("debian/{name}"));
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// Debian's name for what the sensor is built for.
fn architecture() -> Result<String> {
    exec::output(Command::new("dpkg").arg("--print-architecture"))
}

/// As changelogs have it (RFC 5322).
fn date(epoch: &str) -> Result<String> {
    let mut date = Command::new("date");
    date.env("LC_ALL", "C").args(["-u", "-R", "-d"]);
    let text = exec::output(date.arg(format!("@{epoch}")))?;
    Ok(text.trim().to_owned())
}

/// What `dpkg --verify` compares with.
fn sums(tree: &Tree) -> Result<String> {
    let mut text = String::new();
    for path in tree.list()? {
        let is_configuration = path.starts_with("etc");
        if !is_configuration {
            let sum = md5(&tree.path().join(&path))?;
            writeln!(text, "{sum}  {}", path.display())?;
        }
    }
    Ok(text)
}

fn md5(path: &Path) -> Result<String> {
    let line = exec::output(Command::new("md5sum").arg(path))?;
    let sum = line.split_whitespace().next();
    Ok(sum.context("md5sum said nothing")?.to_owned())
}
