//! The rules that come with the sensor, embedded in the program. They stand in `rules/`, each
//! with its samples beside it.

use std::path::Path;

use super::load::Sources;

include!(concat!(env!("OUT_DIR"), "/rules.rs"));

/// Beginning of the names of built-in rule files.
const ORIGIN: &str = "built-in/";

/// Adds the built-in rules.
pub fn add_to(sources: &mut Sources) {
    for (name, text, _) in RULES {
        sources.add_text(Path::new(&format!("{ORIGIN}{name}")), text);
    }
}

/// Samples of a built-in rule file.
pub fn samples() -> impl Iterator<Item = (String, &'static str)> {
    RULES
        .iter()
        .map(|(name, _, samples)| (format!("{ORIGIN}{name}"), *samples))
}

/// Whether a file is one of them.
#[must_use]
pub fn is_builtin(file: &Path) -> bool {
    file.starts_with(ORIGIN)
}
