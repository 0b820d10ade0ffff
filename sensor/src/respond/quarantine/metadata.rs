//! What belongs to a file besides its content: owner, mode, times, attributes, extended attributes
//! (with capabilities and security labels). Always by an open descriptor, never by name.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use serde::{Deserialize, Serialize};

/// Longest list of names of extended attributes, and longest value (`XATTR_LIST_MAX` and
/// `XATTR_SIZE_MAX` of `include/uapi/linux/limits.h`).
const XATTR_MAX: usize = 65_536;
/// `FS_IMMUTABLE_FL` and `FS_APPEND_FL` of `include/uapi/linux/fs.h`.
const IMMUTABLE: u32 = 0x10;
const APPEND: u32 = 0x20;
/// Flags of `chattr` that people set.
const SETTABLE: u32 = IMMUTABLE | APPEND;

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Device.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
    /// Names that lead to it.
    pub links: u64,
    /// Last access: seconds and nanoseconds since the epoch.
    pub accessed: (i64, i64),
    /// Last modification.
    pub modified: (i64, i64),
    /// Last change of any of this. It cannot be put back.
    pub changed: (i64, i64),
    /// Attributes as of `chattr`, those that keep it from being changed.
    pub attributes: u32,
    /// Extended attributes: name and value in hexadecimal.
    pub extended: Vec<(String, String)>,
}

impl Metadata {
    /// Of an open file.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn of(file: &File) -> io::Result<Self> {
        let data = file.metadata()?;
        Ok(Self {
            device: data.dev(),
            inode: data.ino(),
            size: data.size(),
            uid: data.uid(),
            gid: data.gid(),
            mode: data.mode() & 0o7777,
            links: data.nlink(),
            accessed: (data.atime(), data.atime_nsec()),
            modified: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
            attributes: attributes(file).unwrap_or(0) & SETTABLE,
            extended: extended(file)?,
        })
    }

    /// Whether somebody made it so that not even root can remove it.
    #[must_use]
    pub const fn is_immutable(&self) -> bool {
        self.attributes & SETTABLE != 0
    }

    /// Whether what the file says is not what it was then.
    #[must_use]
    pub fn content_differs(&self, then: &Self) -> bool {
        (self.size, self.modified) != (then.size, then.modified)
    }

    /// Gives another file all that can be given; names what could not.
    pub fn give(&self, file: &File) -> Vec<String> {
        let mut lacks = Vec::new();
        let mut note = |what: &str, done: io::Result<()>| {
            if let Err(error) = done {
                lacks.push(format!("{what}: {error}"));
            }
        };
        note(
            "owner",
            std::os::unix::fs::fchown(file, Some(self.uid), Some(self.gid)),
        );
        // After the owner, whose change takes set-id bits and capabilities away.
        let mode = std::fs::Permissions::from_mode(self.mode);
        note("mode", file.set_permissions(mode));
        for (name, value) in &self.extended {
            note(name, set_extended(file, name, value));
        }
        note("times", self.set_times(file));
        lacks
    }

    /// Makes it immutable again, which has to be the very last thing.
    ///
    /// # Errors
    /// When the file system cannot.
    pub fn give_attributes(&self, file: &File) -> io::Result<()> {
        if !self.is_immutable() {
            return Ok(());
        }
        set_attributes(file, attributes(file)? | self.attributes)
    }

    fn set_times(&self, file: &File) -> io::Result<()> {
        let time = |(tv_sec, tv_nsec)| libc::timespec { tv_sec, tv_nsec };
        let times = [time(self.accessed), time(self.modified)];
        // SAFETY: an open descriptor and two times, which outlive the call.
        done(unsafe { libc::futimens(file.as_raw_fd(), times.as_ptr()) })
    }
}

/// Takes away what keeps a file from being removed.
///
/// # Errors
/// When we may not.
pub fn make_mutable(file: &File) -> io::Result<()> {
    set_attributes(file, attributes(file)? & !SETTABLE)
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// `FS_IOC_GETFLAGS`; the kernel writes an `int`, whatever the number says.
fn attributes(file: &File) -> io::Result<u32> {
    let mut flags: libc::c_int = 0;
    // SAFETY: an open descriptor and a place for the result.
    done(unsafe { libc::ioctl(file.as_raw_fd(), libc::FS_IOC_GETFLAGS as _, &raw mut flags) })?;
    Ok(flags.cast_unsigned())
}

fn set_attributes(file: &File, flags: u32) -> io::Result<()> {
    let flags = flags.cast_signed();
    // SAFETY: an open descriptor and a number, which outlives the call.
    done(unsafe {
        libc::ioctl(
            file.as_raw_fd(),
            libc::FS_IOC_SETFLAGS as _,
            &raw const flags,
        )
    })
}

fn extended(file: &File) -> io::Result<Vec<(String, String)>> {
    let mut names = vec![0_u8; XATTR_MAX];
    // SAFETY: an open descriptor and a buffer as long as said.
    let len = unsafe { libc::flistxattr(file.as_raw_fd(), names.as_mut_ptr().cast(), names.len()) };
    let Ok(len) = usize::try_from(len) else {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::EOPNOTSUPP) => Ok(Vec::new()),
            _ => Err(error),
        };
    };
    let mut all = Vec::new();
    for name in names
        .get(..len)
        .unwrap_or_default()
        .split_inclusive(|byte| *byte == 0)
    {
        let Ok(name) = CStr::from_bytes_with_nul(name) else {
            continue;
        };
        let (Ok(text), Some(value)) = (name.to_str(), value(file, name)) else {
            continue;
        };
        all.push((text.to_owned(), to_hex(&value)));
    }
    Ok(all)
}

fn value(file: &File, name: &CStr) -> Option<Vec<u8>> {
    let mut value = vec![0_u8; XATTR_MAX];
    // SAFETY: an open descriptor, a NUL-ended name, and a buffer as long as said.
    let len = unsafe {
        libc::fgetxattr(
            file.as_raw_fd(),
            name.as_ptr(),
            value.as_mut_ptr().cast(),
            value.len(),
        )
    };
    value.truncate(usize::try_from(len).ok()?);
    Some(value)
}

fn set_extended(file: &File, name: &str, value: &str) -> io::Result<()> {
    let name = CString::new(name)?;
    let value = from_hex(value).ok_or(io::ErrorKind::InvalidData)?;
    // SAFETY: an open descriptor, a NUL-ended name, and a value as long as said.
    done(unsafe {
        libc::fsetxattr(
            file.as_raw_fd(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        )
    })
}

/// Bytes in hexadecimal.
pub fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// And back.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let pairs = (0..text.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}
