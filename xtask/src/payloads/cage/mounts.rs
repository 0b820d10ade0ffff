//! The root directory of a cage: the Debian below, a memory file system over it that takes all
//! that is written, devices, terminals and processes of its own. The machine's mounts are gone
//! from it afterwards, so that nothing done in it can reach them.

use std::ffi::{CStr, CString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use anyhow::{Context, Result};

use crate::mount::{check, mount};

/// Name, type of device 1, 5 …, number. Documentation/admin-guide/devices.txt.
const DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];
const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("fd/0", "stdin"),
    ("fd/1", "stdout"),
    ("fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];
const HOST_NAME: &CStr = c"web-1";

/// Makes it and goes there. For the single thread of a process.
pub(crate) fn enter(root: &Path, scratch: &Path) -> Result<()> {
    let apart = libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;
    // SAFETY: no memory is passed.
    check(unsafe { libc::unshare(apart) }).context("no mount namespace")?;
    // SAFETY: the name lives through the call, and its length is right.
    check(unsafe { libc::sethostname(HOST_NAME.as_ptr(), HOST_NAME.to_bytes().len()) })?;
    // Before anything else: from here on no mount of ours reaches anybody.
    at(
        None,
        Path::new("/"),
        None,
        libc::MS_REC | libc::MS_PRIVATE,
        "",
    )?;
    at(Some(c"tmpfs"), scratch, Some(c"tmpfs"), 0, "mode=755")?;
    let [upper, work, merged] = ["upper", "work", "root"].map(|name| scratch.join(name));
    for directory in [&upper, &work, &merged] {
        fs::create_dir(directory).context("cannot make a directory in memory")?;
    }
    let layers = format!(
        "lowerdir={},upperdir={},workdir={}",
        root.display(),
        upper.display(),
        work.display()
    );
    at(Some(c"overlay"), &merged, Some(c"overlay"), 0, &layers)?;
    fill(&merged)?;
    go(&merged)
}

fn fill(root: &Path) -> Result<()> {
    at(Some(c"proc"), &root.join("proc"), Some(c"proc"), 0, "")?;
    at(
        Some(c"tmpfs"),
        &root.join("tmp"),
        Some(c"tmpfs"),
        0,
        "mode=1777",
    )?;
    at(
        Some(c"tmpfs"),
        &root.join("run"),
        Some(c"tmpfs"),
        0,
        "mode=755",
    )?;
    let dev = root.join("dev");
    at(Some(c"tmpfs"), &dev, Some(c"tmpfs"), 0, "mode=755")?;
    for (name, major, minor) in DEVICES {
        let path = dev.join(name);
        let text = terminated(&path)?;
        // SAFETY: the path is terminated and lives through the call.
        check(unsafe {
            libc::mknod(
                text.as_ptr(),
                libc::S_IFCHR | 0o666,
                libc::makedev(major, minor),
            )
        })
        .with_context(|| format!("cannot make {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
    }
    for (target, name) in LINKS {
        symlink(target, dev.join(name)).context("cannot link in /dev")?;
    }
    for name in ["pts", "shm"] {
        fs::create_dir(dev.join(name)).context("cannot make a directory in /dev")?;
    }
    let terminals = "newinstance,ptmxmode=0666,mode=620";
    at(
        Some(c"devpts"),
        &dev.join("pts"),
        Some(c"devpts"),
        0,
        terminals,
    )?;
    at(
        Some(c"tmpfs"),
        &dev.join("shm"),
        Some(c"tmpfs"),
        0,
        "mode=1777",
    )
}

/// Makes it `/` and lets go of what was there before.
fn go(root: &Path) -> Result<()> {
    std::env::set_current_dir(root).context("cannot go to the new root")?;
    // SAFETY: the strings are terminated; the current directory is a mount of our own namespace.
    // The same directory twice puts the old root over the new one, from where it is then taken.
    unsafe {
        check(libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) as i32)
            .context("cannot change the root")?;
        check(libc::umount2(c".".as_ptr(), libc::MNT_DETACH)).context("cannot leave the root")?;
    }
    std::env::set_current_dir("/").context("cannot go to /")
}

fn at(
    source: Option<&CStr>,
    target: &Path,
    kind: Option<&CStr>,
    flags: libc::c_ulong,
    data: &str,
) -> Result<()> {
    let path = terminated(target)?;
    let data = CString::new(data).context("a path with a zero byte in it")?;
    // SAFETY: `enter` has made a mount namespace before it calls this.
    unsafe { mount(source, &path, kind, flags, Some(&data)) }
        .with_context(|| format!("cannot mount at {}", target.display()))
}

fn terminated(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).context("a path with a zero byte in it")
}
