//! The kernel's types: bytes as they come, and as type records of few names under a header that
//! is as it should be.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sensor::probe::btf::Btf;
use sensor_common::facts::TABLE;

/// What the type records can be called.
const NAMES: &[u8] = b"\0a\0b\0c\0";
/// What is asked of them.
const QUERIES: &[&str] = &[
    "a", "a.b", "a.b.c", "a.b.c.a", "sizeof a", "sizeof a.b", "bit a.b", "func a", "enum a.b",
    "arg a b", "args a",
];

fuzz_target!(|bytes: &[u8]| {
    let facts = TABLE.iter().flat_map(|fact| fact.queries).copied();
    resolve(bytes.to_vec(), facts);
    resolve(described(bytes), QUERIES.iter().copied());
});

fn resolve<'q>(bytes: Vec<u8>, queries: impl Iterator<Item = &'q str>) {
    let Ok(btf) = Btf::parse(bytes) else { return };
    for query in queries {
        let _ = btf.resolve(query);
    }
}

/// `struct btf_header`, `include/uapi/linux/btf.h`: the records follow, and then the names.
fn described(types: &[u8]) -> Vec<u8> {
    const HEADER: u32 = 24;
    const MAGIC_VERSION_FLAGS: u32 = u32::from_ne_bytes(
        if cfg!(target_endian = "big") { [0xeb, 0x9f, 1, 0] } else { [0x9f, 0xeb, 1, 0] },
    );
    let len = types.len() as u32;
    let header = [MAGIC_VERSION_FLAGS, HEADER, 0, len, len, NAMES.len() as u32];
    let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_ne_bytes()).collect();
    bytes.extend_from_slice(types);
    bytes.extend_from_slice(NAMES);
    bytes
}
