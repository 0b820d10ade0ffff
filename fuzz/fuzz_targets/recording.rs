//! Lines of recordings, which come from anywhere: reading them, and what the state of the host and
//! detection make of whole recordings of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sensor::detect::sigma;
use sensor::export::format::Format;
use sensor::export::pretty::Style;
use sensor::export::writer::{Output, Writer};
use sensor::probe::selection::Selection;
use sensor::replay::Replay;

fuzz_target!(|bytes: &[u8]| {
    let once = replay(bytes);
    assert_eq!(once, replay(bytes), "the same recording gives the same output");
});

fn replay(bytes: &[u8]) -> Vec<u8> {
    let style = Style { colour: false, width: 0, utc_offset: 0 };
    let mut out = Vec::new();
    let writer = Writer::new(&mut out, Output::Json, Format::Native, style);
    let (rules, _) = sigma::Engine::load(&[], false, &sigma::Kinds::all());
    Replay::new(Box::new(rules), writer, Selection::all())
        .run(bytes, |_, _| {})
        .expect("bytes in memory can be read");
    out
}
