//! Paths as programs passed them, made true afterwards as far as can be: links on the way are
//! followed in the process's own view of the file system, and what is still there is looked at.
//! Only for events whose hook does not know the true path. What happened in between cannot be
//! told, so such a path says how it is known.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use crate::event::file::{Attributes, Change, ChangeKind, Name, Source};
use crate::event::process::{FileIdentity, Process};
use crate::glance::Root;

/// `AT_SYMLINK_NOFOLLOW` of `include/uapi/linux/fcntl.h`.
const AT_SYMLINK_NOFOLLOW: u32 = 0x100;

/// Inode of the mount namespace we are in.
static OUR_NAMESPACE: LazyLock<Option<u64>> = LazyLock::new(|| {
    let found = fs::metadata("/proc/self/ns/mnt").ok()?;
    Some(found.ino())
});

/// Completes a change of which only the passed names are known.
pub fn complete(change: &mut Change, process: &Process) {
    let passed = |name: &Name| name.source == Source::Passed;
    if !passed(&change.name) && !change.target.as_ref().is_some_and(passed) {
        return;
    }
    let view = View::of(process);
    let follows = match change.kind {
        ChangeKind::Chmod | ChangeKind::Truncate => true,
        ChangeKind::Chown => change.flags & AT_SYMLINK_NOFOLLOW == 0,
        _ => false,
    };
    resolve(&mut change.name, view.as_ref(), follows);
    if let Some(target) = &mut change.target {
        resolve(target, view.as_ref(), false);
    }
    let is_there = change.kind != ChangeKind::Unlink && change.path().source == Source::Resolved;
    if let (true, None, Some(view)) = (is_there, &change.file, &view) {
        change.file = view.look(Path::new(&*change.path().path));
        if let (Some(file), Some(asked)) = (&mut change.file, change.asked) {
            set(file, change.kind, asked);
        }
    }
}

/// What was asked for is surer than what was found later.
fn set(file: &mut FileIdentity, kind: ChangeKind, asked: Attributes) {
    let id = |asked: u32, found: u32| if asked == u32::MAX { found } else { asked };
    match kind {
        ChangeKind::Chmod => file.mode = (file.mode & libc::S_IFMT) | (asked.mode & !libc::S_IFMT),
        ChangeKind::Chown => {
            (file.uid, file.gid) = (id(asked.uid, file.uid), id(asked.gid, file.gid))
        }
        ChangeKind::Truncate => file.size = asked.size,
        _ => {}
    }
}

fn resolve(name: &mut Name, view: Option<&View>, follow_last: bool) {
    if name.source != Source::Passed {
        return;
    }
    let path = Path::new(&*name.path);
    match view.and_then(|view| view.resolve(path, follow_last)) {
        Some(path) => {
            *name = Name {
                path: path.to_string_lossy().into(),
                source: Source::Resolved,
            }
        }
        None => name.path = tidy(path).to_string_lossy().into(),
    }
}

/// Without `.`, `..` and double slashes, as if there were no links.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => tidy.push(name),
            Component::ParentDir => {
                tidy.pop();
            }
            _ => {}
        }
    }
    tidy
}

/// A process's view of the file system.
struct View {
    /// The root of its mount namespace, or what it has for one.
    root: Root,
    /// Where that is, if it is not the root of a mount namespace.
    prefix: PathBuf,
    /// Gone when the process is, whose mount namespace may go with it: mounts of a namespace that
    /// is being taken down hang nowhere, and paths on them begin in the middle.
    proof: Option<PathBuf>,
}

impl View {
    /// While the process is there; or ours, if it had the same.
    fn of(process: &Process) -> Option<Self> {
        let is_ours = *OUR_NAMESPACE == Some(process.namespaces.mnt.into());
        let place = format!("/proc/{}/root", process.key.pid);
        if let (Ok(root), Ok(prefix)) = (Root::of(process.key.pid), fs::read_link(&place)) {
            return Some(Self {
                root,
                prefix,
                // Ours is not taken down while we are in it.
                proof: (!is_ours).then_some(place.into()),
            });
        }
        is_ours.then_some(Self {
            root: Root::ours().ok()?,
            prefix: PathBuf::from("/"),
            proof: None,
        })
    }

    /// Whether the namespace was there until now.
    fn was_there(&self) -> bool {
        self.proof
            .as_ref()
            .is_none_or(|proof| fs::read_link(proof).is_ok())
    }

    /// The true path of a file that may be gone, in a directory that is not.
    fn resolve(&self, path: &Path, follow_last: bool) -> Option<PathBuf> {
        if follow_last || !matches!(path.components().next_back(), Some(Component::Normal(_))) {
            return self.follow(path);
        }
        let (directory, name) = (path.parent()?, path.file_name()?);
        Some(self.follow(directory)?.join(name))
    }

    /// The true path of a file that is there, links followed.
    fn follow(&self, path: &Path) -> Option<PathBuf> {
        let inside = path.strip_prefix(&self.prefix).ok()?;
        let path = self.root.find(inside, true)?.name().ok()?;
        (path.is_absolute() && self.was_there()).then_some(path)
    }

    /// What a true path names now, the last link not followed.
    fn look(&self, path: &Path) -> Option<FileIdentity> {
        let inside = path.strip_prefix(&self.prefix).ok()?;
        let status = self.root.find(inside, false)?.status().ok()?;
        Some(identity(&status))
    }
}

fn identity(status: &libc::statx) -> FileIdentity {
    let time = |time: &libc::statx_timestamp| {
        let total = i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
        u64::try_from(total).unwrap_or(0)
    };
    FileIdentity {
        inode: status.stx_ino,
        device: (status.stx_dev_major << 20) | status.stx_dev_minor,
        size: status.stx_size,
        mode: status.stx_mode.into(),
        uid: status.stx_uid,
        gid: status.stx_gid,
        links: status.stx_nlink,
        mtime_ns: time(&status.stx_mtime),
        ctime_ns: time(&status.stx_ctime),
        fs_magic: 0,
        memfd: false,
        deleted: false,
        overlay_upper: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn view() -> View {
        View {
            root: Root::ours().unwrap(),
            prefix: PathBuf::from("/"),
            proof: None,
        }
    }

    #[test]
    fn dots_are_taken_away_and_never_lead_above_the_root() {
        assert_eq!(tidy(Path::new("/a/./b//../c")), Path::new("/a/c"));
        assert_eq!(tidy(Path::new("/../../etc")), Path::new("/etc"));
    }

    #[test]
    fn links_on_the_way_are_followed_and_the_last_only_if_asked() {
        let root = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(root.path()).unwrap();
        fs::create_dir(root.join("real")).unwrap();
        fs::write(root.join("real/file"), "x").unwrap();
        symlink("real", root.join("way")).unwrap();
        symlink("file", root.join("real/last")).unwrap();
        let path = root.join("way/last");
        assert_eq!(view().resolve(&path, false), Some(root.join("real/last")));
        assert_eq!(view().resolve(&path, true), Some(root.join("real/file")));
        assert_eq!(
            view().resolve(&root.join("way/gone"), false),
            Some(root.join("real/gone"))
        );
        assert_eq!(view().resolve(&root.join("nowhere/gone"), false), None);
    }

    #[test]
    fn a_link_cannot_lead_out_of_the_process_s_root() {
        let jail = tempfile::tempdir().unwrap();
        let prefix = fs::canonicalize(jail.path()).unwrap();
        fs::create_dir(prefix.join("etc")).unwrap();
        symlink("/etc", prefix.join("out")).unwrap();
        let view = View {
            root: Root::jail(&prefix).unwrap(),
            prefix: prefix.clone(),
            proof: None,
        };
        let process_gone = View {
            root: Root::jail(&prefix).unwrap(),
            prefix: prefix.clone(),
            proof: Some(prefix.join("gone")),
        };
        assert_eq!(process_gone.resolve(&prefix.join("etc/x"), false), None);
        assert_eq!(
            view.resolve(&prefix.join("out/x"), false),
            Some(prefix.join("etc/x"))
        );
    }

    #[test]
    fn what_is_there_is_looked_at() {
        let root = tempfile::tempdir().unwrap();
        let path = fs::canonicalize(root.path()).unwrap().join("x");
        fs::write(&path, "12345").unwrap();
        assert_eq!(view().look(&path).unwrap().size, 5);
        assert_eq!(view().look(&path.with_extension("no")), None);
    }
}
