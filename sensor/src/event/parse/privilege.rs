//! What processes do to gain power, read back.

use std::sync::Arc;

use super::row::{Digits, Hex, Row};
use super::{ParseError, process, words};
use crate::event::Action;
use crate::event::field::Field;
use crate::event::flags::{self, MOUNT, MOVE_MOUNT, NAMESPACES, PTRACE};
use crate::event::privilege::{
    CREDENTIALS_LABEL, Credentials, Identity, MOUNT_LABEL, Mount, NEW_IDENTITY, OLD_IDENTITY,
    PTRACE_LABEL, Ptrace, SETNS_LABEL, SIGNAL_LABEL, SIGNAL_OUTCOMES, Setns, Signal, Target,
    UNSHARE_LABEL, Unshare, VM_WRITE_LABEL, VmWrite,
};
use crate::event::process::{Ids, ProcessKey, Program, capability_set};

/// What a descriptor is when there is none.
const NO_FD: i32 = -1;

/// What happened; `None` for a kind that is not known.
pub(super) fn action(dataset: &str, row: &Row<'_>) -> Result<Option<Action>, ParseError> {
    Ok(Some(if dataset == CREDENTIALS_LABEL.name {
        Action::Credentials(Box::new(credentials(row)?))
    } else if dataset == PTRACE_LABEL.name {
        Action::Ptrace(Box::new(ptrace(row)?))
    } else if dataset == VM_WRITE_LABEL.name {
        Action::VmWrite(Box::new(VmWrite {
            target: target(row)?,
            bytes: row.get(Field::SensorVmWriteBytes)?,
            address: row.get::<Hex>(Field::SensorVmWriteAddress)?.0,
        }))
    } else if dataset == SETNS_LABEL.name {
        Action::Setns(Box::new(setns(row)?))
    } else if dataset == UNSHARE_LABEL.name {
        Action::Unshare(Unshare {
            flags: row.get::<Hex>(Field::SensorUnshareFlags)?.0,
        })
    } else if dataset == MOUNT_LABEL.name {
        Action::Mount(Box::new(mount(row)?))
    } else if dataset == SIGNAL_LABEL.name {
        Action::Signal(signal(row)?)
    } else {
        return Ok(None);
    }))
}

fn credentials(row: &Row<'_>) -> Result<Credentials, ParseError> {
    let gain = row.words(Field::SensorCredentialsGain)?;
    Ok(Credentials {
        old: identity(row, OLD_IDENTITY)?,
        new: identity(row, NEW_IDENTITY)?,
        root: gain.contains(&"root"),
        capabilities: gain.contains(&"capabilities"),
        namespace: gain.contains(&"namespace"),
        regained: gain.contains(&"regained"),
    })
}

fn identity(row: &Row<'_>, names: [Field; 11]) -> Result<Identity, ParseError> {
    let [
        uid,
        gid,
        suid,
        sgid,
        euid,
        egid,
        fsuid,
        fsgid,
        user_ns,
        permitted,
        effective,
    ] = names;
    Ok(Identity {
        ids: Ids {
            uid: row.get(uid)?,
            gid: row.get(gid)?,
            suid: row.get(suid)?,
            sgid: row.get(sgid)?,
            euid: row.get(euid)?,
            egid: row.get(egid)?,
        },
        fsuid: row.get(fsuid)?,
        fsgid: row.get(fsgid)?,
        permitted: capability_set(row.words(permitted)?),
        effective: capability_set(row.words(effective)?),
        user_ns: row.get(user_ns)?,
    })
}

/// The thread something was done to.
fn target(row: &Row<'_>) -> Result<Target, ParseError> {
    let ns_pid = row.find(Field::SensorTargetVpid)?.unwrap_or(0);
    let Some(pid) = row.find(Field::SensorTargetPid)? else {
        return Ok(Target {
            key: None,
            tid: 0,
            ns_pid,
            uid: 0,
            capabilities: 0,
            comm: Box::default(),
            entity: None,
            program: None,
        });
    };
    let entity: Option<Box<str>> = row.find(Field::SensorTargetEntityId)?;
    let executable: Option<Box<str>> = row.find(Field::SensorTargetExecutable)?;
    let line: Option<&str> = row.find(Field::SensorTargetCommandLine)?;
    let program = (executable.is_some() || line.is_some()).then(|| {
        Arc::new(Program {
            executable,
            args: line.map(words::split).unwrap_or_default(),
            ..Program::default()
        })
    });
    Ok(Target {
        key: entity
            .as_deref()
            .and_then(process::key)
            .filter(|key| key.pid == pid)
            .or(Some(ProcessKey {
                pid,
                start_ticks: 0,
            })),
        tid: row.get(Field::SensorTargetThreadId)?,
        ns_pid,
        uid: row.get::<Digits<u32>>(Field::SensorTargetUserId)?.0,
        capabilities: capability_set(row.words(Field::SensorTargetCapabilities)?),
        comm: row.get(Field::SensorTargetThreadName)?,
        entity,
        program,
    })
}

fn ptrace(row: &Row<'_>) -> Result<Ptrace, ParseError> {
    let request: &str = row.get(Field::SensorPtraceRequest)?;
    let address: Option<Hex> = row.find(Field::SensorPtraceAddress)?;
    Ok(Ptrace {
        target: target(row)?,
        request: flags::number(request, PTRACE)
            .ok_or_else(|| ParseError::wrong(Field::SensorPtraceRequest, "a ptrace request"))?,
        address: address.map_or(0, |address| address.0),
    })
}

fn setns(row: &Row<'_>) -> Result<Setns, ParseError> {
    let named = row.has(Field::SensorTargetPid) || row.has(Field::SensorTargetVpid);
    Ok(Setns {
        namespaces: flags::bits(row.words(Field::SensorSetnsTypes)?, NAMESPACES) as u32,
        inode: row.find(Field::SensorSetnsInode)?,
        target: named.then(|| target(row)).transpose()?,
    })
}

fn mount(row: &Row<'_>) -> Result<Mount, ParseError> {
    let moved = row.get::<&str>(Field::SensorMountBy)? == "move_mount";
    let names = row.words(Field::SensorMountFlags)?;
    let mut mount = Mount {
        moved,
        source: row.find(Field::SensorMountSource)?,
        raw_target: row.find(Field::SensorMountTargetRaw)?,
        resolved: None,
        working_directory: row.find(Field::ProcessWorkingDirectory)?,
        fs_type: row.find(Field::SensorMountType)?,
        flags: flags::bits(names, if moved { MOVE_MOUNT } else { MOUNT }),
        source_fd: row.find(Field::SensorMountSourceFd)?.unwrap_or(NO_FD),
        target_fd: row.find(Field::SensorMountTargetFd)?.unwrap_or(NO_FD),
    };
    // Where it does not follow from what was passed, the kernel has told it.
    let target: Option<&str> = row.find(Field::SensorMountTarget)?;
    if mount.target().as_deref() != target {
        mount.resolved = target.map(Into::into);
    }
    Ok(mount)
}

fn signal(row: &Row<'_>) -> Result<Signal, ParseError> {
    let outcome: &str = row.get(Field::SensorSignalOutcome)?;
    Ok(Signal {
        number: row.get(Field::SensorSignalNumber)?,
        code: row.get(Field::SensorSignalCode)?,
        outcome: SIGNAL_OUTCOMES
            .iter()
            .position(|known| *known == outcome)
            .and_then(|at| u32::try_from(at).ok())
            .ok_or_else(|| ParseError::wrong(Field::SensorSignalOutcome, "what became of it"))?,
        tid: row.get(Field::SensorSignalThreadId)?,
    })
}
