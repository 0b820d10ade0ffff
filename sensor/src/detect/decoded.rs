//! *Decoded and run*: a shell or interpreter takes its commands from a program that decodes:
//! `base64 -d | sh`. What was on the way, or in a command line, could not be read.
//!
//! Sees: a decoder at the other end of the pipe that an interpreter reads its program from, in
//! whichever order the two were started, and also when one has ended by then.
//! Misses: decoding inside of one program (`python3 -c 'exec(b64decode(…))'`), or into a file.
//! Looks alike: installers that carry themselves as a compressed tail; unpackers are not meant
//! for that reason, only programs that decode text.

use std::collections::HashMap;

use super::finding::{Builtin, Finding};
use super::program::{Kind, Look};
use crate::event::alert::Severity;
use crate::event::lineage::Lineage;
use crate::event::object::{self, Object};
use crate::event::process::{Process, Program};
use crate::event::{Action, Event, attack};

/// Pipes remembered that have a decoder or an interpreter at an end.
const PIPES_MAX: usize = 1_024;
/// How long after one end started the other may, in nanoseconds.
const TOGETHER_NS: u64 = 60 * 1_000_000_000;

/// The rule.
pub const RULE: Builtin = Builtin {
    id: "decoded.run",
    name: "Commands decoded and run at once",
    techniques: &["T1140", "T1059.004", "T1027"],
    tactics: &[attack::DEFENSE_EVASION, attack::EXECUTION],
};

/// Decoders and interpreters at pipes: either may have ended before the other starts.
#[derive(Debug, Default)]
pub struct Decoded {
    /// By inode of the pipe.
    pipes: HashMap<u64, End>,
}

/// Who is at one end of a pipe.
#[derive(Debug)]
struct End {
    decodes: bool,
    name: Box<str>,
    /// When it started, in nanoseconds since boot.
    at: u64,
}

impl Decoded {
    /// Looks at an event.
    pub fn observe(&mut self, event: &Event, found: &mut Vec<Finding>) {
        let (Action::Exec(exec), Some(process)) = (&event.action, &event.process) else {
            return;
        };
        let [input, output, _] = &exec.stdio;
        let is_pipe = |object: &Object| object.kind == object::Kind::Pipe;
        let (pipe, decodes) = if is_pipe(input) && obeys(&exec.program) {
            (input.inode, false)
        } else if is_pipe(output) && decodes(&exec.program) {
            (output.inode, true)
        } else {
            return;
        };
        if process.lineage.has(Lineage::PACKAGE_MANAGER) {
            return;
        }
        let this = End {
            decodes,
            name: process.name().into(),
            at: event.time.boot_ns,
        };
        let other = self.pipes.get(&pipe).filter(|other| {
            other.decodes != decodes && this.at.saturating_sub(other.at) < TOGETHER_NS
        });
        if let Some(other) = other {
            let (shell, decoder) = if decodes {
                (&other.name, &this.name)
            } else {
                (&this.name, &other.name)
            };
            found.push(finding(event, process, shell, decoder));
        }
        self.remember(pipe, this);
    }

    fn remember(&mut self, pipe: u64, end: End) {
        if self.pipes.len() >= PIPES_MAX {
            self.pipes
                .retain(|_, known| end.at.saturating_sub(known.at) < TOGETHER_NS);
        }
        if self.pipes.len() < PIPES_MAX {
            self.pipes.insert(pipe, end);
        }
    }
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
        indicator: None,
        about: Box::new(process.clone()),
    }
}

/// It reads what it does from its standard input.
fn obeys(program: &Program) -> bool {
    let look = Look::at(program);
    look.kind() != Kind::Other && look.reads_commands()
}

/// It decodes text, as it was told to.
fn decodes(program: &Program) -> bool {
    let look = Look::at(program);
    let has = |is: &dyn Fn(&str) -> bool| look.args().iter().any(|arg| is(arg));
    match look.name() {
        "base64" | "base32" | "basenc" => {
            has(&|arg| matches!(arg, "-d" | "-D" | "--decode" | "-di"))
        }
        "xxd" => has(&|arg| arg.starts_with('-') && arg.contains('r')),
        "openssl" => has(&|arg| arg == "-d"),
        "uudecode" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::made_up::{self, program};
    use crate::event::process::ProcessKey;

    fn executes(decoded: &mut Decoded, words: &[&str], at: u64, end: usize) -> usize {
        let mut exec = made_up::exec(program(words));
        exec.stdio[end].kind = object::Kind::Pipe;
        exec.stdio[end].inode = 77;
        let mut process = made_up::process(ProcessKey::new(at as u32, at));
        process.program = Some(exec.program.clone());
        let event = made_up::event(process, at, Action::Exec(Box::new(exec)));
        let mut found = Vec::new();
        decoded.observe(&event, &mut found);
        found.len()
    }

    #[test]
    fn a_shell_behind_a_decoder_is_found_whoever_starts_first_and_only_soon() {
        let base64 = ["/usr/bin/base64", "-d"];
        let mut decoded = Decoded::default();
        assert_eq!(executes(&mut decoded, &base64, 10, 1), 0);
        assert_eq!(executes(&mut decoded, &["/usr/bin/dash"], 20, 0), 1);
        let mut decoded = Decoded::default();
        assert_eq!(executes(&mut decoded, &["/usr/bin/dash"], 10, 0), 0);
        assert_eq!(executes(&mut decoded, &base64, 20, 1), 1);
        let mut decoded = Decoded::default();
        assert_eq!(executes(&mut decoded, &base64, 10, 1), 0);
        let late = 11 + TOGETHER_NS;
        assert_eq!(executes(&mut decoded, &["/usr/bin/dash"], late, 0), 0);
    }

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
