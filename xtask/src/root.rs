//! A small Debian unpacked below `target/`, and programs started in it as if it were `/`: in a
//! mount namespace of their own, so that nothing they mount, and nothing they do to `/dev`, is the
//! machine's. Which packages are in it, and what for, is the callers' business.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::exec;
use crate::mount::{check, mount};

/// What is mounted in it. Devices are made one by one.
const PLACES: [&str; 6] = ["dev", "proc", "sys", "tmp", "run", "root"];

/// The unpacked Debian.
pub(crate) struct Root(PathBuf);

impl Root {
    /// What is in the directory; if there is nothing yet, `fill` makes it, beside it and in full.
    pub(crate) fn get(dir: PathBuf, fill: impl FnOnce(&Self) -> Result<()>) -> Result<Self> {
        if !dir.is_dir() {
            let fresh = Self(dir.with_extension("new"));
            let _ = fs::remove_dir_all(&fresh.0);
            fill(&fresh)?;
            fs::rename(&fresh.0, &dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        Ok(Self(dir))
    }

    /// A path in it as seen from outside.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.0.join(inside.trim_start_matches('/'))
    }

    /// Unpacks packages, without running any script of theirs.
    pub(crate) fn unpack(&self, packages: &[PathBuf]) -> Result<()> {
        for dir in ["bin", "sbin", "lib", "lib64"] {
            let usr = self.0.join("usr").join(dir);
            fs::create_dir_all(&usr).with_context(|| format!("cannot make {}", usr.display()))?;
            symlink(format!("usr/{dir}"), self.0.join(dir)).context("cannot link into usr")?;
        }
        for place in PLACES {
            fs::create_dir_all(self.0.join(place))
                .with_context(|| format!("cannot make /{place} in {}", self.0.display()))?;
        }
        for package in packages {
            let mut extract = Command::new("dpkg-deb");
            exec::output(extract.arg("-x").arg(package).arg(&self.0))?;
        }
        Ok(())
    }

    /// A program in it, which will have the process id that the caller gets.
    pub(crate) fn command(&self, program: &str) -> Result<Command> {
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
            mount(None, c"/", None, libc::MS_REC | libc::MS_PRIVATE, None)?;
            mount(Some(c"proc"), &self.proc, Some(c"proc"), 0, None)?;
            mount(Some(c"/sys"), &self.sys, None, bind, None)?;
            // Mostly it is there already.
            let _ = mount(Some(c"tracefs"), &self.tracing, Some(c"tracefs"), 0, None);
            mount(Some(c"tmpfs"), &self.dev, Some(c"tmpfs"), 0, None)?;
            for (path, number) in &self.devices {
                check(libc::mknod(path.as_ptr(), libc::S_IFCHR | 0o666, *number))?;
            }
            check(libc::symlink(c"/proc/self/fd".as_ptr(), self.fds.as_ptr()))?;
            check(libc::chroot(self.root.as_ptr()))?;
            check(libc::chdir(c"/root".as_ptr()))
        }
    }
}
