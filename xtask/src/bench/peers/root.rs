//! A small Debian with the peers in it, unpacked below `target/`, and programs started in it as
//! if it were `/`: in a mount namespace of their own, so that nothing they mount, and nothing they
//! do to `/dev`, is the machine's.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;

use anyhow::{Context, Result};

use crate::debian::PrivateApt;
use crate::exec;
use crate::workspace::Workspace;

/// The suite whose versions of the peers are measured: the newest that is not in flux.
const SUITE: &str = "forky";
const PACKAGES: [&str; 3] = ["auditd", "bpftrace", "sysdig"];

/// What is mounted in it. Devices are made one by one.
const PLACES: [&str; 6] = ["dev", "proc", "sys", "tmp", "run", "root"];

/// The unpacked Debian.
pub(super) struct Root(PathBuf);

impl Root {
    /// Unpacks it if that has not been done yet.
    pub(super) fn get(workspace: &Workspace) -> Result<Self> {
        let dir = workspace.target("bench/peers/root")?;
        if !dir.is_dir() {
            let fresh = workspace.target("bench/peers/root.new")?;
            let _ = fs::remove_dir_all(&fresh);
            unpack(workspace, &fresh).context("cannot get the peers from Debian")?;
            fs::rename(&fresh, &dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        Ok(Self(dir))
    }

    /// A path in it as seen from outside.
    pub(super) fn path(&self, inside: &str) -> PathBuf {
        self.0.join(inside.trim_start_matches('/'))
    }

    /// The version of a package in it.
    pub(super) fn version(&self, package: &str) -> Option<String> {
        fs::read_to_string(self.path("versions"))
            .ok()?
            .lines()
            .find_map(|line| Some(line.strip_prefix(package)?.strip_prefix(' ')?.to_owned()))
    }

    /// A program in it, which will have the process id that the caller gets.
    pub(super) fn command(&self, program: &str) -> Result<Command> {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env("LC_ALL", "C");
        let mounts = Mounts::new(&self.0)?;
        // SAFETY: between fork and exec, `enter` only makes system calls with strings that were
        // put together before.
        unsafe { command.pre_exec(move || mounts.enter()) };
        Ok(command)
    }
}

fn unpack(workspace: &Workspace, root: &Path) -> Result<()> {
    let apt = PrivateApt::new(workspace.target("bench/peers/apt")?, SUITE, false)?;
    println!("bench: fetching {} from {SUITE}", PACKAGES.join(", "));
    exec::output(
        apt.command("apt-get")
            .args(["install", "-q", "-y", "--no-install-recommends"])
            .arg("--download-only")
            .args(PACKAGES),
    )?;
    for dir in ["bin", "sbin", "lib", "lib64"] {
        let usr = root.join("usr").join(dir);
        fs::create_dir_all(&usr).with_context(|| format!("cannot make {}", usr.display()))?;
        symlink(format!("usr/{dir}"), root.join(dir)).context("cannot link into usr")?;
    }
    for place in PLACES {
        fs::create_dir_all(root.join(place))
            .with_context(|| format!("cannot make /{place} in {}", root.display()))?;
    }
    let archives = apt.dir().join("cache/archives");
    let mut versions = String::new();
    for entry in fs::read_dir(&archives).context("cannot list the downloads")? {
        let deb = entry.context("cannot list the downloads")?.path();
        if deb.extension().is_none_or(|extension| extension != "deb") {
            continue;
        }
        exec::output(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(root))?;
        let mut show = Command::new("dpkg-deb");
        show.args(["--show", "--showformat=${Package} ${Version}\n"]);
        versions += &exec::output(show.arg(&deb))?;
    }
    fs::write(root.join("versions"), versions).context("cannot write the list of versions")?;
    let _ = fs::remove_dir_all(&archives);
    Ok(())
}

/// Everything that has to be done to be in the root, prepared so that doing it needs no memory.
struct Mounts {
    root: CString,
    dev: CString,
    proc: CString,
    sys: CString,
    tracing: CString,
    fds: CString,
    devices: Vec<(CString, libc::dev_t)>,
}

impl Mounts {
    fn new(root: &Path) -> Result<Self> {
        let path = |inside: &str| {
            CString::new(root.join(inside).as_os_str().as_bytes())
                .context("a path with a zero byte in it")
        };
        // Numbers as in Documentation/admin-guide/devices.txt.
        let devices = [("null", 3), ("zero", 5), ("random", 8), ("urandom", 9)];
        let devices = devices
            .into_iter()
            .map(|(name, minor)| Ok((path(&format!("dev/{name}"))?, libc::makedev(1, minor))))
            .collect::<Result<_>>()?;
        Ok(Self {
            root: path("")?,
            dev: path("dev")?,
            proc: path("proc")?,
            sys: path("sys")?,
            tracing: path("sys/kernel/tracing")?,
            fds: path("dev/fd")?,
            devices,
        })
    }

    /// Only system calls, because it runs between fork and exec.
    fn enter(&self) -> io::Result<()> {
        let bind = libc::MS_BIND | libc::MS_REC;
        // SAFETY: all strings are terminated and live through the calls; no other memory.
        unsafe {
            check(libc::unshare(libc::CLONE_NEWNS))?;
            // Before anything else: from here on no mount of ours reaches anybody.
            mount(None, c"/", None, libc::MS_REC | libc::MS_PRIVATE)?;
            mount(Some(c"proc"), &self.proc, Some(c"proc"), 0)?;
            mount(Some(c"/sys"), &self.sys, None, bind)?;
            // Mostly it is there already.
            let _ = mount(Some(c"tracefs"), &self.tracing, Some(c"tracefs"), 0);
            mount(Some(c"tmpfs"), &self.dev, Some(c"tmpfs"), 0)?;
            for (path, number) in &self.devices {
                check(libc::mknod(path.as_ptr(), libc::S_IFCHR | 0o666, *number))?;
            }
            check(libc::symlink(c"/proc/self/fd".as_ptr(), self.fds.as_ptr()))?;
            check(libc::chroot(self.root.as_ptr()))?;
            check(libc::chdir(c"/root".as_ptr()))
        }
    }
}

/// mount(2) without data.
///
/// # Safety
/// To be called in a mount namespace of one's own, or everybody sees it.
unsafe fn mount(
    source: Option<&std::ffi::CStr>,
    target: &std::ffi::CStr,
    kind: Option<&std::ffi::CStr>,
    flags: libc::c_ulong,
) -> io::Result<()> {
    let pointer = |text: Option<&std::ffi::CStr>| text.map_or(ptr::null(), std::ffi::CStr::as_ptr);
    // SAFETY: terminated strings that live through the call.
    check(unsafe {
        libc::mount(
            pointer(source),
            target.as_ptr(),
            pointer(kind),
            flags,
            ptr::null(),
        )
    })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
