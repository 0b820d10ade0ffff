//! Records from the rings, through decoding to every form of output: bytes as they come, and,
//! since hardly any of those pass for a record, bodies under a header that is as it should be.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sensor::event::EventId;
use sensor::export::{json, pretty};
use sensor::probe::decode::{Clock, Decoder};
use sensor_common::kind;
use sensor_common::record::{Header, VERSION};
use zerocopy::IntoBytes as _;

fuzz_target!(|bytes: &[u8]| {
    tell(bytes);
    if let [choice, body @ ..] = bytes {
        tell(&record(*choice, body));
    }
});

/// A record of one of our kinds.
fn record(choice: u8, body: &[u8]) -> Vec<u8> {
    let (kind, lane, _) = kind::ALL[usize::from(choice) % kind::ALL.len()];
    let header = Header {
        len: (size_of::<Header>() + body.len()) as u32,
        kind,
        version: VERSION,
        lane,
        cpu: 0,
        flags: 0,
        boot_ns: 1,
    };
    [header.as_bytes(), body].concat()
}

fn tell(record: &[u8]) {
    let decoder = Decoder { clock: Clock::now() };
    let id = EventId { run: 1, sequence: 0 };
    let Ok(event) = decoder.decode(record, id) else { return };
    let line = json::ecs(&event.fields()).expect("every event can be written");
    assert!(!line.contains('\n'));
    let style = pretty::Style { colour: false, width: 0, utc_offset: 0 };
    assert!(!pretty::line(&event, style).chars().any(char::is_control));
}
