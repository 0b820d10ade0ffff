//! What is found only some time after the event that led there.

use super::finding::Finding;
use crate::event::Stamp;

/// Something found late.
#[derive(Debug)]
pub struct Late {
    /// When that event was.
    pub time: Stamp,
    /// On which CPU.
    pub cpu: u32,
    /// What was found.
    pub finding: Finding,
}
