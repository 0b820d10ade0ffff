//! Plain lists of indicators, and the store that is made of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sensor::intelligence::list::{self, Line};
use sensor::intelligence::store::{Builder, Note};

fuzz_target!(|bytes: &[u8]| {
    let mut builder = Builder::default();
    let note = builder.note(Note {
        list: "fuzz".into(),
        title: "".into(),
        id: Box::default(),
        technique: None,
        tactic: None,
        confidence: 50,
        until: u64::MAX,
        blocks: true,
    });
    let mut subjects = Vec::new();
    let _ = list::read(bytes, &mut |line| {
        if let Line::Indicator(subject) = line {
            builder.add(&subject, note);
            subjects.push(subject);
        }
    });
    let store = builder.finish();
    for subject in &subjects {
        // What is below a name is not the name itself.
        if !subject.to_string().starts_with("*.") {
            assert!(store.find(subject, 0).is_some(), "{subject}");
        }
    }
    for (network, note) in store.blocks() {
        assert_eq!(store.blocked_until(network), Some(note.until));
    }
});
