//! The inside of a test's cage, process 1 of its own process, mount and host-name namespaces:
//! makes a throw-away copy of the Debian the root directory, gives up what could reach the
//! machine's kernel, gets what the test needs, runs it, and stays until it is killed, which ends
//! everything in it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::corpus::PLACE;
use super::root::FILES;
use super::trial::since_boot;
use crate::mount::{check, mount};
use crate::payloads::cage::mounts;

/// Said with the nanoseconds since boot when all is there and the test is started next.
pub(super) const READY: &str = "ready ";
/// Said with the exit code when it has ended.
pub(super) const DONE: &str = "done ";
/// Whoever runs what needs no power.
const USER: (&str, u32) = ("eve", 1000);
/// Running on every server.
const SERVICES: [&str; 2] = ["cron", "atd"];
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What the machine's kernel goes by, all namespaces alike; tests are not to change it.
const READ_ONLY: [&std::ffi::CStr; 3] = [c"/proc/sys", c"/proc/irq", c"/proc/sysrq-trigger"];
/// Capabilities over the machine as a whole: SYS_MODULE, SYS_RAWIO, SYS_BOOT, SYS_TIME, SYSLOG
/// (`include/uapi/linux/capability.h`).
const GIVEN_UP: [libc::c_ulong; 5] = [16, 17, 22, 25, 34];

/// What is to be done in a cage. It comes in a file, so that no command line but the test's own
/// has the test in it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Spec {
    /// The Debian, which stays as it is.
    pub(super) root: PathBuf,
    /// An empty directory to mount things at, in the cage's own namespace.
    pub(super) scratch: PathBuf,
    pub(super) shell: String,
    pub(super) command: String,
    /// How to see whether something is there, and how to get it.
    pub(super) needs: Vec<(String, String)>,
    pub(super) is_elevated: bool,
}

/// `cargo xtask atomic-cage FILE`, started by the harness only.
#[derive(clap::Args)]
pub(crate) struct Args {
    spec: PathBuf,
}

/// Makes the process namespace, and process 1 in it.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let text = fs::read_to_string(&args.spec)
        .with_context(|| format!("cannot read {}", args.spec.display()))?;
    let spec: Spec = serde_json::from_str(&text).context("not a cage")?;
    // SAFETY: no memory is passed.
    check(unsafe { libc::unshare(libc::CLONE_NEWPID) }).context("no process namespace")?;
    // SAFETY: this process has a single thread, so the child may do anything.
    match unsafe { libc::fork() } {
        0 => inside(&spec),
        child if child > 0 => {
            // SAFETY: no memory is passed but a null pointer, which is allowed.
            unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(io::Error::last_os_error()).context("cannot fork"),
    }
}

/// Process 1.
fn inside(spec: &Spec) -> Result<ExitCode> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })
        .context("cannot be made to end with the harness")?;
    mounts::enter(&spec.root, &spec.scratch)?;
    give_up()?;
    furnish()?;
    for service in SERVICES {
        let mut start = Command::new("/usr/sbin/service");
        start.args([service, "start"]).stdout(Stdio::null());
        // A test that needs it says so.
        let _ = start.status();
    }
    say("made")?;
    for (check, get) in &spec.needs {
        prepare(spec, check, get)?;
    }
    say(&format!("{READY}{}", since_boot()))?;
    let mut test = shell(spec, &spec.command)?;
    let mut test = test.spawn().context("cannot start the test")?;
    let status = test.wait().context("cannot wait for the test")?;
    say(&format!("{DONE}{}", status.code().unwrap_or(-1)))?;
    loop {
        // SAFETY: no memory is passed but a null pointer, which is allowed.
        if unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } < 0 {
            // SAFETY: no memory is passed.
            unsafe { libc::pause() };
        }
    }
}

fn say(line: &str) -> Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .context("the harness is gone")
}

/// Lets go of what reaches beyond the namespaces.
fn give_up() -> Result<()> {
    for path in READ_ONLY {
        let again = libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY;
        // SAFETY: in the cage's own mount namespace.
        let bound = unsafe { mount(Some(path), path, None, libc::MS_BIND, None) };
        if matches!(&bound, Err(error) if error.kind() == io::ErrorKind::NotFound) {
            // Not every kernel has it.
            continue;
        }
        bound
            // SAFETY: as above.
            .and_then(|()| unsafe { mount(None, path, None, again, None) })
            .with_context(|| format!("cannot make {path:?} read-only"))?;
    }
    for capability in GIVEN_UP {
        // SAFETY: no memory is passed.
        check(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability) })
            .context("cannot give up a capability")?;
    }
    Ok(())
}

/// Files of the tests, and somebody whose machine it is.
fn furnish() -> Result<()> {
    let place = Path::new(PLACE);
    fs::create_dir_all(place.parent().unwrap_or(place)).context("no place for tests")?;
    let copied = Command::new("cp").args(["-r", FILES, PLACE]).status();
    ensure!(
        copied.is_ok_and(|status| status.success()),
        "cannot copy the tests' files"
    );
    let (name, id) = USER;
    for (file, line) in [
        (
            "/etc/passwd",
            format!("{name}:x:{id}:{id}::/home/{name}:/bin/bash\n"),
        ),
        ("/etc/group", format!("{name}:x:{id}:\n")),
        ("/etc/shadow", format!("{name}:*:19000:0:99999:7:::\n")),
    ] {
        let mut file = OpenOptions::new().append(true).create(true).open(file)?;
        file.write_all(line.as_bytes())
            .context("cannot add a user")?;
    }
    for (home, owner) in [("/root".to_owned(), 0), (format!("/home/{name}"), id)] {
        fs::create_dir_all(&home).context("no home")?;
        for file in [".bashrc", ".bash_history", ".history"] {
            let path = format!("{home}/{file}");
            fs::write(&path, "mysql -u root -p secret\n").context("cannot furnish a home")?;
            chown(&path, Some(owner), Some(owner)).context("cannot furnish a home")?;
        }
        chown(&home, Some(owner), Some(owner)).context("cannot furnish a home")?;
    }
    // The tests' files are everybody's.
    let open = Command::new("chmod")
        .args(["-R", "a+rwX", "/tmp/AtomicRedTeam"])
        .status();
    ensure!(
        open.is_ok_and(|status| status.success()),
        "cannot open the tests' files"
    );
    Ok(())
}

/// Gets something, if it is not there, as the user of the test.
fn prepare(spec: &Spec, is_there: &str, get: &str) -> Result<()> {
    let works = |line: &str| -> Result<bool> {
        Ok(shell(spec, line)?.status().context("no shell")?.success())
    };
    if works(is_there)? {
        return Ok(());
    }
    let _ = works(get)?;
    ensure!(
        works(is_there)?,
        "what it needs cannot be had here: {}",
        is_there.trim()
    );
    Ok(())
}

/// The shell, as root or as somebody, with an environment as after logging in.
fn shell(spec: &Spec, line: &str) -> Result<Command> {
    let (name, id, home) = if spec.is_elevated {
        ("root", 0, "/root".to_owned())
    } else {
        (USER.0, USER.1, format!("/home/{}", USER.0))
    };
    let output = io::stderr().as_fd().try_clone_to_owned();
    let mut command = Command::new(format!("/bin/{}", spec.shell));
    command
        .args(["-c", line])
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", &home)
        .env("USER", name)
        .env("SHELL", "/bin/bash")
        .env("LANG", "C.UTF-8")
        .env("PathToAtomicsFolder", PLACE)
        .current_dir("/tmp")
        .stdin(Stdio::null())
        .stdout(output.context("no standard error")?)
        .uid(id)
        .gid(id);
    Ok(command)
}
