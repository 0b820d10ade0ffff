//! What changes the system as a whole: kernel modules, BPF programs, control groups.

use aya_ebpf::macros::{btf_tracepoint, fentry, tracepoint};
use aya_ebpf::programs::{BtfTracePointContext, FEntryContext, TracePointContext};
use sensor_common::kind::{BPF, CGROUP_MKDIR, CGROUP_RMDIR, LANE_PROCESS, MODULE};
use sensor_common::system::{BpfLoad, Cgroup, Module};
use sensor_common::tail;

use crate::emit::{self, Tail};
use crate::fact;
use crate::kernel::path::Location;
use crate::kernel::{Address, follow, object, read, task};
use crate::syscall::Call;

/// Sees: a kernel module that was loaded, before its init function runs.
/// Hook: tracepoint `module_load(struct module *mod)`, `include/trace/events/module.h`, 5.10 to
/// 7.x alike; absent from kernels without modules.
/// Why: `init_module` and `finit_module` meet there, and so does what the kernel itself asks
/// `modprobe` for. Cost: next to nothing, it is rare. Fallback: none needed.
#[btf_tracepoint(function = "module_load")]
pub fn module_load(ctx: BtfTracePointContext) -> i32 {
    let module: Address = ctx.arg::<*const u8>(0);
    emit::seen(MODULE);
    emit::variable::<Module>(MODULE, LANE_PROCESS, |record, tail| {
        task::identify(task::current(), &mut record.subject);
        record.taints = read(module, fact!(module_taints));
        tail.kernel_string(tail::NAME, module.wrapping_add(fact!(module_name) as usize));
        module_file(tail);
    });
    0
}

/// The file behind `finit_module(int fd, …)`: its first argument is still in the registers the
/// task entered the kernel with.
#[inline(always)]
fn module_file(tail: &mut Tail) {
    const FINIT_MODULE: u64 = 313;
    let (loader, regs) = (task::current(), task::registers());
    if task::is_kernel_thread(loader) || read::<u64>(regs, fact!(regs_syscall)) != FINIT_MODULE {
        return;
    }
    let file = object::open_file(loader, read::<u64>(regs, fact!(regs_arg0)) as u32);
    if !file.is_null() {
        tail.path(tail::PATH, Location::of_file(file));
    }
}

/// Sees: every BPF program that was loaded, those included that a loader program loads without
/// a system call of their own.
/// Hook: `void bpf_prog_kallsyms_add(struct bpf_prog *fp)`, `kernel/bpf/core.c`, 5.10 to 7.x
/// alike. `bpf_prog_load` calls it for the complete program right after it gave it an id; the
/// verifier calls it before that for subprograms, which have none.
/// Why: nothing after it can be traced on all kernels (`kernel/events/core.c` is built without
/// hooks). Cost: next to nothing. Fallback: [`bpf_exit`].
#[fentry(function = "bpf_prog_kallsyms_add")]
pub fn bpf_load(ctx: FEntryContext) -> i32 {
    let program: Address = ctx.arg::<*const u8>(0);
    if read::<u32>(follow(program, fact!(bpf_prog_aux)), fact!(bpf_aux_id)) == 0 {
        return 0;
    }
    emit::seen(BPF);
    report_program(program);
    0
}

/// Sees: `bpf(int cmd, union bpf_attr *uattr, unsigned int size)` (`kernel/bpf/syscall.c`) with
/// `BPF_PROG_LOAD`; the program is the one behind the new descriptor.
/// Hook: tracepoint `syscalls:sys_exit_bpf`, see `syscall`.
#[tracepoint]
pub fn bpf_exit(ctx: TracePointContext) -> u32 {
    /// `BPF_PROG_LOAD` of `include/uapi/linux/bpf.h`.
    const PROG_LOAD: u64 = 5;
    let call = Call::from(&ctx);
    if call.argument::<0>() & 0xffff_ffff != PROG_LOAD {
        return 0;
    }
    emit::seen(BPF);
    if call.result < 0 {
        emit::filtered(BPF);
        return 0;
    }
    let file = object::open_file(task::current(), call.result as u32);
    report_program(follow(file, fact!(file_private_data)));
    0
}

/// Reports a `struct bpf_prog`, but for the sensor's own.
#[inline(always)]
fn report_program(program: Address) {
    let loader = task::current();
    if task::is_sensor(loader) {
        return emit::filtered(BPF);
    }
    let aux = follow(program, fact!(bpf_prog_aux));
    let function = follow(aux, fact!(bpf_aux_function));
    emit::variable::<BpfLoad>(BPF, LANE_PROCESS, |record, tail| {
        task::identify(loader, &mut record.subject);
        record.program_type = read(program, fact!(bpf_prog_type));
        record.attach_type = read(program, fact!(bpf_prog_attach_type));
        record.id = read(aux, fact!(bpf_aux_id));
        record.instructions = read(program, fact!(bpf_prog_len));
        tail.kernel_string(tail::NAME, aux.wrapping_add(fact!(bpf_aux_name) as usize));
        if !function.is_null() {
            tail.kernel_string(tail::FUNCTION, function);
        }
    });
}

/// Sees: a control group being made, in any hierarchy.
/// Hook: tracepoint `cgroup_mkdir(struct cgroup *cgrp, const char *path)`,
/// `include/trace/events/cgroup.h`, 5.10 to 7.x alike.
/// Why: it comes with the id and the path together, which user space needs to name the group of
/// a process. Cost: next to nothing, it is rare. Fallback: none needed.
#[btf_tracepoint(function = "cgroup_mkdir")]
pub fn cgroup_mkdir(ctx: BtfTracePointContext) -> i32 {
    report_cgroup(CGROUP_MKDIR, &ctx);
    0
}

/// Sees: a control group being removed, in any hierarchy.
/// Hook: tracepoint `cgroup_rmdir(struct cgroup *cgrp, const char *path)`, as `cgroup_mkdir`.
#[btf_tracepoint(function = "cgroup_rmdir")]
pub fn cgroup_rmdir(ctx: BtfTracePointContext) -> i32 {
    report_cgroup(CGROUP_RMDIR, &ctx);
    0
}

#[inline(always)]
fn report_cgroup(kind: u16, ctx: &BtfTracePointContext) {
    let cgroup: Address = ctx.arg::<*const u8>(0);
    let path: Address = ctx.arg::<*const u8>(1);
    emit::seen(kind);
    emit::variable::<Cgroup>(kind, LANE_PROCESS, |record, tail| {
        task::identify(task::current(), &mut record.subject);
        record.id = read(follow(cgroup, fact!(cgroup_kn)), fact!(kernfs_id));
        record.hierarchy = read(
            follow(cgroup, fact!(cgroup_root)),
            fact!(cgroup_root_hierarchy),
        );
        record.level = read(cgroup, fact!(cgroup_level));
        tail.kernel_string(tail::PATH, path);
    });
}
