//! Writes the shell completions and manual pages, from the command line as it is, into a directory;
//! `cargo xtask package` runs it. A program of its own, so that none of it is in the sensor.

use std::fs::{self, File};
use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

fn main() -> anyhow::Result<()> {
    let directory = std::env::args_os().nth(1);
    let directory = directory.ok_or_else(|| anyhow::anyhow!("usage: pages DIRECTORY"))?;
    let directory = Path::new(&directory);
    fs::create_dir_all(directory)?;
    let mut command = sensor::cli::command();
    for (shell, name) in [
        (Shell::Bash, "sensor.bash"),
        (Shell::Zsh, "_sensor"),
        (Shell::Fish, "sensor.fish"),
    ] {
        let mut file = File::create(directory.join(name))?;
        clap_complete::generate(shell, &mut command, "sensor", &mut file);
    }
    command.build();
    page(directory, "sensor", &command)
}

/// The page of a command, and those of its subcommands.
fn page(directory: &Path, name: &str, command: &Command) -> anyhow::Result<()> {
    let leaked: &'static str = Box::leak(name.to_owned().into_boxed_str());
    let titled = command.clone().name(leaked);
    let man = Man::new(titled)
        .section("8")
        .manual("System administration");
    man.render(&mut File::create(directory.join(format!("{name}.8")))?)?;
    for inner in command.get_subcommands() {
        if !inner.is_hide_set() && inner.get_name() != "help" {
            page(directory, &format!("{name}-{}", inner.get_name()), inner)?;
        }
    }
    Ok(())
}
