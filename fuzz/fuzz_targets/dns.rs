//! DNS messages from the network.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sensor::event::dns;

fuzz_target!(|bytes: &[u8]| {
    let _ = dns::parse(bytes);
});
