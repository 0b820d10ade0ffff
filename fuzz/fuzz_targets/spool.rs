//! Blocks of the spool as they may be on a disk that went bad, checksum or not.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sensor::export::spool::block::{HEADER_BYTES, Header};
use sensor::export::spool::record::split;

fn records(mut rest: &[u8]) {
    while let Some((_, after)) = split(rest) {
        assert!(after.len() < rest.len());
        rest = after;
    }
}

fuzz_target!(|bytes: &[u8]| {
    records(bytes);
    let Some((head, stored)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return;
    };
    let Ok(header) = Header::parse(head) else {
        return;
    };
    let _ = header.check(head, stored);
    let mut unpacked = Vec::new();
    if header.unpack(stored, &mut unpacked).is_ok() {
        records(&unpacked);
    }
});
