//! Files as a process sees them, in its own root and mount namespace: no link, also no absolute
//! one, leads out of it. Read-only and bounded. May block, so it is for the scanning thread only.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Bytes read of one file.
const FILE_MAX: u64 = 256 * 1024;
/// Paths one pattern stands for at most.
const MATCHES_MAX: usize = 128;

/// The root directory of a process.
#[derive(Debug)]
pub struct Inside {
    root: File,
    /// How its files are reached from here.
    prefix: PathBuf,
}

impl Inside {
    /// Of a process that is there.
    ///
    /// # Errors
    /// When it is not.
    pub fn of(pid: u32) -> io::Result<Self> {
        let process = Path::new("/proc").join(pid.to_string());
        let namespace = |of: &Path| fs::read_link(of.join("ns/mnt"));
        let is_ours = namespace(&process)? == namespace(Path::new("/proc/self"))?;
        let prefix = if is_ours {
            PathBuf::new()
        } else {
            process.join("root")
        };
        Ok(Self {
            root: File::open(process.join("root"))?,
            prefix,
        })
    }

    /// The text of a file; the beginning if it is long.
    #[must_use]
    pub fn read(&self, path: &str) -> Option<String> {
        let mut bytes = Vec::new();
        let file = self.open(path, libc::O_RDONLY | libc::O_NONBLOCK)?;
        // A fifo among the configuration files would never end.
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        file.take(FILE_MAX).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A directory, opened, and what the kernel calls it.
    #[must_use]
    pub fn directory(&self, path: &str) -> Option<(File, PathBuf)> {
        let directory = self.open(path, libc::O_RDONLY | libc::O_DIRECTORY)?;
        let name = fs::read_link(handle(&directory)).ok()?;
        Some((directory, name))
    }

    /// Whether the process has mounts of its own.
    #[must_use]
    pub fn is_apart(&self) -> bool {
        !self.prefix.as_os_str().is_empty()
    }

    /// How a path that the kernel gave is reached from here.
    #[must_use]
    pub fn from_here(&self, path: &Path) -> PathBuf {
        if !self.is_apart() {
            return path.to_owned();
        }
        self.prefix.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The paths that a pattern with stars stands for.
    #[must_use]
    pub fn expand(&self, pattern: &str) -> Vec<String> {
        let mut found = vec![String::new()];
        for component in pattern.split('/').filter(|component| !component.is_empty()) {
            if !component.contains(['*', '?']) {
                for path in &mut found {
                    path.push('/');
                    path.push_str(component);
                }
                continue;
            }
            found = found
                .iter()
                .flat_map(|path| self.matching(path, component))
                .take(MATCHES_MAX)
                .collect();
            found.sort();
        }
        found
    }

    fn matching(&self, directory: &str, pattern: &str) -> Vec<String> {
        let place = if directory.is_empty() { "/" } else { directory };
        let Some((opened, _)) = self.directory(place) else {
            return Vec::new();
        };
        let entries = fs::read_dir(handle(&opened));
        entries
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| matches(pattern, name) && !name.starts_with('.'))
            .take(MATCHES_MAX)
            .map(|name| format!("{directory}/{name}"))
            .collect()
    }

    /// openat2(2), which can take every link as if the root were this one.
    fn open(&self, path: &str, flags: libc::c_int) -> Option<File> {
        let path = CString::new(Path::new(path).as_os_str().as_bytes()).ok()?;
        // SAFETY: zeros are a valid value.
        let mut how: libc::open_how = unsafe { std::mem::zeroed() };
        how.flags = u64::try_from(flags | libc::O_CLOEXEC).ok()?;
        how.resolve = libc::RESOLVE_IN_ROOT;
        // SAFETY: a terminated string and a structure that live through the call, and its size.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                self.root.as_raw_fd(),
                path.as_ptr(),
                &raw const how,
                size_of::<libc::open_how>(),
            )
        };
        let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0)?;
        // SAFETY: the kernel has just opened it for us.
        Some(unsafe { File::from_raw_fd(fd) })
    }
}

/// A path to what an open descriptor stands for.
#[must_use]
pub fn handle(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Whether a name is as a pattern with `*` and `?` says.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where to go on when what follows the last star does not fit.
    let mut retry = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, n));
                p += 1;
            }
            Some(byte) if *byte == b'?' || Some(byte) == name.get(n) => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((after, from)) = retry else {
                    return false;
                };
                retry = Some((after, from + 1));
                (p, n) = (after, from + 1);
            }
        }
    }
    pattern
        .get(p..)
        .unwrap_or_default()
        .iter()
        .all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_stand_for_any_run_of_characters() {
        assert!(matches("*.conf", "site.conf") && matches("*", "x") && matches("a*b*c", "a1b2c"));
        assert!(matches("tomcat*", "tomcat10") && matches("?.x", "a.x"));
        assert!(!matches("*.conf", "site.conf.bak") && !matches("a*b", "a"));
    }

    #[test]
    fn files_are_found_in_the_root_of_a_process() {
        let inside = Inside::of(std::process::id()).unwrap();
        assert!(inside.read("/etc/passwd").unwrap().contains("root:"));
        assert!(
            inside
                .expand("/etc/pass?d")
                .contains(&"/etc/passwd".to_owned())
        );
        assert!(inside.read("/etc").is_none() && inside.read("/nonexistent").is_none());
        assert_eq!(inside.from_here(Path::new("/etc")), Path::new("/etc"));
    }

    proptest! {
        #[test]
        fn every_name_is_as_itself_and_as_a_star(name in "[^*?]{0,20}", pattern: String) {
            prop_assert!(matches(&name, &name) && matches("*", &name));
            let _ = matches(&pattern, &name);
        }
    }
}
