//! Finds out whether this kernel really lets a BPF trampoline be attached, by attaching an empty
//! fentry and an empty LSM program. Hand-assembled, so that process 1 depends on nothing it is
//! used to test.

use std::fs;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use anyhow::{Context, Result, ensure};

use crate::kernel;

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_RAW_TRACEPOINT_OPEN: libc::c_long = 17;
const PROG_TYPE_TRACING: u32 = 26;
const PROG_TYPE_LSM: u32 = 29;
const ATTACH_FENTRY: u32 = 24;
const ATTACH_LSM: u32 = 27;

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

/// What happened, as `fentry=ok lsm=EBUSY(attach)`.
pub(crate) fn describe() -> String {
    let btf = match fs::read("/sys/kernel/btf/vmlinux") {
        Ok(btf) => btf,
        Err(error) => return format!("no BTF: {error}"),
    };
    let fentry = outcome(&btf, PROG_TYPE_TRACING, ATTACH_FENTRY, "vfs_open");
    let lsm = outcome(
        &btf,
        PROG_TYPE_LSM,
        ATTACH_LSM,
        "bpf_lsm_bprm_check_security",
    );
    format!("fentry={fentry} lsm={lsm}")
}

fn outcome(btf: &[u8], prog_type: u32, attach_type: u32, function: &str) -> String {
    let id = match function_id(btf, function) {
        Ok(id) => id,
        Err(error) => return format!("unknown({error:#})").replace(' ', "-"),
    };
    // r0 = 0; exit
    let program: [u64; 2] = [0xb7, 0x95];
    let mut load = ProgLoad {
        prog_type,
        insn_cnt: 2,
        insns: program.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        expected_attach_type: attach_type,
        attach_btf_id: id,
        ..ProgLoad::default()
    };
    let program = match kernel::bpf(BPF_PROG_LOAD, &mut load) {
        Ok(fd) => own(fd),
        Err(error) => return format!("{}(load)", kernel::errno_name(&error)),
    };
    let raw = std::os::fd::AsRawFd::as_raw_fd(&program);
    let mut open = RawTracepointOpen {
        prog_fd: raw.unsigned_abs(),
        ..RawTracepointOpen::default()
    };
    match kernel::bpf(BPF_RAW_TRACEPOINT_OPEN, &mut open) {
        Ok(fd) => {
            drop(own(fd));
            "ok".to_owned()
        }
        Err(error) => format!("{}(attach)", kernel::errno_name(&error)),
    }
}

fn own(fd: i32) -> OwnedFd {
    // SAFETY: the kernel just returned this descriptor, nobody else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// The BTF id of a kernel function: types are numbered from 1 in the order they are stored.
fn function_id(btf: &[u8], name: &str) -> Result<u32> {
    let word = |at: usize| -> Result<u32> {
        let bytes = btf.get(at..at + 4).context("BTF ends early")?;
        Ok(u32::from_ne_bytes(bytes.try_into()?))
    };
    ensure!(word(0)? & 0xffff == 0xeb9f, "not BTF");
    let header = word(4)? as usize;
    let types = header + word(8)? as usize;
    let end = types + word(12)? as usize;
    let strings = header + word(16)? as usize;
    let wanted = [name.as_bytes(), &[0]].concat();

    let mut at = types;
    for id in 1.. {
        if at >= end {
            break;
        }
        let (name_at, info) = (word(at)? as usize, word(at + 4)?);
        let (kind, members) = ((info >> 24) & 0x1f, (info & 0xffff) as usize);
        let text = btf.get(strings + name_at..).unwrap_or_default();
        if kind == 12 && text.starts_with(&wanted) {
            return Ok(id);
        }
        at += 12
            + match kind {
                1 | 14 | 17 => 4,
                3 => 12,
                4 | 5 | 15 | 19 => 12 * members,
                6 | 13 => 8 * members,
                _ => 0,
            };
    }
    Err(io::Error::from(io::ErrorKind::NotFound)).with_context(|| format!("no function {name}"))
}
