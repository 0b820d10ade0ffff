//! The smallest program there is: it ends at once, successfully. Written out byte by byte, so
//! that the cost of an exec is not that of a compiler's start-up code. Nothing else here.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// `exit(0)` and the number of the processor (`e_machine`, elf.h).
#[cfg(target_arch = "x86_64")]
const PROGRAM: (&[u8], u16) = (
    &[
        0xb8, 0x3c, 0, 0, 0, // mov eax, 60
        0x31, 0xff, // xor edi, edi
        0x0f, 0x05, // syscall
    ],
    62,
);
#[cfg(target_arch = "aarch64")]
const PROGRAM: (&[u8], u16) = (
    &[
        0x00, 0x00, 0x80, 0xd2, // mov x0, #0
        0xa8, 0x0b, 0x80, 0xd2, // mov x8, #93
        0x01, 0x00, 0x00, 0xd4, // svc #0
    ],
    183,
);

/// Where the file is mapped.
const BASE: u64 = 0x40_0000;
const FILE_HEADER: u16 = 64;
const PROGRAM_HEADER: u16 = 56;

/// Writes the program into the directory and returns its path.
pub(crate) fn write(directory: &Path) -> Result<PathBuf> {
    let path = directory.join("tiny");
    let fresh = directory.join("tiny.new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o755);
    let write = |mut file: File| file.write_all(&image());
    options
        .open(&fresh)
        .and_then(write)
        // Closed before it gets its name: a program that is open for writing cannot be run.
        .and_then(|()| fs::rename(&fresh, &path))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// An ELF file of one segment, which is the file itself.
fn image() -> Vec<u8> {
    let (code, machine) = PROGRAM;
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
    short(&mut file, &[2, machine]); // ET_EXEC
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

    #[test]
    fn it_runs_and_succeeds() {
        let directory = std::env::temp_dir().join(format!("tiny-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = write(&directory).unwrap();
        let status = std::process::Command::new(&path).status().unwrap();
        fs::remove_dir_all(&directory).unwrap();
        assert!(status.success());
    }
}
