//! The package in the life of a server: a Debian with systemd is installed below `target/`, put on a
//! disk and booted under qemu; a script in it (`trial.sh`) installs the package and does to it what
//! happens to services. The script says what passed; this side cuts the power when it is told to.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::debian::PrivateApt;
use crate::payloads::root::install_packages;
use crate::root::Root;
use crate::vm::Release;
use crate::vm::disk::{DiskMachine, make_disk};
use crate::workspace::Workspace;

/// The Debian, and its kernel.
const SUITE: &str = "trixie";
const KERNEL: Release = Release::V6_12;
/// A server with nothing on it but what the trial needs.
const PACKAGES: [&str; 8] = [
    "?essential",
    "apt",
    "dbus",
    "iproute2",
    "passwd",
    "procps",
    "systemd",
    "systemd-sysv",
];
const SCRIPT: &str = include_str!("trial.sh");
/// Starts the script once the system is up, on every boot.
const UNIT: &str = "[Unit]\nDescription=Trial of the sensor's package\nAfter=multi-user.target\n\n\
                    [Service]\nExecStart=/bin/sh /trial/run\nLimitCORE=0\n";
/// Size of the disk, in MiB.
const DISK_MIB: u32 = 3_072;
/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(1_800);
/// Boots, the first included.
const BOOTS: u32 = 2;

/// What the script says, a line each.
enum Said {
    Passed,
    Failed,
    /// Cut the power.
    Cut,
    /// That was all.
    Done,
    Other,
}

impl Said {
    fn read(line: &str) -> Self {
        match line.split_whitespace().next() {
            Some("PASS") => Self::Passed,
            Some("FAIL") => Self::Failed,
            Some("CUT") => Self::Cut,
            Some("DONE") => Self::Done,
            _ => Self::Other,
        }
    }
}

/// Tries the package, and the newer one as an upgrade.
pub(super) fn run(workspace: &Workspace, package: &Path, newer: &Path) -> Result<ExitCode> {
    let root = Root::get(workspace.target("package/root")?, |root| {
        println!("package: installing a Debian {SUITE} below target/, once; two minutes");
        let apt = PrivateApt::new(workspace.target("package/apt")?, SUITE, false)?;
        install_packages(&apt, root, &PACKAGES.into_iter().collect::<BTreeSet<_>>())
    })
    .context("cannot install a Debian to try the package in")?;
    prepare(&root, package, newer).context("cannot prepare the Debian")?;
    let machine = DiskMachine::new(workspace, KERNEL, "package")?;
    make_disk(&root.path(""), &machine.disk, DISK_MIB)?;
    let log = workspace.target("package/log")?;
    let mut log = File::create(&log).with_context(|| format!("no {}", log.display()))?;
    let started = Instant::now();
    let (mut passed, mut failed) = (0, 0);
    for boot in 1..=BOOTS {
        println!("package: boot {boot}");
        let done = follow(&machine, started, &mut |line| {
            println!("[trial {:6.1}] {line}", started.elapsed().as_secs_f64());
            writeln!(log, "{line}").context("cannot write the log")?;
            match Said::read(line) {
                Said::Passed => passed += 1,
                Said::Failed => failed += 1,
                _ => {}
            }
            Ok(())
        })?;
        if done {
            println!("package: {passed} passed, {failed} failed");
            return Ok(ExitCode::from(u8::from(failed > 0 || passed == 0)));
        }
    }
    bail!("the trial did not come to its end in {BOOTS} boots")
}

/// Puts into it what the trial takes.
fn prepare(root: &Root, package: &Path, newer: &Path) -> Result<()> {
    let trial = root.path("/trial");
    let _ = fs::remove_dir_all(&trial);
    fs::create_dir_all(&trial)?;
    fs::copy(package, trial.join("first.deb"))?;
    fs::copy(newer, trial.join("newer.deb"))?;
    fs::write(trial.join("run"), SCRIPT)?;
    let units = root.path("/etc/systemd/system");
    fs::write(units.join("trial.service"), UNIT)?;
    let wants = units.join("multi-user.target.wants");
    fs::create_dir_all(&wants)?;
    for (link, target) in [
        (
            wants.join("trial.service"),
            "/etc/systemd/system/trial.service",
        ),
        // Nobody logs in, and without udev nobody says that the line is there.
        (units.join("serial-getty@ttyS1.service"), "/dev/null"),
    ] {
        let _ = fs::remove_file(&link);
        symlink(target, link)?;
    }
    // Kept across boots; and services may be started here.
    fs::create_dir_all(root.path("/var/log/journal"))?;
    let _ = fs::remove_file(root.path("/usr/sbin/policy-rc.d"));
    fs::write(root.path("/etc/hostname"), "trial\n")?;
    fs::write(root.path("/etc/fstab"), "")?;
    Ok(())
}

/// One boot; says whether that was the last. A machine that takes too long, or says nothing more
/// before its time, is an error, with the kernel's last words.
fn follow(
    machine: &DiskMachine,
    started: Instant,
    each: &mut impl FnMut(&str) -> Result<()>,
) -> Result<bool> {
    let mut qemu = machine.start()?;
    let output = qemu.stdout.take().context("qemu has no output")?;
    let (sender, lines) = channel();
    let reader = thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let mut judge = || -> Result<bool> {
        loop {
            match lines.recv_timeout(LIMIT.saturating_sub(started.elapsed())) {
                Ok(line) => {
                    if !line.is_empty() {
                        each(&line)?;
                    }
                    match Said::read(&line) {
                        Said::Cut => return Ok(false),
                        Said::Done => return Ok(true),
                        _ => {}
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("not done after {} s", LIMIT.as_secs()),
                Err(RecvTimeoutError::Disconnected) => bail!("the machine went off by itself"),
            }
        }
    };
    let outcome = judge();
    // As a power cut does: nothing in it gets to do anything more.
    qemu.kill().context("cannot kill qemu")?;
    qemu.wait().context("cannot wait for qemu")?;
    let _ = reader.join();
    outcome.with_context(|| {
        let console = fs::read(&machine.console).unwrap_or_default();
        let console = String::from_utf8_lossy(&console);
        let lines: Vec<&str> = console.lines().rev().take(20).collect();
        let last: Vec<&str> = lines.into_iter().rev().collect();
        format!("the kernel's last words:\n{}", last.join("\n"))
    })
}
