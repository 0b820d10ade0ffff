//! System calls, two ways with one handler each. Where trampolines are allowed, an fexit
//! program sits on the one system call and costs the others nothing. Where they are not, a
//! program sits on the tracepoint of that one system call; the kernel then takes its slow path
//! for every system call of the machine (30 ns each), so it is the fallback only. A program on
//! the tracepoint common to all, `sys_exit`, would cost each call 75 ns at the least.
//!
//! Handlers run after the call, so they know its outcome. They get arguments and result and
//! belong to the family files; nothing here knows what a system call means.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::programs::{FExitContext, TracePointContext};

use sensor_common::facts::MISSING;

use crate::fact;
use crate::kernel::{Address, Memory as _, Typed, read, task};

/// A system call that has returned.
#[derive(Clone, Copy)]
pub struct Call {
    regs: Address,
    /// What it returned: a value, or a negative errno.
    pub result: i64,
}

impl Call {
    /// Argument `N`, from 0.
    #[inline(always)]
    pub fn argument<const N: usize>(&self) -> u64 {
        let offset = match N {
            0 => fact!(regs_arg0),
            1 => fact!(regs_arg1),
            2 => fact!(regs_arg2),
            3 => fact!(regs_arg3),
            4 => fact!(regs_arg4),
            _ => fact!(regs_arg5),
        };
        // With the helper, the registers are of a type the verifier knows.
        if fact!(helper_task_pt_regs) == MISSING {
            read(self.regs, offset)
        } else {
            Typed::read(self.regs, offset)
        }
    }
}

/// What a system call returned, from the record of a `syscalls:sys_exit_*` tracepoint
/// (`struct syscall_trace_exit`, `kernel/trace/trace.h`).
#[inline(always)]
pub fn result(ctx: &TracePointContext) -> i64 {
    // SAFETY: the verifier knows the length of the record and lets us load from it.
    unsafe { ctx.as_ptr().byte_add(16).cast::<i64>().read_volatile() }
}

/// The arguments are still where the task left them when it entered the kernel.
impl From<&TracePointContext> for Call {
    #[inline(always)]
    fn from(ctx: &TracePointContext) -> Self {
        Self { regs: task::registers(), result: result(ctx) }
    }
}

/// From an fexit program on `__x64_sys_*(const struct pt_regs *regs)`. Its argument may not be
/// loaded on every kernel: 5.10 describes it by a forward declaration for some of the calls.
impl From<&FExitContext> for Call {
    #[inline(always)]
    fn from(ctx: &FExitContext) -> Self {
        Self { regs: task::registers(), result: ctx.arg::<i64>(1) }
    }
}

/// Defines both programs of a handler: `$fexit` for `__x64_sys_*`, `$exit` for the tracepoints
/// `syscalls:sys_exit_*`.
#[macro_export]
macro_rules! on_return {
    ($(#[$meta:meta])* $fexit:ident, $exit:ident => $handler:path) => {
        $(#[$meta])*
        #[aya_ebpf::macros::fexit]
        pub fn $fexit(ctx: aya_ebpf::programs::FExitContext) -> i32 {
            $handler($crate::syscall::Call::from(&ctx));
            0
        }

        $(#[$meta])*
        #[aya_ebpf::macros::tracepoint]
        pub fn $exit(ctx: aya_ebpf::programs::TracePointContext) -> u32 {
            $handler($crate::syscall::Call::from(&ctx));
            0
        }
    };
}
