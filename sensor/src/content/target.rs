//! Opening the very file that an event told of: it may be deleted by now, replaced, or stand in a
//! mount namespace of its own. Reads nothing of it.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::Unscanned;
use crate::event::process::{FileIdentity, Program};

/// Which file is meant.
#[derive(Clone, Debug)]
pub enum Target {
    /// What a process executes, reached through the process while it lives.
    Executed {
        /// Its pid.
        pid: u32,
        /// The file.
        file: FileIdentity,
    },
    /// What a process wrote or gave a name.
    Written {
        /// Its pid: the path is in its mount namespace.
        pid: u32,
        /// The file, where the event told.
        file: Option<FileIdentity>,
    },
    /// What somebody asks for, already opened.
    Opened(std::sync::Arc<File>),
}

/// Tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    device: u64,
    inode: u64,
    ctime: (i64, i64),
    /// Size in bytes.
    pub size: u64,
}

/// An opened file.
#[derive(Debug)]
pub struct Opened {
    /// It.
    pub file: File,
    /// Its state when it was opened.
    pub state: State,
}

impl State {
    /// Of an open file; `None` unless it is a plain one.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn of(file: &File) -> io::Result<Option<Self>> {
        let found = file.metadata()?;
        Ok(found.is_file().then_some(Self {
            device: found.dev(),
            inode: found.ino(),
            ctime: (found.ctime(), found.ctime_nsec()),
            size: found.size(),
        }))
    }
}

/// Opens it.
///
/// # Errors
/// When it is gone, or cannot be opened.
pub fn open(target: &Target, path: &str) -> Result<Opened, Unscanned> {
    let path = Path::new(path);
    let (places, inode) = match target {
        Target::Executed { pid, file } => {
            let exe = PathBuf::from(format!("/proc/{pid}/exe"));
            (
                vec![(exe, true), (path.to_owned(), false)],
                Some(file.inode),
            )
        }
        Target::Written { pid, file } => {
            let inside = Path::new("/proc").join(pid.to_string()).join("root");
            let inside = inside.join(path.strip_prefix("/").unwrap_or(path));
            let inode = file.as_ref().map(|file| file.inode);
            (vec![(inside, false), (path.to_owned(), false)], inode)
        }
        Target::Opened(file) => {
            let file = file.try_clone().map_err(|_| Unscanned::Unreadable)?;
            let state = State::of(&file).ok().flatten();
            let state = state.ok_or(Unscanned::Unreadable)?;
            return Ok(Opened { file, state });
        }
    };
    let mut why = Unscanned::Gone;
    for (place, follow) in places {
        match open_plain(&place, follow) {
            Ok(Some(opened)) if inode.is_none_or(|inode| inode == opened.state.inode) => {
                return Ok(opened);
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => why = Unscanned::Unreadable,
            _ => {}
        }
    }
    Err(why)
}

/// Opens a plain file. Without blocking, should somebody have put a fifo there; and what the last
/// component of the kernel's own path is a link by now, is another file.
///
/// # Errors
/// As the kernel says.
pub fn open_plain(path: &Path, follow: bool) -> io::Result<Option<Opened>> {
    let links = if follow { 0 } else { libc::O_NOFOLLOW };
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | links)
        .open(path)?;
    Ok(State::of(&file)?.map(|state| Opened { file, state }))
}

/// Where packages put what they install, and nobody else much.
const PACKAGED: &[&str] = &[
    "/usr/", "/bin/", "/sbin/", "/lib/", "/lib32/", "/lib64/", "/libx32/", "/opt/", "/snap/",
    "/nix/",
];
/// In there, but for what administrators put up by hand.
const LOCAL: &str = "/usr/local/";

/// Whether an executed file is worth a look: not one that a package may have brought.
#[must_use]
pub fn is_foreign(program: &Program, file: &FileIdentity) -> bool {
    let path = program.executable.as_deref().unwrap_or_default();
    file.memfd
        || file.deleted
        || path.starts_with(LOCAL)
        || !PACKAGED.iter().any(|place| path.starts_with(place))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn written(inode: u64) -> Target {
        Target::Written {
            pid: std::process::id(),
            file: Some(FileIdentity {
                inode,
                ..FileIdentity::default()
            }),
        }
    }

    #[test]
    fn only_the_very_file_is_opened() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.php");
        fs::write(&path, "x").unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        let name = path.to_str().unwrap();
        assert_eq!(open(&written(inode), name).unwrap().state.size, 1);
        assert_eq!(
            open(&written(inode + 1), name).unwrap_err(),
            Unscanned::Gone
        );
        assert_eq!(
            open(&written(inode), "/nonexistent").unwrap_err(),
            Unscanned::Gone
        );
    }

    #[test]
    fn fifos_and_links_are_not_opened_and_do_not_block() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        let name = std::ffi::CString::new(fifo.to_str().unwrap()).unwrap();
        // SAFETY: a NUL-ended text.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        assert!(open_plain(&fifo, false).unwrap().is_none());
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert!(open_plain(&link, false).is_err());
    }

    #[test]
    fn what_packages_install_is_not_looked_at_unless_it_was_deleted() {
        let program = |path: &str| Program {
            executable: Some(path.into()),
            ..Program::default()
        };
        let file = FileIdentity::default();
        assert!(!is_foreign(&program("/usr/bin/ls"), &file));
        assert!(is_foreign(&program("/usr/local/bin/x"), &file));
        assert!(is_foreign(&program("/tmp/x"), &file));
        let deleted = FileIdentity {
            deleted: true,
            ..FileIdentity::default()
        };
        assert!(is_foreign(&program("/usr/bin/ls"), &deleted));
    }
}
