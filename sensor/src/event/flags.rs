//! Names for the bits and numbers of kernel interfaces, as their header files have them.

/// Bits and their names.
pub type Names = &'static [(u64, &'static str)];

/// Names of the bits that are set; bits without a name are left out.
pub fn names<'n>(set: u64, table: Names) -> impl Iterator<Item = &'n str> {
    table
        .iter()
        .filter_map(move |(bit, name)| (set & bit != 0).then_some(*name))
}

/// Name of a number, or the number itself.
#[must_use]
pub fn name(number: u64, table: Names) -> String {
    table
        .iter()
        .find(|(value, _)| *value == number)
        .map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned())
}

/// The bits that have these names; names that are none are left out.
#[must_use]
pub fn bits<'n>(names: impl IntoIterator<Item = &'n str>, table: Names) -> u64 {
    names
        .into_iter()
        .filter_map(|name| table.iter().find(|(_, known)| *known == name))
        .fold(0, |set, (bit, _)| set | bit)
}

/// The number that has this name, or is written so.
#[must_use]
pub fn number(name: &str, table: Names) -> Option<u64> {
    match table.iter().find(|(_, known)| *known == name) {
        Some((number, _)) => Some(*number),
        None => name.parse().ok(),
    }
}

/// Errors of the network (`asm-generic/errno.h`, `errno-base.h`).
pub const ERRNO: Names = &[
    (1, "EPERM"),
    (11, "EAGAIN"),
    (12, "ENOMEM"),
    (13, "EACCES"),
    (14, "EFAULT"),
    (22, "EINVAL"),
    (32, "EPIPE"),
    (71, "EPROTO"),
    (92, "ENOPROTOOPT"),
    (93, "EPROTONOSUPPORT"),
    (97, "EAFNOSUPPORT"),
    (98, "EADDRINUSE"),
    (99, "EADDRNOTAVAIL"),
    (100, "ENETDOWN"),
    (101, "ENETUNREACH"),
    (103, "ECONNABORTED"),
    (104, "ECONNRESET"),
    (105, "ENOBUFS"),
    (110, "ETIMEDOUT"),
    (111, "ECONNREFUSED"),
    (112, "EHOSTDOWN"),
    (113, "EHOSTUNREACH"),
];

/// Namespaces among the `CLONE_*` bits, as `/proc/PID/ns` names them (`linux/sched.h`).
pub const NAMESPACES: Names = &[
    (0x0000_0080, "time"),
    (0x0002_0000, "mnt"),
    (0x0200_0000, "cgroup"),
    (0x0400_0000, "uts"),
    (0x0800_0000, "ipc"),
    (0x1000_0000, "user"),
    (0x2000_0000, "pid"),
    (0x4000_0000, "net"),
];

/// Requests that are reported (`linux/ptrace.h`, `asm/ptrace-abi.h`).
pub const PTRACE: Names = &[
    (4, "PTRACE_POKETEXT"),
    (5, "PTRACE_POKEDATA"),
    (6, "PTRACE_POKEUSR"),
    (13, "PTRACE_SETREGS"),
    (16, "PTRACE_ATTACH"),
    (0x4205, "PTRACE_SETREGSET"),
    (0x4206, "PTRACE_SEIZE"),
];

/// Flags of `mount` (`linux/mount.h`).
pub const MOUNT: Names = &[
    (1, "MS_RDONLY"),
    (2, "MS_NOSUID"),
    (4, "MS_NODEV"),
    (8, "MS_NOEXEC"),
    (16, "MS_SYNCHRONOUS"),
    (32, "MS_REMOUNT"),
    (64, "MS_MANDLOCK"),
    (128, "MS_DIRSYNC"),
    (256, "MS_NOSYMFOLLOW"),
    (1024, "MS_NOATIME"),
    (2048, "MS_NODIRATIME"),
    (4096, "MS_BIND"),
    (8192, "MS_MOVE"),
    (16384, "MS_REC"),
    (32768, "MS_SILENT"),
    (1 << 16, "MS_POSIXACL"),
    (1 << 17, "MS_UNBINDABLE"),
    (1 << 18, "MS_PRIVATE"),
    (1 << 19, "MS_SLAVE"),
    (1 << 20, "MS_SHARED"),
    (1 << 21, "MS_RELATIME"),
    (1 << 23, "MS_I_VERSION"),
    (1 << 24, "MS_STRICTATIME"),
    (1 << 25, "MS_LAZYTIME"),
];

/// Flags of `move_mount` (`linux/mount.h`).
pub const MOVE_MOUNT: Names = &[
    (0x001, "MOVE_MOUNT_F_SYMLINKS"),
    (0x002, "MOVE_MOUNT_F_AUTOMOUNTS"),
    (0x004, "MOVE_MOUNT_F_EMPTY_PATH"),
    (0x010, "MOVE_MOUNT_T_SYMLINKS"),
    (0x020, "MOVE_MOUNT_T_AUTOMOUNTS"),
    (0x040, "MOVE_MOUNT_T_EMPTY_PATH"),
    (0x100, "MOVE_MOUNT_SET_GROUP"),
    (0x200, "MOVE_MOUNT_BENEATH"),
];

/// Signals of x86-64 (`asm/signal.h`).
pub const SIGNALS: Names = &[
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (4, "SIGILL"),
    (5, "SIGTRAP"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (10, "SIGUSR1"),
    (11, "SIGSEGV"),
    (12, "SIGUSR2"),
    (13, "SIGPIPE"),
    (14, "SIGALRM"),
    (15, "SIGTERM"),
    (16, "SIGSTKFLT"),
    (17, "SIGCHLD"),
    (18, "SIGCONT"),
    (19, "SIGSTOP"),
    (20, "SIGTSTP"),
    (21, "SIGTTIN"),
    (22, "SIGTTOU"),
    (23, "SIGURG"),
    (24, "SIGXCPU"),
    (25, "SIGXFSZ"),
    (26, "SIGVTALRM"),
    (27, "SIGPROF"),
    (28, "SIGWINCH"),
    (29, "SIGIO"),
    (30, "SIGPWR"),
    (31, "SIGSYS"),
];

/// What a module taints the kernel with (`linux/panic.h`), in words.
pub const TAINTS: Names = &[
    (1 << 0, "proprietary"),
    (1 << 1, "forced"),
    (1 << 10, "staging"),
    (1 << 12, "out_of_tree"),
    (1 << 13, "unsigned"),
    (1 << 15, "livepatch"),
    (1 << 18, "test"),
];

/// Types of BPF program (`enum bpf_prog_type`, `linux/bpf.h`), as `bpftool` names them.
pub const BPF_PROGRAMS: Names = &[
    (1, "socket_filter"),
    (2, "kprobe"),
    (3, "sched_cls"),
    (4, "sched_act"),
    (5, "tracepoint"),
    (6, "xdp"),
    (7, "perf_event"),
    (8, "cgroup_skb"),
    (9, "cgroup_sock"),
    (10, "lwt_in"),
    (11, "lwt_out"),
    (12, "lwt_xmit"),
    (13, "sock_ops"),
    (14, "sk_skb"),
    (15, "cgroup_device"),
    (16, "sk_msg"),
    (17, "raw_tracepoint"),
    (18, "cgroup_sock_addr"),
    (19, "lwt_seg6local"),
    (20, "lirc_mode2"),
    (21, "sk_reuseport"),
    (22, "flow_dissector"),
    (23, "cgroup_sysctl"),
    (24, "raw_tracepoint_writable"),
    (25, "cgroup_sockopt"),
    (26, "tracing"),
    (27, "struct_ops"),
    (28, "ext"),
    (29, "lsm"),
    (30, "sk_lookup"),
    (31, "syscall"),
    (32, "netfilter"),
];

/// What a tracing program is attached to (`enum bpf_attach_type`, `linux/bpf.h`); other types of
/// program say it by their type.
pub const BPF_ATTACHMENTS: Names = &[
    (23, "trace_raw_tp"),
    (24, "trace_fentry"),
    (25, "trace_fexit"),
    (26, "modify_return"),
    (27, "lsm_mac"),
    (28, "trace_iter"),
    (43, "lsm_cgroup"),
];

/// Flags of `open`, the access mode aside (`asm-generic/fcntl.h`, `asm/fcntl.h`). `O_CLOEXEC` is
/// one of the descriptor, and 7.x no longer keeps it with the file.
pub const OPEN_FLAGS: Names = &[
    (libc::O_CREAT as u64, "O_CREAT"),
    (libc::O_EXCL as u64, "O_EXCL"),
    (libc::O_NOCTTY as u64, "O_NOCTTY"),
    (libc::O_TRUNC as u64, "O_TRUNC"),
    (libc::O_APPEND as u64, "O_APPEND"),
    (libc::O_NONBLOCK as u64, "O_NONBLOCK"),
    (libc::O_DSYNC as u64, "O_DSYNC"),
    (libc::O_DIRECT as u64, "O_DIRECT"),
    (libc::O_DIRECTORY as u64, "O_DIRECTORY"),
    (libc::O_NOFOLLOW as u64, "O_NOFOLLOW"),
    (libc::O_NOATIME as u64, "O_NOATIME"),
    ((libc::O_SYNC & !libc::O_DSYNC) as u64, "O_SYNC"),
    ((libc::O_TMPFILE & !libc::O_DIRECTORY) as u64, "O_TMPFILE"),
];

/// Flags of `renameat2` (`linux/fs.h`).
pub const RENAME_FLAGS: Names = &[
    (1, "RENAME_NOREPLACE"),
    (2, "RENAME_EXCHANGE"),
    (4, "RENAME_WHITEOUT"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_have_names_and_unknown_ones_none() {
        assert_eq!(
            names(0x0402_0000 | 1, NAMESPACES).collect::<Vec<_>>(),
            ["mnt", "uts"]
        );
        assert_eq!(name(9, SIGNALS), "SIGKILL");
        assert_eq!(name(64, SIGNALS), "64");
    }
}
