//! What processes do to gain power over the machine or over one another: credentials, tracing,
//! foreign memory, namespaces, mounts, signals. Modules, BPF and control groups are in `system`.

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::macros::{btf_tracepoint, fentry, map, tracepoint};
use aya_ebpf::maps::LruHashMap;
use aya_ebpf::programs::{BtfTracePointContext, FEntryContext, TracePointContext};
use sensor_common::facts::MISSING;
use sensor_common::kind::{
    CREDENTIALS, LANE_PROCESS, MOUNT, PTRACE, SETNS, SIGNAL, UNSHARE, VM_WRITE,
};
use sensor_common::privilege::{
    Credentials, Identity, MOUNT_BY_MOUNT, MOUNT_BY_MOVE, Mount, Ptrace, SI_KERNEL, SI_USER, Setns,
    Signal, Target, Unshare, VmWrite,
};
use sensor_common::tail;

use crate::emit;
use crate::kernel::path::Location;
use crate::kernel::{
    Address, Memory as _, Typed, follow, object, pid, read, read_user, sensor_pid, task,
};
use crate::syscall::Call;
use crate::{fact, on_return};

/// Sees: every change of a thread's credentials, by whatever means: set-id calls, `capset`,
/// a kernel function that an exploit calls. Reports those that gain privilege.
/// Hook: `int commit_creds(struct cred *new)`, `kernel/cred.c`, 5.10 to 7.x alike.
/// Why: the one place where credentials are exchanged; the old ones are still in force.
/// Cost: a dozen reads per change; an exec makes one, which is filtered right away, as the exec
/// record has it.
/// Fallback: [`credentials_enter`] and [`credentials_exit`].
#[fentry(function = "commit_creds")]
pub fn credentials_change(ctx: FEntryContext) -> i32 {
    let new: Address = ctx.arg::<*const u8>(0);
    let running = task::current();
    emit::seen(CREDENTIALS);
    if task::is_kernel_thread(running) || task::is_in_exec(running) {
        emit::filtered(CREDENTIALS);
        return 0;
    }
    report_change(
        running,
        &task::identity(follow(running, fact!(task_cred))),
        &task::identity(new),
    );
    0
}

#[inline(always)]
fn report_change(running: Address, old: &Identity, new: &Identity) {
    let gain = old.gain(new);
    if gain == 0 {
        return emit::filtered(CREDENTIALS);
    }
    emit::fixed::<Credentials>(CREDENTIALS, LANE_PROCESS, |record| {
        task::identify(running, &mut record.subject);
        record.subject.uid = old.uid;
        record.subject.gid = old.gid;
        record.subject.suid = old.suid;
        record.subject.sgid = old.sgid;
        record.subject.euid = old.euid;
        record.subject.egid = old.egid;
        record.subject.caps_effective = old.caps_effective;
        record.old = *old;
        record.new = *new;
        record.gain = gain;
        record.reserved = 0;
    });
}

/// Identities of threads that are in a system call which may change them, for the fallback of
/// [`credentials_change`]. Bounded; a change whose beginning fell out is not reported.
#[map]
static BEFORE: LruHashMap<u32, Identity> = LruHashMap::with_max_entries(4096, 0);

/// Sees: the beginning of a system call that can gain privilege; keeps the identity before it.
/// Hook: tracepoints `syscalls:sys_enter_*` of `setuid`, `setreuid`, `setresuid`, `setfsuid` and
/// `capset`. Cost: 7 ns for every other system call, once the kernel is on its slow path.
#[tracepoint]
pub fn credentials_enter(_: TracePointContext) -> u32 {
    let running = task::current();
    let identity = task::identity(follow(running, fact!(task_cred)));
    // A full map makes room by itself; nothing can be done about any other failure.
    let _ = BEFORE.insert(&read(running, fact!(task_pid)), &identity, 0);
    0
}

/// Sees: the same system calls as they return, successful or not: the two identities say.
#[tracepoint]
pub fn credentials_exit(_: TracePointContext) -> u32 {
    let running = task::current();
    let thread: u32 = read(running, fact!(task_pid));
    emit::seen(CREDENTIALS);
    let Some(before) = BEFORE.get_ptr(&thread) else {
        emit::filtered(CREDENTIALS);
        return 0;
    };
    // SAFETY: an element of the map; only this very thread writes to it, and it is in here.
    let old = unsafe { *before };
    let _ = BEFORE.remove(&thread);
    report_change(
        running,
        &old,
        &task::identity(follow(running, fact!(task_cred))),
    );
    0
}

on_return! {
    /// Sees: `ptrace(long request, long pid, unsigned long addr, unsigned long data)`
    /// (`kernel/ptrace.c`) that attached, or wrote memory or registers.
    ptrace_fexit, ptrace_exit => ptrace
}

const PTRACE_POKETEXT: u64 = 4;
const PTRACE_POKEUSR: u64 = 6;
const PTRACE_SETREGS: u64 = 13;
const PTRACE_ATTACH: u64 = 16;
const PTRACE_SETREGSET: u64 = 0x4205;
const PTRACE_SEIZE: u64 = 0x4206;

/// A thread that was written to, and how.
#[derive(Clone, Copy)]
#[repr(C)]
struct Poke {
    tracer: u32,
    target: u32,
    target_start_ns: u64,
    request: u64,
}

/// What has been reported of debuggers at work. Bounded; what falls out is reported again.
#[map]
static POKES: LruHashMap<Poke, u8> = LruHashMap::with_max_entries(1024, 0);

#[inline(always)]
fn ptrace(call: Call) {
    emit::seen(PTRACE);
    let request = call.argument::<0>();
    let attaches = matches!(request, PTRACE_ATTACH | PTRACE_SEIZE);
    let writes = matches!(
        request,
        PTRACE_POKETEXT..=PTRACE_POKEUSR | PTRACE_SETREGS | PTRACE_SETREGSET
    );
    if call.result < 0 || !(attaches || writes) {
        return emit::filtered(PTRACE);
    }
    let tracer = task::current();
    let mut target = Target::default();
    identify_by_number(call.argument::<1>(), &mut target);
    let poke = Poke {
        tracer: read(tracer, fact!(task_tgid)),
        target: target.tid,
        target_start_ns: target.start_boot_ns,
        request,
    };
    if writes && POKES.insert(&poke, &0, u64::from(BPF_NOEXIST)).is_err() {
        return emit::filtered(PTRACE);
    }
    emit::fixed::<Ptrace>(PTRACE, LANE_PROCESS, |record| {
        task::identify(tracer, &mut record.subject);
        record.target = target;
        record.request = request;
        record.address = call.argument::<2>();
    });
}

#[inline(always)]
fn identify_by_number(number: u64, target: &mut Target) {
    task::identify_target(pid::find(number as u32), target);
    target.ns_pid = number as u32;
}

on_return! {
    /// Sees: `process_vm_writev(pid_t pid, const struct iovec *lvec, unsigned long liovcnt,
    /// const struct iovec *rvec, unsigned long riovcnt, unsigned long flags)`
    /// (`mm/process_vm_access.c`) that wrote something.
    vm_write_fexit, vm_write_exit => vm_write
}

#[inline(always)]
fn vm_write(call: Call) {
    emit::seen(VM_WRITE);
    if call.result <= 0 {
        return emit::filtered(VM_WRITE);
    }
    emit::fixed::<VmWrite>(VM_WRITE, LANE_PROCESS, |record| {
        task::identify(task::current(), &mut record.subject);
        identify_by_number(call.argument::<0>(), &mut record.target);
        record.bytes = call.result as u64;
        // `iov_base` is the first member of `struct iovec`.
        record.address = read_user(call.argument::<3>());
    });
}

on_return! {
    /// Sees: `setns(int fd, int flags)` (`kernel/nsproxy.c`) that succeeded.
    setns_fexit, setns_exit => setns
}

/// `NSFS_MAGIC` of `include/uapi/linux/magic.h`: the files of `/proc/PID/ns`.
const NSFS_MAGIC: u64 = 0x6e73_6673;
/// `PID_FS_MAGIC` of `include/uapi/linux/magic.h`: pidfds from 6.9 on.
const PIDFS_MAGIC: u64 = 0x5049_4446;

#[inline(always)]
fn setns(call: Call) {
    emit::seen(SETNS);
    if call.result < 0 {
        return emit::filtered(SETNS);
    }
    let running = task::current();
    let file = object::open_file(running, call.argument::<0>() as u32);
    let inode = follow(file, fact!(file_inode));
    let magic: u64 = read(follow(inode, fact!(inode_sb)), fact!(sb_magic));
    emit::fixed::<Setns>(SETNS, LANE_PROCESS, |record| {
        task::identify(running, &mut record.subject);
        record.flags = call.argument::<1>() as u32;
        if magic == NSFS_MAGIC {
            record.namespaces = namespace_type(follow(inode, fact!(inode_private)));
            record.inode = read(inode, fact!(inode_ino));
            record.target = Target::default();
        } else {
            let pid = if magic == PIDFS_MAGIC {
                follow(inode, fact!(inode_private))
            } else {
                follow(file, fact!(file_private_data))
            };
            record.namespaces = record.flags;
            record.inode = 0;
            task::identify_target(pid::task_of(pid), &mut record.target);
        }
    });
}

/// `CLONE_NEW*` of a `struct ns_common`; the type moved out of its operations in 6.18.
#[inline(always)]
fn namespace_type(namespace: Address) -> u32 {
    if fact!(ns_type) != MISSING {
        return read(namespace, fact!(ns_type));
    }
    if fact!(ns_ops) == MISSING || fact!(ns_ops_type) == MISSING {
        return 0;
    }
    read(follow(namespace, fact!(ns_ops)), fact!(ns_ops_type))
}

on_return! {
    /// Sees: `unshare(unsigned long unshare_flags)` (`kernel/fork.c`) that succeeded.
    unshare_fexit, unshare_exit => unshare
}

#[inline(always)]
fn unshare(call: Call) {
    emit::seen(UNSHARE);
    if call.result < 0 {
        return emit::filtered(UNSHARE);
    }
    emit::fixed::<Unshare>(UNSHARE, LANE_PROCESS, |record| {
        task::identify(task::current(), &mut record.subject);
        record.flags = call.argument::<0>();
    });
}

on_return! {
    /// Sees: `mount(char *dev_name, char *dir_name, char *type, unsigned long flags, void *data)`
    /// (`fs/namespace.c`) that succeeded.
    mount_fexit, mount_exit => mount
}

#[inline(always)]
fn mount(call: Call) {
    emit::seen(MOUNT);
    if call.result < 0 {
        return emit::filtered(MOUNT);
    }
    let running = task::current();
    let (source, target, kind) = (
        call.argument::<0>(),
        call.argument::<1>(),
        call.argument::<2>(),
    );
    emit::variable::<Mount>(MOUNT, LANE_PROCESS, |record, tail| {
        task::identify(running, &mut record.subject);
        record.flags = call.argument::<3>();
        record.by = MOUNT_BY_MOUNT;
        record.source_fd = AT_FDCWD;
        record.target_fd = AT_FDCWD;
        record.reserved = 0;
        tail.user_string(tail::RAW_TARGET_PATH, target);
        if source != 0 {
            tail.user_string(tail::RAW_PATH, source);
        }
        if kind != 0 {
            tail.user_string(tail::NAME, kind);
        }
        tail.path(
            tail::WORKING_DIRECTORY,
            Location::working_directory(running),
        );
    });
}

/// "Relative to the working directory", `include/uapi/linux/fcntl.h`.
const AT_FDCWD: u32 = -100_i32 as u32;

on_return! {
    /// Sees: `move_mount(int from_dfd, const char *from_pathname, int to_dfd,
    /// const char *to_pathname, unsigned int flags)` (`fs/namespace.c`) that succeeded.
    move_mount_fexit, move_mount_exit => move_mount
}

#[inline(always)]
fn move_mount(call: Call) {
    emit::seen(MOUNT);
    if call.result < 0 {
        return emit::filtered(MOUNT);
    }
    let running = task::current();
    let (source, target) = (call.argument::<1>(), call.argument::<3>());
    emit::variable::<Mount>(MOUNT, LANE_PROCESS, |record, tail| {
        task::identify(running, &mut record.subject);
        record.flags = call.argument::<4>();
        record.by = MOUNT_BY_MOVE;
        record.source_fd = call.argument::<0>() as u32;
        record.target_fd = call.argument::<2>() as u32;
        record.reserved = 0;
        tail.user_string(tail::RAW_TARGET_PATH, target);
        if source != 0 && read_user::<u8>(source) != 0 {
            tail.user_string(tail::RAW_PATH, source);
        } else {
            // A descriptor of `fsmount` or `open_tree`: it knows what was mounted, and where.
            let location = Location::of_file(object::open_file(running, record.source_fd));
            let mount = location.mnt.wrapping_sub(fact!(mount_mnt) as usize);
            let kind = follow(follow(location.mnt, fact!(vfsmount_sb)), fact!(sb_type));
            tail.kernel_string(tail::RAW_PATH, follow(mount, fact!(mount_devname)));
            tail.kernel_string(tail::NAME, follow(kind, fact!(sb_type_name)));
            tail.path(tail::PATH, location);
        }
        tail.path(
            tail::WORKING_DIRECTORY,
            Location::working_directory(running),
        );
    });
}

/// Sees: every signal generated on the machine; reports those to the sensor.
/// Hook: tracepoint `signal_generate(int sig, struct kernel_siginfo *info,
/// struct task_struct *task, int group, int result)`, `include/trace/events/signal.h`, 5.10 to
/// 7.x alike. The information is 0 for a signal of the current process without more
/// (`SEND_SIG_NOINFO`), 1 for one of the kernel (`SEND_SIG_PRIV`).
/// Why: it runs in the context of the sender, so it knows who that is, and cannot be evaded:
/// the record is in the ring before the signal is delivered.
/// Cost: one load per signal. Fallback: none needed.
#[btf_tracepoint(function = "signal_generate")]
pub fn signal_generate(ctx: BtfTracePointContext) -> i32 {
    /// `SIGCHLD`: ends of the sensor's own helpers.
    const SIGCHLD: u32 = 17;
    let receiver: Address = ctx.arg::<*const u8>(2);
    if Typed::read::<u32>(receiver, fact!(task_tgid)) != sensor_pid() {
        return 0;
    }
    emit::seen(SIGNAL);
    let sender = task::current();
    let signal = ctx.arg::<u32>(0);
    let code = match ctx.arg::<usize>(1) {
        0 => SI_USER,
        1 => SI_KERNEL,
        info => read(info as Address, fact!(siginfo_code)),
    };
    if task::is_sensor(sender) || (signal == SIGCHLD && (code as i32) > 0) {
        emit::filtered(SIGNAL);
        return 0;
    }
    emit::fixed::<Signal>(SIGNAL, LANE_PROCESS, |record| {
        task::identify(sender, &mut record.subject);
        record.signal = signal;
        record.code = code;
        record.outcome = ctx.arg::<u32>(4);
        record.tid = read(receiver, fact!(task_pid));
    });
    0
}
