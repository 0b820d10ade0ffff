//! Boots one test machine and follows it until it has switched itself off: its output, its
//! results, its time limit. What it boots is prepared by the caller.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::hooks::{self, Hooks};
use crate::tally::Tally;

/// Everything one machine is made of.
pub(super) struct Machine {
    /// Shown in front of each line of its output.
    pub(super) title: String,
    pub(super) image: PathBuf,
    pub(super) initramfs: PathBuf,
    /// Whether its kernel is to let trampolines be attached.
    pub(super) trampolines: bool,
    /// Whether its clock advances by a nanosecond per instruction.
    pub(super) count_instructions: bool,
    /// Added to the kernel's command line.
    pub(super) cmdline: String,
    pub(super) limit: Duration,
    /// Its memory.
    pub(super) memory_mib: u32,
    /// Its output, each line with the seconds since it was started.
    pub(super) log: PathBuf,
    /// The kernel's own messages.
    pub(super) console: PathBuf,
}

/// What became of it.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) tally: Tally,
    /// The release of the kernel that ran.
    pub(super) kernel: Option<String>,
    /// What the kernel says to an fentry and an LSM program.
    pub(super) trampolines: Option<String>,
    /// From the start of qemu until process 1 began with the steps.
    pub(super) boot: Option<Duration>,
    pub(super) total: Duration,
    /// What process 1 gave as the end; none if it never got there.
    pub(super) code: Option<i32>,
    /// Warnings and worse in the kernel's log.
    pub(super) complaints: u64,
    /// What serves which event there.
    pub(super) hooks: Hooks,
    /// The report that is being printed.
    report: Option<String>,
    /// Failures when the step that runs now began.
    failed_before: u64,
}

impl Machine {
    /// Boots, follows and judges. Only a machine that could not be started is an error.
    pub(super) fn run(&self) -> Result<Outcome> {
        let started = Instant::now();
        let mut log = File::create(&self.log)
            .with_context(|| format!("cannot create {}", self.log.display()))?;
        let mut child = self.start()?;
        let output = child.stdout.take().context("qemu has no output")?;
        let mut outcome = Outcome::default();
        let late = thread::scope(|scope| {
            let watch = scope.spawn(|| watch(&mut child, started + self.limit));
            outcome.follow(&self.title, BufReader::new(output), &mut log, started);
            watch
                .join()
                .map_err(|_| anyhow!("the thread that watches qemu panicked"))
        })??;
        outcome.total = started.elapsed();

        if late {
            self.say(
                &mut log,
                &format!("stopped: not done after {} s", self.limit.as_secs()),
            );
        }
        if outcome.code.is_none() {
            self.say(
                &mut log,
                "it did not switch itself off; the kernel's last words:",
            );
            let console = fs::read(&self.console).unwrap_or_default();
            let console = String::from_utf8_lossy(&console);
            let lines: Vec<&str> = console.lines().collect();
            for line in lines.iter().skip(lines.len().saturating_sub(40)) {
                self.say(&mut log, line);
            }
        }
        if outcome.code.is_none() {
            outcome.tally.ended(false, outcome.failed_before);
        }
        outcome.tally.ended(outcome.code == Some(0), 0);
        // Else the tests ran on something other than the table says.
        let expected = if self.trampolines {
            "fentry=ok lsm=ok tp_btf=ok"
        } else {
            "fentry=EPERM(load) lsm=EPERM(load) tp_btf=ok"
        };
        if outcome
            .trampolines
            .as_deref()
            .is_some_and(|found| found != expected)
        {
            self.say(
                &mut log,
                &format!("trampolines are not as they should be here ({expected})"),
            );
            outcome.tally.failed += 1;
        }
        Ok(outcome)
    }

    fn start(&self) -> Result<Child> {
        let console = format!("file:{}", self.console.display());
        let cmdline = format!(
            "console=ttyS1 panic=-1 quiet lsm=lockdown,bpf {}",
            self.cmdline
        );
        let mut qemu = Command::new("qemu-system-x86_64");
        // One thread for all its processors: with one each, a processor has been seen to run a
        // breakpoint that the kernel had already patched away again (6.12, attaching a tracepoint).
        let memory = format!("{}M", self.memory_mib);
        qemu.args(["-accel", "tcg,thread=single", "-cpu", "max", "-m", &memory])
            .args([
                "-display",
                "none",
                "-monitor",
                "none",
                "-nic",
                "none",
                "-no-reboot",
            ])
            .args(["-serial", "stdio", "-serial", &console])
            .arg("-kernel")
            .arg(&self.image)
            .arg("-initrd")
            .arg(&self.initramfs)
            .args(["-append", cmdline.trim_end()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if self.count_instructions {
            // One CPU: else those of the others pass on its clock too, unnoticed by its kernel.
            qemu.args(["-smp", "1", "-icount", "shift=0"]);
        } else {
            qemu.args(["-smp", "2"]);
        }
        die_with_us(&mut qemu);
        qemu.spawn()
            .context("cannot start qemu-system-x86_64; `cargo xtask setup` as root installs it")
    }

    fn say(&self, log: &mut File, line: &str) {
        println!("[{}] {line}", self.title);
        let _ = writeln!(log, "{line}");
    }
}

/// Waits for qemu; kills it, and only it, at the deadline. Says whether that was necessary.
fn watch(child: &mut Child, deadline: Instant) -> Result<bool> {
    while child.try_wait().context("cannot wait for qemu")?.is_none() {
        if Instant::now() >= deadline {
            child.kill().context("cannot kill qemu")?;
            child.wait().context("cannot wait for qemu")?;
            return Ok(true);
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(false)
}

/// Makes qemu end with us, however we end: nobody would watch its time limit any more.
pub(super) fn die_with_us(command: &mut Command) {
    // SAFETY: prctl is a plain system call, allowed between fork and exec; it has no pointers here.
    unsafe {
        command.pre_exec(
            || match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            },
        );
    }
}

impl Outcome {
    fn follow(&mut self, title: &str, mut output: impl BufRead, log: &mut File, started: Instant) {
        let mut bytes = Vec::new();
        while output
            .read_until(b'\n', &mut bytes)
            .is_ok_and(|length| length > 0)
        {
            let line = String::from_utf8_lossy(&bytes);
            let line = line.trim_end_matches(['\n', '\r']);
            // With the time, which shows what is slow there.
            let _ = writeln!(log, "{:8.1} {line}", started.elapsed().as_secs_f64());
            if self.take(line, started) {
                println!("[{title}] {line}");
            }
            bytes.clear();
        }
    }

    /// Understands one line; says whether people want to see it.
    fn take(&mut self, line: &str, started: Instant) -> bool {
        self.tally.line(line);
        let Some((mark, rest)) = line
            .strip_prefix("VM-")
            .and_then(|line| line.split_once(' '))
        else {
            if let Some(report) = &mut self.report {
                report.push_str(line);
                return false;
            }
            // The firmware says things before the kernel starts, and clears the screen.
            return self.kernel.is_some() && !line.is_empty();
        };
        match mark {
            "KERNEL" => self.kernel = Some(rest.to_owned()),
            "TRAMPOLINES" => self.trampolines = Some(rest.to_owned()),
            "READY" => self.boot = Some(started.elapsed()),
            "EXIT" => self.code = rest.trim().parse().ok(),
            "STEP" => {
                self.failed_before = self.tally.failed;
                self.report = (rest == hooks::PROGRAM).then(String::new);
            }
            "DONE" => {
                if let Some(report) = self.report.take() {
                    self.hooks = Hooks::of(&report);
                }
                let success = rest.starts_with("0 ");
                self.tally.ended(success, self.failed_before);
                return !success;
            }
            "COMPLAINT" => self.complaints += 1,
            _ => {}
        }
        matches!(mark, "NOTE" | "ERROR" | "COMPLAINT" | "STEP")
    }
}
