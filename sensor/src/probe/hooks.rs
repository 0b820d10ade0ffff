//! Which hook serves which event, on which kernel: the one place for that policy. Each
//! service lists ways to get its events, best first; the loader takes the first way that the
//! running kernel accepts as a whole, and `doctor` shows the choice and why.

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

const fn fentry(program: &'static str, name: &'static str) -> Hook {
    Hook { program, attach: Attach::Fentry(name) }
}

const fn fexit(program: &'static str, name: &'static str) -> Hook {
    Hook { program, attach: Attach::Fexit(name) }
}

const fn syscall_exit(program: &'static str, numbers: &'static [libc::c_long]) -> Hook {
    Hook { program, attach: Attach::SyscallExit(numbers) }
}

/// What the table behind `sys_exit` does not see.
const ONLY_64_BIT: &str = "32-bit system calls";

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
                hooks: &[syscall_exit("memfd_create_exit", &[libc::SYS_memfd_create])],
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
                hooks: &[syscall_exit("ptrace_exit", &[libc::SYS_ptrace])],
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
                hooks: &[syscall_exit("vm_write_exit", &[libc::SYS_process_vm_writev])],
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
                hooks: &[syscall_exit("setns_exit", &[libc::SYS_setns])],
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
                hooks: &[syscall_exit("unshare_exit", &[libc::SYS_unshare])],
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
                    syscall_exit("mount_exit", &[libc::SYS_mount]),
                    syscall_exit("move_mount_exit", &[libc::SYS_move_mount]),
                ],
                misses: ONLY_64_BIT,
            },
        ],
    },
    Service {
        name: "credentials",
        kinds: &[kind::CREDENTIALS],
        ways: &[Way { hooks: &[fentry("credentials_change", "commit_creds")], misses: "" }],
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
            Way { hooks: &[fentry("bpf_load", "perf_event_bpf_event")], misses: "" },
            Way {
                hooks: &[syscall_exit("bpf_exit", &[libc::SYS_bpf])],
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
