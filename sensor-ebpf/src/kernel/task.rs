//! The identity of a task.

use aya_ebpf::helpers::generated::{
    bpf_get_current_task, bpf_get_current_task_btf, bpf_task_pt_regs,
};
use sensor_common::facts::MISSING;
use sensor_common::limits::COMM_LEN;
use sensor_common::privilege::{Identity, Target};
use sensor_common::record::Subject;

use super::{Address, Memory, Probed, Typed, follow, read, sensor_pid};
use crate::fact;

/// The task this program runs in the context of.
#[inline(always)]
pub fn current() -> Address {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_get_current_task() as Address }
}

/// The registers the current task entered the kernel with (`struct pt_regs`). Before 5.15,
/// without a helper for it, they are taken from the top of its kernel stack
/// (`task_pt_regs`, `arch/x86/include/asm/processor.h`).
#[inline(always)]
pub fn registers() -> Address {
    /// `THREAD_SIZE` of `arch/x86/include/asm/page_64_types.h`.
    const STACK_BYTES: usize = 16384;
    if fact!(helper_task_pt_regs) == MISSING {
        return follow(current(), fact!(task_stack))
            .wrapping_add(STACK_BYTES)
            .wrapping_sub(fact!(regs_size) as usize);
    }
    // SAFETY: the helpers have no other precondition than a task, which they are given.
    unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) as usize as Address }
}

/// The task that acts: the current one, or the process that a kernel worker acts for. Before
/// 5.12 io_uring's workers were kernel threads that borrowed a process's memory
/// (`kthread_use_mm`), which says whose it is.
#[inline(always)]
pub fn acting() -> Address {
    let current = current();
    if fact!(mm_owner) != MISSING && is_kernel_thread(current) {
        let mm = follow(current, fact!(task_mm));
        let owner = follow(mm, fact!(mm_owner));
        if !mm.is_null() && !owner.is_null() {
            return owner;
        }
    }
    current
}

/// The open file at descriptor `fd` of the current process, null when closed; for tracing
/// programs, as [`identify_acting`].
#[inline(always)]
pub fn open_file(fd: u32) -> Address {
    let slot = if fact!(helper_current_task_btf) == MISSING {
        descriptor_slot::<Probed>(current(), fd)
    } else {
        // SAFETY: the helper has no preconditions.
        descriptor_slot::<Typed>(unsafe { bpf_get_current_task_btf() } as Address, fd)
    };
    follow(slot, 0)
}

/// Where the table of open files has descriptor `fd`; null beyond its end.
#[inline(always)]
fn descriptor_slot<M: Memory>(task: Address, fd: u32) -> Address {
    let fdt = M::follow(M::follow(task, fact!(task_files)), fact!(files_fdt));
    if fd >= M::read::<u32>(fdt, fact!(fdt_max_fds)) {
        return core::ptr::null();
    }
    M::follow(fdt, fact!(fdt_fd)).wrapping_add(fd as usize * size_of::<usize>())
}

/// Number of a `struct pid` in the initial pid namespace, 0 for null.
#[inline(always)]
pub fn global_pid<M: Memory>(pid: Address) -> u32 {
    M::read(pid, fact!(pid_numbers) + fact!(upid_nr))
}

/// Whether the task is a kernel thread (`PF_KTHREAD`).
#[inline(always)]
pub fn is_kernel_thread(task: Address) -> bool {
    const PF_KTHREAD: u32 = 0x0020_0000;
    read::<u32>(task, fact!(task_flags)) & PF_KTHREAD != 0
}

/// Whether the task belongs to the sensor itself.
#[inline(always)]
pub fn is_sensor(task: Address) -> bool {
    read::<u32>(task, fact!(task_tgid)) == sensor_pid()
}

/// Whether the task is in the middle of an exec. Where the kernel does not say, it is not.
#[inline(always)]
pub fn is_in_exec(task: Address) -> bool {
    let bit = fact!(task_in_execve_bit);
    bit != MISSING && (read::<u8>(task, bit >> 3) >> (bit & 7)) & 1 != 0
}

/// The identity in a `struct cred`.
#[inline(always)]
pub fn identity(cred: Address) -> Identity {
    let [uid, gid, suid, sgid, euid, egid, fsuid, fsgid] = read::<[u32; 8]>(cred, fact!(cred_uid));
    let user_ns = follow(cred, fact!(cred_user_ns));
    Identity {
        uid,
        gid,
        suid,
        sgid,
        euid,
        egid,
        fsuid,
        fsgid,
        caps_permitted: read(cred, fact!(cred_cap_permitted)),
        caps_effective: read(cred, fact!(cred_cap_effective)),
        user_ns: read(user_ns, fact!(user_ns_inum)),
        user_ns_level: read(user_ns, fact!(user_ns_level)),
    }
}

/// Fills in who `task` is, from any address. Every field is written.
#[inline(always)]
pub fn identify(task: Address, subject: &mut Subject) {
    identify_through::<Probed>(task, subject);
}

/// Fills in who `task` is, which the verifier has to know for one. Every field is written.
#[inline(always)]
pub fn identify_typed(task: Address, subject: &mut Subject) {
    identify_through::<Typed>(task, subject);
}

/// Fills in who acts (see [`acting`]), in the quickest way there is: for tracing programs
/// only, others may lack the helper. Every field is written.
#[inline(always)]
pub fn identify_acting(subject: &mut Subject) {
    if fact!(helper_current_task_btf) == MISSING {
        return identify(acting(), subject);
    }
    // SAFETY: the helper has no preconditions.
    identify_typed(unsafe { bpf_get_current_task_btf() } as Address, subject);
}

#[inline(always)]
fn identify_through<M: Memory>(task: Address, subject: &mut Subject) {
    let leader = M::follow(task, fact!(task_group_leader));
    let parent = M::follow(task, fact!(task_real_parent));
    let cred = M::follow(task, fact!(task_cred));
    let nsproxy = M::follow(task, fact!(task_nsproxy));
    let signal = M::follow(task, fact!(task_signal));

    subject.pid = M::read(task, fact!(task_tgid));
    subject.tid = M::read(task, fact!(task_pid));
    subject.ppid = M::read(parent, fact!(task_tgid));
    subject.start_boot_ns = M::read(leader, fact!(task_start));
    subject.comm = M::read16(task, fact!(task_comm));
    subject.task_flags = M::read(task, fact!(task_flags));
    subject.reserved = 0;

    // The ids stand in a row, in this order; user space has checked that.
    let ids = fact!(cred_uid);
    subject.uid = M::read(cred, ids);
    subject.gid = M::read(cred, ids + 4);
    subject.suid = M::read(cred, ids + 8);
    subject.sgid = M::read(cred, ids + 12);
    subject.euid = M::read(cred, ids + 16);
    subject.egid = M::read(cred, ids + 20);
    subject.caps_effective = M::read(cred, fact!(cred_cap_effective));
    subject.user_ns = M::read(M::follow(cred, fact!(cred_user_ns)), fact!(user_ns_inum));

    subject.login_uid = optional_u32::<M>(task, fact!(task_login_uid));
    subject.audit_session = optional_u32::<M>(task, fact!(task_audit_session));

    subject.mnt_ns = M::read(M::follow(nsproxy, fact!(nsproxy_mnt)), fact!(mnt_ns_inum));
    subject.net_ns = M::read(M::follow(nsproxy, fact!(nsproxy_net)), fact!(net_ns_inum));

    let pid = M::follow(leader, fact!(task_thread_pid));
    if M::read::<u32>(pid, fact!(pid_level)) == 0 {
        // In the initial pid namespace, `numbers[0]`.
        let number = fact!(pid_numbers);
        subject.ns_pid = M::read(pid, number + fact!(upid_nr));
        subject.pid_ns = M::read(M::follow(pid, number + fact!(upid_ns)), fact!(pid_ns_inum));
    } else {
        let innermost = innermost_pid(leader);
        subject.ns_pid = read(innermost, fact!(upid_nr));
        subject.pid_ns = read(follow(innermost, fact!(upid_ns)), fact!(pid_ns_inum));
    }

    let session = M::follow(
        signal,
        fact!(signal_pids) + fact!(pid_type_sid) * size_of::<usize>() as u32,
    );
    subject.session = global_pid::<M>(session);
    subject.tty = terminal::<M>(M::follow(signal, fact!(signal_tty)));

    let cgroup = M::follow(
        M::follow(task, fact!(task_cgroups)),
        fact!(css_set_dfl_cgrp),
    );
    subject.cgroup_id = M::read(M::follow(cgroup, fact!(cgroup_kn)), fact!(kernfs_id));
}

/// Id of the control group at this level above a task's (the root is level 0) or of its own; 0
/// when that is not as deep. There is a helper for it, for tracing programs only from 5.12 on.
#[inline(always)]
pub fn ancestor_group(task: Address, level: u32) -> u64 {
    let group = follow(follow(task, fact!(task_cgroups)), fact!(css_set_dfl_cgrp));
    if read::<u32>(group, fact!(cgroup_level)) < level {
        return 0;
    }
    let place = level * size_of::<u64>() as u32;
    if fact!(cgroup_ancestor_ids) != MISSING {
        return read(group, fact!(cgroup_ancestor_ids) + place);
    }
    if fact!(cgroup_ancestors) == MISSING {
        return 0;
    }
    let ancestor = follow(group, fact!(cgroup_ancestors) + place);
    read(follow(ancestor, fact!(cgroup_kn)), fact!(kernfs_id))
}

/// The `struct upid` of a task in the innermost of its pid namespaces: `numbers[level]`.
#[inline(always)]
fn innermost_pid(task: Address) -> Address {
    let pid = follow(task, fact!(task_thread_pid));
    let level: u32 = read(pid, fact!(pid_level));
    pid.wrapping_add(fact!(pid_numbers) as usize)
        .wrapping_add(level as usize * fact!(upid_size) as usize)
}

/// The `struct pid_namespace` a task lives in (`task_active_pid_ns`, `kernel/pid.c`).
#[inline(always)]
pub fn pid_namespace(task: Address) -> Address {
    follow(innermost_pid(task), fact!(upid_ns))
}

/// Fills in what is worth knowing of a task that something was done to; all zero for null.
#[inline(always)]
pub fn identify_target(task: Address, target: &mut Target) {
    let cred = follow(task, fact!(task_cred));
    target.pid = read(task, fact!(task_tgid));
    target.tid = read(task, fact!(task_pid));
    target.ns_pid = 0;
    target.uid = read(cred, fact!(cred_uid));
    target.start_boot_ns = read(follow(task, fact!(task_group_leader)), fact!(task_start));
    target.caps_effective = read(cred, fact!(cred_cap_effective));
    target.comm = read::<[u8; COMM_LEN]>(task, fact!(task_comm));
}

/// Device number of a `struct tty_struct`, `major << 20 | minor`, 0 for none.
#[inline(always)]
pub fn terminal<M: Memory>(tty: Address) -> u32 {
    if tty.is_null() {
        return 0;
    }
    let driver = M::follow(tty, fact!(tty_driver));
    let major: u32 = M::read(driver, fact!(tty_driver_major));
    let first: u32 = M::read(driver, fact!(tty_driver_minor_start));
    let index: u32 = M::read(tty, fact!(tty_index));
    (major << 20) | (first.wrapping_add(index) & 0xf_ffff)
}

/// A member that not every kernel has, `u32::MAX` (audit's "unset") without it.
#[inline(always)]
fn optional_u32<M: Memory>(base: Address, offset: u32) -> u32 {
    if offset == MISSING {
        u32::MAX
    } else {
        M::read(base, offset)
    }
}

/// `task_struct.comm` with nothing but zeros behind its end, as a key in maps has to be: up to
/// 5.10 the rest of a former, longer name stays there (`__set_task_comm`, `fs/exec.c`).
#[inline(always)]
pub fn padded_comm(task: Address) -> [u8; COMM_LEN] {
    let [first, second]: [u64; 2] = read(task, fact!(task_comm));
    let end = first_zero_byte(first);
    let words = if end == 0 {
        [first, up_to(second, first_zero_byte(second))]
    } else {
        [up_to(first, end), 0]
    };
    // SAFETY: 16 bytes of plain data both.
    unsafe { core::mem::transmute::<[u64; 2], [u8; COMM_LEN]>(words) }
}

/// The highest bit of the first byte that is zero, 0 when none is. (Bits of later bytes may be
/// wrong, so only the lowest one is looked at.)
#[inline(always)]
fn first_zero_byte(word: u64) -> u64 {
    let word = u64::from_le(word);
    let zeros = word.wrapping_sub(0x0101_0101_0101_0101) & !word & 0x8080_8080_8080_8080;
    zeros & zeros.wrapping_neg()
}

/// The bytes before the one whose highest bit is `end`; all when there is none.
#[inline(always)]
fn up_to(word: u64, end: u64) -> u64 {
    if end == 0 {
        word
    } else {
        word & ((end >> 7) - 1).to_le()
    }
}
