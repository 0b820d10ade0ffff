//! Decodes the records of `sensor-ebpf/src/process.rs` into `event/process.rs`.

use std::sync::{Arc, OnceLock};

use sensor_common::exec as raw;
use sensor_common::record as plain;
use sensor_common::tail;

use super::decode::{Decoded, Raw, Section, Sections, owned};
use crate::event::Action;
use crate::event::object::Object;
use crate::event::process::{Carried, Exec, Exit, FileIdentity, Memfd, Program};

/// Environment variables that matter to an investigation; the rest is dropped at once.
const KEPT_VARIABLES: [&str; 22] = [
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "LD_AUDIT",
    "SSH_CONNECTION",
    "SSH_CLIENT",
    "SSH_TTY",
    "SUDO_USER",
    "SUDO_COMMAND",
    "HISTFILE",
    "HISTSIZE",
    "HISTCONTROL",
    "BASH_ENV",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "PROMPT_COMMAND",
    // What a web server tells a CGI program.
    "GATEWAY_INTERFACE",
    "SCRIPT_FILENAME",
    "REQUEST_METHOD",
    "REQUEST_URI",
    "REMOTE_ADDR",
    "REMOTE_PORT",
];

/// [`sensor_common::kind::FORK`].
pub fn fork(raw: &Raw<'_>) -> Decoded {
    let (record, _) = raw.parts::<plain::Plain>()?;
    Ok((Some(raw.process(&record.subject)), Action::Fork))
}

/// [`sensor_common::kind::EXIT`].
pub fn exit(raw: &Raw<'_>) -> Decoded {
    let (record, _) = raw.parts::<plain::Exit>()?;
    let process = raw.process(&record.subject);
    let signal = (record.code & 0x7f) as u8;
    let exit = Exit {
        code: (record.code >> 8) as u8,
        signal: (signal != 0).then_some(signal),
        run_ns: record
            .header
            .boot_ns
            .saturating_sub(record.subject.start_boot_ns),
    };
    Ok((Some(process), Action::Exit(exit)))
}

/// [`sensor_common::kind::MEMFD`].
pub fn memfd(raw: &Raw<'_>) -> Decoded {
    let (record, sections) = raw.parts::<plain::Memfd>()?;
    let memfd = Memfd {
        name: sections.text(tail::NAME).unwrap_or_default(),
        flags: record.flags,
        fd: record.fd,
    };
    Ok((Some(raw.process(&record.subject)), Action::Memfd(memfd)))
}

/// [`sensor_common::kind::EXEC`].
pub fn exec(raw: &Raw<'_>) -> Decoded {
    let (record, sections) = raw.parts::<raw::Exec>()?;
    let arguments = sections.get(tail::ARGUMENTS).unwrap_or(Section {
        bytes: &[],
        truncated: true,
    });
    let environment = sections.get(tail::ENVIRONMENT).unwrap_or(Section {
        bytes: &[],
        truncated: true,
    });
    let [stdin, stdout, stderr] = &record.stdio;

    let exec = Exec {
        program: Arc::new(Program {
            executable: sections.text(tail::EXECUTABLE),
            args: strings(arguments.bytes).map(owned).collect(),
            args_truncated: arguments.truncated,
            sha256: OnceLock::new(),
        }),
        executable: file_identity(&record.executable),
        filename: sections.text(tail::FILENAME),
        interpreter: sections.text(tail::INTERPRETER),
        working_directory: sections.text(tail::WORKING_DIRECTORY),
        carried: (record.carried.inode != 0).then_some(Carried {
            inode: record.carried.inode,
            received: record.carried.received_bytes,
            sent: record.carried.sent_bytes,
            idle_ns: record.carried.idle_ns,
        }),
        argument_bytes: record.argument_bytes,
        environment: strings(environment.bytes)
            .filter(|variable| is_kept(variable))
            .map(owned)
            .collect(),
        environment_truncated: environment.truncated,
        stdio: [
            stream(stdin, &sections, tail::STDIN_PATH),
            stream(stdout, &sections, tail::STDOUT_PATH),
            stream(stderr, &sections, tail::STDERR_PATH),
        ],
    };
    Ok((
        Some(raw.process(&record.subject)),
        Action::Exec(Box::new(exec)),
    ))
}

fn stream(raw: &raw::Object, sections: &Sections<'_>, tag: u8) -> Object {
    Object::from_raw(raw, sections.text(tag))
}

/// NUL-ended strings; the last one may have lost its end.
fn strings(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    let some = !bytes.is_empty();
    bytes.split(|byte| *byte == 0).filter(move |_| some)
}

fn is_kept(variable: &[u8]) -> bool {
    let end = variable
        .iter()
        .position(|byte| *byte == b'=')
        .unwrap_or(variable.len());
    let name = variable.get(..end).unwrap_or_default();
    KEPT_VARIABLES
        .iter()
        .any(|kept| kept.as_bytes().eq_ignore_ascii_case(name))
}

/// A file of a record.
#[must_use]
pub fn file_identity(raw: &raw::FileIdentity) -> FileIdentity {
    let time = |seconds: i64, nanoseconds: u32| {
        u64::try_from(seconds)
            .unwrap_or(0)
            .saturating_mul(1_000_000_000)
            .saturating_add(u64::from(nanoseconds))
    };
    FileIdentity {
        inode: raw.inode,
        device: raw.dev,
        // `loff_t`, which is signed.
        size: raw.size.min(i64::MAX as u64),
        mode: raw.mode,
        uid: raw.uid,
        gid: raw.gid,
        links: raw.links,
        mtime_ns: time(raw.mtime_sec, raw.mtime_nsec),
        ctime_ns: time(raw.ctime_sec, raw.ctime_nsec),
        fs_magic: raw.fs_magic,
        memfd: raw.flags & raw::FILE_MEMFD != 0,
        deleted: raw.flags & raw::FILE_DELETED != 0,
        overlay_upper: raw.flags & raw::FILE_OVERLAY_UPPER != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_split_at_nul_and_empty_ones_kept() {
        let split = |bytes| strings(bytes).collect::<Vec<_>>();
        assert_eq!(split(b"a\0\0b\0"), [b"a".as_slice(), b"", b"b"]);
        assert_eq!(split(b"cut of"), [b"cut of".as_slice()]);
        assert!(split(b"").is_empty());
    }

    #[test]
    fn only_telling_variables_are_kept() {
        assert!(is_kept(b"LD_PRELOAD=/tmp/x.so"));
        assert!(is_kept(b"https_proxy=http://127.0.0.1:8080"));
        assert!(!is_kept(b"SECRET_TOKEN=abc"));
        assert!(!is_kept(b"=x"));
    }
}
