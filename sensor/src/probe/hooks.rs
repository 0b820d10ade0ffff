//! Which hook serves which event, on which kernel: the one place for that policy. Each
//! service lists ways to get its events, best first; the loader takes the first way that the
//! running kernel accepts as a whole, and `doctor` shows the choice and why.

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// BTF tracepoint of this name.
    Tracepoint(&'static str),
    /// Entry of this kernel function (trampoline).
    Fentry(&'static str),
    /// Return of this kernel function (trampoline).
    Fexit(&'static str),
    /// Return of these system calls, by number, through the table of the one program on the
    /// `sys_exit` tracepoint. Slows every system call down: never a first way.
    SyscallExit(&'static [libc::c_long]),
}

impl Attach {
    /// As `doctor` and the tables name it.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Tracepoint(name) => format!("tp_btf/{name}"),
            Self::Fentry(name) => format!("fentry/{name}"),
            Self::Fexit(name) => format!("fexit/{name}"),
            Self::SyscallExit(_) => "tp_btf/sys_exit".to_owned(),
        }
    }
}

/// One program on one hook.
#[derive(Clone, Copy, Debug)]
pub struct Hook {
    /// Name of the program in the object.
    pub program: &'static str,
    /// Where it goes.
    pub attach: Attach,
}

/// One way to serve: all its hooks are needed.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// The hooks.
    pub hooks: &'static [Hook],
    /// What it does not see, compared with the first way; empty when nothing.
    pub misses: &'static str,
}

/// Event kinds that come from the same hooks.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// Name for people.
    pub name: &'static str,
    /// Kinds it delivers (`sensor_common::kind`).
    pub kinds: &'static [u16],
    /// Ways to get them, best first.
    pub ways: &'static [Way],
}

const fn tracepoint(program: &'static str, name: &'static str) -> Hook {
    Hook { program, attach: Attach::Tracepoint(name) }
}

const fn fexit(program: &'static str, name: &'static str) -> Hook {
    Hook { program, attach: Attach::Fexit(name) }
}

const fn syscall_exit(program: &'static str, numbers: &'static [libc::c_long]) -> Hook {
    Hook { program, attach: Attach::SyscallExit(numbers) }
}

/// All services.
pub const SERVICES: &[Service] = &[
    Service {
        name: "fork",
        kinds: &[sensor_common::kind::FORK],
        ways: &[Way { hooks: &[tracepoint("process_fork", "sched_process_fork")], misses: "" }],
    },
    Service {
        name: "exec",
        kinds: &[sensor_common::kind::EXEC],
        ways: &[Way { hooks: &[tracepoint("process_exec", "sched_process_exec")], misses: "" }],
    },
    Service {
        name: "exit",
        kinds: &[sensor_common::kind::EXIT],
        ways: &[Way { hooks: &[tracepoint("process_exit", "sched_process_exit")], misses: "" }],
    },
    Service {
        name: "memfd",
        kinds: &[sensor_common::kind::MEMFD],
        ways: &[
            Way { hooks: &[fexit("memfd_create_fexit", "__x64_sys_memfd_create")], misses: "" },
            Way {
                hooks: &[syscall_exit("memfd_create_exit", &[libc::SYS_memfd_create])],
                misses: "32-bit system calls",
            },
        ],
    },
];
