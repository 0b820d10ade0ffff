//! What a content scanner that was taken over may send to the sensor, and the other way round.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sensor::content::wire::{Frames, Order, Report, frame};

fuzz_target!(|bytes: &[u8]| {
    let mut frames = Frames::default();
    for piece in bytes.chunks(7) {
        frames.push(piece);
        while let Ok(Some(report)) = frames.take::<Report>() {
            let again = frame(&report).expect("what came in a frame fits in one");
            let mut copy = Frames::default();
            copy.push(&again);
            assert_eq!(copy.take::<Report>().expect("our own"), Some(report));
        }
    }
    let mut frames = Frames::default();
    frames.push(bytes);
    while let Ok(Some(_)) = frames.take::<Order>() {}
});
