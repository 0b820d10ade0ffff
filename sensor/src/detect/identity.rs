//! Knows shells and interpreters under any name: a program that is as long, to the byte, as one
//! that runs under its right name is taken for a copy of it, after a look at the content where
//! that can be had. Bounded.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::program::{Kind, Look, kind_of, many_in_one};
use crate::event::process::Exec;
use crate::glance::is_local;

/// Programs remembered.
const IDENTITIES_MAX: usize = 1_024;
/// Comparisons remembered.
const COMPARED_MAX: usize = 256;
/// Shorter ones are scripts, and their length says nothing.
const SIZE_MIN: u64 = 8_192;
/// Where packages put them.
const DIRECTORIES: [&str; 3] = ["/bin", "/usr/bin", "/usr/local/bin"];

/// A program that runs under its right name.
#[derive(Clone, Debug)]
struct Original {
    kind: Kind,
    stem: &'static str,
    /// Where it is, when it was found on this host's disk and not seen running elsewhere.
    path: Option<PathBuf>,
}

/// All that are known.
#[derive(Debug)]
pub struct Identities {
    /// By size in bytes; `None` for sizes of which nothing telling was seen.
    by_size: HashMap<u64, Option<Original>>,
    /// Whether a file, by device, inode and time of its last change, is a copy: reading one takes
    /// long.
    compared: HashMap<(u32, u64, u64), bool>,
}

impl Default for Identities {
    /// Those installed here.
    fn default() -> Self {
        let mut known = HashMap::new();
        let entries = DIRECTORIES
            .iter()
            .filter_map(|directory| std::fs::read_dir(directory).ok())
            .flatten()
            .flatten();
        for entry in entries {
            let name = entry.file_name();
            let (kind, mut stem) = name.to_str().map_or((Kind::Other, ""), kind_of);
            if kind == Kind::Other {
                continue;
            }
            let path = entry.path();
            let real = std::fs::canonicalize(&path).unwrap_or_default();
            let real = real.file_name().and_then(|name| name.to_str());
            if let Some(many) = real.and_then(many_in_one) {
                stem = many;
            }
            let Ok(found) = std::fs::metadata(&path) else {
                continue;
            };
            if found.is_file() && found.len() >= SIZE_MIN && known.len() < IDENTITIES_MAX {
                let path = Some(path);
                known.insert(found.len(), Some(Original { kind, stem, path }));
            }
        }
        Self {
            by_size: known,
            compared: HashMap::new(),
        }
    }
}

impl Identities {
    /// None of this host's: only what events tell.
    #[must_use]
    pub fn none() -> Self {
        Self {
            by_size: HashMap::new(),
            compared: HashMap::new(),
        }
    }

    /// Looks at a program that is executed: by its name, or by its content when that says
    /// nothing.
    pub fn look<'p>(&mut self, pid: u32, exec: &'p Exec) -> Look<'p> {
        let look = Look::at(&exec.program);
        let size = exec.executable.size;
        if look.kind() != Kind::Other {
            self.learn(size, look);
            return look;
        }
        let Some(Some(original)) = self.by_size.get(&size) else {
            return look;
        };
        let file = &exec.executable;
        let key = (file.device, file.inode, file.ctime_ns);
        if self.compared.len() >= COMPARED_MAX {
            self.compared.clear();
        }
        let copy = *self
            .compared
            .entry(key)
            .or_insert_with(|| is_copy(original, pid, exec));
        if copy {
            look.known_as(original.kind, original.stem)
        } else {
            look
        }
    }

    /// Learns from a program that nothing else is to be known of: cheap when one of its size was
    /// seen before.
    pub fn pass(&mut self, exec: &Exec) {
        let size = exec.executable.size;
        if !self.by_size.contains_key(&size) {
            self.learn(size, Look::at(&exec.program));
        }
    }

    fn learn(&mut self, size: u64, look: Look<'_>) {
        if size < SIZE_MIN || self.by_size.len() >= IDENTITIES_MAX {
            return;
        }
        let telling = look.kind() != Kind::Other && look.is_of_system();
        let known = self.by_size.entry(size).or_default();
        if telling && known.is_none() {
            *known = Some(Original {
                kind: look.kind(),
                stem: look.stem(),
                path: None,
            });
        }
    }
}

/// Whether a program of the same size is a copy. What cannot be compared, because it has ended
/// or the original is in a container, is.
fn is_copy(original: &Original, pid: u32, exec: &Exec) -> bool {
    let Some(path) = &original.path else {
        return true;
    };
    // Reading from a file system that somebody else serves could take for ever.
    if !is_local(exec.executable.fs_magic) {
        return true;
    }
    let executable = PathBuf::from(format!("/proc/{pid}/exe"));
    same_content(path, &executable).unwrap_or(true)
}

/// Whether two files have the same content; `None` when one cannot be read.
fn same_content(a: &Path, b: &Path) -> Option<bool> {
    let open = |path: &Path| {
        File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(path)
            .ok()
    };
    let (mut a, mut b) = (open(a)?, open(b)?);
    let (mut left, mut right) = ([0; 16_384], [0; 16_384]);
    loop {
        let read = a.read(&mut left).ok()?;
        let filled = left.get(..read)?;
        let same = right.get_mut(..read)?;
        if read == 0 {
            return Some(b.read(&mut right).ok()? == 0);
        }
        if b.read_exact(same).is_err() || filled != same {
            return Some(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell() -> Original {
        let size = std::fs::metadata("/bin/sh").unwrap().len();
        Identities::default()
            .by_size
            .remove(&size)
            .flatten()
            .unwrap()
    }

    #[test]
    fn the_shell_of_this_host_is_known_by_its_size() {
        assert_eq!(shell().kind, Kind::Shell);
    }

    #[test]
    fn a_copy_has_the_same_content_and_nothing_else_has() {
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join("qwerty");
        std::fs::copy("/bin/sh", &copy).unwrap();
        assert_eq!(same_content(Path::new("/bin/sh"), &copy), Some(true));
        let mut bytes = std::fs::read(&copy).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&copy, &bytes).unwrap();
        assert_eq!(same_content(Path::new("/bin/sh"), &copy), Some(false));
        bytes.push(0);
        std::fs::write(&copy, &bytes).unwrap();
        assert_eq!(same_content(Path::new("/bin/sh"), &copy), Some(false));
        assert_eq!(
            same_content(Path::new("/bin/sh"), Path::new("/no/such")),
            None
        );
    }
}
