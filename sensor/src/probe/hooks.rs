//! Which hook serves which event, on which kernel: the one place for that policy. Each
//! service lists ways to get its events, best first; the loader takes the first way that the
//! running kernel accepts as a whole, and `doctor` shows the choice and why.

mod file;
pub mod table;

use std::path::Path;

use sensor_common::kind;

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// Security hook of this name (trampoline).
    Lsm(&'static str),
    /// The root of the unified control group hierarchy, at this hook; the program's section in
    /// the object says the same.
    Cgroup(&'static str),
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
            Self::Lsm(name) => format!("lsm/{name}"),
            Self::Cgroup(name) => format!("cgroup/{name}"),
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
    /// Left out, without harm, where the kernel was built without that function.
    pub optional: bool,
}

impl Hook {
    /// What tells it from others: the program and where it goes.
    #[must_use]
    pub fn key(&self) -> (&'static str, Attach) {
        (self.program, self.attach)
    }
}

/// One way to serve: all its hooks are needed.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// The hooks.
    pub hooks: &'static [Hook],
    /// What it does not see, compared with the first way; empty when nothing.
    pub misses: &'static str,
}

impl Way {
    /// Whether it needs BPF trampolines.
    #[must_use]
    pub fn uses_trampolines(&self) -> bool {
        let is_one = |attach| {
            matches!(
                attach,
                Attach::Fentry(_) | Attach::Fexit(_) | Attach::Lsm(_)
            )
        };
        self.hooks.iter().any(|hook| is_one(hook.attach))
    }
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
        IMPOSSIBLE_WITHOUT
            .iter()
            .any(|(name, file)| *name == self.name && !Path::new(file).exists())
    }
}

const fn tracepoint(program: &'static str, name: &'static str) -> Hook {
    Hook {
        program,
        attach: Attach::Tracepoint(name),
        optional: false,
    }
}

const fn fentry(program: &'static str, name: &'static str) -> Hook {
    Hook {
        program,
        attach: Attach::Fentry(name),
        optional: false,
    }
}

const fn fexit(program: &'static str, name: &'static str) -> Hook {
    Hook {
        program,
        attach: Attach::Fexit(name),
        optional: false,
    }
}

const fn syscall_enter(program: &'static str, calls: &'static [&'static str]) -> Hook {
    Hook {
        program,
        attach: Attach::SyscallEnter(calls),
        optional: false,
    }
}

const fn syscall_exit(program: &'static str, calls: &'static [&'static str]) -> Hook {
    Hook {
        program,
        attach: Attach::SyscallExit(calls),
        optional: false,
    }
}

const fn fexit_if_any(program: &'static str, name: &'static str) -> Hook {
    Hook {
        optional: true,
        ..fexit(program, name)
    }
}

const fn fentry_if_any(program: &'static str, name: &'static str) -> Hook {
    Hook {
        optional: true,
        ..fentry(program, name)
    }
}

const fn lsm(program: &'static str, name: &'static str) -> Hook {
    Hook {
        program,
        attach: Attach::Lsm(name),
        optional: false,
    }
}

const fn cgroup(program: &'static str, name: &'static str) -> Hook {
    Hook {
        program,
        attach: Attach::Cgroup(name),
        optional: false,
    }
}

/// What the tracepoints of system calls do not see.
const ONLY_64_BIT: &str = "32-bit system calls";

/// Nor that, where the preferred way does.
const NO_IO_URING: &str = "32-bit system calls, io_uring";

/// System calls that can make a thread's credentials more powerful.
const MAY_GAIN: &[&str] = &["setuid", "setreuid", "setresuid", "setfsuid", "capset"];

/// All services.
pub const SERVICES: &[Service] = &[
    Service {
        name: "fork",
        kinds: &[kind::FORK],
        ways: &[Way {
            hooks: &[tracepoint("process_fork", "sched_process_fork")],
            misses: "",
        }],
    },
    Service {
        name: "exec",
        kinds: &[kind::EXEC],
        ways: &[Way {
            hooks: &[tracepoint("process_exec", "sched_process_exec")],
            misses: "",
        }],
    },
    Service {
        name: "exit",
        kinds: &[kind::EXIT],
        ways: &[Way {
            hooks: &[tracepoint("process_exit", "sched_process_exit")],
            misses: "",
        }],
    },
    Service {
        name: "prevent",
        kinds: &[kind::PREVENT],
        ways: &[
            Way {
                hooks: &[lsm("prevent_check", "bprm_check_security")],
                misses: "",
            },
            Way {
                hooks: &[tracepoint("prevent_exec", "sched_process_exec")],
                misses: "the exec cannot be refused any more: the process is killed, before the \
                         first instruction of its new program",
            },
        ],
    },
    Service {
        name: "memfd",
        kinds: &[kind::MEMFD],
        ways: &[
            Way {
                hooks: &[fexit("memfd_create_fexit", "__x64_sys_memfd_create")],
                misses: "",
            },
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
            Way {
                hooks: &[fexit("ptrace_fexit", "__x64_sys_ptrace")],
                misses: "",
            },
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
            Way {
                hooks: &[fexit("vm_write_fexit", "__x64_sys_process_vm_writev")],
                misses: "",
            },
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
            Way {
                hooks: &[fexit("setns_fexit", "__x64_sys_setns")],
                misses: "",
            },
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
            Way {
                hooks: &[fexit("unshare_fexit", "__x64_sys_unshare")],
                misses: "",
            },
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
            Way {
                hooks: &[fentry("credentials_change", "commit_creds")],
                misses: "",
            },
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
        ways: &[Way {
            hooks: &[tracepoint("signal_generate", "signal_generate")],
            misses: "",
        }],
    },
    Service {
        name: "module",
        kinds: &[kind::MODULE],
        ways: &[Way {
            hooks: &[tracepoint("module_load", "module_load")],
            misses: "",
        }],
    },
    Service {
        name: "bpf",
        kinds: &[kind::BPF],
        ways: &[
            Way {
                hooks: &[fentry("bpf_load", "bpf_prog_kallsyms_add")],
                misses: "",
            },
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
            hooks: &[
                tracepoint("cgroup_mkdir", "cgroup_mkdir"),
                tracepoint("cgroup_rmdir", "cgroup_rmdir"),
            ],
            misses: "",
        }],
    },
    Service {
        name: "tcp",
        kinds: &[kind::TCP_CONNECT, kind::TCP_LISTEN, kind::TCP_CLOSE],
        ways: &[Way {
            hooks: &[tracepoint("sock_state", "inet_sock_set_state")],
            misses: "",
        }],
    },
    Service {
        name: "connect",
        kinds: &[kind::TCP_CONNECT, kind::UDP_CONNECT, kind::UNIX_CONNECT],
        ways: &[
            Way {
                hooks: &[
                    fexit("stream_connect", "inet_stream_connect"),
                    fexit("dgram_connect", "inet_dgram_connect"),
                    fexit_if_any("unix_stream_connect", "unix_stream_connect"),
                    fexit_if_any("unix_dgram_connect", "unix_dgram_connect"),
                    fexit_if_any("connect_denied", "security_socket_connect"),
                ],
                misses: "",
            },
            Way {
                hooks: &[syscall_exit("connect_exit", &["connect"])],
                misses: "of 32-bit system calls and io_uring: UDP and unix sockets, and TCP \
                         connects that fail before a packet is sent",
            },
        ],
    },
    Service {
        name: "accept",
        kinds: &[kind::TCP_ACCEPT],
        ways: &[
            Way {
                hooks: &[
                    fexit("stream_accept", "inet_accept"),
                    fexit_if_any("mptcp_accept", "mptcp_stream_accept"),
                ],
                misses: "",
            },
            Way {
                hooks: &[syscall_exit("accept_exit", &["accept", "accept4"])],
                misses: NO_IO_URING,
            },
        ],
    },
    Service {
        name: "listen",
        kinds: &[kind::TCP_LISTEN],
        ways: &[
            Way {
                hooks: &[
                    fexit("stream_listen", "inet_listen"),
                    fexit_if_any("mptcp_listen", "mptcp_listen"),
                ],
                misses: "",
            },
            Way {
                hooks: &[syscall_exit("listen_exit", &["listen"])],
                misses: NO_IO_URING,
            },
        ],
    },
    Service {
        name: "bind",
        kinds: &[kind::BIND],
        ways: &[Way {
            hooks: &[
                cgroup("bound4", "post_bind4"),
                cgroup("bound6", "post_bind6"),
            ],
            misses: "",
        }],
    },
    Service {
        name: "udp",
        kinds: &[kind::UDP_SEND],
        ways: &[Way {
            hooks: &[
                cgroup("udp_send4", "sendmsg4"),
                cgroup("udp_send6", "sendmsg6"),
            ],
            misses: "",
        }],
    },
    Service {
        name: "dns",
        kinds: &[kind::DNS],
        ways: &[
            Way {
                hooks: &[
                    fentry("dns_send4", "udp_sendmsg"),
                    fexit("dns_receive4", "udp_recvmsg"),
                    fentry_if_any("dns_send6", "udpv6_sendmsg"),
                    fexit_if_any("dns_receive6", "udpv6_recvmsg"),
                ],
                misses: "",
            },
            Way {
                hooks: &[
                    cgroup("dns_egress", "egress"),
                    cgroup("dns_ingress", "ingress"),
                ],
                misses: "",
            },
        ],
    },
    Service {
        name: "raw socket",
        kinds: &[kind::RAW_SOCKET],
        ways: &[
            Way {
                hooks: &[fexit("socket_created", "security_socket_post_create")],
                misses: "",
            },
            Way {
                hooks: &[syscall_exit("socket_exit", &["socket"])],
                misses: NO_IO_URING,
            },
        ],
    },
    file::OPEN,
    file::CLOSE,
    file::UNLINK,
    file::RENAME,
    file::LINK,
    file::SYMLINK,
    file::MKDIR,
    file::ATTRIBUTES,
];
