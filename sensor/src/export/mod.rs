//! How events leave: formats, and the writer to standard output. Formats are made from
//! `event::field` alone and know no kind of event.

pub mod cef;
pub mod format;
pub mod json;
pub mod ocsf;
pub mod pretty;
#[cfg(test)]
pub mod roundtrip;
pub mod sink;
pub mod spool;
pub mod writer;
