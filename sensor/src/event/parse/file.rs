//! Files and changes of them, read back.

use super::process::{TMPFS, digits};
use super::row::{Device, Digits, Octal, Row, Wall};
use super::{ParseError, object};
use crate::event::Action;
use crate::event::field::Field;
use crate::event::file::{
    AT_REMOVEDIR, Access, AccessKind, Attributes, Change, ChangeKind, Name, STREAM_OPEN, Source,
    Stream,
};
use crate::event::flags::{self, OPEN_FLAGS, RENAME_FLAGS};
use crate::event::object::Object;
use crate::event::process::FileIdentity;

/// Major numbers of pseudo-terminals, 256 of them each: masters, and the terminals themselves
/// (Documentation/admin-guide/devices.txt).
const MASTERS: u32 = 128;
const TERMINALS: u32 = 136;

/// What happened; `None` for a kind that is not known.
pub(super) fn action(dataset: &str, row: &Row<'_>) -> Result<Option<Action>, ParseError> {
    if dataset == STREAM_OPEN.name {
        return Ok(Some(Action::StreamOpen(Box::new(stream(row)?))));
    }
    let accesses = [AccessKind::Open, AccessKind::Close, AccessKind::Read];
    if let Some(kind) = accesses.into_iter().find(|kind| kind.dataset() == dataset) {
        return Ok(Some(Action::FileAccess(Box::new(access(kind, row)?))));
    }
    ChangeKind::ALL
        .into_iter()
        .find(|kind| kind.dataset() == dataset)
        .map(|kind| Ok(Action::FileChange(Box::new(change(kind, row)?))))
        .transpose()
}

fn stream(row: &Row<'_>) -> Result<Stream, ParseError> {
    let access = row.words(Field::SensorFileAccess)?;
    let kind = object::kind(row, Field::SensorStreamKind)?;
    let first = if kind == crate::event::object::Kind::PtyMaster {
        MASTERS
    } else {
        TERMINALS
    };
    let terminal: Option<u32> = row.find(Field::SensorStreamTerminal)?;
    let device: Option<Device> = row.find(Field::FileDevice)?;
    Ok(Stream {
        object: Object {
            kind,
            inode: row.get::<Digits<u64>>(Field::FileInode)?.0,
            device: device.map_or(0, |device| device.0),
            stands_for: terminal.map_or(0, |index| device_of(first, index)),
            flags: 0,
            path: row.find(Field::FilePath)?,
            inet: None,
            peer_inode: None,
        },
        reads: access.contains(&"read"),
        writes: access.contains(&"write"),
    })
}

/// The device that [`Object::pty_index`] gives this number for; there are eight major numbers.
fn device_of(first: u32, index: u32) -> u32 {
    let block = (index / 256).min(7);
    (first + block) << 20 | (index - block * 256) & 0xf_ffff
}

fn access(kind: AccessKind, row: &Row<'_>) -> Result<Access, ParseError> {
    let words = row.words(Field::SensorFileAccess)?;
    let names = row.words(Field::SensorFileFlags)?;
    let mode = match names.first() {
        Some(&"O_RDONLY") => libc::O_RDONLY,
        Some(&"O_WRONLY") => libc::O_WRONLY,
        _ => libc::O_RDWR,
    };
    Ok(Access {
        kind,
        path: row.get(Field::FilePath)?,
        file: identity(row)?,
        flags: mode.cast_unsigned() | flags::bits(names, OPEN_FLAGS) as u32,
        reads: words.contains(&"read"),
        writes: words.contains(&"write"),
        created: words.contains(&"created"),
        truncated: words.contains(&"truncated"),
    })
}

fn change(kind: ChangeKind, row: &Row<'_>) -> Result<Change, ParseError> {
    let source = source(row)?;
    let name = |path| Name { path, source };
    let now = name(row.get(Field::FilePath)?);
    let before = match kind {
        ChangeKind::Rename => row.find(Field::SensorFilePreviousPath)?,
        ChangeKind::Link => row.find(Field::SensorFileLinkedPath)?,
        _ => None,
    };
    let (name, target) = match before {
        Some(before) => (name(before), Some(now)),
        None => (now, None),
    };
    let known = row.has(Field::FileInode);
    Ok(Change {
        kind,
        name,
        target,
        text: row.find(Field::FileTargetPath)?,
        file: known.then(|| identity(row)).transpose()?,
        replaced: replaced(row)?,
        before: attributes(
            row,
            [
                Field::SensorFileBeforeMode,
                Field::SensorFileBeforeSize,
                Field::SensorFileBeforeUid,
                Field::SensorFileBeforeGid,
            ],
        )?,
        asked: if known {
            None
        } else {
            let fields = [
                Field::FileMode,
                Field::FileSize,
                Field::FileUid,
                Field::FileGid,
            ];
            attributes(row, fields)?
        },
        flags: change_flags(kind, row)?,
    })
}

fn change_flags(kind: ChangeKind, row: &Row<'_>) -> Result<u32, ParseError> {
    let names = row.words(Field::SensorFileFlags)?;
    let directory = row.get::<&str>(Field::EventAction)? == "directory_remove";
    Ok(match kind {
        ChangeKind::Unlink if directory => AT_REMOVEDIR,
        ChangeKind::Rename => flags::bits(names, RENAME_FLAGS) as u32,
        _ => 0,
    })
}

fn source(row: &Row<'_>) -> Result<Source, ParseError> {
    let name: &str = row.get(Field::SensorFilePathSource)?;
    [Source::Kernel, Source::Resolved, Source::Passed]
        .into_iter()
        .find(|source| source.name() == name)
        .ok_or_else(|| ParseError::wrong(Field::SensorFilePathSource, "kernel, resolved or passed"))
}

/// Those attributes that are told, if any is; `u32::MAX` for an owner that is not.
fn attributes(
    row: &Row<'_>,
    [mode, size, uid, gid]: [Field; 4],
) -> Result<Option<Attributes>, ParseError> {
    let mode: Option<Octal> = row.find(mode)?;
    let size: Option<u64> = row.find(size)?;
    let (uid, gid) = (digits(row, uid)?, digits(row, gid)?);
    let told = mode.is_some() || size.is_some() || uid.is_some() || gid.is_some();
    Ok(told.then(|| Attributes {
        size: size.unwrap_or(0),
        mode: mode.map_or(0, |mode| mode.0),
        uid: uid.unwrap_or(u32::MAX),
        gid: gid.unwrap_or(u32::MAX),
    }))
}

fn identity(row: &Row<'_>) -> Result<FileIdentity, ParseError> {
    let traits = row.words(Field::SensorFileTraits)?;
    let memfd = traits.contains(&"memfd");
    let kind = match row.get(Field::FileType)? {
        "dir" => libc::S_IFDIR,
        "symlink" => libc::S_IFLNK,
        "block device" => libc::S_IFBLK,
        "character device" => libc::S_IFCHR,
        "fifo" => libc::S_IFIFO,
        "socket" => libc::S_IFSOCK,
        _ => libc::S_IFREG,
    };
    Ok(FileIdentity {
        inode: row.get::<Digits<u64>>(Field::FileInode)?.0,
        device: row.get::<Device>(Field::FileDevice)?.0,
        size: row.get(Field::FileSize)?,
        mode: kind | row.get::<Octal>(Field::FileMode)?.0,
        uid: row.get::<Digits<u32>>(Field::FileUid)?.0,
        gid: row.get::<Digits<u32>>(Field::FileGid)?.0,
        links: row.get(Field::SensorFileLinks)?,
        mtime_ns: row.get::<Wall>(Field::FileMtime)?.0,
        ctime_ns: row.get::<Wall>(Field::FileCtime)?.0,
        fs_magic: if memfd || traits.contains(&"tmpfs") {
            TMPFS
        } else {
            0
        },
        memfd,
        deleted: traits.contains(&"deleted"),
        overlay_upper: traits.contains(&"overlay_upper"),
    })
}

/// What had the new name before a rename, as far as it is told.
fn replaced(row: &Row<'_>) -> Result<Option<FileIdentity>, ParseError> {
    let Some(Digits(inode)) = row.find(Field::SensorFileReplacedInode)? else {
        return Ok(None);
    };
    Ok(Some(FileIdentity {
        inode,
        device: 0,
        size: row.get(Field::SensorFileReplacedSize)?,
        mode: libc::S_IFREG | row.get::<Octal>(Field::SensorFileReplacedMode)?.0,
        uid: row.get::<Digits<u32>>(Field::SensorFileReplacedUid)?.0,
        gid: 0,
        links: 1,
        mtime_ns: 0,
        ctime_ns: 0,
        fs_magic: 0,
        memfd: false,
        deleted: false,
        overlay_upper: false,
    }))
}
