//! The kernel's types.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sensor::probe::btf::Btf;
use sensor_common::facts::TABLE;

fuzz_target!(|bytes: &[u8]| {
    let Ok(btf) = Btf::parse(bytes.to_vec()) else { return };
    for fact in TABLE {
        for query in fact.queries {
            let _ = btf.resolve(query);
        }
    }
});
