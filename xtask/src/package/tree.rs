//! A directory in which a package is put together. What goes where is the callers' business.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The directory, empty at first.
pub(super) struct Tree(PathBuf);

impl Tree {
    /// Takes the place of what was there.
    pub(super) fn new(dir: PathBuf) -> Result<Self> {
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(Self(dir))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// A copy of a file.
    pub(super) fn file(&self, from: &Path, to: &str, mode: u32) -> Result<()> {
        let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        self.content(&content, to, mode)
    }

    /// A file that is made here.
    pub(super) fn content(&self, content: &[u8], to: &str, mode: u32) -> Result<()> {
        let path = self.0.join(to);
        let context = || format!("cannot write {}", path.display());
        let parent = path.parent().unwrap_or(&self.0);
        fs::create_dir_all(parent).with_context(context)?;
        // Whatever the umask is, others look into these directories.
        for above in parent
            .ancestors()
            .take_while(|above| above.starts_with(&self.0))
        {
            fs::set_permissions(above, fs::Permissions::from_mode(0o755)).with_context(context)?;
        }
        fs::write(&path, content).with_context(context)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).with_context(context)
    }

    /// A file compressed as Debian wants manual pages and changelogs: without name and time.
    pub(super) fn compressed(&self, content: &[u8], to: &str) -> Result<()> {
        let mut gzip = Command::new("gzip")
            .arg("-9n")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start gzip")?;
        let mut stdin = gzip.stdin.take().context("gzip has no input")?;
        // It may write before it has read all: neither side is to wait for the other.
        let output = std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(content));
            gzip.wait_with_output()
        })
        .context("cannot wait for gzip")?;
        ensure!(output.status.success(), "gzip failed: {}", output.status);
        self.content(&output.stdout, to, 0o644)
    }

    /// Paths of all files in it, relative to it, in order.
    pub(super) fn list(&self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let mut directories = vec![self.0.clone()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory).context("cannot list a package")? {
                let path = entry.context("cannot list a package")?.path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    found.push(path.strip_prefix(&self.0)?.to_owned());
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Bytes in all its files.
    pub(super) fn size(&self) -> Result<u64> {
        let size = |path: PathBuf| -> Result<u64> {
            let file = fs::metadata(self.0.join(path)).context("cannot look at a packaged file")?;
            Ok(file.len())
        };
        self.list()?.into_iter().map(size).sum()
    }
}

/// Files of a directory with an ending, in order.
pub(super) fn files(directory: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.context("cannot list a directory")?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == ending)
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The last part of a path.
pub(super) fn name(path: &Path) -> Result<&str> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.with_context(|| format!("{} has no usable name", path.display()))
}
