//! The least a test machine must offer. What the sensor does is tested elsewhere.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;

#[test]
fn the_kernel_says_its_version() {
    let version = fs::read_to_string("/proc/version").expect("/proc is mounted");
    assert!(version.starts_with("Linux version "), "{version}");
}
