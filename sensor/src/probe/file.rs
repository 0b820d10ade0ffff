//! Decodes the records of `sensor-ebpf/src/file/` into `event/file.rs`.

use sensor_common::exec::FileIdentity as RawIdentity;
use sensor_common::file as raw;
use sensor_common::tail;

use super::decode::{Decoded, Raw, Sections};
use super::process::file_identity;
use crate::event::Action;
use crate::event::file::{
    Access, AccessKind, Attributes, Change, ChangeKind, Name, Source, Stream,
};
use crate::event::object::Object;

/// [`sensor_common::kind::FILE_OPEN`].
pub fn open(raw: &Raw<'_>) -> Decoded {
    access(raw, AccessKind::Open)
}

/// [`sensor_common::kind::FILE_CLOSE`].
pub fn close(raw: &Raw<'_>) -> Decoded {
    access(raw, AccessKind::Close)
}

/// [`sensor_common::kind::FILE_READ`].
pub fn read(raw: &Raw<'_>) -> Decoded {
    access(raw, AccessKind::Read)
}

fn access(raw: &Raw<'_>, kind: AccessKind) -> Decoded {
    let (record, sections) = raw.parts::<raw::FileAccess>()?;
    let did = |bit| record.access & bit != 0;
    let access = Access {
        kind,
        path: sections.text(tail::PATH).unwrap_or_default(),
        file: file_identity(&record.file),
        flags: record.open_flags,
        reads: did(raw::ACCESS_READ),
        writes: did(raw::ACCESS_WRITE),
        created: did(raw::ACCESS_CREATED),
        truncated: did(raw::ACCESS_TRUNCATED),
    };
    Ok((
        Some(raw.process(&record.subject)),
        Action::FileAccess(Box::new(access)),
    ))
}

/// [`sensor_common::kind::STREAM_OPEN`].
pub fn stream(raw: &Raw<'_>) -> Decoded {
    let (record, sections) = raw.parts::<raw::StreamOpen>()?;
    let stream = Stream {
        object: Object::from_raw(&record.object, sections.text(tail::PATH)),
        reads: record.access & raw::ACCESS_READ != 0,
        writes: record.access & raw::ACCESS_WRITE != 0,
    };
    Ok((
        Some(raw.process(&record.subject)),
        Action::StreamOpen(Box::new(stream)),
    ))
}

/// [`sensor_common::kind::FILE_RENAME`].
pub fn rename(raw: &Raw<'_>) -> Decoded {
    change(raw, ChangeKind::Rename)
}

/// [`sensor_common::kind::FILE_UNLINK`].
pub fn unlink(raw: &Raw<'_>) -> Decoded {
    change(raw, ChangeKind::Unlink)
}

/// [`sensor_common::kind::FILE_LINK`].
pub fn link(raw: &Raw<'_>) -> Decoded {
    change(raw, ChangeKind::Link)
}

/// [`sensor_common::kind::FILE_SYMLINK`].
pub fn symlink(raw: &Raw<'_>) -> Decoded {
    change(raw, ChangeKind::Symlink)
}

/// [`sensor_common::kind::FILE_CHMOD`].
pub fn chmod(raw: &Raw<'_>) -> Decoded {
    change(raw, ChangeKind::Chmod)
}

/// [`sensor_common::kind::FILE_CHOWN`].
pub fn chown(raw: &Raw<'_>) -> Decoded {
    change(raw, ChangeKind::Chown)
}

/// [`sensor_common::kind::FILE_TRUNCATE`].
pub fn truncate(raw: &Raw<'_>) -> Decoded {
    change(raw, ChangeKind::Truncate)
}

/// [`sensor_common::kind::FILE_MKDIR`].
pub fn mkdir(raw: &Raw<'_>) -> Decoded {
    change(raw, ChangeKind::Mkdir)
}

fn change(raw: &Raw<'_>, kind: ChangeKind) -> Decoded {
    let (record, sections) = raw.parts::<raw::FileChange>()?;
    let known = |bit| record.known & bit != 0;
    let named_twice = matches!(kind, ChangeKind::Rename | ChangeKind::Link);
    let text = || sections.text(tail::RAW_TARGET_PATH).unwrap_or_default();
    let change = Change {
        kind,
        name: name(&sections, [tail::PATH, tail::BASE, tail::RAW_PATH]),
        target: named_twice.then(|| {
            name(
                &sections,
                [tail::TARGET_PATH, tail::TARGET_BASE, tail::RAW_TARGET_PATH],
            )
        }),
        text: (kind == ChangeKind::Symlink).then(text),
        file: known(raw::KNOWN_FILE).then(|| file_identity(&record.file)),
        replaced: (known(raw::KNOWN_REPLACED) && is_file(&record.replaced))
            .then(|| file_identity(&record.replaced)),
        before: known(raw::KNOWN_BEFORE).then_some(Attributes {
            size: record.before_size,
            mode: record.before_mode,
            uid: record.before_uid,
            gid: record.before_gid,
        }),
        asked: (!known(raw::KNOWN_FILE)).then_some(Attributes {
            size: record.file.size,
            mode: record.file.mode,
            uid: record.file.uid,
            gid: record.file.gid,
        }),
        flags: record.flags,
    };
    Ok((
        Some(raw.process(&record.subject)),
        Action::FileChange(Box::new(change)),
    ))
}

/// Nothing is all zero, and no inode has number 0.
const fn is_file(identity: &RawIdentity) -> bool {
    identity.inode != 0
}

/// The true path, or what the program passed behind the directory it starts from.
fn name(sections: &Sections<'_>, [path, base, passed]: [u8; 3]) -> Name {
    if let Some(path) = sections.text(path) {
        return Name::of_kernel(path);
    }
    let base = sections.text(base).unwrap_or_default();
    let passed = sections.text(passed).unwrap_or_default();
    let base = base.trim_end_matches('/');
    let passed = passed.trim_start_matches('/');
    Name {
        path: format!("{base}/{passed}").into_boxed_str(),
        source: Source::Passed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::decode::decode_as;
    use sensor_common::kind;
    use zerocopy::{FromZeros, IntoBytes};

    fn section(tag: u8, text: &str) -> Vec<u8> {
        let mut bytes = vec![tag, 0];
        bytes.extend(u16::try_from(text.len()).unwrap().to_ne_bytes());
        bytes.extend(text.as_bytes());
        bytes
    }

    fn decoded(kind: u16, record: &[u8], sections: &[Vec<u8>]) -> Action {
        let mut bytes = record.to_vec();
        bytes.extend(sections.concat());
        decode_as(kind, &bytes).unwrap().action
    }

    fn changed(kind: u16, record: raw::FileChange, sections: &[Vec<u8>]) -> Change {
        match decoded(kind, record.as_bytes(), sections) {
            Action::FileChange(change) => *change,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_true_path_is_taken_as_it_is() {
        let mut record = raw::FileAccess::new_zeroed();
        record.access = raw::ACCESS_WRITE | raw::ACCESS_CREATED;
        let action = decoded(
            kind::FILE_OPEN,
            record.as_bytes(),
            &[section(tail::PATH, "/etc/cron.d/x")],
        );
        let Action::FileAccess(access) = action else {
            panic!("{action:?}")
        };
        assert_eq!(
            (&*access.path, access.kind),
            ("/etc/cron.d/x", AccessKind::Open)
        );
        assert!(access.writes && access.created && !access.reads && !access.truncated);
    }

    #[test]
    fn a_passed_path_is_joined_to_where_it_starts() {
        let record = raw::FileChange::new_zeroed();
        for (base, passed, joined) in [
            ("/srv/www", "up/../x.php", "/srv/www/up/../x.php"),
            ("/", "/etc/passwd", "/etc/passwd"),
            ("/jail", "/etc/passwd", "/jail/etc/passwd"),
        ] {
            let sections = [section(tail::BASE, base), section(tail::RAW_PATH, passed)];
            let change = changed(kind::FILE_UNLINK, record, &sections);
            assert_eq!(
                change.name,
                Name {
                    path: joined.into(),
                    source: Source::Passed
                }
            );
            assert!(change.file.is_none() && change.target.is_none());
        }
    }

    #[test]
    fn a_rename_that_replaced_nothing_says_so() {
        let mut record = raw::FileChange::new_zeroed();
        record.known = raw::KNOWN_FILE | raw::KNOWN_REPLACED;
        let sections = [section(tail::PATH, "/a"), section(tail::TARGET_PATH, "/b")];
        let change = changed(kind::FILE_RENAME, record, &sections);
        assert_eq!(&*change.path().path, "/b");
        assert!(change.replaced.is_none() && change.file.is_some());
        record.replaced.inode = 9;
        assert_eq!(
            changed(kind::FILE_RENAME, record, &sections)
                .replaced
                .unwrap()
                .inode,
            9
        );
    }
}
