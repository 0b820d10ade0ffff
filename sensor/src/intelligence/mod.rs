//! Threat intelligence: addresses, networks, names and hashes that lists call hostile. Lists are
//! fetched, kept as copies, and made into one store that detection looks at for every event and
//! that says what is to be blocked. What a match means is for `detect`, how something is blocked
//! for `respond`; nothing here knows events or the kernel.

mod assemble;
pub mod blocks;
mod cache;
mod fetch;
mod json;
pub mod list;
pub mod pattern;
pub mod refresh;
pub mod shared;
pub mod source;
pub mod stix;
pub mod store;
pub mod subject;
pub mod taxii;

pub use refresh::Intelligence;

/// Seconds since the epoch.
#[must_use]
pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
