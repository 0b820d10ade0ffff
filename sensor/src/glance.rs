//! Files looked at without ever waiting for whoever serves them. An intruder can mount a file
//! system that never answers, and who waits for that is blind and cannot even be killed; so the
//! threads that watch look at other people's files only through this. It goes by what the kernel
//! has in memory: what is not there is not found. No content is read here.

use std::ffi::{CString, OsStr};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::mem;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// File systems that the kernel serves by itself, as mount tables name them.
const LOCAL: [&str; 35] = [
    "autofs",
    "bcachefs",
    "binfmt_misc",
    "bpf",
    "btrfs",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "erofs",
    "ext2",
    "ext3",
    "ext4",
    "f2fs",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "pstore",
    "ramfs",
    "rootfs",
    "securityfs",
    "squashfs",
    "sysfs",
    "tmpfs",
    "tracefs",
    "vfat",
    "xfs",
    "zfs",
];

/// The same that hold programs, by their numbers (`include/uapi/linux/magic.h`): ext, xfs, btrfs,
/// tmpfs, overlayfs, squashfs, f2fs, ramfs, zfs, erofs, bcachefs.
#[must_use]
pub const fn is_local(magic: u32) -> bool {
    matches!(
        magic,
        0xef53
            | 0x5846_5342
            | 0x9123_683e
            | 0x0102_1994
            | 0x794c_7630
            | 0x7371_7368
            | 0xf2f5_2010
            | 0x8584_58f6
            | 0x2fc1_2fc1
            | 0xe0f5_e1e2
            | 0xca45_1a4e
    )
}

/// Whether the kernel can look names up in memory only (`RESOLVE_CACHED`, from 5.12 on); until it
/// says no.
static CACHED: AtomicBool = AtomicBool::new(true);

/// A directory below which names are looked up: no link, also no absolute one, leads out of it.
#[derive(Debug)]
pub struct Root {
    directory: File,
    /// What is mounted in its namespace.
    mounts: PathBuf,
}

impl Root {
    /// The root directory of a process.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn of(pid: u32) -> io::Result<Self> {
        let process = Path::new("/proc").join(pid.to_string());
        Self::at(&process.join("root"), process.join("mountinfo"))
    }

    /// Our own.
    ///
    /// # Errors
    /// When we have no descriptor left.
    pub fn ours() -> io::Result<Self> {
        Self::at(Path::new("/"), PathBuf::from("/proc/self/mountinfo"))
    }

    /// Any directory of ours.
    ///
    /// # Errors
    /// When it is not there.
    #[cfg(test)]
    pub fn jail(directory: &Path) -> io::Result<Self> {
        Self::at(directory, PathBuf::from("/proc/self/mountinfo"))
    }

    fn at(directory: &Path, mounts: PathBuf) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_PATH);
        Ok(Self {
            directory: options.open(directory)?,
            mounts,
        })
    }

    /// What a path below it names, if the kernel knows without asking anybody. A link at its end
    /// is followed only if asked for.
    #[must_use]
    pub fn find(&self, path: &Path, follow: bool) -> Option<Found> {
        let path = path.strip_prefix("/").unwrap_or(path);
        let path = if path.as_os_str().is_empty() {
            OsStr::new(".")
        } else {
            path.as_os_str()
        };
        let path = CString::new(path.as_bytes()).ok()?;
        let flags = if follow { 0 } else { libc::O_NOFOLLOW };
        let mut within = 0;
        if CACHED.load(Ordering::Relaxed) {
            match self.open(&path, flags, libc::RESOLVE_CACHED) {
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                    CACHED.store(false, Ordering::Relaxed);
                }
                // Not only for what is not in memory: also for a link followed for the first time
                // since it was made, whose time of access has to be written, and for anything
                // while something is renamed or mounted. What is mounted now is not entered.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    within = libc::RESOLVE_NO_XDEV;
                }
                found => return found.ok().map(Found),
            }
        }
        if !is_all_local(&fs::read_to_string(&self.mounts).ok()?) {
            return None;
        }
        self.open(&path, flags, within).ok().map(Found)
    }

    /// openat2(2), from 5.6 on.
    fn open(&self, path: &CString, flags: libc::c_int, resolve: u64) -> io::Result<OwnedFd> {
        // SAFETY: zeros are a valid value.
        let mut how: libc::open_how = unsafe { mem::zeroed() };
        how.flags = u64::from((flags | libc::O_PATH | libc::O_CLOEXEC).cast_unsigned());
        how.resolve = libc::RESOLVE_IN_ROOT | resolve;
        // SAFETY: a live descriptor, a NUL-ended path, and a structure of the length said.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                self.directory.as_raw_fd(),
                path.as_ptr(),
                &raw const how,
                size_of::<libc::open_how>(),
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = i32::try_from(fd).map_err(io::Error::other)?;
        // SAFETY: the kernel has just given us this descriptor.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

/// Something mounted that somebody else serves: a program here (FUSE) or another machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Where, as the namespace has it.
    pub point: PathBuf,
    /// Whether by a program here, which any user may be.
    pub fuse: bool,
}

/// What is mounted so in the namespace of a process.
///
/// # Errors
/// When the process is gone.
pub fn foreign(pid: u32) -> io::Result<Vec<Foreign>> {
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo"))?;
    Ok(mounts.lines().filter_map(foreign_mount).collect())
}

fn is_all_local(mounts: &str) -> bool {
    mounts.lines().all(|line| foreign_mount(line).is_none())
}

/// A line of a mount table (`mountinfo` of proc(5)), unless the kernel serves what it names.
fn foreign_mount(line: &str) -> Option<Foreign> {
    let (place, source) = line.split_once(" - ").unwrap_or((line, ""));
    let kind = source.split(' ').next().unwrap_or_default();
    if LOCAL.contains(&kind) {
        return None;
    }
    let point = place.split(' ').nth(4).unwrap_or("/");
    // Of what the kernel escapes, only this is common; who escapes another is not recognised.
    let point = point.replace("\\040", " ");
    Some(Foreign {
        point: PathBuf::from(point),
        fuse: kind.starts_with("fuse"),
    })
}

/// A file that was found; it is not opened.
#[derive(Debug)]
pub struct Found(OwnedFd);

impl Found {
    /// What the kernel calls it.
    ///
    /// # Errors
    /// When `/proc` is not there.
    pub fn name(&self) -> io::Result<PathBuf> {
        fs::read_link(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }

    /// What the kernel remembers of it (`AT_STATX_DONT_SYNC`).
    ///
    /// # Errors
    /// When there is nothing.
    pub fn status(&self) -> io::Result<libc::statx> {
        // SAFETY: zeros are a valid value.
        let mut status: libc::statx = unsafe { mem::zeroed() };
        // SAFETY: a live descriptor, an empty path, and room for the answer.
        let failed = unsafe {
            libc::statx(
                self.0.as_raw_fd(),
                c"".as_ptr(),
                libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC,
                libc::STATX_BASIC_STATS,
                &raw mut status,
            )
        };
        if failed != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn what_is_there_is_found_and_what_is_not_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = fs::canonicalize(directory.path()).unwrap();
        fs::write(path.join("file"), "12345").unwrap();
        symlink("file", path.join("link")).unwrap();
        let root = Root::ours().unwrap();
        let file = root.find(&path.join("link"), true).unwrap();
        assert_eq!(file.name().unwrap(), path.join("file"));
        assert_eq!(file.status().unwrap().stx_size, 5);
        let link = root.find(&path.join("link"), false).unwrap();
        assert_eq!(link.name().unwrap(), path.join("link"));
        assert!(root.find(&path.join("nothing"), true).is_none());
    }

    #[test]
    fn a_mount_table_with_fuse_is_not_all_local() {
        let local = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n";
        assert!(is_all_local(local));
        let fuse = "40 22 0:45 / /mnt rw shared:9 - fuse.sshfs host: rw,user_id=0\n";
        assert!(!is_all_local(&format!("{local}{fuse}")));
        assert!(!is_all_local("nonsense"));
        let mount = foreign_mount(fuse.trim()).unwrap();
        assert_eq!((mount.point, mount.fuse), (PathBuf::from("/mnt"), true));
    }

    /// A file system in user space of which nobody reads the questions.
    struct Mute {
        place: tempfile::TempDir,
        /// Ends it when closed.
        _server: File,
    }

    impl Mute {
        fn mount() -> io::Result<Self> {
            let server = OpenOptions::new()
                .read(true)
                .write(true)
                .open("/dev/fuse")?;
            let place = tempfile::tempdir()?;
            let target = CString::new(place.path().as_os_str().as_bytes())?;
            let options = format!(
                "fd={},rootmode=40000,user_id=0,group_id=0",
                server.as_raw_fd()
            );
            let options = CString::new(options)?;
            // SAFETY: NUL-ended strings that live through the call.
            let failed = unsafe {
                libc::mount(
                    c"mute".as_ptr(),
                    target.as_ptr(),
                    c"fuse".as_ptr(),
                    libc::MS_NOSUID | libc::MS_NODEV,
                    options.as_ptr().cast(),
                )
            };
            if failed != 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Self {
                place,
                _server: server,
            })
        }
    }

    impl Drop for Mute {
        fn drop(&mut self) {
            let target = CString::new(self.place.path().as_os_str().as_bytes()).unwrap();
            // SAFETY: a NUL-ended string.
            unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
        }
    }

    #[test]
    fn a_file_system_that_never_answers_is_not_waited_for() {
        let mute = match Mute::mount() {
            Ok(mute) => mute,
            Err(error) => return println!("skipped: no file system in user space: {error}"),
        };
        let path = mute.place.path().join("file");
        let (sender, answer) = channel();
        thread::spawn(move || {
            let root = Root::ours().unwrap();
            let _ = sender.send(root.find(&path, true).is_some());
        });
        assert_eq!(answer.recv_timeout(Duration::from_secs(10)), Ok(false));
    }
}
