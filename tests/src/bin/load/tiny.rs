//! The smallest programs there are: one ends at once, successfully, one waits for a signal.
//! Written out byte by byte, so that the cost of an exec is not that of a compiler's start-up
//! code. Nothing else here.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Which program.
#[derive(Clone, Copy)]
pub(crate) enum Program {
    /// `exit(0)`
    Ends,
    /// `rt_sigsuspend` of an empty mask: until a signal ends it.
    Waits,
}

/// Number of the processor (`e_machine`, elf.h).
#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183;

#[cfg(target_arch = "x86_64")]
const fn code(program: Program) -> &'static [u8] {
    match program {
        Program::Ends => &[
            0xb8, 60, 0, 0, 0, // mov eax, 60
            0x31, 0xff, // xor edi, edi
            0x0f, 0x05, // syscall
        ],
        Program::Waits => &[
            0x6a, 0, // push 0
            0x48, 0x89, 0xe7, // mov rdi, rsp
            0xbe, 8, 0, 0, 0, // mov esi, 8
            0xb8, 130, 0, 0, 0, // mov eax, 130
            0x0f, 0x05, // syscall
        ],
    }
}
#[cfg(target_arch = "aarch64")]
const fn code(program: Program) -> &'static [u8] {
    match program {
        Program::Ends => &[
            0x00, 0x00, 0x80, 0xd2, // mov x0, #0
            0xa8, 0x0b, 0x80, 0xd2, // mov x8, #93
            0x01, 0x00, 0x00, 0xd4, // svc #0
        ],
        Program::Waits => &[
            0xff, 0x0f, 0x1f, 0xf8, // str xzr, [sp, #-16]!
            0xe0, 0x03, 0x00, 0x91, // mov x0, sp
            0x01, 0x01, 0x80, 0xd2, // mov x1, #8
            0xa8, 0x10, 0x80, 0xd2, // mov x8, #133
            0x01, 0x00, 0x00, 0xd4, // svc #0
        ],
    }
}

/// Where the file is mapped.
const BASE: u64 = 0x40_0000;
const FILE_HEADER: u16 = 64;
const PROGRAM_HEADER: u16 = 56;

/// Writes a program into the directory and returns its path.
pub(crate) fn write(directory: &Path, program: Program) -> Result<PathBuf> {
    let path = directory.join("tiny");
    let fresh = directory.join("tiny.new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o755);
    let write = |mut file: File| file.write_all(&image(code(program)));
    options
        .open(&fresh)
        .and_then(write)
        // Closed before it gets its name: a program that is open for writing cannot be run.
        .and_then(|()| fs::rename(&fresh, &path))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// An ELF file of one segment, which is the file itself.
fn image(code: &[u8]) -> Vec<u8> {
    let start = u64::from(FILE_HEADER + PROGRAM_HEADER);
    let size = start + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let short = |file: &mut Vec<u8>, values: &[u16]| {
        values
            .iter()
            .for_each(|v| file.extend_from_slice(&v.to_le_bytes()));
    };
    let word = |file: &mut Vec<u8>, values: &[u32]| {
        values
            .iter()
            .for_each(|v| file.extend_from_slice(&v.to_le_bytes()));
    };
    let long = |file: &mut Vec<u8>, values: &[u64]| {
        values
            .iter()
            .for_each(|v| file.extend_from_slice(&v.to_le_bytes()));
    };
    short(&mut file, &[2, MACHINE]); // ET_EXEC
    word(&mut file, &[1]);
    long(&mut file, &[BASE + start, u64::from(FILE_HEADER), 0]); // entry, program headers, sections
    word(&mut file, &[0]);
    short(&mut file, &[FILE_HEADER, PROGRAM_HEADER, 1, 0, 0, 0]);
    word(&mut file, &[1, 5]); // PT_LOAD, readable and executable
    long(&mut file, &[0, BASE, BASE, size, size, 0x1000]);
    file.extend_from_slice(code);
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;

    #[test]
    fn it_runs_and_succeeds() {
        let directory = std::env::temp_dir().join(format!("tiny-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = write(&directory, Program::Ends).unwrap();
        let status = std::process::Command::new(&path).status().unwrap();
        fs::remove_dir_all(&directory).unwrap();
        assert!(status.success());
    }

    #[test]
    fn the_other_one_runs_until_it_is_killed() {
        let directory = std::env::temp_dir().join(format!("waits-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = write(&directory, Program::Waits).unwrap();
        let mut child = std::process::Command::new(&path).spawn().unwrap();
        fs::remove_dir_all(&directory).unwrap();
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    }
}
