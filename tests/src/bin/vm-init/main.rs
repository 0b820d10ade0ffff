//! Process 1 of the test machines that `cargo xtask vm` boots: mounts what a distribution would
//! have mounted, loads modules, makes the kernel refuse trampolines when asked to, runs the
//! commands in `/vm/cmd` one after the other, says how they ended and switches the machine off.
//! No test logic here: what is tested is in the commands.
//!
//! It talks to xtask through lines that start with `VM-` on the first serial port; the kernel
//! writes to the second one, so that neither can tear the other's lines apart.

mod btf;
mod kernel;
mod trampoline;

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

fn main() {
    let code = match run() {
        Ok(code) => code,
        Err(error) => {
            println!("VM-ERROR {error:#}");
            125
        }
    };
    kernel::report_complaints();
    println!("VM-EXIT {code}");
    let _ = io::stdout().flush();
    kernel::power_off();
}

/// Prepares the machine, runs every step and returns the first exit code that was not 0.
fn run() -> Result<i32> {
    ensure!(
        std::process::id() == 1,
        "vm-init is process 1 of a test machine and nothing else; it mounts and powers off"
    );
    mount_all()?;
    talk_on_the_serial_port()?;
    println!("VM-KERNEL {}", kernel::release()?);
    people_and_places()?;
    kernel::loopback_up()?;
    load_modules();
    let cmdline = fs::read_to_string("/proc/cmdline").context("cannot read /proc/cmdline")?;
    let refuse = cmdline
        .split_whitespace()
        .any(|word| word == "sensor.trampolines=off");
    // Held until the last step has ended.
    let _gate = if refuse {
        Some(trampoline::refuse()?)
    } else {
        None
    };
    println!("VM-TRAMPOLINES {}", trampoline::describe());
    println!("VM-READY {}", kernel::uptime_ms());
    run_steps()
}

/// What a booted distribution has mounted. Only `/proc`, `/sys` and `/dev` must succeed; an
/// older kernel may lack one of the others, and the tests say so when they need it.
fn mount_all() -> Result<()> {
    const MOUNTS: [(&str, &str, &str, bool); 12] = [
        ("proc", "/proc", "", true),
        ("sysfs", "/sys", "", true),
        ("devtmpfs", "/dev", "", true),
        ("devpts", "/dev/pts", "gid=5,mode=620,ptmxmode=666", false),
        ("tmpfs", "/dev/shm", "", false),
        ("tracefs", "/sys/kernel/tracing", "", false),
        ("debugfs", "/sys/kernel/debug", "", false),
        ("securityfs", "/sys/kernel/security", "", false),
        ("bpf", "/sys/fs/bpf", "", false),
        ("cgroup2", "/sys/fs/cgroup", "", false),
        ("tmpfs", "/tmp", "mode=1777", false),
        ("tmpfs", "/run", "mode=755", false),
    ];
    for (kind, dir, options, needed) in MOUNTS {
        // In /sys the directories are the kernel's; where it made none, mount says so.
        let _ = fs::create_dir_all(dir);
        match kernel::mount(kind, dir, options) {
            Err(error) if needed => return Err(error),
            Err(error) => println!("VM-NOTE {error:#}"),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Makes the first serial port our standard streams, without the terminal rewriting lines.
fn talk_on_the_serial_port() -> Result<()> {
    let port = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/ttyS0")
        .context("cannot open /dev/ttyS0: is it in the kernel?")?;
    kernel::make_raw(port.as_raw_fd()).context("cannot make /dev/ttyS0 raw")?;
    for stream in 0..3 {
        // SAFETY: dup2 of a descriptor that `port` keeps open; replaces our standard streams.
        let done = unsafe { libc::dup2(port.as_raw_fd(), stream) };
        ensure!(
            done == stream,
            "dup2 failed: {}",
            io::Error::last_os_error()
        );
    }
    Ok(())
}

/// Users, names and directories that server software expects.
fn people_and_places() -> Result<()> {
    let files = [
        (
            "/etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\n\
             daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
             www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n\
             alice:x:1000:1000:Alice:/home/alice:/bin/sh\n\
             nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
        ),
        (
            "/etc/group",
            "root:x:0:\ndaemon:x:1:\ntty:x:5:\nwww-data:x:33:\nalice:x:1000:\nnogroup:x:65534:\n",
        ),
        ("/etc/hosts", "127.0.0.1 localhost vm\n::1 localhost\n"),
        ("/etc/hostname", "vm\n"),
        ("/etc/resolv.conf", "nameserver 127.0.0.1\n"),
        (
            "/etc/nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files\n",
        ),
    ];
    for dir in [
        "/etc",
        "/root",
        "/home/alice",
        "/var/www/html",
        "/var/log",
        "/var/lib",
        "/var/tmp",
        "/opt",
        "/mnt",
    ] {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {dir}"))?;
    }
    for (path, text) in files {
        if !Path::new(path).exists() {
            fs::write(path, text).with_context(|| format!("cannot write {path}"))?;
        }
    }
    for (path, id) in [("/home/alice", 1000), ("/var/www/html", 33)] {
        std::os::unix::fs::chown(path, Some(id), Some(id))
            .with_context(|| format!("cannot give {path} away"))?;
    }
    fs::write("/proc/sys/kernel/hostname", "vm").context("cannot set the host name")
}

/// Loads the modules that xtask put in, in the order it worked out. A module the kernel refuses
/// is reported, not fatal: few tests need one.
fn load_modules() {
    let order = fs::read_to_string("/vm/modules/order").unwrap_or_default();
    for name in order.lines() {
        let loaded = File::open(format!("/vm/modules/{name}"))
            .context("cannot open it")
            .and_then(|file| kernel::load_module(&file));
        if let Err(error) = loaded {
            println!("VM-NOTE module {name}: {error:#}");
        }
    }
}

/// Runs the steps of `/vm/cmd`: one argument per line, an empty line between steps.
fn run_steps() -> Result<i32> {
    let steps = fs::read_to_string("/vm/cmd").context("no /vm/cmd: nothing to run")?;
    let env = fs::read_to_string("/vm/env").unwrap_or_default();
    let mut first_failure = 0;
    for step in steps.split("\n\n") {
        let args: Vec<&str> = step.lines().filter(|line| !line.is_empty()).collect();
        let Some((program, args)) = args.split_first() else {
            continue;
        };
        println!("VM-STEP {program}");
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir("/root")
            .stdin(Stdio::null())
            .env_clear();
        command.envs(env.lines().filter_map(|line| line.split_once('=')));
        // A group of its own: a step that signals its group must not signal us.
        command.process_group(0);
        let code = match command.spawn() {
            Ok(child) => wait_for(child.id())?,
            Err(error) => {
                println!("VM-NOTE cannot start {program}: {error}");
                127
            }
        };
        println!("VM-DONE {code} {program}");
        if first_failure == 0 {
            first_failure = code;
        }
    }
    Ok(first_failure)
}

/// Reaps whatever ends, as process 1 must, until `pid` is among it; its exit code as a shell
/// would give it.
fn wait_for(pid: u32) -> Result<i32> {
    loop {
        let mut status = 0;
        // SAFETY: `status` is a valid place for the answer.
        let ended = unsafe { libc::waitpid(-1, &mut status, 0) };
        if ended < 0 {
            let error = io::Error::last_os_error();
            ensure!(
                error.kind() == io::ErrorKind::Interrupted,
                "waitpid failed: {error}"
            );
            continue;
        }
        if u32::try_from(ended) == Ok(pid) {
            return Ok(if libc::WIFSIGNALED(status) {
                128 + libc::WTERMSIG(status)
            } else {
                libc::WEXITSTATUS(status)
            });
        }
    }
}

/// A string for the kernel.
fn c_string(text: &str) -> Result<CString> {
    CString::new(text).with_context(|| format!("{text:?} contains a zero byte"))
}
