//! Finds out whether this kernel really lets BPF trampolines be used, by attaching an empty fentry
//! and an empty LSM program; and makes a kernel refuse them that would allow it. Hand-assembled,
//! so that process 1 depends on nothing it is used to test.
//!
//! Refusing is itself done by an LSM program: it answers EPERM when a program that would need a
//! trampoline is loaded, as kernels do whose vendor left them out. The switch that looks made for
//! this, `kernel.ftrace_enabled`, works on 5.10 only: on 6.1 and 6.12 programs attach all the same,
//! and 7.3 does not let it be switched off.

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result, bail};

use crate::btf;
use crate::kernel;

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_RAW_TRACEPOINT_OPEN: libc::c_long = 17;
const PROG_TYPE_TRACING: u32 = 26;
const PROG_TYPE_LSM: u32 = 29;
const PROBE_READ_KERNEL: i32 = 113;

/// The head of `union bpf_attr` for BPF_PROG_LOAD, up to what this module sets.
#[repr(C)]
#[derive(Default)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
    attach_prog_fd: u32,
    padding: u32,
}

/// The same for BPF_RAW_TRACEPOINT_OPEN.
#[repr(C)]
#[derive(Default)]
struct RawTracepointOpen {
    name: u64,
    prog_fd: u32,
    padding: u32,
}

/// Something a program can be attached to.
#[derive(Clone, Copy)]
struct Hook {
    prog_type: u32,
    attach_type: u32,
    kind: u32,
    name: &'static str,
}

const FENTRY: Hook = Hook {
    prog_type: PROG_TYPE_TRACING,
    attach_type: 24,
    kind: btf::FUNCTION,
    name: "vfs_open",
};
const LSM: Hook = lsm("bpf_lsm_bprm_check_security");
/// `int bpf_lsm_bpf(int cmd, union bpf_attr *attr, unsigned int size)`
const LSM_BPF: Hook = lsm("bpf_lsm_bpf");
/// Needs no trampoline.
const BTF_TRACEPOINT: Hook = Hook {
    prog_type: PROG_TYPE_TRACING,
    attach_type: 23,
    kind: btf::TYPEDEF,
    name: "btf_trace_sched_process_exec",
};

const fn lsm(name: &'static str) -> Hook {
    Hook {
        prog_type: PROG_TYPE_LSM,
        attach_type: 27,
        kind: btf::FUNCTION,
        name,
    }
}

/// What happened, as `fentry=ok lsm=EBUSY(attach) tp_btf=ok`.
pub(crate) fn describe() -> String {
    let types = match fs::read("/sys/kernel/btf/vmlinux") {
        Ok(types) => types,
        Err(error) => return format!("no BTF: {error}"),
    };
    let outcome = |hook| match attach(&types, hook, &[Insn::mov(0, 0), Insn::EXIT]) {
        Ok(_) => "ok".to_owned(),
        Err(error) => format!("{error:#}").replace(' ', "-"),
    };
    format!(
        "fentry={} lsm={} tp_btf={}",
        outcome(FENTRY),
        outcome(LSM),
        outcome(BTF_TRACEPOINT)
    )
}

/// From now on this kernel refuses programs that need a trampoline, until the result is dropped.
pub(crate) fn refuse() -> Result<OwnedFd> {
    let types = fs::read("/sys/kernel/btf/vmlinux").context("cannot read the kernel's BTF")?;
    attach(&types, LSM_BPF, &gate()).context("cannot attach the program that refuses trampolines")
}

/// Reads the type of a program about to be loaded and what it is to be attached to. Tracing
/// programs at BTF tracepoints and iterators do without a trampoline.
fn gate() -> Vec<Insn> {
    const SCRATCH: i16 = -8;
    let read = |offset: i32, to: u8| {
        [
            Insn::mov_reg(1, 10),
            Insn::add(1, i32::from(SCRATCH)),
            Insn::mov(2, 4),
            Insn::mov_reg(3, 7),
            Insn::add(3, offset),
            Insn::call(PROBE_READ_KERNEL),
            Insn::load_u32(to, 10, SCRATCH),
        ]
    };
    let mut program = vec![
        Insn::load_u64(6, 1, 0),
        Insn::load_u64(7, 1, 8),
        // Not a load: to the end, where 0 is returned.
        Insn::jump_unless_u32(6, 5, 21),
    ];
    program.extend(read(0, 8));
    program.extend(read(68, 9));
    program.extend([
        Insn::jump_if(8, 29, 4),     // LSM: refuse
        Insn::jump_if(8, 28, 3),     // replaces a function of another program: refuse
        Insn::jump_unless(8, 26, 4), // not tracing: allow
        Insn::jump_if(9, 23, 3),     // BTF tracepoint: allow
        Insn::jump_if(9, 28, 2),     // iterator: allow
        Insn::mov(0, -libc::EPERM),
        Insn::EXIT,
        Insn::mov(0, 0),
        Insn::EXIT,
    ]);
    program
}

/// One BPF instruction, as the kernel wants it.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Insn(u64);

impl Insn {
    const EXIT: Self = Self::new(0x95, 0, 0, 0, 0);

    const fn new(code: u8, to: u8, from: u8, offset: i16, value: i32) -> Self {
        let [low, high] = offset.to_le_bytes();
        let [a, b, c, d] = value.to_le_bytes();
        Self(u64::from_ne_bytes([
            code,
            from << 4 | to,
            low,
            high,
            a,
            b,
            c,
            d,
        ]))
    }
    const fn mov(to: u8, value: i32) -> Self {
        Self::new(0xb7, to, 0, 0, value)
    }
    const fn mov_reg(to: u8, from: u8) -> Self {
        Self::new(0xbf, to, from, 0, 0)
    }
    const fn add(to: u8, value: i32) -> Self {
        Self::new(0x07, to, 0, 0, value)
    }
    const fn load_u64(to: u8, from: u8, offset: i16) -> Self {
        Self::new(0x79, to, from, offset, 0)
    }
    const fn load_u32(to: u8, from: u8, offset: i16) -> Self {
        Self::new(0x61, to, from, offset, 0)
    }
    const fn call(helper: i32) -> Self {
        Self::new(0x85, 0, 0, 0, helper)
    }
    const fn jump_if(register: u8, equals: i32, skip: i16) -> Self {
        Self::new(0x15, register, 0, skip, equals)
    }
    const fn jump_unless(register: u8, equals: i32, skip: i16) -> Self {
        Self::new(0x55, register, 0, skip, equals)
    }
    const fn jump_unless_u32(register: u8, equals: i32, skip: i16) -> Self {
        Self::new(0x56, register, 0, skip, equals)
    }
}

/// Loads and attaches; the program stays as long as the result is open.
fn attach(types: &[u8], hook: Hook, program: &[Insn]) -> Result<OwnedFd> {
    let Hook {
        prog_type,
        attach_type,
        kind,
        name,
    } = hook;
    let mut load = ProgLoad {
        prog_type,
        insn_cnt: u32::try_from(program.len())?,
        insns: program.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        expected_attach_type: attach_type,
        attach_btf_id: btf::id(types, kind, name)?,
        ..ProgLoad::default()
    };
    let program = match kernel::bpf(BPF_PROG_LOAD, &mut load) {
        Ok(fd) => own(fd),
        Err(error) => bail!("{}(load)", kernel::errno_name(&error)),
    };
    let mut open = RawTracepointOpen {
        prog_fd: program.as_raw_fd().unsigned_abs(),
        ..RawTracepointOpen::default()
    };
    match kernel::bpf(BPF_RAW_TRACEPOINT_OPEN, &mut open) {
        Ok(fd) => Ok(own(fd)),
        Err(error) => bail!("{}(attach)", kernel::errno_name(&error)),
    }
}

fn own(fd: i32) -> OwnedFd {
    // SAFETY: the kernel just returned this descriptor, nobody else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
