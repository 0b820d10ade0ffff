//! Pages of `docs/` that are made from tables in the code: the tests keep them current. What is
//! on a page is decided beside its table.

use std::path::Path;

/// Fails when a page of `docs/` is not what the code says now; writes it first when asked to
/// by `UPDATE_DOCS`.
#[track_caller]
pub(crate) fn assert_current(page: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(page);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = old.lines().zip(text.lines()).find(|(old, new)| old != new);
    assert!(
        old == text,
        "docs/{page} is out of date, first in {differs:?}; run the tests with UPDATE_DOCS=1"
    );
}
