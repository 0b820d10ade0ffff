//! Where a file is: an open directory, and a name in it. Everything is done through the two, so
//! that it does not matter what somebody makes of the path meanwhile.

use std::ffi::{CString, OsStr};
use std::fs::File as Opened;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Component, Path};

use super::File;
use super::errors::PutError;
use super::metadata::{self, Metadata};
use crate::respond::process::handle::Handle;

/// `RESOLVE_NO_MAGICLINKS`, `RESOLVE_NO_SYMLINKS` and `RESOLVE_IN_ROOT` of
/// `include/uapi/linux/openat2.h`, from 5.6 on.
const WITHOUT_LINKS: u64 = 0x02 | 0x04 | 0x10;

/// A directory and a name.
pub struct Place {
    directory: OwnedFd,
    name: CString,
}

impl Place {
    /// Of a file that is to be put away.
    pub fn find(file: &File) -> Result<Self, PutError> {
        let root = match file.seen_by {
            None => open_path(libc::AT_FDCWD, c"/", libc::O_DIRECTORY),
            Some(key) => {
                let gone = |error: &dyn std::fmt::Display| PutError::Gone(error.to_string());
                let handle = Handle::open(key).map_err(|error| gone(&error))?;
                let path = CString::new(format!("/proc/{}/root", key.pid)).unwrap_or_default();
                let root = open_path(libc::AT_FDCWD, &path, libc::O_DIRECTORY);
                if handle.has_ended() {
                    return Err(gone(&"it ended this moment"));
                }
                root
            }
        };
        let root = root.map_err(|error| PutError::Missing(error.into()))?;
        let (directory, name) = split(&file.path).ok_or(PutError::Relative)?;
        let directory = below(&root, directory).map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP) => PutError::Link,
            _ => PutError::Missing(error.into()),
        })?;
        Ok(Self {
            directory,
            name: CString::new(name.as_bytes()).map_err(|_| PutError::Relative)?,
        })
    }

    /// Of a file that is to be written.
    ///
    /// # Errors
    /// When its directory is not there, or there is a link on the way.
    pub fn to_write(path: &Path) -> io::Result<Self> {
        let root = open_path(libc::AT_FDCWD, c"/", libc::O_DIRECTORY)?;
        let (directory, name) = split(path).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self {
            directory: below(&root, directory)?,
            name: CString::new(name.as_bytes())?,
        })
    }

    /// Opens the file; what it is is found out before, because opening alone has effects on
    /// devices and pipes.
    pub fn open(&self) -> Result<Opened, PutError> {
        let missing = |error: io::Error| PutError::Missing(error.into());
        let found = self.look(&self.name).map_err(missing)?;
        let kind = found.metadata().map_err(missing)?.file_type();
        if kind.is_symlink() {
            return Err(PutError::Link);
        }
        if !kind.is_file() {
            return Err(PutError::Kind(if kind.is_dir() {
                "a directory"
            } else if kind.is_block_device() || kind.is_char_device() {
                "a device"
            } else {
                "a pipe or socket"
            }));
        }
        // The same file, whatever its name leads to now.
        let path = format!("/proc/self/fd/{}", found.as_raw_fd());
        Opened::open(path).map_err(|error| PutError::Read(error.into()))
    }

    /// What has a name in the directory, without opening it.
    fn look(&self, name: &CString) -> io::Result<Opened> {
        open_path(self.directory.as_raw_fd(), name, libc::O_NOFOLLOW).map(Opened::from)
    }

    /// Removes the name of a file, and no other file's: it is renamed, looked at, and then removed
    /// or renamed back.
    pub fn remove(&self, file: &Opened, metadata: &Metadata, id: &str) -> Result<(), PutError> {
        let failed = |error: io::Error| PutError::Remove(error.into());
        let aside = CString::new(format!(".quarantine-{id}")).unwrap_or_default();
        if metadata.is_immutable() {
            metadata::make_mutable(file).map_err(failed)?;
        }
        let removed = self
            .rename(&self.name, &aside, false)
            .map_err(failed)
            .and_then(|()| {
                let found = self
                    .look(&aside)
                    .and_then(|found| found.metadata())
                    .map_err(failed)?;
                if (found.dev(), found.ino()) != (metadata.device, metadata.inode) {
                    self.rename(&aside, &self.name, false).map_err(failed)?;
                    return Err(PutError::Swapped);
                }
                self.unlink(&aside).map_err(failed)
            });
        if removed.is_err() {
            // As it was.
            let _ = metadata.give_attributes(file);
        }
        let _ = self.sync();
        removed
    }

    /// A new file of this name for root alone.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(&self, name: &CString) -> io::Result<Opened> {
        let flags =
            libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        // SAFETY: an open directory and a NUL-ended name.
        let fd = unsafe { libc::openat(self.directory.as_raw_fd(), name.as_ptr(), flags, 0o600) };
        descriptor(fd.into()).map(Opened::from)
    }

    /// Gives what has one name the one of this place, in the place of another file only if told.
    ///
    /// # Errors
    /// `EEXIST` when something has that name.
    pub fn arrive(&self, from: &CString, replace: bool) -> io::Result<()> {
        self.rename(from, &self.name, replace)
    }

    fn rename(&self, from: &CString, to: &CString, replace: bool) -> io::Result<()> {
        let directory = self.directory.as_raw_fd();
        let flags = if replace { 0 } else { libc::RENAME_NOREPLACE };
        // SAFETY: an open directory and NUL-ended names.
        done(unsafe { libc::renameat2(directory, from.as_ptr(), directory, to.as_ptr(), flags) })
    }

    /// Removes a name.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn unlink(&self, name: &CString) -> io::Result<()> {
        // SAFETY: an open directory and a NUL-ended name.
        done(unsafe { libc::unlinkat(self.directory.as_raw_fd(), name.as_ptr(), 0) })
    }

    /// Has the directory written to the disk.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn sync(&self) -> io::Result<()> {
        Opened::open(format!("/proc/self/fd/{}", self.directory.as_raw_fd()))?.sync_all()
    }
}

/// A directory and a name in it; `None` for what has no name, or goes up.
fn split(path: &Path) -> Option<(&Path, &OsStr)> {
    let is_plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    if !path.is_absolute() || !path.components().all(is_plain) {
        return None;
    }
    Some((path.parent()?, path.file_name()?))
}

/// A directory below another one, with no link on the way.
fn below(root: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: zeros are a valid value of this structure.
    let mut how: libc::open_how = unsafe { mem::zeroed() };
    how.flags = (libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC) as u64;
    how.resolve = WITHOUT_LINKS;
    // SAFETY: an open directory, a NUL-ended path, and a structure of the size said.
    descriptor(unsafe {
        libc::syscall(
            libc::SYS_openat2,
            root.as_raw_fd(),
            path.as_ptr(),
            &raw const how,
            size_of_val(&how),
        )
    })
}

fn open_path(directory: RawFd, name: &std::ffi::CStr, flags: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: a directory and a NUL-ended name.
    let fd = unsafe {
        libc::openat(
            directory,
            name.as_ptr(),
            libc::O_PATH | libc::O_CLOEXEC | flags,
        )
    };
    descriptor(fd.into())
}

fn descriptor(result: libc::c_long) -> io::Result<OwnedFd> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = result.try_into().map_err(io::Error::other)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
