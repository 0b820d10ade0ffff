//! Processes: fork, exec, exit, anonymous files.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use sensor_common::exec::{
    Exec, OBJECT_BLOCK, OBJECT_CHARACTER, OBJECT_DIRECTORY, OBJECT_FIFO, OBJECT_FILE, OBJECT_INET,
    OBJECT_MEMFD, Object,
};
use sensor_common::kind::{EXEC, EXIT, FORK, LANE_PROCESS, MEMFD};
use sensor_common::limits::{ARGV_MAX, ENV_MAX};
use sensor_common::record::{Exit, Memfd, Plain};
use sensor_common::tail;

use crate::emit::{self, Tail};
use crate::kernel::path::Location;
use crate::kernel::{Address, Memory as _, Typed, file, follow, object, read, task};
use crate::network::inherit;
use crate::syscall::Call;
use crate::{fact, on_return};

/// Sees: every new process; threads are counted and filtered.
/// Hook: tracepoint `sched_process_fork(struct task_struct *parent, struct task_struct *child)`,
/// `include/trace/events/sched.h`, 5.10 to 7.x alike.
/// Why: all of fork, vfork, clone and clone3 end there, after the child has its pid.
/// Fallback: none needed, tracepoints are always there.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn process_fork(ctx: BtfTracePointContext) -> i32 {
    let child: Address = ctx.arg::<*const u8>(1);
    emit::seen(FORK);
    if read::<u32>(child, fact!(task_pid)) != read::<u32>(child, fact!(task_tgid))
        || task::is_kernel_thread(child)
    {
        emit::filtered(FORK);
        return 0;
    }
    let parent: Address = ctx.arg::<*const u8>(0);
    inherit::forked(
        Typed::read(parent, fact!(task_tgid)),
        Typed::read(child, fact!(task_tgid)),
    );
    emit::fixed::<Plain>(FORK, LANE_PROCESS, |record| {
        task::identify_typed(child, &mut record.subject)
    });
    0
}

/// Sees: the end of a process, when its last thread goes.
/// Hook: tracepoint `sched_process_exit(struct task_struct *p)`, with a second argument
/// `bool group_dead` from 6.16 on, which is not needed: `signal->live` has just become 0.
/// Why: the task is still whole. Fallback: none needed.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn process_exit(ctx: BtfTracePointContext) -> i32 {
    let gone: Address = ctx.arg::<*const u8>(0);
    emit::seen(EXIT);
    let live: i32 = read(follow(gone, fact!(task_signal)), fact!(signal_live));
    if live != 0 || task::is_kernel_thread(gone) {
        emit::filtered(EXIT);
        return 0;
    }
    emit::fixed::<Exit>(EXIT, LANE_PROCESS, |record| {
        task::identify_typed(gone, &mut record.subject);
        inherit::ended(record.subject.pid);
        record.code = read(gone, fact!(task_exit_code));
        record.reserved = 0;
    });
    0
}

/// Sees: every successful exec, once, with what the new program's standard streams are.
/// Hook: tracepoint `sched_process_exec(struct task_struct *p, pid_t old_pid,
/// struct linux_binprm *bprm)`, 5.10 to 7.x alike.
/// Why: a failed search along PATH never gets there; argument pages are resident, so they
/// can be read without faulting. Fallback: none needed.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn process_exec(ctx: BtfTracePointContext) -> i32 {
    let running: Address = ctx.arg::<*const u8>(0);
    let bprm: Address = ctx.arg::<*const u8>(2);
    emit::seen(EXEC);
    #[cfg(feature = "debug-log")]
    aya_log_ebpf::debug!(
        &ctx,
        "exec by pid {}",
        read::<u32>(running, fact!(task_tgid))
    );
    emit::variable::<Exec>(EXEC, LANE_PROCESS, |record, tail| {
        describe(running, bprm, record, tail)
    });
    0
}

#[inline(always)]
fn describe(running: Address, bprm: Address, record: &mut Exec, tail: &mut Tail) {
    let mm = Typed::follow(running, fact!(task_mm));
    let executable = Typed::follow(mm, fact!(mm_exe_file));
    let arguments: u64 = Typed::read(mm, fact!(mm_arg_start));
    let environment: u64 = Typed::read(mm, fact!(mm_env_start));
    let filename = Typed::follow(bprm, fact!(bprm_filename));
    let interpreter = Typed::follow(bprm, fact!(bprm_interp));

    task::identify_typed(running, &mut record.subject);
    file::identify::<Typed>(
        executable,
        tail.aside::<{ file::ASIDE }>(),
        &mut record.executable,
    );
    inherit::carried(record.subject.pid, &mut record.carried);
    record.argument_bytes = Typed::read::<u64>(mm, fact!(mm_arg_end)).wrapping_sub(arguments);
    record.environment_bytes = Typed::read::<u64>(mm, fact!(mm_env_end)).wrapping_sub(environment);

    tail.path(tail::EXECUTABLE, Location::of_file(executable));
    tail.user_bytes::<ARGV_MAX>(tail::ARGUMENTS, arguments, record.argument_bytes);
    tail.kernel_string(tail::FILENAME, filename);
    if !core::ptr::eq(filename, interpreter) {
        tail.kernel_string(tail::INTERPRETER, interpreter);
    }
    tail.path(
        tail::WORKING_DIRECTORY,
        Location::working_directory(running),
    );

    let [stdin, stdout, stderr] = &mut record.stdio;
    describe_stream(running, 0, stdin, tail::STDIN_PATH, tail);
    describe_stream(running, 1, stdout, tail::STDOUT_PATH, tail);
    describe_stream(running, 2, stderr, tail::STDERR_PATH, tail);
    tail.urgent = is_remote(stdin.kind) || is_remote(stdout.kind);
    tail.user_bytes::<ENV_MAX>(tail::ENVIRONMENT, environment, record.environment_bytes);
}

#[inline(always)]
fn describe_stream(running: Address, fd: u32, object: &mut Object, tag: u8, tail: &mut Tail) {
    let file = object::open_file(running, fd);
    object::describe(file, object);
    if has_path(object.kind) {
        tail.path(tag, Location::of_file(file));
    }
}

/// Kinds of object that an intruder may be behind. Rare on a standard stream, so that waking the
/// reader for it costs next to nothing, and saves up to a tick when somebody is to be cut off.
#[inline(always)]
fn is_remote(kind: u8) -> bool {
    kind == OBJECT_INET
}

/// Kinds of object that have a name in the file system worth reporting.
#[inline(always)]
fn has_path(kind: u8) -> bool {
    matches!(
        kind,
        OBJECT_FILE
            | OBJECT_DIRECTORY
            | OBJECT_FIFO
            | OBJECT_CHARACTER
            | OBJECT_BLOCK
            | OBJECT_MEMFD
    )
}

on_return! {
    /// Sees: `memfd_create(const char *uname, unsigned int flags)` (`mm/memfd.c`) that gave a
    /// descriptor.
    memfd_create_fexit, memfd_create_exit => memfd_create
}

#[inline(always)]
fn memfd_create(call: Call) {
    emit::seen(MEMFD);
    if call.result < 0 {
        return emit::filtered(MEMFD);
    }
    emit::variable::<Memfd>(MEMFD, LANE_PROCESS, |record, tail| {
        task::identify_acting(&mut record.subject);
        record.flags = call.argument::<1>() as u32;
        record.fd = call.result as u32;
        tail.user_string(tail::NAME, call.argument::<0>());
    });
}
