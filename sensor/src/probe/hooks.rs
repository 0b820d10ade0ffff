//! Which hook serves which event, on which kernel: the one place for that policy. Each
//! service lists ways to get its events, best first; the loader takes the first way that the
//! running kernel accepts as a whole, and `doctor` shows the choice and why.

use std::path::Path;

use sensor_common::kind;

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// BTF tracepoint of this name.
    Tracepoint(&'static str),
    /// Entry of this kernel function (trampoline).
    Fentry(&'static str),
    /// Return of this kernel function (trampoline).
    Fexit(&'static str),
    /// Beginning of these system calls: tracepoints `syscalls:sys_enter_*`. Slows every system
    /// call down: never a first way.
    SyscallEnter(&'static [&'static str]),
    /// Return of these system calls: tracepoints `syscalls:sys_exit_*`, likewise.
    SyscallExit(&'static [&'static str]),
}

impl Attach {
    /// As `doctor` and the tables name it.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Tracepoint(name) => format!("tp_btf/{name}"),
            Self::Fentry(name) => format!("fentry/{name}"),
            Self::Fexit(name) => format!("fexit/{name}"),
            Self::SyscallEnter(calls) => format!("tracepoint/sys_enter_{}", calls.join(",")),
            Self::SyscallExit(calls) => format!("tracepoint/sys_exit_{}", calls.join(",")),
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

/// Services and a file without which their events cannot happen on a machine, so that nothing
/// is missed when there is no hook either.
const IMPOSSIBLE_WITHOUT: &[(&str, &str)] = &[("module", "/proc/modules")];

impl Service {
    /// Whether such events cannot happen here.
    #[must_use]
    pub fn is_impossible_here(&self) -> bool {
        IMPOSSIBLE_WITHOUT.iter().any(|(name, file)| *name == self.name && !Path::new(file).exists())
    }
}

const fn tracepoint(program: &'static str, name: &'static str) -> Hook {
    Hook { program, attach: Attach::Tracepoint(name) }
}

const fn fentry(program: &'static str, name: &'static str) -> Hook {
    Hook { program, attach: Attach::Fentry(name) }
}

const fn fexit(program: &'static str, name: &'static str) -> Hook {
    Hook { program, attach: Attach::Fexit(name) }
}

const fn syscall_enter(program: &'static str, calls: &'static [&'static str]) -> Hook {
    Hook { program, attach: Attach::SyscallEnter(calls) }
}

const fn syscall_exit(program: &'static str, calls: &'static [&'static str]) -> Hook {
    Hook { program, attach: Attach::SyscallExit(calls) }
}

/// What the tracepoints of system calls do not see.
const ONLY_64_BIT: &str = "32-bit system calls";

/// System calls that can make a thread's credentials more powerful.
const MAY_GAIN: &[&str] = &["setuid", "setreuid", "setresuid", "setfsuid", "capset"];

/// All services.
pub const SERVICES: &[Service] = &[
    Service {
        name: "fork",
        kinds: &[kind::FORK],
        ways: &[Way { hooks: &[tracepoint("process_fork", "sched_process_fork")], misses: "" }],
    },
    Service {
        name: "exec",
        kinds: &[kind::EXEC],
        ways: &[Way { hooks: &[tracepoint("process_exec", "sched_process_exec")], misses: "" }],
    },
    Service {
        name: "exit",
        kinds: &[kind::EXIT],
        ways: &[Way { hooks: &[tracepoint("process_exit", "sched_process_exit")], misses: "" }],
    },
    Service {
        name: "memfd",
        kinds: &[kind::MEMFD],
        ways: &[
            Way { hooks: &[fexit("memfd_create_fexit", "__x64_sys_memfd_create")], misses: "" },
            Way {
                hooks: &[syscall_exit("memfd_create_exit", &["memfd_create"])],
                misses: ONLY_64_BIT,
            },
        ],
    },
    Service {
        name: "ptrace",
        kinds: &[kind::PTRACE],
        ways: &[
            Way { hooks: &[fexit("ptrace_fexit", "__x64_sys_ptrace")], misses: "" },
            Way {
                hooks: &[syscall_exit("ptrace_exit", &["ptrace"])],
                misses: ONLY_64_BIT,
            },
        ],
    },
    Service {
        name: "vm_write",
        kinds: &[kind::VM_WRITE],
        ways: &[
            Way { hooks: &[fexit("vm_write_fexit", "__x64_sys_process_vm_writev")], misses: "" },
            Way {
                hooks: &[syscall_exit("vm_write_exit", &["process_vm_writev"])],
                misses: ONLY_64_BIT,
            },
        ],
    },
    Service {
        name: "setns",
        kinds: &[kind::SETNS],
        ways: &[
            Way { hooks: &[fexit("setns_fexit", "__x64_sys_setns")], misses: "" },
            Way {
                hooks: &[syscall_exit("setns_exit", &["setns"])],
                misses: ONLY_64_BIT,
            },
        ],
    },
    Service {
        name: "unshare",
        kinds: &[kind::UNSHARE],
        ways: &[
            Way { hooks: &[fexit("unshare_fexit", "__x64_sys_unshare")], misses: "" },
            Way {
                hooks: &[syscall_exit("unshare_exit", &["unshare"])],
                misses: ONLY_64_BIT,
            },
        ],
    },
    Service {
        name: "mount",
        kinds: &[kind::MOUNT],
        ways: &[
            Way {
                hooks: &[
                    fexit("mount_fexit", "__x64_sys_mount"),
                    fexit("move_mount_fexit", "__x64_sys_move_mount"),
                ],
                misses: "",
            },
            Way {
                hooks: &[
                    syscall_exit("mount_exit", &["mount"]),
                    syscall_exit("move_mount_exit", &["move_mount"]),
                ],
                misses: ONLY_64_BIT,
            },
        ],
    },
    Service {
        name: "credentials",
        kinds: &[kind::CREDENTIALS],
        ways: &[
            Way { hooks: &[fentry("credentials_change", "commit_creds")], misses: "" },
            Way {
                hooks: &[
                    syscall_enter("credentials_enter", MAY_GAIN),
                    syscall_exit("credentials_exit", MAY_GAIN),
                ],
                misses: "32-bit system calls, changes without a system call",
            },
        ],
    },
    Service {
        name: "signal",
        kinds: &[kind::SIGNAL],
        ways: &[Way { hooks: &[tracepoint("signal_generate", "signal_generate")], misses: "" }],
    },
    Service {
        name: "module",
        kinds: &[kind::MODULE],
        ways: &[Way { hooks: &[tracepoint("module_load", "module_load")], misses: "" }],
    },
    Service {
        name: "bpf",
        kinds: &[kind::BPF],
        ways: &[
            Way { hooks: &[fentry("bpf_load", "bpf_prog_kallsyms_add")], misses: "" },
            Way {
                hooks: &[syscall_exit("bpf_exit", &["bpf"])],
                misses: "32-bit system calls, programs loaded by loader programs",
            },
        ],
    },
    Service {
        name: "cgroup",
        kinds: &[kind::CGROUP_MKDIR, kind::CGROUP_RMDIR],
        ways: &[Way {
            hooks: &[tracepoint("cgroup_mkdir", "cgroup_mkdir"), tracepoint("cgroup_rmdir", "cgroup_rmdir")],
            misses: "",
        }],
    },
];
