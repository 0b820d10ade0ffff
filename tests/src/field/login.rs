//! Logins on the field: a real sshd here, and real clients that come from there. Known is only
//! how to type a line and to read what comes back.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use anyhow::{Context as _, Result, bail};

use super::{Field, at};
use crate::PATIENCE;

/// Where the sshd listens.
const PORT: &str = "2222";
/// What it takes.
const PROGRAMS: [&str; 3] = ["/usr/sbin/sshd", "/usr/bin/ssh", "/usr/bin/ssh-keygen"];

/// A running sshd.
pub struct Sshd {
    child: Child,
    key: PathBuf,
}

/// Whether this machine has one.
#[must_use]
pub fn is_installed() -> bool {
    PROGRAMS
        .iter()
        .all(|path| fs::exists(path).unwrap_or(false))
}

impl Sshd {
    /// Starts it, with keys and a configuration of its own.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(field: &Field) -> Result<Self> {
        let [sshd, _, keygen] = PROGRAMS;
        let directory = field.directory().join("ssh");
        fs::create_dir(&directory)?;
        // Where Debian's shuts its helpers in; it wants it to be there.
        fs::create_dir_all("/run/sshd")?;
        let key = directory.join("key");
        let made = Command::new(keygen)
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key)
            .status()?;
        if !made.success() {
            bail!("ssh-keygen: {made}");
        }
        let config = directory.join("config");
        fs::write(
            &config,
            format!(
                "Port {PORT}\nHostKey {key}\nAuthorizedKeysFile {key}.pub\nStrictModes no\n\
                 UsePAM no\nPermitRootLogin yes\nPidFile none\nUseDNS no\n",
                key = key.display()
            ),
        )?;
        let mut command = Command::new(sshd);
        command.args(["-D", "-e", "-f"]).arg(&config);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        let child = field.start_here(&mut command).spawn()?;
        Ok(Self { child, key })
    }

    /// Logs in from one of the other host's addresses, and waits for a shell.
    ///
    /// # Errors
    /// When that does not work.
    pub fn login(&self, field: &Field, from: IpAddr) -> Result<Login> {
        let [_, ssh, _] = PROGRAMS;
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let mut command = Command::new(ssh);
            command
                .args(["-F", "none", "-p", PORT, "-b", &from.to_string(), "-i"])
                .arg(&self.key)
                .args(["-o", "StrictHostKeyChecking=no"])
                .args(["-o", "UserKnownHostsFile=/dev/null"])
                .args(["-o", "LogLevel=ERROR", "-T"])
                .arg(format!("root@{}", at::HERE))
                .arg("exec sh 2>&1")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null());
            let mut login = Login::of(field.start_there(&mut command).spawn()?)?;
            match login.says("echo $$") {
                Ok(pid) => {
                    login.shell = pid.trim().parse()?;
                    return Ok(login);
                }
                // It is not listening yet.
                Err(_) if std::time::Instant::now() < deadline => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Somebody who is logged in.
pub struct Login {
    child: Child,
    input: ChildStdin,
    output: Receiver<String>,
    /// Process of the shell.
    pub shell: u32,
}

impl Login {
    fn of(mut child: Child) -> Result<Self> {
        let input = child.stdin.take().context("no input")?;
        let stdout = child.stdout.take().context("no output")?;
        let (sender, output) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            input,
            output,
            shell: 0,
        })
    }

    /// Types a command, and gives what it says.
    ///
    /// # Errors
    /// When the connection is gone, or nothing comes back in time.
    pub fn says(&mut self, command: &str) -> Result<String> {
        const END: &str = "---end---";
        self.input
            .write_all(format!("{command}\necho {END}\n").as_bytes())?;
        self.input.flush()?;
        let mut text = String::new();
        loop {
            let line = self.output.recv_timeout(PATIENCE).context("no answer")?;
            if line == END {
                return Ok(text);
            }
            text.push_str(&line);
            text.push('\n');
        }
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
