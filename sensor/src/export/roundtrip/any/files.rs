//! Arbitrary events of files.

use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::{file, long, object, path, text};
use crate::event::Action;
use crate::event::file::{
    Access, AccessKind, Attributes, Change, ChangeKind, Name, Source, Stream,
};
use crate::event::object::{Kind, Object};

pub(super) fn action() -> BoxedStrategy<Action> {
    prop_oneof![
        stream().prop_map(|stream| Action::StreamOpen(Box::new(stream))),
        access().prop_map(|access| Action::FileAccess(Box::new(access))),
        change().prop_map(|change| Action::FileChange(Box::new(change))),
    ]
    .boxed()
}

fn stream() -> impl Strategy<Value = Stream> {
    let kind = select(vec![Kind::Fifo, Kind::PtyMaster]);
    (object(), any::<[bool; 2]>(), kind).prop_map(|(object, [reads, writes], kind)| Stream {
        object: Object {
            kind,
            inet: None,
            peer_inode: None,
            ..object
        },
        reads,
        writes,
    })
}

fn access() -> BoxedStrategy<Access> {
    let kinds = vec![AccessKind::Open, AccessKind::Close, AccessKind::Read];
    let is = any::<[bool; 4]>();
    (select(kinds), path(), file(), any::<u32>(), is)
        .prop_map(
            |(kind, path, file, flags, [reads, writes, created, truncated])| Access {
                kind,
                path,
                file,
                flags,
                reads,
                writes,
                created,
                truncated,
            },
        )
        .boxed()
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let id = || prop_oneof![any::<u32>(), Just(u32::MAX)];
    (long(), 0_u32..0o10000, id(), id()).prop_map(|(size, mode, uid, gid)| Attributes {
        size,
        mode,
        uid,
        gid,
    })
}

fn change() -> BoxedStrategy<Change> {
    let kind = select(vec![
        ChangeKind::Rename,
        ChangeKind::Unlink,
        ChangeKind::Link,
        ChangeKind::Symlink,
        ChangeKind::Chmod,
        ChangeKind::Chown,
        ChangeKind::Truncate,
        ChangeKind::Mkdir,
    ]);
    let source = select(vec![Source::Kernel, Source::Resolved, Source::Passed]);
    let names = (source, path(), path(), text());
    let files = (of(file()), of(file()));
    let sets = (of(attributes()), of(attributes()), any::<u32>());
    (kind, names, files, sets)
        .prop_map(
            |(kind, (source, path, target, text), (file, replaced), (before, asked, flags))| {
                let name = |path| Name { path, source };
                let moves = matches!(kind, ChangeKind::Rename | ChangeKind::Link);
                Change {
                    kind,
                    name: name(path),
                    target: moves.then(|| name(target)),
                    text: (kind == ChangeKind::Symlink).then_some(text),
                    file,
                    replaced: replaced.filter(|_| kind == ChangeKind::Rename),
                    before,
                    asked,
                    flags,
                }
            },
        )
        .boxed()
}
