//! Talking to servers: names, secrets, TLS, HTTP, streams. What is said is for others to know.

pub mod access;
pub mod http;
pub mod resolve;
pub mod secret;
pub mod stream;
pub mod tls;
