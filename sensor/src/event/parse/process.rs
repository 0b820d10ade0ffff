//! Processes, and the events of their own life, read back.

use std::sync::{Arc, OnceLock};

use super::row::{Device, Digits, Octal, Row, Wall};
use super::{ParseError, object, words};
use crate::event::field::Field;
use crate::event::flags;
use crate::event::lineage::Lineage;
use crate::event::object::STDIO;
use crate::event::process::{
    Ancestor, Carried, EXEC, EXIT, Exec, Exit, FORK, FileIdentity, Home, Ids, MEMFD, MEMFD_FLAGS,
    Memfd, Names, Namespaces, Parent, Process, ProcessKey, Program, capability_set,
};
use crate::event::{Action, Stamp};

/// `TMPFS_MAGIC`, which stands for every file system in memory.
pub(super) const TMPFS: u32 = 0x0102_1994;

/// Who did it, if the line says so.
pub(super) fn process(row: &Row<'_>, time: Stamp) -> Result<Option<Process>, ParseError> {
    let Some(pid) = row.find(Field::ProcessPid)? else {
        return Ok(None);
    };
    let start = time.at_wall(row.get::<Wall>(Field::ProcessStart)?.0);
    let entity: Option<Box<str>> = row.find(Field::ProcessEntityId)?;
    let parent_entity: Option<Box<str>> = row.find(Field::ProcessParentEntityId)?;
    let ppid = row.get(Field::ProcessParentPid)?;
    Ok(Some(Process {
        key: entity
            .as_deref()
            .and_then(key)
            .filter(|key| key.pid == pid)
            .unwrap_or(ProcessKey::new(pid, start.boot_ns)),
        start,
        tid: row.get(Field::ProcessThreadId)?,
        ppid,
        ns_pid: row.get(Field::ProcessVpid)?,
        ids: ids(row)?,
        capabilities: capability_set(row.words(Field::ProcessCapabilitiesEffective)?),
        login_uid: digits(row, Field::SensorAuditUser)?,
        audit_session: row.find(Field::SensorAuditSession)?,
        session: row.get(Field::ProcessSessionLeaderPid)?,
        tty: tty(row)?,
        comm: row.get(Field::ProcessThreadName)?,
        namespaces: Namespaces {
            mnt: row.get(Field::SensorNsMnt)?,
            pid: row.get(Field::SensorNsPid)?,
            net: row.get(Field::SensorNsNet)?,
            user: row.get(Field::SensorNsUser)?,
        },
        cgroup_id: row.get(Field::SensorCgroupId)?,
        program: program(row)?,
        parent: parent(row, ppid, parent_entity.as_deref())?,
        entity,
        parent_entity,
        depth: 0,
        names: Names {
            user: row.find(Field::ProcessUserName)?,
            real_user: row.find(Field::ProcessRealUserName)?,
            login_user: row.find(Field::SensorAuditUserName)?,
            group: row.find(Field::ProcessGroupName)?,
        },
        home: Home {
            cgroup: row.find(Field::SensorCgroupPath)?,
            container: row.find(Field::ContainerId)?,
            runtime: row.find(Field::ContainerRuntime)?,
            service: row.find(Field::ServiceName)?,
        },
        lineage: Lineage::of_words(row.words(Field::SensorLineage)?),
    }))
}

/// What happened; `None` for a kind that is not of this file.
pub(super) fn action(
    dataset: &str,
    row: &Row<'_>,
    process: Option<&Process>,
) -> Result<Option<Action>, ParseError> {
    Ok(Some(if dataset == FORK.name {
        Action::Fork
    } else if dataset == EXEC.name {
        Action::Exec(Box::new(exec(row, process)?))
    } else if dataset == EXIT.name {
        Action::Exit(Exit {
            code: row.get(Field::ProcessExitCode)?,
            signal: row.find(Field::SensorExitSignal)?,
            run_ns: row.get(Field::SensorExitRunNs)?,
        })
    } else if dataset == MEMFD.name {
        Action::Memfd(Memfd {
            name: row.get(Field::SensorMemfdName)?,
            flags: flags::bits(row.words(Field::SensorMemfdFlags)?, MEMFD_FLAGS) as u32,
            fd: row.get(Field::SensorMemfdFd)?,
        })
    } else {
        return Ok(None);
    }))
}

/// The process that an entity id is of.
pub(super) fn key(entity: &str) -> Option<ProcessKey> {
    let (rest, ticks) = entity.rsplit_once('-')?;
    let (_, pid) = rest.rsplit_once('-')?;
    Some(ProcessKey {
        pid: pid.parse().ok()?,
        start_ticks: ticks.parse().ok()?,
    })
}

/// A number that is written as text and may be missing.
pub(super) fn digits(row: &Row<'_>, field: Field) -> Result<Option<u32>, ParseError> {
    let number: Option<Digits<u32>> = row.find(field)?;
    Ok(number.map(|number| number.0))
}

fn ids(row: &Row<'_>) -> Result<Ids, ParseError> {
    let id = |field| row.get::<Digits<u32>>(field).map(|id| id.0);
    Ok(Ids {
        uid: id(Field::ProcessRealUserId)?,
        gid: id(Field::ProcessRealGroupId)?,
        suid: id(Field::ProcessSavedUserId)?,
        sgid: id(Field::ProcessSavedGroupId)?,
        euid: id(Field::ProcessUserId)?,
        egid: id(Field::ProcessGroupId)?,
    })
}

fn tty(row: &Row<'_>) -> Result<Option<u32>, ParseError> {
    let major: Option<u32> = row.find(Field::ProcessTtyMajor)?;
    let minor: Option<u32> = row.find(Field::ProcessTtyMinor)?;
    Ok(major
        .zip(minor)
        .map(|(major, minor)| (major & 0xfff) << 20 | minor & 0xf_ffff))
}

fn program(row: &Row<'_>) -> Result<Option<Arc<Program>>, ParseError> {
    if !row.has(Field::ProcessArgsCount) {
        return Ok(None);
    }
    let hash: Option<Box<str>> = row.find(Field::ProcessSha256)?;
    Ok(Some(Arc::new(Program {
        executable: row.find(Field::ProcessExecutable)?,
        args: row.texts(Field::ProcessArgs)?,
        args_truncated: row
            .find(Field::SensorExecArgumentsTruncated)?
            .unwrap_or(false),
        sha256: hash.map(OnceLock::from).unwrap_or_default(),
    })))
}

fn parent(row: &Row<'_>, ppid: u32, entity: Option<&str>) -> Result<Option<Parent>, ParseError> {
    let executable: Option<Box<str>> = row.find(Field::ProcessParentExecutable)?;
    let line: Option<&str> = row.find(Field::ProcessParentCommandLine)?;
    if entity.is_none() && executable.is_none() && line.is_none() {
        return Ok(None);
    }
    Ok(Some(Parent {
        key: entity.and_then(key).unwrap_or(ProcessKey {
            pid: ppid,
            start_ticks: 0,
        }),
        program: Arc::new(Program {
            executable,
            args: line.map(words::split).unwrap_or_default(),
            ..Program::default()
        }),
        ancestors: row
            .words(Field::SensorParentAncestors)?
            .into_iter()
            .map(ancestor)
            .collect::<Option<_>>()
            .ok_or_else(|| {
                ParseError::wrong(Field::SensorParentAncestors, "a list of processes")
            })?,
    }))
}

fn ancestor(words: &str) -> Option<Ancestor> {
    let (entity, executable) = words.split_once(' ')?;
    Some(Ancestor {
        key: key(entity)?,
        entity: entity.into(),
        executable: executable.into(),
    })
}

fn exec(row: &Row<'_>, process: Option<&Process>) -> Result<Exec, ParseError> {
    let [stdin, stdout, stderr] = &STDIO;
    Ok(Exec {
        program: process
            .and_then(|process| process.program.clone())
            .unwrap_or_default(),
        executable: executable(row)?,
        filename: row.find(Field::SensorExecFilename)?,
        interpreter: row.find(Field::SensorExecInterpreter)?,
        working_directory: row.find(Field::ProcessWorkingDirectory)?,
        carried: carried(row)?,
        argument_bytes: row.get(Field::SensorExecArgumentBytes)?,
        environment: row.texts(Field::ProcessEnvVars)?,
        environment_truncated: row.get(Field::SensorExecEnvironmentTruncated)?,
        stdio: [
            object::stream(row, stdin)?,
            object::stream(row, stdout)?,
            object::stream(row, stderr)?,
        ],
    })
}

fn executable(row: &Row<'_>) -> Result<FileIdentity, ParseError> {
    let flags = row.words(Field::SensorExecFlags)?;
    let memfd = flags.contains(&"memfd");
    Ok(FileIdentity {
        inode: row.get(Field::SensorFileInode)?,
        device: row.get::<Device>(Field::SensorFileDevice)?.0,
        size: row.get(Field::SensorFileSize)?,
        mode: libc::S_IFREG | row.get::<Octal>(Field::SensorFileMode)?.0,
        uid: row.get(Field::SensorFileOwner)?,
        gid: row.get(Field::SensorFileGroup)?,
        links: 1,
        mtime_ns: row.get::<Wall>(Field::SensorFileMtime)?.0,
        ctime_ns: row.get::<Wall>(Field::SensorFileCtime)?.0,
        fs_magic: if memfd || flags.contains(&"tmpfs") {
            TMPFS
        } else {
            0
        },
        memfd,
        deleted: flags.contains(&"deleted"),
        overlay_upper: flags.contains(&"overlay_upper"),
    })
}

fn carried(row: &Row<'_>) -> Result<Option<Carried>, ParseError> {
    let Some(inode) = row.find(Field::SensorExecCarriedInode)? else {
        return Ok(None);
    };
    Ok(Some(Carried {
        inode,
        received: row.get(Field::SensorExecCarriedReceived)?,
        sent: row.get(Field::SensorExecCarriedSent)?,
        idle_ns: row.get(Field::SensorExecCarriedIdle)?,
    }))
}
