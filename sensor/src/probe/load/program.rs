//! One program of the object and the kernel: having it verified, taking it out again, and what
//! was wrong when that failed. Which programs are wanted is not known here.

use aya::Btf;
use aya::programs::{Program, ProgramError};
use thiserror::Error;

use super::lsm;
use crate::probe::hooks::{Attach, Hook};

/// Why the kernel does not have a program.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    /// Not to be found, a mistake of ours.
    #[error("no program {0} in the object; this build is broken")]
    Missing(&'static str),
    /// Of another type than its hook wants, a mistake of ours.
    #[error("program {program} in the object is of no type for {hook}; this build is broken")]
    Misfit {
        /// Its name.
        program: &'static str,
        /// The hook, as the tables name it.
        hook: String,
    },
    /// The kernel did not look at it: it wants no such programs, whatever is in them.
    #[error("{0}")]
    Policy(String),
    /// The verifier's work, or the search for the hook, ended badly.
    #[error("{0}")]
    Failed(String),
}

impl Refusal {
    pub(super) fn misfit(hook: &Hook) -> Self {
        Self::Misfit {
            program: hook.program,
            hook: hook.attach.describe(),
        }
    }
}

impl From<ProgramError> for Refusal {
    fn from(error: ProgramError) -> Self {
        match &error {
            ProgramError::LoadError {
                io_error,
                verifier_log,
            } if verifier_log.to_string().is_empty()
                && io_error.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                Self::Policy(describe(&error))
            }
            _ => Self::Failed(describe(&error)),
        }
    }
}

/// Has the kernel verify the program of a hook, unless it has done so.
pub(super) fn ensure_loaded(
    program: &mut Program,
    hook: &Hook,
    types: &Btf,
) -> Result<(), Refusal> {
    if program.fd().is_ok() {
        return Ok(());
    }
    match (hook.attach, program) {
        (Attach::Tracepoint(target), Program::BtfTracePoint(program)) => {
            program.load(target, types)
        }
        (Attach::Fentry(target), Program::FEntry(program)) => program.load(target, types),
        (Attach::Fexit(target), Program::FExit(program)) => program.load(target, types),
        (Attach::Lsm(_), _) if !lsm::is_in_use() => {
            return Err(Refusal::Failed(lsm::NOT_IN_USE.to_owned()));
        }
        (Attach::Lsm(target), Program::Lsm(program)) => program.load(target, types),
        (Attach::Cgroup(_), Program::CgroupSock(program)) => program.load(),
        (Attach::Cgroup(_), Program::CgroupSockAddr(program)) => program.load(),
        (Attach::Cgroup(_), Program::CgroupSkb(program)) => program.load(),
        (Attach::SyscallEnter(_) | Attach::SyscallExit(_), Program::TracePoint(program)) => {
            program.load()
        }
        (_, _) => return Err(Refusal::misfit(hook)),
    }?;
    Ok(())
}

/// Takes a program out of the kernel, and so off its hook.
pub(super) fn unload(program: &mut Program) {
    // Not loaded is fine: that is what is wanted.
    let _ = match program {
        Program::BtfTracePoint(program) => program.unload(),
        Program::FEntry(program) => program.unload(),
        Program::FExit(program) => program.unload(),
        Program::Lsm(program) => program.unload(),
        Program::TracePoint(program) => program.unload(),
        Program::CgroupSkb(program) => program.unload(),
        Program::CgroupSock(program) => program.unload(),
        Program::CgroupSockAddr(program) => program.unload(),
        _ => Ok(()),
    };
}

/// The kernel's words on one line; the whole verifier log goes to the debug log.
pub(super) fn describe(error: &ProgramError) -> String {
    if let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = error
    {
        tracing::debug!(%verifier_log, "the verifier refused a program");
        // Without a word from the verifier, it is the kernel that does not want such programs.
        let who = if verifier_log.to_string().is_empty() {
            "the kernel"
        } else {
            "the verifier"
        };
        return format!("refused by {who}: {io_error}");
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use aya_obj::{Object, ProgramSection};

    use super::super::OBJECT;
    use super::*;
    use crate::probe::hooks::SERVICES;

    fn fits(attach: Attach, section: &ProgramSection) -> bool {
        use ProgramSection as Section;
        match attach {
            Attach::Tracepoint(_) => matches!(section, Section::BtfTracePoint),
            Attach::Fentry(_) => matches!(section, Section::FEntry { .. }),
            Attach::Fexit(_) => matches!(section, Section::FExit { .. }),
            Attach::Lsm(_) => matches!(section, Section::Lsm { .. }),
            Attach::SyscallEnter(_) | Attach::SyscallExit(_) => {
                matches!(section, Section::TracePoint)
            }
            Attach::Cgroup(_) => matches!(
                section,
                Section::CgroupSkb { .. }
                    | Section::CgroupSock { .. }
                    | Section::CgroupSockAddr { .. }
            ),
        }
    }

    #[test]
    fn every_program_in_the_object_is_of_the_type_its_hook_wants() {
        let object = Object::parse(OBJECT).unwrap();
        let ways = SERVICES.iter().flat_map(|service| service.ways);
        for hook in ways.flat_map(|way| way.hooks) {
            let program = object.programs.get(hook.program);
            let program = program.unwrap_or_else(|| panic!("{}", Refusal::Missing(hook.program)));
            assert!(
                fits(hook.attach, &program.section),
                "{}",
                Refusal::misfit(hook)
            );
        }
    }

    #[test]
    fn a_program_that_does_not_fit_its_hook_is_said_to_be_a_broken_build() {
        let hook = SERVICES[0].ways[0].hooks[0];
        let text = Refusal::misfit(&hook).to_string();
        assert!(text.contains(hook.program) && text.contains("this build is broken"));
    }
}
