//! Requests on the control socket.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sensor::control::Request;

fuzz_target!(|line: &str| {
    if let Ok(Request::Report(response)) = Request::parse(line) {
        // What is taken is as short as it may be.
        assert_eq!(response.clone().bounded(), *response);
    }
});
