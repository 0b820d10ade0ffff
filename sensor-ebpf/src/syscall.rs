//! System calls, two ways with one handler each. Where trampolines are allowed, an fexit
//! program sits on the one system call and costs the others nothing. Where they are not, a
//! single program on the `sys_exit` tracepoint looks the number up in a table of programs;
//! that makes every system call of the machine slower, so it is the fallback only.
//!
//! Handlers run after the call, so they know its outcome. They get arguments and result and
//! belong to the family files; nothing here knows what a system call means.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::macros::{btf_tracepoint, map};
use aya_ebpf::maps::ProgramArray;
use aya_ebpf::programs::{BtfTracePointContext, FExitContext};
use sensor_common::facts::MISSING;

use crate::fact;
use crate::kernel::{Address, read, task};

/// One more than the highest system call number handled.
const TABLE_SIZE: u32 = 512;

/// Programs for the `sys_exit` way, by system call number; filled by user space.
#[map]
static SYSCALLS: ProgramArray = ProgramArray::with_max_entries(TABLE_SIZE, 0);

/// `TS_COMPAT` of `arch/x86/include/asm/thread_info.h`: a 32-bit system call, whose numbers
/// mean other things.
const TS_COMPAT: u32 = 2;

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
        read(self.regs, offset)
    }
}

/// From the arguments of the `sys_exit` tracepoint.
impl From<&BtfTracePointContext> for Call {
    #[inline(always)]
    fn from(ctx: &BtfTracePointContext) -> Self {
        Self { regs: ctx.arg::<*const u8>(0), result: ctx.arg::<i64>(1) }
    }
}

/// From an fexit program on `__x64_sys_*(const struct pt_regs *regs)`.
impl From<&FExitContext> for Call {
    #[inline(always)]
    fn from(ctx: &FExitContext) -> Self {
        Self { regs: ctx.arg::<*const u8>(0), result: ctx.arg::<i64>(1) }
    }
}

/// Sees: every system call as it returns; hands the few wanted ones to their programs.
/// Hook: tracepoint `sys_exit(struct pt_regs *regs, long ret)`, `include/trace/events/syscalls.h`.
/// Cost: the slow path of every system call, and about 20 ns in here.
#[btf_tracepoint(function = "sys_exit")]
pub fn syscall_exit(ctx: BtfTracePointContext) -> i32 {
    let regs: Address = ctx.arg::<*const u8>(0);
    let number: u64 = read(regs, fact!(regs_syscall));
    if number >= u64::from(TABLE_SIZE) {
        return 0;
    }
    if fact!(task_thread_status) != MISSING
        && read::<u32>(task::current(), fact!(task_thread_status)) & TS_COMPAT != 0
    {
        return 0;
    }
    // SAFETY: the context is that of this very program; a missing entry falls through.
    let _ = unsafe { SYSCALLS.tail_call(&ctx, number as u32) };
    let _ = ctx.as_ptr();
    0
}

/// Defines both programs of a handler: `$fexit` for `__x64_sys_*`, `$exit` for the table.
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
        #[aya_ebpf::macros::btf_tracepoint(function = "sys_exit")]
        pub fn $exit(ctx: aya_ebpf::programs::BtfTracePointContext) -> i32 {
            $handler($crate::syscall::Call::from(&ctx));
            0
        }
    };
}
