//! Decodes the records of `sensor-ebpf/src/privilege.rs` into `event/privilege.rs`.

use sensor_common::privilege as raw;
use sensor_common::tail;

use super::decode::{Decoded, Raw, until_nul};
use crate::event::Action;
use crate::event::privilege::{
    Credentials, Identity, Mount, Ptrace, Setns, Signal, Target, Unshare, VmWrite,
};
use crate::event::process::{Ids, ProcessKey};

/// [`sensor_common::kind::CREDENTIALS`].
pub fn credentials(raw: &Raw<'_>) -> Decoded {
    let (record, _) = raw.parts::<raw::Credentials>()?;
    let gained = |bit| record.gain & bit != 0;
    let credentials = Credentials {
        old: identity(&record.old),
        new: identity(&record.new),
        root: gained(raw::GAINED_ROOT),
        capabilities: gained(raw::GAINED_CAPABILITIES),
        namespace: gained(raw::GAINED_NAMESPACE),
        regained: gained(raw::GAINED_BACK),
    };
    Ok((
        Some(raw.process(&record.subject)),
        Action::Credentials(Box::new(credentials)),
    ))
}

fn identity(raw: &raw::Identity) -> Identity {
    Identity {
        ids: Ids {
            uid: raw.uid,
            gid: raw.gid,
            suid: raw.suid,
            sgid: raw.sgid,
            euid: raw.euid,
            egid: raw.egid,
        },
        fsuid: raw.fsuid,
        fsgid: raw.fsgid,
        permitted: raw.caps_permitted,
        effective: raw.caps_effective,
        user_ns: raw.user_ns,
    }
}

/// [`sensor_common::kind::PTRACE`].
pub fn ptrace(raw: &Raw<'_>) -> Decoded {
    let (record, _) = raw.parts::<raw::Ptrace>()?;
    let ptrace = Ptrace {
        target: target(&record.target),
        request: record.request,
        address: record.address,
    };
    Ok((
        Some(raw.process(&record.subject)),
        Action::Ptrace(Box::new(ptrace)),
    ))
}

/// [`sensor_common::kind::VM_WRITE`].
pub fn vm_write(raw: &Raw<'_>) -> Decoded {
    let (record, _) = raw.parts::<raw::VmWrite>()?;
    let write = VmWrite {
        target: target(&record.target),
        bytes: record.bytes,
        address: record.address,
    };
    Ok((
        Some(raw.process(&record.subject)),
        Action::VmWrite(Box::new(write)),
    ))
}

fn target(raw: &raw::Target) -> Target {
    Target {
        key: (raw.pid != 0).then(|| ProcessKey::new(raw.pid, raw.start_boot_ns)),
        tid: raw.tid,
        ns_pid: raw.ns_pid,
        uid: raw.uid,
        capabilities: raw.caps_effective,
        comm: until_nul(&raw.comm),
        entity: None,
        program: None,
    }
}

/// [`sensor_common::kind::SETNS`].
pub fn setns(raw: &Raw<'_>) -> Decoded {
    let (record, _) = raw.parts::<raw::Setns>()?;
    let one = record.inode != 0;
    let setns = Setns {
        namespaces: record.namespaces,
        inode: one.then_some(record.inode),
        target: (!one).then(|| target(&record.target)),
    };
    Ok((
        Some(raw.process(&record.subject)),
        Action::Setns(Box::new(setns)),
    ))
}

/// [`sensor_common::kind::UNSHARE`].
pub fn unshare(raw: &Raw<'_>) -> Decoded {
    let (record, _) = raw.parts::<raw::Unshare>()?;
    Ok((
        Some(raw.process(&record.subject)),
        Action::Unshare(Unshare {
            flags: record.flags,
        }),
    ))
}

/// [`sensor_common::kind::MOUNT`].
pub fn mount(raw: &Raw<'_>) -> Decoded {
    let (record, sections) = raw.parts::<raw::Mount>()?;
    let mount = Mount {
        moved: record.by == raw::MOUNT_BY_MOVE,
        source: sections.text(tail::RAW_PATH),
        raw_target: sections.text(tail::RAW_TARGET_PATH),
        resolved: sections.text(tail::PATH),
        working_directory: sections.text(tail::WORKING_DIRECTORY),
        fs_type: sections.text(tail::NAME),
        flags: record.flags,
        source_fd: record.source_fd.cast_signed(),
        target_fd: record.target_fd.cast_signed(),
    };
    Ok((
        Some(raw.process(&record.subject)),
        Action::Mount(Box::new(mount)),
    ))
}

/// [`sensor_common::kind::SIGNAL`].
pub fn signal(raw: &Raw<'_>) -> Decoded {
    let (record, _) = raw.parts::<raw::Signal>()?;
    let signal = Signal {
        number: record.signal,
        code: record.code.cast_signed(),
        outcome: record.outcome,
        tid: record.tid,
    };
    Ok((Some(raw.process(&record.subject)), Action::Signal(signal)))
}
