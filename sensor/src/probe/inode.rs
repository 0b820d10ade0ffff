//! Which inode a path leads to, as the kernel programs see it. That is what `stat` says, but for
//! btrfs and overlayfs, which show other devices and numbers; there `fdinfo` (from 5.14 on) and
//! `mountinfo` are true.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use sensor_common::filter::InodeKey;

/// Finds inodes.
#[derive(Default)]
pub struct Inodes {
    mounts: OnceCell<Mounts>,
}

impl Inodes {
    /// The one at a path, if there is one.
    pub fn at(&self, path: &Path) -> Option<InodeKey> {
        let file = fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_CLOEXEC)
            .open(path)
            .ok()?;
        let metadata = file.metadata().ok()?;
        let (major, minor) = (libc::major(metadata.dev()), libc::minor(metadata.dev()));
        let mut key = InodeKey {
            inode: metadata.ino(),
            dev: (major << 20) | minor,
            reserved: 0,
        };
        if shows_others(&file) {
            let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd()))
                .unwrap_or_default();
            let number = |name: &str| {
                info.lines()
                    .find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
            };
            key.inode = number("ino:").unwrap_or(key.inode);
            let device = |mount| self.mounts.get_or_init(Mounts::read).device(mount);
            key.dev = number("mnt_id:").and_then(device).unwrap_or(key.dev);
        }
        Some(key)
    }
}

/// Whether `stat` does not show the kernel's own numbers on the file system of a file.
fn shows_others(file: &File) -> bool {
    const BTRFS: u32 = 0x9123_683e;
    const OVERLAYFS: u32 = 0x794c_7630;
    // SAFETY: zeros are a valid value, and the kernel fills it in.
    let mut system: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: an open descriptor and a place for the result.
    let failed = unsafe { libc::fstatfs(file.as_raw_fd(), &raw mut system) } != 0;
    !failed && matches!(system.f_type as u32, BTRFS | OVERLAYFS)
}

/// Devices of the mounts, by mount id.
struct Mounts(HashMap<u64, u32>);

impl Mounts {
    fn read() -> Self {
        Self::parse(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(parse_mount).collect())
    }

    fn device(&self, mount: u64) -> Option<u32> {
        self.0.get(&mount).copied()
    }
}

/// `36 35 98:0 /root /where …` (`Documentation/filesystems/proc.rst`).
fn parse_mount(line: &str) -> Option<(u64, u32)> {
    let mut words = line.split(' ');
    let id = words.next()?.parse().ok()?;
    let (major, minor) = words.nth(1)?.split_once(':')?;
    Some((
        id,
        (major.parse::<u32>().ok()? << 20) | minor.parse::<u32>().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_come_from_mountinfo() {
        let mounts = Mounts::parse(
            "36 35 8:1 / / rw - ext4 /dev/sda1 rw\nbroken\n37 36 0:25 / /proc rw - proc proc rw\n",
        );
        assert_eq!(mounts.device(36), Some((8 << 20) | 1));
        assert_eq!(mounts.device(37), Some(25));
        assert_eq!(mounts.device(38), None);
    }
}
