//! How events leave: formats, and the writer to standard output. Formats are made from
//! `event::field` alone and know no kind of event.

pub mod format;
pub mod json;
pub mod pretty;
#[cfg(test)]
pub mod roundtrip;
pub mod sink;
pub mod spool;
pub mod writer;
