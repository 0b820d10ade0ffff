//! `cargo xtask package`: the sensor as a Debian package and as a static tarball, with everything a
//! service needs, and a trial of the package in a Debian that is booted for it. What the parts say
//! is in `packaging/`; this file only lists them.

#[cfg(test)]
mod check;
mod deb;
mod pages;
mod tarball;
mod tree;
mod trial;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::{build, exec, setup};
use tree::Tree;

/// What is packaged.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `cargo xtask package`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Install, reload, kill, hang, upgrade, cut off from power, stop and purge the package in a
    /// Debian with systemd that is booted under qemu (as root; ten minutes)
    #[arg(long = "try")]
    trial: bool,
    /// The sensor to package, instead of building one
    #[arg(long, value_name = "FILE")]
    sensor: Option<PathBuf>,
}

/// Makes both, and tries the package if that is wanted.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    setup::quietly(workspace)?;
    let sensor = match &args.sensor {
        Some(path) => path.clone(),
        None => build::sensor(workspace)?,
    };
    let source = Source::new(workspace, sensor)?;
    let package = deb::build(workspace, &source, VERSION)?;
    let tarball = tarball::build(workspace, &source)?;
    for path in [&package, &tarball] {
        let size = fs::metadata(path)
            .context("cannot see what was made")?
            .len();
        println!(
            "package: {} ({:.1} MB)",
            workspace.show(path),
            size as f64 / 1e6
        );
    }
    if !args.trial {
        return Ok(ExitCode::SUCCESS);
    }
    let newer = deb::build(workspace, &source, &format!("{VERSION}+newer"))?;
    trial::run(workspace, &package, &newer)
}

/// What goes into every kind of package.
struct Source {
    /// The program.
    sensor: PathBuf,
    /// Directory of completions and manual pages.
    pages: PathBuf,
    /// The repository.
    root: PathBuf,
    /// Time of the last commit, in seconds since the epoch: the same source gives the same package.
    epoch: String,
}

impl Source {
    fn new(workspace: &Workspace, sensor: PathBuf) -> Result<Self> {
        let mut git = Command::new("git");
        git.current_dir(workspace.root());
        // A source without its history is as old as anything.
        let epoch = exec::output(git.args(["log", "-1", "--format=%ct"]));
        let epoch = epoch.map_or_else(|_| "0".to_owned(), |text| text.trim().to_owned());
        Ok(Self {
            sensor,
            pages: pages::write(workspace)?,
            root: workspace.root().to_owned(),
            epoch,
        })
    }

    /// A file of `packaging/`.
    fn packaging(&self, name: &str) -> PathBuf {
        self.root.join("packaging").join(name)
    }

    /// Puts everything where it belongs on a host.
    fn fill(&self, tree: &Tree) -> Result<()> {
        tree.file(&self.sensor, "usr/bin/sensor", 0o755)?;
        let unit = self.packaging("systemd/sensor.service");
        tree.file(&unit, "usr/lib/systemd/system/sensor.service", 0o644)?;
        let configuration = self.packaging("sensor.toml");
        tree.file(&configuration, "etc/sensor/sensor.toml", 0o600)?;
        for (name, place) in [
            (
                "sensor.bash",
                "usr/share/bash-completion/completions/sensor",
            ),
            ("_sensor", "usr/share/zsh/vendor-completions/_sensor"),
            (
                "sensor.fish",
                "usr/share/fish/vendor_completions.d/sensor.fish",
            ),
        ] {
            tree.file(&self.pages.join(name), place, 0o644)?;
        }
        for page in tree::files(&self.pages, "8")? {
            let text = fs::read(&page).context("cannot read a manual page")?;
            let place = format!("usr/share/man/man8/{}.gz", tree::name(&page)?);
            tree.compressed(&text, &place)?;
        }
        for (from, ending, place) in [
            ("rules", "yml", "usr/share/sensor/rules"),
            ("rules/yara", "yar", "usr/share/sensor/rules/yara"),
            ("docs", "md", "usr/share/doc/sensor"),
        ] {
            for file in tree::files(&self.root.join(from), ending)? {
                tree.file(&file, &format!("{place}/{}", tree::name(&file)?), 0o644)?;
            }
        }
        tree.file(
            &self.packaging("debian/copyright"),
            "usr/share/doc/sensor/copyright",
            0o644,
        )
    }
}
