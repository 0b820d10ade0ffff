//! What the programs have to know of the running kernel, and where user space finds it in the
//! kernel's own BTF. The values reach the programs as one frozen global, so the verifier
//! treats each as a constant: code guarded by a missing fact is never even verified.
//!
//! Queries are in the little language of `sensor/src/probe/btf.rs`: `struct.member.member` is
//! an offset, `sizeof T`, `enum E.V`, `func F`, `args F` and `arg F T` speak for themselves.
//! Several queries are tried in turn, because members move and are renamed.

/// Value of a fact that this kernel does not have.
pub const MISSING: u32 = u32::MAX;

/// How one fact is found.
#[derive(Clone, Copy, Debug)]
pub struct Fact {
    /// Name, as in [`Facts`].
    pub name: &'static str,
    /// Without it no program can work.
    pub required: bool,
    /// Queries to try, first match wins.
    pub queries: &'static [&'static str],
}

macro_rules! facts {
    ($($name:ident: $need:ident $($query:literal)|+;)*) => {
        /// Offsets, sizes and other constants of the running kernel.
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        #[cfg_attr(
            feature = "user",
            derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
        )]
        pub struct Facts {
            $(#[doc = concat!("`", $($query, "` "),+, ".")] pub $name: u32,)*
        }

        impl Facts {
            /// Nothing known yet.
            pub const UNKNOWN: Self = Self { $($name: MISSING,)* };
        }

        /// How to find each member of [`Facts`], in its order.
        pub const TABLE: &[Fact] = &[
            $(Fact { name: stringify!($name), required: facts!(@ $need), queries: &[$($query),+] }),*
        ];
    };
    (@ required) => { true };
    (@ optional) => { false };
}

facts! {
    // Tasks: include/linux/sched.h.
    task_pid: required "task_struct.pid";
    task_tgid: required "task_struct.tgid";
    task_group_leader: required "task_struct.group_leader";
    task_real_parent: required "task_struct.real_parent";
    task_start: required "task_struct.start_boottime";
    task_flags: required "task_struct.flags";
    task_comm: required "task_struct.comm";
    task_cred: required "task_struct.cred";
    task_nsproxy: required "task_struct.nsproxy";
    task_signal: required "task_struct.signal";
    task_thread_pid: required "task_struct.thread_pid";
    task_files: required "task_struct.files";
    task_fs: required "task_struct.fs";
    task_mm: required "task_struct.mm";
    task_exit_code: required "task_struct.exit_code";
    task_cgroups: required "task_struct.cgroups";
    task_in_execve_bit: optional "bit task_struct.in_execve";
    task_login_uid: optional "task_struct.loginuid";
    task_audit_session: optional "task_struct.sessionid";

    // Credentials: include/linux/cred.h. The ids stand in a row from `uid` on.
    cred_uid: required "cred.uid";
    cred_egid: required "cred.egid";
    cred_fsgid: required "cred.fsgid";
    cred_cap_permitted: required "cred.cap_permitted";
    cred_cap_effective: required "cred.cap_effective";
    cred_user_ns: required "cred.user_ns";

    // Namespaces: include/linux/nsproxy.h, ns_common.h, pid.h.
    nsproxy_mnt: required "nsproxy.mnt_ns";
    nsproxy_net: required "nsproxy.net_ns";
    mnt_ns_inum: required "mnt_namespace.ns.inum";
    pid_ns_inum: required "pid_namespace.ns.inum";
    net_ns_inum: required "net.ns.inum";
    user_ns_inum: required "user_namespace.ns.inum";
    user_ns_level: required "user_namespace.level";
    pid_level: required "pid.level";
    pid_numbers: required "pid.numbers";
    upid_size: required "sizeof upid";
    upid_nr: required "upid.nr";
    upid_ns: required "upid.ns";

    // From a process id to its task: include/linux/pid_namespace.h, pid.h, xarray.h.
    pid_ns_idr: required "pid_namespace.idr.idr_rt.xa_head";
    xa_node_shift: required "xa_node.shift";
    xa_node_slots: required "xa_node.slots";
    pid_tasks: required "pid.tasks";
    task_pid_links: required "task_struct.pid_links";

    // Sessions and terminals: include/linux/sched/signal.h, tty.h, tty_driver.h.
    signal_live: required "signal_struct.live";
    signal_pids: required "signal_struct.pids";
    signal_tty: required "signal_struct.tty";
    pid_type_sid: required "enum pid_type.PIDTYPE_SID";
    tty_driver: required "tty_struct.driver";
    tty_index: required "tty_struct.index";
    tty_driver_major: required "tty_driver.major";
    tty_driver_minor_start: required "tty_driver.minor_start";
    tty_file_tty: required "tty_file_private.tty";

    // Control groups: include/linux/cgroup-defs.h, kernfs.h.
    css_set_dfl_cgrp: required "css_set.dfl_cgrp";
    cgroup_kn: required "cgroup.kn";
    kernfs_id: required "kernfs_node.id";

    cgroup_root: required "cgroup.root";
    cgroup_level: required "cgroup.level";
    // Numbers up to 6.0, groups from 6.1 on.
    cgroup_ancestor_ids: optional "cgroup.ancestor_ids";
    cgroup_ancestors: optional "cgroup.ancestors";
    cgroup_root_hierarchy: required "cgroup_root.hierarchy_id";

    // Memory: include/linux/mm_types.h.
    mm_exe_file: required "mm_struct.exe_file";
    mm_owner: optional "mm_struct.owner";
    mm_arg_start: required "mm_struct.arg_start";
    mm_arg_end: required "mm_struct.arg_end";
    mm_env_start: required "mm_struct.env_start";
    mm_env_end: required "mm_struct.env_end";
    bprm_file: required "linux_binprm.file";
    bprm_filename: required "linux_binprm.filename";
    bprm_interp: required "linux_binprm.interp";

    // Files: include/linux/fs.h, fdtable.h, fs_struct.h, dcache.h, mount.h, fs/mount.h.
    files_fdt: required "files_struct.fdt";
    files_count: required "files_struct.count";
    fdt_open_fds: required "fdtable.open_fds";
    fdt_fd: required "fdtable.fd";
    fdt_max_fds: required "fdtable.max_fds";
    file_inode: required "file.f_inode";
    file_path_mnt: required "file.f_path.mnt";
    file_path_dentry: required "file.f_path.dentry";
    file_flags: required "file.f_flags";
    file_mode: required "file.f_mode";
    file_private_data: required "file.private_data";
    fs_root_mnt: required "fs_struct.root.mnt";
    fs_root_dentry: required "fs_struct.root.dentry";
    fs_pwd_mnt: required "fs_struct.pwd.mnt";
    fs_pwd_dentry: required "fs_struct.pwd.dentry";
    dentry_parent: required "dentry.d_parent";
    dentry_name_len: required "dentry.d_name.len";
    dentry_name: required "dentry.d_name.name";
    dentry_inode: required "dentry.d_inode";
    dentry_flags: required "dentry.d_flags";
    dentry_hash_pprev: required "dentry.d_hash.pprev";
    vfsmount_root: required "vfsmount.mnt_root";
    mount_mnt: required "mount.mnt";
    mount_parent: required "mount.mnt_parent";
    mount_mountpoint: required "mount.mnt_mountpoint";
    inode_mode: required "inode.i_mode";
    inode_uid: required "inode.i_uid";
    inode_gid: required "inode.i_gid";
    inode_ino: required "inode.i_ino";
    inode_rdev: required "inode.i_rdev";
    inode_size: required "inode.i_size";
    inode_nlink: required "inode.i_nlink";
    inode_sb: required "inode.i_sb";
    inode_mtime_sec: required "inode.i_mtime_sec" | "inode.__i_mtime.tv_sec" | "inode.i_mtime.tv_sec";
    inode_mtime_nsec: required "inode.i_mtime_nsec" | "inode.__i_mtime.tv_nsec" | "inode.i_mtime.tv_nsec";
    inode_ctime_sec: required "inode.i_ctime_sec" | "inode.__i_ctime.tv_sec" | "inode.i_ctime.tv_sec";
    inode_ctime_nsec: required "inode.i_ctime_nsec" | "inode.__i_ctime.tv_nsec" | "inode.i_ctime.tv_nsec";
    inode_struct_size: required "sizeof inode";
    sb_dev: required "super_block.s_dev";
    sb_magic: required "super_block.s_magic";

    // How often an open file is referred to: a plain count up to 6.12, a file_ref_t (include/
    // linux/file_ref.h), one less than the count, from 6.13 on.
    file_count: optional "file.f_count";
    file_ref: optional "file.f_ref";
    mount_ns: required "mount.mnt_ns";
    path_mnt: required "path.mnt";
    path_dentry: required "path.dentry";
    open_flags_flag: required "open_flags.open_flag";
    file_open_root_args: optional "args do_file_open_root";

    // Changes of names and attributes, `fs/namei.c` and `fs/attr.c`: where arguments and, after
    // the last of them, results are; both move.
    vfs_unlink_dentry: optional "arg vfs_unlink dentry";
    vfs_unlink_args: optional "args vfs_unlink";
    vfs_mkdir_dentry: optional "arg vfs_mkdir dentry";
    vfs_mkdir_args: optional "args vfs_mkdir";
    vfs_symlink_dentry: optional "arg vfs_symlink dentry";
    vfs_symlink_args: optional "args vfs_symlink";
    vfs_link_args: optional "args vfs_link";
    vfs_rename_data: optional "arg vfs_rename renamedata";
    vfs_rename_args: optional "args vfs_rename";
    renamedata_old_dentry: optional "renamedata.old_dentry";
    notify_change_dentry: optional "arg notify_change dentry";
    notify_change_iattr: optional "arg notify_change iattr";
    notify_change_args: optional "args notify_change";
    iattr_valid: required "iattr.ia_valid";

    // Sockets: include/net/sock.h, af_unix.h, linux/net.h.
    socket_sk: required "socket.sk";
    socket_alloc_inode: required "socket_alloc.vfs_inode";
    sk_family: required "sock.__sk_common.skc_family";
    sk_state: required "sock.__sk_common.skc_state";
    sk_daddr: required "sock.__sk_common.skc_daddr";
    sk_rcv_saddr: required "sock.__sk_common.skc_rcv_saddr";
    sk_dport: required "sock.__sk_common.skc_dport";
    sk_num: required "sock.__sk_common.skc_num";
    sk_v6_daddr: optional "sock.__sk_common.skc_v6_daddr";
    sk_v6_rcv_saddr: optional "sock.__sk_common.skc_v6_rcv_saddr";
    sk_protocol: required "sock.sk_protocol";
    sk_type: required "sock.sk_type";
    sk_socket: required "sock.sk_socket";
    sk_net: required "sock.__sk_common.skc_net.net";
    sk_flags: required "sock.__sk_common.skc_flags";
    sk_flag_done: required "enum sock_flags.SOCK_DONE";
    sk_err: required "sock.sk_err";
    sk_max_ack_backlog: required "sock.sk_max_ack_backlog";
    sk_peer_pid: required "sock.sk_peer_pid";
    skb_sk: required "sk_buff.sk";
    socket_file: required "socket.file";
    socket_state: required "socket.state";
    inet_sport: required "inet_sock.inet_sport";
    tcp_bytes_sent: required "tcp_sock.bytes_sent";
    tcp_bytes_retrans: required "tcp_sock.bytes_retrans";
    tcp_bytes_received: required "tcp_sock.bytes_received";
    tcp_mstamp: required "tcp_sock.tcp_mstamp";
    mptcp_first: optional "mptcp_sock.first";
    sock_addr_sk: required "bpf_sock_addr_kern.sk";
    sock_addr_uaddr: required "bpf_sock_addr_kern.uaddr";
    // Messages of sockets: include/linux/socket.h, uio.h.
    msg_name: required "msghdr.msg_name";
    iter_kind: optional "msghdr.msg_iter.iter_type";
    iter_kind_and_direction: optional "msghdr.msg_iter.type";
    iter_is_segments: required "enum iter_type.ITER_IOVEC";
    iter_is_buffer: optional "enum iter_type.ITER_UBUF";
    iter_segments: required "msghdr.msg_iter.__iov" | "msghdr.msg_iter.iov";
    iter_buffer: optional "msghdr.msg_iter.ubuf";
    iter_offset: required "msghdr.msg_iter.iov_offset";
    iter_count: required "msghdr.msg_iter.count";
    udp_recvmsg_args: optional "args udp_recvmsg";
    inet_accept_args: optional "args inet_accept";
    unix_path_mnt: optional "unix_sock.path.mnt";
    unix_path_dentry: optional "unix_sock.path.dentry";
    unix_peer: optional "unix_sock.peer";
    unix_addr: optional "unix_sock.addr";
    unix_address_len: optional "unix_address.len";
    unix_address_name: optional "unix_address.name";

    // Namespace files and pidfds: include/linux/ns_common.h, proc_ns.h, fs/pidfs.c.
    inode_private: required "inode.i_private";
    ns_type: optional "ns_common.ns_type";
    ns_ops: optional "ns_common.ops";
    ns_ops_type: optional "proc_ns_operations.type";

    // Mounts: fs/mount.h, include/linux/mount.h, fs.h.
    mount_devname: required "mount.mnt_devname";
    vfsmount_sb: required "vfsmount.mnt_sb";
    sb_type: required "super_block.s_type";
    sb_type_name: required "file_system_type.name";

    // Signals: include/linux/signal_types.h.
    siginfo_code: required "kernel_siginfo.si_code";

    // Modules and BPF: include/linux/module.h, bpf.h, filter.h.
    module_name: optional "module.name";
    module_taints: optional "module.taints";
    bpf_prog_type: optional "bpf_prog.type";
    bpf_prog_attach_type: optional "bpf_prog.expected_attach_type";
    bpf_prog_len: optional "bpf_prog.len";
    bpf_prog_aux: optional "bpf_prog.aux";
    bpf_aux_id: optional "bpf_prog_aux.id";
    bpf_aux_name: optional "bpf_prog_aux.name";
    bpf_aux_function: optional "bpf_prog_aux.attach_func_name";

    // Helpers that 5.10 lacks: their number, which is all that is asked.
    helper_current_task_btf: optional "enum bpf_func_id.BPF_FUNC_get_current_task_btf";
    helper_task_pt_regs: optional "enum bpf_func_id.BPF_FUNC_task_pt_regs";

    // System calls: arch/x86/include/asm/ptrace.h, the order of the x86-64 calling convention.
    task_stack: required "task_struct.stack";
    regs_size: required "sizeof pt_regs";
    regs_syscall: required "pt_regs.orig_ax";
    regs_arg0: required "pt_regs.di";
    regs_arg1: required "pt_regs.si";
    regs_arg2: required "pt_regs.dx";
    regs_arg3: required "pt_regs.r10";
    regs_arg4: required "pt_regs.r8";
    regs_arg5: required "pt_regs.r9";
}
