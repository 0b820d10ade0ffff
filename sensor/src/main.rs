//! eBPF sensor.
#![allow(dead_code, unreachable_pub, reason = "the modules are used once the rooms are joined")]
pub mod event;
pub mod probe;
pub mod track;
fn main() {}
