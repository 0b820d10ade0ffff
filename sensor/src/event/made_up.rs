//! Events that never happened, for tests of what is concluded from events: everything unsaid is
//! empty. Not for tests of decoding.

use std::sync::Arc;

use super::object::{Kind, Object};
use super::process::{
    Exec, FileIdentity, Home, Ids, Names, Namespaces, Process, ProcessKey, Program,
};
use super::{Action, Event, EventId, Stamp};

/// A process that started a while after boot.
#[must_use]
pub fn process(key: ProcessKey) -> Process {
    Process {
        key,
        start: stamp(key.start_ticks),
        tid: key.pid,
        ppid: 0,
        ns_pid: key.pid,
        ids: Ids::default(),
        capabilities: 0,
        login_uid: None,
        audit_session: None,
        session: 0,
        tty: None,
        comm: "made-up".into(),
        namespaces: Namespaces::default(),
        cgroup_id: 0,
        entity: None,
        program: None,
        parent: None,
        parent_entity: None,
        depth: 0,
        names: Names::default(),
        home: Home::default(),
        lineage: Default::default(),
    }
}

/// A time after boot.
#[must_use]
pub const fn stamp(boot_ns: u64) -> Stamp {
    Stamp {
        boot_ns,
        wall_ns: boot_ns,
    }
}

/// An event by a process, at a time after boot.
#[must_use]
pub fn event(process: Process, boot_ns: u64, action: Action) -> Event {
    Event {
        id: EventId {
            run: 1,
            sequence: boot_ns,
        },
        cpu: 0,
        time: stamp(boot_ns),
        process: Some(process),
        action,
    }
}

/// What some words run; the first is the path.
#[must_use]
pub fn program(words: &[&str]) -> Arc<Program> {
    Arc::new(Program {
        executable: words.first().map(|path| (*path).into()),
        args: words.iter().map(|word| (*word).into()).collect(),
        ..Program::default()
    })
}

/// A file of which nothing is known but its size.
#[must_use]
pub fn file(size: u64) -> FileIdentity {
    FileIdentity {
        inode: 1,
        device: 1,
        size,
        mode: libc::S_IFREG | 0o644,
        uid: 0,
        gid: 0,
        links: 1,
        mtime_ns: 0,
        ctime_ns: 0,
        fs_magic: 0,
        memfd: false,
        deleted: false,
        overlay_upper: false,
    }
}

/// An exec with nothing on its standard streams.
#[must_use]
pub fn exec(program: Arc<Program>) -> Exec {
    let null = Object {
        kind: Kind::Null,
        inode: 0,
        device: 0,
        stands_for: 0,
        flags: 0,
        path: None,
        inet: None,
        peer_inode: None,
    };
    Exec {
        filename: program.executable.clone(),
        program,
        executable: file(1),
        interpreter: None,
        working_directory: None,
        carried: None,
        argument_bytes: 0,
        environment: Box::default(),
        environment_truncated: false,
        stdio: [null.clone(), null.clone(), null],
    }
}
