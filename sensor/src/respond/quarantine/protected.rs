//! Files that are never put away: without them nothing starts any more, or nobody gets in. The
//! list is short on purpose; whatever else is missing can be put back.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::errors::PutError;

/// The dynamic loader, the C library, init, sshd, a shell and sudo, and who may log in.
const FILES: &[&str] = &[
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/lib/aarch64-linux-gnu/libc.so.6",
    "/lib64/libc.so.6",
    "/sbin/init",
    "/usr/lib/systemd/systemd",
    "/usr/sbin/sshd",
    "/usr/lib/openssh/sshd-session",
    "/usr/libexec/openssh/sshd-session",
    "/etc/ssh/sshd_config",
    "/bin/sh",
    "/bin/bash",
    "/usr/bin/sudo",
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/ld.so.cache",
    "/proc/self/exe",
];

/// Whether an open file is one of them, under whatever name it was opened, or one of ours.
pub fn check(file: &File, state: &Path) -> Result<(), PutError> {
    let data = file
        .metadata()
        .map_err(|error| PutError::Read(error.into()))?;
    let same = |path: &Path| {
        fs::metadata(path).is_ok_and(|other| (other.dev(), other.ino()) == (data.dev(), data.ino()))
    };
    if let Some(path) = FILES.iter().map(Path::new).find(|path| same(path)) {
        return Err(PutError::Protected(path.to_owned()));
    }
    let path = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap_or_default();
    let ours = fs::canonicalize(state).unwrap_or_else(|_| PathBuf::from(state));
    if path.starts_with(ours) {
        return Err(PutError::Ours);
    }
    Ok(())
}
