//! *Decoded and run*: a shell or interpreter takes its commands from a program that decodes:
//! `base64 -d | sh`. What was on the way, or in a command line, could not be read.
//!
//! Sees: a decoder at the other end of the pipe that an interpreter reads its program from, in
//! whichever order the two were started.
//! Misses: decoding inside of one program (`python3 -c 'exec(b64decode(…))'`), or into a file.
//! Looks alike: installers that carry themselves as a compressed tail; unpackers are not meant
//! for that reason, only programs that decode text.

use super::finding::{Builtin, Finding};
use super::program::{Kind, Look};
use crate::event::alert::Severity;
use crate::event::lineage::Lineage;
use crate::event::object;
use crate::event::process::{Process, ProcessKey, Program};
use crate::event::{Action, Event, attack};
use crate::track::Tracker;

/// Processes at a pipe looked at.
const JOINED_MAX: usize = 8;

/// The rule.
pub const RULE: Builtin = Builtin {
    id: "decoded.run",
    name: "Commands decoded and run at once",
    techniques: &["T1140", "T1059.004", "T1027"],
    tactics: &[attack::DEFENSE_EVASION, attack::EXECUTION],
};

/// Looks at an event, which the host's state already knows of.
pub fn observe(event: &Event, host: &Tracker, found: &mut Vec<Finding>) {
    let (Action::Exec(exec), Some(process)) = (&event.action, &event.process) else {
        return;
    };
    let [input, output, _] = &exec.stdio;
    let is_pipe = |object: &object::Object| object.kind == object::Kind::Pipe;
    let other = if is_pipe(input) && obeys(&exec.program) {
        joined(process.key, host, decodes)
    } else if is_pipe(output) && decodes(&exec.program) {
        joined(process.key, host, obeys)
    } else {
        return;
    };
    let Some((_, other)) = other.filter(|_| !process.lineage.has(Lineage::PACKAGE_MANAGER)) else {
        return;
    };
    let names = [process.name(), &other];
    let [shell, decoder] = if obeys(&exec.program) {
        names
    } else {
        [names[1], names[0]]
    };
    found.push(finding(event, process, shell, decoder));
}

fn finding(event: &Event, process: &Process, shell: &str, decoder: &str) -> Finding {
    let for_service = process
        .lineage
        .has(Lineage::WEB_SERVICE | Lineage::DATABASE);
    Finding {
        cause: RULE.into(),
        severity: if for_service {
            Severity::High
        } else {
            Severity::Medium
        },
        confidence: 70,
        message: format!("{shell} takes its commands from {decoder}, which decodes them"),
        path: Some(format!("{decoder} → {shell}")),
        peer: None,
        file: None,
        evidence: vec![event.id],
        content: None,
        about: Box::new(process.clone()),
    }
}

/// Somebody at the other end of a pipe whose program is so, and its name.
fn joined(
    key: ProcessKey,
    host: &Tracker,
    is: impl Fn(&Program) -> bool,
) -> Option<(ProcessKey, String)> {
    host.streams()
        .joined_to(key, JOINED_MAX)
        .into_iter()
        .filter(|other| *other != key)
        .find_map(|other| {
            let program = host.program(other).filter(|program| is(program))?;
            Some((other, program.name()?.to_owned()))
        })
}

/// It reads what it does from its standard input.
fn obeys(program: &Program) -> bool {
    let look = Look::at(program);
    look.kind() != Kind::Other && look.reads_commands()
}

/// Its name; of many programs in one file, the one that it was called as.
fn called(program: &Program) -> Option<&str> {
    match program.name()? {
        "busybox" | "toybox" | "coreutils" => {
            let mut words = program.args.iter().map(|word| &**word);
            let first = words.next()?.rsplit('/').next();
            first
                .filter(|name| *name != "busybox")
                .or_else(|| words.next())
        }
        name => Some(name),
    }
}

/// It decodes text, as it was told to.
fn decodes(program: &Program) -> bool {
    let has = |options: &[&str]| {
        program.args.iter().skip(1).any(|arg| {
            let arg: &str = arg;
            options.contains(&arg)
        })
    };
    match called(program) {
        Some("base64" | "base32" | "basenc") => has(&["-d", "-D", "--decode", "-di"]),
        Some("xxd") => program
            .args
            .iter()
            .skip(1)
            .any(|arg| arg.starts_with('-') && arg.contains('r')),
        Some("openssl") => has(&["-d"]),
        Some("uudecode") => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::made_up::program;

    #[test]
    fn a_decoder_is_one_when_it_is_told_to_decode() {
        assert!(decodes(&program(&["/usr/bin/base64", "-d"])));
        assert!(!decodes(&program(&["/usr/bin/base64"])));
        assert!(decodes(&program(&["/usr/bin/xxd", "-r", "-p"])));
        assert!(decodes(&program(&[
            "/usr/bin/openssl",
            "enc",
            "-d",
            "-base64"
        ])));
        assert!(!decodes(&program(&["/usr/bin/cat", "-d"])));
    }

    #[test]
    fn only_what_reads_its_commands_obeys() {
        assert!(obeys(&program(&["/usr/bin/dash"])));
        assert!(!obeys(&program(&["/usr/bin/dash", "/tmp/x.sh"])));
        assert!(!obeys(&program(&["/usr/bin/jq"])));
    }
}
