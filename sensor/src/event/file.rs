//! Files: opened, closed after writing, read while watched; renamed, removed, linked, made, and
//! changed in mode, owner or size.

use super::Label;
use super::field::{Field, Fields, Value};
use super::flags::{self, OPEN_FLAGS, RENAME_FLAGS};
use super::object::{Object, device_name};
use super::process::FileIdentity;

/// How a path is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The kernel's own account of where the file is, across mounts, links followed.
    Kernel,
    /// From what the program passed, links followed afterwards.
    Resolved,
    /// From what the program passed; links on the way were not followed.
    Passed,
}

impl Source {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Resolved => "resolved",
            Self::Passed => "passed",
        }
    }
}

/// A path and how it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Absolute path.
    pub path: Box<str>,
    /// How it is known.
    pub source: Source,
}

impl Name {
    /// A path by the kernel's account.
    #[must_use]
    pub const fn of_kernel(path: Box<str>) -> Self {
        Self {
            path,
            source: Source::Kernel,
        }
    }
}

/// Label of [`Stream`].
pub const STREAM_OPEN: Label = Label {
    name: "file.stream",
    action: "stream_open",
    category: &["file"],
    kind: &["access"],
};

/// A fifo or the master of a pseudo-terminal was opened.
#[derive(Clone, Debug)]
pub struct Stream {
    /// What it is; its path is where it was opened.
    pub object: Object,
    /// It is open for reading.
    pub reads: bool,
    /// It is open for writing.
    pub writes: bool,
}

impl Stream {
    pub(super) fn put<'a>(&'a self, fields: &mut Fields<'a>) {
        fields.put_some(Field::FilePath, self.object.path.as_deref());
        fields.put(Field::FileInode, self.object.inode.to_string());
        fields.put(Field::FileDevice, device_name(self.object.device));
        fields.put(Field::SensorFileAccess, self.access());
        fields.put(Field::SensorStreamKind, self.object.kind.name());
        fields.put_some(Field::SensorStreamTerminal, self.object.pty_index());
    }

    fn access(&self) -> Value<'static> {
        let bits = [(self.reads, "read"), (self.writes, "write")];
        Value::List(
            bits.into_iter()
                .filter_map(|(is, name)| is.then_some(name.into()))
                .collect(),
        )
    }

    pub(super) fn summary(&self) -> String {
        self.object.to_string()
    }
}

/// What was done through an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessKind {
    /// Opened for writing or created.
    Open,
    /// Closed after it was open for writing.
    Close,
    /// A watched file, opened for reading.
    Read,
}

impl AccessKind {
    /// Name of the kind of event.
    pub(super) const fn dataset(self) -> &'static str {
        match self {
            Self::Open => "file.open",
            Self::Close => "file.close",
            Self::Read => "file.read",
        }
    }
}

/// Something was done through an open file.
#[derive(Clone, Debug)]
pub struct Access {
    /// What.
    pub kind: AccessKind,
    /// Where it is, as the kernel has it; cut at the root's end when it is too deep.
    pub path: Box<str>,
    /// The file after it.
    pub file: FileIdentity,
    /// `O_*` flags.
    pub flags: u32,
    /// It is open for reading.
    pub reads: bool,
    /// It is open for writing.
    pub writes: bool,
    /// This open made the file.
    pub created: bool,
    /// This open emptied the file.
    pub truncated: bool,
}

impl Access {
    /// Its label.
    #[must_use]
    pub const fn label(&self) -> Label {
        let (action, kind): (_, &[_]) = match self.kind {
            AccessKind::Open if self.created => ("file_create", &["creation"]),
            AccessKind::Open if self.truncated => ("file_truncate_open", &["change"]),
            AccessKind::Open => ("file_open", &["access"]),
            AccessKind::Close => ("file_close", &["change"]),
            AccessKind::Read => ("file_read", &["access"]),
        };
        Label {
            name: self.kind.dataset(),
            action,
            category: &["file"],
            kind,
        }
    }

    fn words<'n>(&self) -> impl Iterator<Item = &'n str> + use<'n> {
        [
            (self.reads, "read"),
            (self.writes, "write"),
            (self.created, "created"),
            (self.truncated, "truncated"),
        ]
        .into_iter()
        .filter_map(|(is, word)| is.then_some(word))
    }

    pub(super) fn put<'a>(&'a self, fields: &mut Fields<'a>) {
        put_path(fields, &self.path, Source::Kernel);
        put_identity(fields, &self.file);
        fields.put_list(Field::SensorFileAccess, self.words());
        fields.put_list(Field::SensorFileFlags, open_flag_names(self.flags));
    }

    pub(super) fn summary(&self) -> String {
        let mut text = self.path.to_string();
        match self.kind {
            AccessKind::Open if self.created => text.push_str(" created"),
            AccessKind::Open if self.truncated => text.push_str(" emptied"),
            AccessKind::Close => text.push_str(&format!(" {} bytes", self.file.size)),
            _ => {}
        }
        push_traits(&mut text, &self.file);
        text
    }
}

/// What was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// Its name.
    Rename,
    /// Its name was removed.
    Unlink,
    /// It got a further name.
    Link,
    /// A symbolic link was made.
    Symlink,
    /// Its mode.
    Chmod,
    /// Its owner.
    Chown,
    /// Its size, other than by writing.
    Truncate,
    /// A directory was made.
    Mkdir,
}

impl ChangeKind {
    /// All of them.
    pub(super) const ALL: [Self; 8] = [
        Self::Rename,
        Self::Unlink,
        Self::Link,
        Self::Symlink,
        Self::Chmod,
        Self::Chown,
        Self::Truncate,
        Self::Mkdir,
    ];

    /// Name of the kind of event.
    pub(super) const fn dataset(self) -> &'static str {
        match self {
            Self::Rename => "file.rename",
            Self::Unlink => "file.unlink",
            Self::Link => "file.link",
            Self::Symlink => "file.symlink",
            Self::Chmod => "file.chmod",
            Self::Chown => "file.chown",
            Self::Truncate => "file.truncate",
            Self::Mkdir => "file.mkdir",
        }
    }

    /// Whether names are changed, not attributes.
    #[must_use]
    pub const fn is_of_names(self) -> bool {
        !matches!(self, Self::Chmod | Self::Chown | Self::Truncate)
    }
}

/// `AT_REMOVEDIR` of `include/uapi/linux/fcntl.h`.
pub(super) const AT_REMOVEDIR: u32 = 0x200;

/// Attributes that a change can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Size in bytes.
    pub size: u64,
    /// Type and permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// A name or attributes of a file were changed.
#[derive(Clone, Debug)]
pub struct Change {
    /// What was changed.
    pub kind: ChangeKind,
    /// The file; before a rename, for that.
    pub name: Name,
    /// The new name of a rename or hard link.
    pub target: Option<Name>,
    /// What a symbolic link says.
    pub text: Option<Box<str>>,
    /// The file after the change; before it, for one whose name was removed.
    pub file: Option<FileIdentity>,
    /// What had the new name before a rename.
    pub replaced: Option<FileIdentity>,
    /// How it was before a change of attributes.
    pub before: Option<Attributes>,
    /// What was asked for, where the file is not known; `u32::MAX` leaves an owner as it was.
    pub asked: Option<Attributes>,
    /// Flags of the operation.
    pub flags: u32,
}

impl Change {
    /// Its label.
    #[must_use]
    pub const fn label(&self) -> Label {
        let (action, kind): (_, &[_]) = match self.kind {
            ChangeKind::Rename => ("file_rename", &["change"]),
            ChangeKind::Unlink if self.flags & AT_REMOVEDIR != 0 => {
                ("directory_remove", &["deletion"])
            }
            ChangeKind::Unlink => ("file_unlink", &["deletion"]),
            ChangeKind::Link => ("file_link", &["creation"]),
            ChangeKind::Symlink => ("file_symlink", &["creation"]),
            ChangeKind::Chmod => ("file_chmod", &["change"]),
            ChangeKind::Chown => ("file_chown", &["change"]),
            ChangeKind::Truncate => ("file_truncate", &["change"]),
            ChangeKind::Mkdir => ("directory_create", &["creation"]),
        };
        Label {
            name: self.kind.dataset(),
            action,
            category: &["file"],
            kind,
        }
    }

    /// Where the file is now.
    #[must_use]
    pub fn path(&self) -> &Name {
        self.target.as_ref().unwrap_or(&self.name)
    }

    /// Set-user-id and set-group-id bits that it has and had not, or may not have had.
    #[must_use]
    pub fn gained_set_id(&self) -> u32 {
        const SET_ID: u32 = libc::S_ISUID | libc::S_ISGID;
        let mode = self
            .file
            .as_ref()
            .map(|file| file.mode)
            .or(self.asked.map(|asked| asked.mode));
        let before = self.before.map_or(0, |before| before.mode);
        match self.kind {
            ChangeKind::Chmod => mode.unwrap_or(0) & !before & SET_ID,
            _ => 0,
        }
    }

    pub(super) fn put<'a>(&'a self, fields: &mut Fields<'a>) {
        put_path(fields, &self.path().path, self.path().source);
        match self.kind {
            ChangeKind::Rename => fields.put(Field::SensorFilePreviousPath, &*self.name.path),
            ChangeKind::Link => fields.put(Field::SensorFileLinkedPath, &*self.name.path),
            _ => {}
        }
        fields.put_some(Field::FileTargetPath, self.text.as_deref());
        match (&self.file, &self.asked) {
            (Some(file), _) => put_identity(fields, file),
            (None, Some(asked)) => self.put_asked(fields, *asked),
            (None, None) => {}
        }
        if let Some(before) = self.before {
            match self.kind {
                ChangeKind::Chmod => {
                    fields.put(Field::SensorFileBeforeMode, permissions(before.mode))
                }
                ChangeKind::Chown => {
                    fields.put(Field::SensorFileBeforeUid, before.uid.to_string());
                    fields.put(Field::SensorFileBeforeGid, before.gid.to_string());
                }
                ChangeKind::Truncate => fields.put(Field::SensorFileBeforeSize, bytes(before.size)),
                _ => {}
            }
        }
        if let Some(replaced) = &self.replaced {
            fields.put(Field::SensorFileReplacedInode, replaced.inode.to_string());
            fields.put(Field::SensorFileReplacedSize, bytes(replaced.size));
            fields.put(Field::SensorFileReplacedMode, permissions(replaced.mode));
            fields.put(Field::SensorFileReplacedUid, replaced.uid.to_string());
        }
        if self.kind == ChangeKind::Rename {
            fields.put_list(
                Field::SensorFileFlags,
                flags::names(self.flags.into(), RENAME_FLAGS),
            );
        }
    }

    fn put_asked(&self, fields: &mut Fields<'_>, asked: Attributes) {
        match self.kind {
            ChangeKind::Chmod => fields.put(Field::FileMode, permissions(asked.mode)),
            ChangeKind::Chown => {
                fields.put_some(
                    Field::FileUid,
                    (asked.uid != u32::MAX).then(|| asked.uid.to_string()),
                );
                fields.put_some(
                    Field::FileGid,
                    (asked.gid != u32::MAX).then(|| asked.gid.to_string()),
                );
            }
            ChangeKind::Truncate => fields.put(Field::FileSize, bytes(asked.size)),
            _ => {}
        }
    }

    pub(super) fn summary(&self) -> String {
        let path = &self.name.path;
        let mut text = match (self.kind, &self.target, &self.text) {
            (_, Some(target), _) => format!("{path} → {}", target.path),
            (_, None, Some(text)) => format!("{path} → {text}"),
            _ => path.to_string(),
        };
        let now = self
            .file
            .as_ref()
            .map(|file| (file.mode, file.uid, file.gid, file.size));
        let now = now.or(self
            .asked
            .map(|asked| (asked.mode, asked.uid, asked.gid, asked.size)));
        if let Some((mode, uid, gid, size)) = now {
            let before = self.before;
            match self.kind {
                ChangeKind::Chmod => {
                    text.push_str(&from_to(
                        before.map(|before| permissions(before.mode)),
                        &permissions(mode),
                    ));
                }
                ChangeKind::Chown => {
                    let was = before.map(|before| format!("{}:{}", before.uid, before.gid));
                    text.push_str(&from_to(was, &format!("{}:{}", signed(uid), signed(gid))));
                }
                ChangeKind::Truncate => {
                    let was = before.map(|before| before.size.to_string());
                    text.push_str(&from_to(was, &format!("{size} bytes")));
                }
                _ => {}
            }
        }
        if let Some(replaced) = &self.replaced {
            text.push_str(&format!(" replacing {} bytes", replaced.size));
        }
        if self.gained_set_id() & libc::S_ISUID != 0 {
            text.push_str(" !setuid");
        }
        if self.gained_set_id() & libc::S_ISGID != 0 {
            text.push_str(" !setgid");
        }
        text
    }
}

fn from_to(before: Option<String>, after: &str) -> String {
    before.map_or_else(
        || format!(" {after}"),
        |before| format!(" {before} → {after}"),
    )
}

/// An id as `chown` takes it: -1 for unchanged.
const fn signed(id: u32) -> i64 {
    if id == u32::MAX { -1 } else { id as i64 }
}

/// A size, which the kernel counts in a signed number.
fn bytes(size: u64) -> u64 {
    size.min(i64::MAX.cast_unsigned())
}

fn permissions(mode: u32) -> String {
    format!("{:04o}", mode & 0o7777)
}

/// Names of `O_*` flags with the access mode first.
fn open_flag_names<'n>(flags: u32) -> impl Iterator<Item = &'n str> {
    let mode = match flags & libc::O_ACCMODE.cast_unsigned() {
        0 => "O_RDONLY",
        1 => "O_WRONLY",
        _ => "O_RDWR",
    };
    std::iter::once(mode).chain(flags::names(flags.into(), OPEN_FLAGS))
}

fn put_path<'a>(fields: &mut Fields<'a>, path: &'a str, source: Source) {
    fields.put(Field::FilePath, path);
    fields.put(Field::SensorFilePathSource, source.name());
    let Some((directory, name)) = path.rsplit_once('/') else {
        return;
    };
    fields.put(
        Field::FileDirectory,
        if directory.is_empty() { "/" } else { directory },
    );
    if !name.is_empty() {
        fields.put(Field::FileName, name);
    }
    if let Some((stem, extension)) = name.rsplit_once('.')
        && !stem.is_empty()
        && !extension.is_empty()
    {
        fields.put(Field::FileExtension, extension);
    }
}

fn put_identity(fields: &mut Fields<'_>, file: &FileIdentity) {
    fields.put(Field::FileInode, file.inode.to_string());
    fields.put(Field::FileDevice, device_name(file.device));
    fields.put(Field::FileMode, permissions(file.mode));
    fields.put(Field::FileSize, bytes(file.size));
    fields.put(Field::FileUid, file.uid.to_string());
    fields.put(Field::FileGid, file.gid.to_string());
    fields.put(Field::FileMtime, Value::Time(file.mtime_ns));
    fields.put(Field::FileCtime, Value::Time(file.ctime_ns));
    fields.put(Field::FileType, type_name(file.mode));
    fields.put(Field::SensorFileLinks, file.links);
    fields.put_list(Field::SensorFileTraits, traits(file));
}

/// ECS `file.type`.
const fn type_name(mode: u32) -> &'static str {
    match mode & libc::S_IFMT {
        libc::S_IFDIR => "dir",
        libc::S_IFLNK => "symlink",
        libc::S_IFBLK => "block device",
        libc::S_IFCHR => "character device",
        libc::S_IFIFO => "fifo",
        libc::S_IFSOCK => "socket",
        _ => "file",
    }
}

/// What is telling about a file.
fn traits<'n>(file: &FileIdentity) -> impl Iterator<Item = &'n str> + use<'n> {
    let regular = file.mode & libc::S_IFMT == libc::S_IFREG;
    [
        (file.memfd, "memfd"),
        (file.deleted && !file.memfd, "deleted"),
        (file.on_tmpfs() && !file.memfd, "tmpfs"),
        (file.overlay_upper, "overlay_upper"),
        (regular && file.mode & 0o111 != 0, "executable"),
        (regular && file.mode & libc::S_ISUID != 0, "setuid"),
        (regular && file.mode & libc::S_ISGID != 0, "setgid"),
        (
            regular && file.mode & libc::S_IWOTH != 0,
            "writable_by_others",
        ),
    ]
    .into_iter()
    .filter_map(|(is, name)| is.then_some(name))
}

fn push_traits(text: &mut String, file: &FileIdentity) {
    for name in
        traits(file).filter(|name| matches!(*name, "memfd" | "deleted" | "setuid" | "setgid"))
    {
        text.push_str(" !");
        text.push_str(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(mode: u32) -> FileIdentity {
        FileIdentity {
            inode: 7,
            device: (8 << 20) | 1,
            size: 5,
            mode,
            uid: 0,
            gid: 0,
            links: 1,
            mtime_ns: 0,
            ctime_ns: 0,
            fs_magic: 0xef53,
            memfd: false,
            deleted: false,
            overlay_upper: false,
        }
    }

    fn chmod(before: Option<u32>, after: u32) -> Change {
        Change {
            kind: ChangeKind::Chmod,
            name: Name::of_kernel("/tmp/x".into()),
            target: None,
            text: None,
            file: Some(file(after)),
            replaced: None,
            before: before.map(|mode| Attributes {
                size: 0,
                mode,
                uid: 0,
                gid: 0,
            }),
            asked: None,
            flags: 0,
        }
    }

    #[test]
    fn a_file_that_becomes_set_user_id_is_marked_and_one_that_was_is_not() {
        let became = chmod(Some(0o100_755), 0o104_755);
        assert_eq!(became.summary(), "/tmp/x 0755 → 4755 !setuid");
        assert_eq!(chmod(Some(0o104_755), 0o104_711).gained_set_id(), 0);
        assert_eq!(
            chmod(None, 0o106_755).summary(),
            "/tmp/x 6755 !setuid !setgid"
        );
    }

    #[test]
    fn a_rename_is_named_by_where_the_file_is_now() {
        let rename = Change {
            kind: ChangeKind::Rename,
            name: Name::of_kernel("/srv/.x.php.tmp".into()),
            target: Some(Name::of_kernel("/srv/x.php".into())),
            replaced: Some(file(0o100_644)),
            ..chmod(None, 0o100_644)
        };
        let mut fields = Fields::default();
        rename.put(&mut fields);
        assert_eq!(fields.get(Field::FilePath), Some(&"/srv/x.php".into()));
        assert_eq!(fields.get(Field::FileExtension), Some(&"php".into()));
        assert_eq!(
            fields.get(Field::SensorFilePreviousPath),
            Some(&"/srv/.x.php.tmp".into())
        );
        assert_eq!(
            rename.summary(),
            "/srv/.x.php.tmp → /srv/x.php replacing 5 bytes"
        );
    }

    #[test]
    fn a_hidden_file_has_no_extension_and_a_file_in_the_root_has_a_directory() {
        let mut fields = Fields::default();
        put_path(&mut fields, "/.bashrc", Source::Kernel);
        assert_eq!(fields.get(Field::FileDirectory), Some(&"/".into()));
        assert_eq!(fields.get(Field::FileName), Some(&".bashrc".into()));
        assert_eq!(fields.get(Field::FileExtension), None);
    }

    #[test]
    fn open_flags_are_spelled_with_the_access_mode_first() {
        let names: Vec<_> =
            open_flag_names((libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL) as u32).collect();
        assert_eq!(names, ["O_WRONLY", "O_CREAT", "O_EXCL"]);
        assert_eq!(open_flag_names(0).collect::<Vec<_>>(), ["O_RDONLY"]);
    }
}
