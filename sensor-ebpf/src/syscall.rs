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
    /// Its number, one of [`number`]; not known to an fexit program, which sees one call only.
    pub number: u32,
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
        // SAFETY: as in `result`; the number stands at 8.
        let number = unsafe { ctx.as_ptr().byte_add(8).cast::<u32>().read_volatile() };
        Self {
            regs: task::registers(),
            number,
            result: result(ctx),
        }
    }
}

/// From an fexit program on `__x64_sys_*(const struct pt_regs *regs)`. Its argument may not be
/// loaded on every kernel: 5.10 describes it by a forward declaration for some of the calls.
impl From<&FExitContext> for Call {
    #[inline(always)]
    fn from(ctx: &FExitContext) -> Self {
        Self {
            regs: task::registers(),
            number: u32::MAX,
            result: ctx.arg::<i64>(1),
        }
    }
}

/// Numbers of system calls that share a handler with others, from
/// `arch/x86/entry/syscalls/syscall_64.tbl`.
#[cfg(bpf_target_arch = "x86_64")]
pub mod number {
    pub const OPEN: u32 = 2;
    pub const OPENAT: u32 = 257;
    pub const OPENAT2: u32 = 437;
    pub const UNLINK: u32 = 87;
    pub const RMDIR: u32 = 84;
    pub const RENAME: u32 = 82;
    pub const RENAMEAT2: u32 = 316;
    pub const LINK: u32 = 86;
    pub const SYMLINK: u32 = 88;
    pub const MKDIR: u32 = 83;
    pub const CHMOD: u32 = 90;
    pub const FCHMOD: u32 = 91;
    pub const FCHMODAT2: u32 = 452;
    pub const CHOWN: u32 = 92;
    pub const LCHOWN: u32 = 94;
    pub const FCHOWN: u32 = 93;
    pub const FTRUNCATE: u32 = 77;
}

/// Numbers of system calls that share a handler with others, from
/// `include/uapi/asm-generic/unistd.h`; what only older architectures have is `u32::MAX`.
#[cfg(bpf_target_arch = "aarch64")]
pub mod number {
    pub const OPEN: u32 = u32::MAX;
    pub const OPENAT: u32 = 56;
    pub const OPENAT2: u32 = 437;
    pub const UNLINK: u32 = u32::MAX;
    pub const RMDIR: u32 = u32::MAX;
    pub const RENAME: u32 = u32::MAX;
    pub const RENAMEAT2: u32 = 276;
    pub const LINK: u32 = u32::MAX;
    pub const SYMLINK: u32 = u32::MAX;
    pub const MKDIR: u32 = u32::MAX;
    pub const CHMOD: u32 = u32::MAX;
    pub const FCHMOD: u32 = 52;
    pub const FCHMODAT2: u32 = 452;
    pub const CHOWN: u32 = u32::MAX;
    pub const LCHOWN: u32 = u32::MAX;
    pub const FCHOWN: u32 = 55;
    pub const FTRUNCATE: u32 = 46;
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
