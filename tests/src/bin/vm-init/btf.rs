//! Finds functions in the kernel's own type information. Just enough for the programs of
//! `trampoline`; the sensor's reader is another one, and stays untested by this.

use std::io;

use anyhow::{Context, Result, ensure};

/// What a BTF id is wanted of.
pub(crate) const FUNCTION: u32 = 12;
pub(crate) const TYPEDEF: u32 = 8;

/// The BTF id of what has this kind and name: types are numbered from 1 in the order they are stored.
pub(crate) fn id(btf: &[u8], wanted_kind: u32, name: &str) -> Result<u32> {
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
        if kind == wanted_kind && text.starts_with(&wanted) {
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
    Err(io::Error::from(io::ErrorKind::NotFound)).with_context(|| format!("no {name} in the BTF"))
}
