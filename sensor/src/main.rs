//! eBPF sensor.
fn main() {}
