//! Where the guard outlives everybody: a directory in a BPF file system with its maps, its
//! programs and the links that hold those in place. Root's alone, changed under a lock; removing
//! it by hand lifts everything. What is attached where is decided elsewhere.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use thiserror::Error;

/// Where BPF file systems are mounted (`Documentation/admin-guide/bpf` and systemd alike).
const MOUNT_POINT: &str = "/sys/fs/bpf";
/// `BPF_FS_MAGIC` (`include/uapi/linux/magic.h`).
const MAGIC: i64 = 0xcafe_4a11;
/// How long another command may hold the lock.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the lock is tried for.
const AGAIN: Duration = Duration::from_millis(5);
/// Entries looked at in one directory.
const ENTRIES_MAX: usize = 65_536;

/// Why there is no place for pins.
#[derive(Debug, Error)]
pub enum PinsError {
    /// Not root.
    #[error("only root can use the firewall; try again with sudo")]
    NotRoot,
    /// No BPF file system, and none can be mounted.
    #[error(
        "{} is not in a BPF file system, without which nothing outlives this command ({source}); \
         mount one with `mount -t bpf bpf {MOUNT_POINT}`, or name a directory in one as respond.pins",
        path.display()
    )]
    NoFileSystem {
        /// The directory for pins.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A BPF file system would have to be mounted where it does not last.
    #[error(
        "there is no BPF file system at {MOUNT_POINT}, and one that is mounted here goes with this \
         mount namespace, and with it all that is blocked; give the command in that of process 1: \
         `nsenter --target 1 --mount -- sensor …` (`ip netns exec` is such a place; \
         `nsenter --net=/run/netns/NAME` is none)"
    )]
    Passing,
    /// A directory is not root's alone.
    #[error(
        "{} is not root's alone (owner {owner}, mode {mode:o}): whoever made it could lift what is \
         blocked; look at it, remove it with `rm -r {}` and try again",
        path.display(),
        path.display()
    )]
    NotOurs {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Its permissions.
        mode: u32,
    },
    /// Another process does not let go of the lock.
    #[error(
        "another command has been changing the firewall for {} s; see who holds {} with \
         `fuser -v {}`",
        PATIENCE.as_secs(),
        path.display(),
        path.display()
    )]
    Locked {
        /// The directory that is locked.
        path: PathBuf,
    },
    /// Something else in the file system.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The directory.
#[derive(Clone, Debug)]
pub(super) struct Pins {
    root: PathBuf,
}

impl Pins {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn maps(&self) -> PathBuf {
        self.root.join("maps")
    }

    pub(super) fn programs(&self) -> PathBuf {
        self.root.join("programs")
    }

    pub(super) fn links(&self) -> PathBuf {
        self.root.join("links")
    }

    /// Whether there are maps to be taken over.
    pub(super) fn exist(&self) -> bool {
        self.maps().join("STATE").exists()
    }

    /// The number of the maps' directory, by which one notices that it was removed, or made anew.
    pub(super) fn identity(&self) -> Option<(u64, u64)> {
        let metadata = fs::metadata(self.maps()).ok()?;
        Some((metadata.dev(), metadata.ino()))
    }

    /// Makes the directories, in a BPF file system that is mounted if it is not yet, and locks
    /// them.
    pub(super) fn prepare(&self) -> Result<Lock, PinsError> {
        if !is_root() {
            return Err(PinsError::NotRoot);
        }
        self.ensure_file_system()?;
        loop {
            make(&self.root)?;
            let lock = self.lock()?;
            // Removed by hand, or by who held the lock, while we waited.
            if lock.is_of(&self.root) {
                for directory in [self.maps(), self.programs(), self.links()] {
                    make(&directory)?;
                }
                return Ok(lock);
            }
        }
    }

    /// Locks the directory if there is one.
    pub(super) fn lock_existing(&self) -> Result<Option<Lock>, PinsError> {
        if !is_root() {
            return Err(PinsError::NotRoot);
        }
        match self.lock() {
            Ok(lock) => Ok(lock.is_of(&self.root).then_some(lock)),
            Err(PinsError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Locks the directory if there is one and nobody else has.
    pub(super) fn try_lock(&self) -> Result<Option<Lock>, PinsError> {
        match directory(&self.root) {
            Ok(file) => {
                ours(&self.root, &file)?;
                let is_locked = flock(&file, libc::LOCK_EX | libc::LOCK_NB);
                let lock = Lock(file);
                Ok((is_locked && lock.is_of(&self.root)).then_some(lock))
            }
            Err(PinsError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn lock(&self) -> Result<Lock, PinsError> {
        let file = directory(&self.root)?;
        ours(&self.root, &file)?;
        let deadline = Instant::now() + PATIENCE;
        while !flock(&file, libc::LOCK_EX | libc::LOCK_NB) {
            if Instant::now() > deadline {
                return Err(PinsError::Locked {
                    path: self.root.clone(),
                });
            }
            std::thread::sleep(AGAIN);
        }
        Ok(Lock(file))
    }

    /// Keeps the programs attached as long as this lives, whatever others lift.
    pub(super) fn keep(&self) -> Result<Lock, PinsError> {
        let links = directory(&self.links())?;
        flock(&links, libc::LOCK_SH);
        Ok(Lock(links))
    }

    /// Whether somebody keeps the programs attached.
    pub(super) fn is_kept(&self) -> bool {
        directory(&self.links()).is_ok_and(|links| !flock(&links, libc::LOCK_EX | libc::LOCK_NB))
    }

    /// Which build's programs are pinned, if all of them are.
    pub(super) fn has_build(&self, build: &str) -> bool {
        self.programs().join(build).is_dir()
    }

    /// Marks the programs as complete and of this build.
    pub(super) fn set_build(&self, build: &str) -> Result<(), PinsError> {
        make(&self.programs().join(build))
    }

    /// Names in the directory of links.
    pub(super) fn link_names(&self) -> Vec<String> {
        names(&self.links())
    }

    /// Removes the pins below a directory; what only they held ends.
    pub(super) fn empty(directory: &Path) -> Result<(), PinsError> {
        for name in names(directory) {
            remove(&directory.join(name))?;
        }
        Ok(())
    }

    /// Removes everything.
    pub(super) fn remove_all(&self) -> Result<(), PinsError> {
        for directory in [self.links(), self.programs(), self.maps()] {
            Self::empty(&directory)?;
            remove(&directory)?;
        }
        remove(&self.root)
    }

    fn ensure_file_system(&self) -> Result<(), PinsError> {
        if is_bpf(&self.root) {
            return Ok(());
        }
        let unusable = |source| PinsError::NoFileSystem {
            path: self.root.clone(),
            source,
        };
        if !self.root.starts_with(MOUNT_POINT) || self.root == Path::new(MOUNT_POINT) {
            return Err(unusable(io::Error::from_raw_os_error(libc::EINVAL)));
        }
        if is_in_namespace_of_its_own() {
            return Err(PinsError::Passing);
        }
        // SAFETY: all are texts that end with NUL.
        let mounted = unsafe {
            libc::mount(
                c"bpf".as_ptr(),
                c"/sys/fs/bpf".as_ptr(),
                c"bpf".as_ptr(),
                libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC,
                c"mode=0700".as_ptr().cast(),
            )
        };
        if mounted < 0 {
            return Err(unusable(io::Error::last_os_error()));
        }
        Ok(())
    }
}

/// Whether what is mounted here may end with this command. Where `/proc` does not say, it is taken
/// not to.
fn is_in_namespace_of_its_own() -> bool {
    let namespace = |process: &str| fs::metadata(format!("/proc/{process}/ns/mnt"));
    match (namespace("1"), namespace("self")) {
        (Ok(first), Ok(ours)) => first.ino() != ours.ino(),
        _ => false,
    }
}

/// A lock on a directory, held until dropped or until the process ends in whatever way.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    fn is_of(&self, path: &Path) -> bool {
        match (self.0.metadata(), fs::metadata(path)) {
            (Ok(held), Ok(there)) => held.ino() == there.ino() && held.dev() == there.dev(),
            _ => false,
        }
    }
}

fn flock(file: &File, operation: libc::c_int) -> bool {
    // SAFETY: the descriptor is open; no memory is passed.
    unsafe { libc::flock(file.as_raw_fd(), operation) == 0 }
}

fn is_root() -> bool {
    // SAFETY: no preconditions.
    unsafe { libc::geteuid() == 0 }
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PinsError {
    move |source| PinsError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}

fn directory(path: &Path) -> Result<File, PinsError> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
        .open(path)
        .map_err(io_error("open", path))
}

/// Makes a directory for root's eyes only, unless it is there and is that.
fn make(path: &Path) -> Result<(), PinsError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => ours(path, &directory(path)?),
        result => result.map_err(io_error("make", path)),
    }
}

/// Whether a directory is root's alone: bpffs lets anybody make directories where it is mounted
/// world-writable.
fn ours(path: &Path, directory: &File) -> Result<(), PinsError> {
    let metadata = directory.metadata().map_err(io_error("look at", path))?;
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o777);
    if owner == 0 && mode & 0o077 == 0 {
        return Ok(());
    }
    Err(PinsError::NotOurs {
        path: path.to_owned(),
        owner,
        mode,
    })
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.take(ENTRIES_MAX).collect()
}

/// Removes a pin or an empty directory, unless it is gone already.
pub(super) fn remove(path: &Path) -> Result<(), PinsError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Whether the nearest directory above, or the path itself, is in a BPF file system.
fn is_bpf(path: &Path) -> bool {
    let Some(existing) = path.ancestors().find(|path| path.exists()) else {
        return false;
    };
    let Ok(text) = std::ffi::CString::new(existing.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: zeros are a valid `struct statfs`.
    let mut info: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: a text that ends with NUL, and a structure of ours.
    let known = unsafe { libc::statfs(text.as_ptr(), &raw mut info) };
    known == 0 && info.f_type == MAGIC
}
