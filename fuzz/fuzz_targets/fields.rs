//! Spooled lines, from which sinks make other formats: reading their fields back, and what every
//! format makes of those.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sensor::event::parse;
use sensor::export::format::Format;

fuzz_target!(|bytes: &[u8]| {
    let Ok(fields) = parse::fields(bytes) else {
        return;
    };
    for format in Format::ALL {
        let line = format.line(&fields).expect("all fields can be written");
        assert!(!line.chars().any(char::is_control), "{line:?}");
        match format {
            Format::Ecs | Format::Native => {
                let back = parse::fields(line.as_bytes()).expect("what is written can be read");
                assert_eq!(back, fields);
            }
            Format::Ocsf => {
                serde_json::from_str::<serde_json::Value>(&line).expect("it is JSON");
            }
            Format::Cef => assert!(line.starts_with("CEF:0|")),
        }
    }
});
