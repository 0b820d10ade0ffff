//! Puts together the file system a test machine starts with: process 1, the sensor, the tests,
//! busybox, modules and whatever host programs were asked for, with their libraries. How the
//! archive is encoded is `cpio`'s business, what runs in it is the caller's.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::cpio::{Archive, Node};
use super::modules::Chosen;
use crate::exec;

enum Entry {
    Directory,
    Text { content: Vec<u8>, executable: bool },
    Host(PathBuf),
    Symlink(String),
    CharDevice(u32, u32),
}

/// The files of one machine, by path without the leading slash.
pub(super) struct Initramfs {
    entries: BTreeMap<String, Entry>,
}

impl Initramfs {
    /// Directories every machine has, and the console the kernel opens for process 1.
    pub(super) fn new() -> Self {
        let mut this = Self {
            entries: BTreeMap::new(),
        };
        for dir in ["bin", "sbin", "lib", "lib64"] {
            this.insert(dir, Entry::Symlink(format!("usr/{dir}")));
            this.insert(&format!("usr/{dir}"), Entry::Directory);
        }
        for dir in [
            "dev",
            "proc",
            "sys",
            "tmp",
            "run",
            "etc",
            "root",
            "vm/tests",
            "vm/modules",
        ] {
            this.insert(dir, Entry::Directory);
        }
        this.insert("dev/console", Entry::CharDevice(5, 1));
        this
    }

    /// A file made here.
    pub(super) fn text(&mut self, dest: &str, content: impl Into<Vec<u8>>, executable: bool) {
        self.insert(
            dest,
            Entry::Text {
                content: content.into(),
                executable,
            },
        );
    }

    /// A file of the host, alone.
    pub(super) fn host_file(&mut self, path: &Path, dest: &str) {
        self.insert(dest, Entry::Host(path.to_path_buf()));
    }

    /// A file or directory of the host; a program comes with the libraries it is linked to.
    pub(super) fn host(&mut self, path: &Path, dest: &str) -> Result<()> {
        let meta =
            fs::metadata(path).with_context(|| format!("cannot take {} along", path.display()))?;
        if meta.is_dir() {
            for entry in
                fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))?
            {
                let entry = entry.with_context(|| format!("cannot list {}", path.display()))?;
                self.host(
                    &entry.path(),
                    &format!("{dest}/{}", entry.file_name().to_string_lossy()),
                )?;
            }
            return Ok(());
        }
        self.host_file(path, dest);
        if exec::is_executable(path) {
            for library in libraries(path)? {
                let dest = library.display().to_string();
                self.host_file(&library, &dest);
            }
        }
        Ok(())
    }

    /// `--with PATH[:DEST]`. A plain name is looked up in PATH.
    pub(super) fn with(&mut self, argument: &str) -> Result<()> {
        let (path, dest) = argument
            .split_once(':')
            .map_or((argument, None), |(path, dest)| (path, Some(dest)));
        let path = if path.contains('/') {
            std::path::absolute(path).with_context(|| format!("--with {argument}"))?
        } else {
            exec::which(path).with_context(|| {
                format!("--with {argument}: no program {path} in PATH; give its path")
            })?
        };
        let dest = dest.map_or_else(|| path.display().to_string(), str::to_owned);
        self.host(&path, &dest)
    }

    /// Busybox and a link for each of its commands, where nothing better was put before.
    pub(super) fn busybox(&mut self, busybox: &Path) -> Result<()> {
        self.host(busybox, "usr/bin/busybox")?;
        for applet in exec::output(Command::new(busybox).arg("--list"))?.lines() {
            let dest = format!("usr/bin/{applet}");
            if !self.entries.contains_key(&dest) {
                self.insert(&dest, Entry::Symlink("busybox".to_owned()));
            }
        }
        Ok(())
    }

    /// Modules and the order in which process 1 loads them.
    pub(super) fn modules(&mut self, chosen: Chosen) {
        let order: Vec<&str> = chosen
            .modules
            .iter()
            .map(|module| module.name.as_str())
            .collect();
        let order = order.join("\n");
        self.text("vm/modules/order", order, false);
        for module in chosen.modules {
            self.text(
                &format!("vm/modules/{}", module.name),
                module.content,
                false,
            );
        }
    }

    /// Writes the archive.
    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let out =
            File::create(file).with_context(|| format!("cannot create {}", file.display()))?;
        let mut archive = Archive::new(BufWriter::new(out));
        for (path, entry) in &self.entries {
            let host;
            let node = match entry {
                Entry::Directory => Node::Directory,
                Entry::Text {
                    content,
                    executable,
                } => Node::File {
                    content,
                    executable: *executable,
                },
                Entry::Symlink(target) => Node::Symlink { target },
                Entry::CharDevice(major, minor) => Node::CharDevice {
                    major: *major,
                    minor: *minor,
                },
                Entry::Host(from) => {
                    host = fs::read(from)
                        .with_context(|| format!("cannot read {}", from.display()))?;
                    Node::File {
                        content: &host,
                        executable: exec::is_executable(from),
                    }
                }
            };
            archive
                .add(path, &node)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        archive
            .finish()
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(())
    }

    /// Adds the entry and the directories above it. `/lib` and friends are links into `/usr`,
    /// so what goes there is put where the link points.
    fn insert(&mut self, dest: &str, entry: Entry) {
        let mut path = dest.trim_matches('/').to_owned();
        if ["bin/", "sbin/", "lib/", "lib64/"]
            .iter()
            .any(|link| path.starts_with(link))
        {
            path.insert_str(0, "usr/");
        }
        let mut parent = path.as_str();
        while let Some((up, _)) = parent.rsplit_once('/') {
            self.entries
                .entry(up.to_owned())
                .or_insert(Entry::Directory);
            parent = up;
        }
        self.entries.insert(path, entry);
    }
}

/// The shared libraries and the loader of a program; none if it is static or a script.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd")
        .arg(program)
        .output()
        .context("cannot start ldd to find the libraries of a program")?;
    if !output.status.success() {
        return Ok(Vec::new());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        !text.contains("=> not found"),
        "{} lacks libraries on this machine:\n{text}",
        program.display()
    );
    Ok(text.lines().filter_map(library).collect())
}

/// `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)` or `/lib64/ld-linux-x86-64.so.2 (0x…)`.
fn library(line: &str) -> Option<PathBuf> {
    let file = line
        .split_once("=>")
        .map_or(line, |(_, file)| file)
        .split_whitespace()
        .next()?;
    file.starts_with('/').then(|| PathBuf::from(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ldd_lines_are_understood() {
        let path = |line| library(line).map(|path| path.display().to_string());
        assert_eq!(
            path("\tlibc.so.6 => /lib/x/libc.so.6 (0x00007f)").as_deref(),
            Some("/lib/x/libc.so.6")
        );
        assert_eq!(
            path("\t/lib64/ld-linux-x86-64.so.2 (0x00007f)").as_deref(),
            Some("/lib64/ld-linux-x86-64.so.2")
        );
        assert_eq!(path("\tlinux-vdso.so.1 (0x00007ffe)"), None);
        assert_eq!(path("\tstatically linked"), None);
    }

    #[test]
    fn directories_come_with_their_files_and_links_into_usr_are_followed() {
        let mut files = Initramfs::new();
        files.text("/lib/x/y.so", "", false);
        assert!(files.entries.contains_key("usr/lib/x/y.so"));
        assert!(matches!(
            files.entries.get("usr/lib/x"),
            Some(Entry::Directory)
        ));
        assert!(matches!(files.entries.get("lib"), Some(Entry::Symlink(_))));
    }
}
