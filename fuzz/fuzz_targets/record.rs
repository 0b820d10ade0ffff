//! Records from the rings, through decoding to every form of output.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sensor::event::EventId;
use sensor::export::{json, pretty};
use sensor::probe::decode::{Clock, Decoder};

fuzz_target!(|bytes: &[u8]| {
    let decoder = Decoder { clock: Clock::now() };
    let Ok(event) = decoder.decode(bytes, EventId { run: 1, sequence: 0 }) else { return };
    let line = json::ecs(&event).expect("every event can be written");
    assert!(!line.contains('\n'));
    let style = pretty::Style { colour: false, width: 0, utc_offset: 0 };
    assert!(!pretty::line(&event, style).chars().any(char::is_control));
});
