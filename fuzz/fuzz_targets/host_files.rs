//! Files and names of the host that others may have written: control group paths, user names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sensor::event::text;
use sensor::track::container;
use sensor::track::users::Names;

fuzz_target!(|bytes: &[u8]| {
    let _ = container::container(bytes);
    let _ = container::systemd_unit(bytes);
    let _ = container::path_in_proc(bytes);
    let _ = Names::parse(bytes);
    assert!(!text::escape_terminal(bytes).chars().any(char::is_control));
});
