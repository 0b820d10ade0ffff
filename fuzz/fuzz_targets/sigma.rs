//! Sigma rule files and recorded events.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sensor::detect::sigma::load::Sources;
use sensor::detect::sigma::sample::Sample;
use sensor::detect::sigma::{Engine, Kinds};

fuzz_target!(|texts: (&str, &str)| {
    let mut sources = Sources::default();
    sources.add_text(Path::new("fuzz.yml"), texts.0);
    let (mut engine, _) = Engine::new(sources, &Kinds::all());
    if let Ok(sample) = Sample::parse(texts.1, 0) {
        engine.evaluate_record(&sample);
    }
});
