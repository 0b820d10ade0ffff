//! STIX bundles, TAXII envelopes and the patterns in them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sensor::intelligence::pattern;
use sensor::intelligence::stix::{self, Object};

fuzz_target!(|bytes: &[u8]| {
    let _ = stix::read(bytes, &mut |object| {
        if let Object::Indicator(record) = object {
            let _ = pattern::parse(&record.pattern);
        }
    });
    let _ = stix::is_empty_envelope(bytes);
    // A pattern alone is reached far more often than one in an object in a list.
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(found) = pattern::parse(text)
    {
        assert!(!found.subjects.is_empty());
    }
});
