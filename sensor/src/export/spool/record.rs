//! A record inside a block: when, how bad, what kind, and the bytes to deliver. Little endian:
//!
//! ```text
//!  0  u32  bytes of what follows this field
//!  4  u64  number in the row over both lanes
//! 12  u64  time of the event, ns since the epoch
//! 20  u8   severity, 0 to 5
//! 21  u8   bytes of the name
//! 22  …    name of the kind (`process.exec`), then the payload
//! ```
//!
//! Blocks carry the checksum; a record that does not fit its block is a broken block.

/// Bytes before the name.
const FIXED: usize = 22;
/// Longest name, in bytes; longer ones are cut.
pub const NAME_MAX: usize = 63;
/// Longest payload, in bytes: an event with every text at its bound stays well below.
pub const PAYLOAD_MAX: usize = 8 * 1024 * 1024;

/// What a record says of its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta<'n> {
    /// Its number in the row over both lanes and all runs.
    pub number: u64,
    /// When the event happened, in ns since the epoch.
    pub wall_ns: u64,
    /// Of an alert, 1 (informational) to 5 (critical); else 0.
    pub severity: u8,
    /// Name of the kind of event.
    pub name: &'n str,
}

/// A record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'b> {
    /// What is known of it.
    pub meta: Meta<'b>,
    /// The event, one line without its end.
    pub payload: &'b [u8],
}

/// Appends one to a block that is being made; whether it is within its bounds.
#[must_use]
pub fn append(block: &mut Vec<u8>, meta: Meta<'_>, payload: &[u8]) -> bool {
    if payload.len() > PAYLOAD_MAX {
        return false;
    }
    let name = cut(meta.name);
    let (Ok(rest), Ok(name_length)) = (
        u32::try_from(FIXED - 4 + name.len() + payload.len()),
        u8::try_from(name.len()),
    ) else {
        return false;
    };
    block.extend_from_slice(&rest.to_le_bytes());
    block.extend_from_slice(&meta.number.to_le_bytes());
    block.extend_from_slice(&meta.wall_ns.to_le_bytes());
    block.push(meta.severity);
    block.push(name_length);
    block.extend_from_slice(name.as_bytes());
    block.extend_from_slice(payload);
    true
}

fn cut(name: &str) -> &str {
    let end = name.floor_char_boundary(NAME_MAX);
    name.get(..end).unwrap_or_default()
}

/// The first record of what is left of a block, and what is left after it; none at its end or
/// when it is broken.
#[must_use]
pub fn split(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (body, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let (number, body) = body.split_first_chunk::<8>()?;
    let (wall_ns, body) = body.split_first_chunk::<8>()?;
    let ([severity, name_length], body) = body.split_first_chunk::<2>()?;
    let (name, payload) = body.split_at_checked(usize::from(*name_length))?;
    let meta = Meta {
        number: u64::from_le_bytes(*number),
        wall_ns: u64::from_le_bytes(*wall_ns),
        severity: *severity,
        name: str::from_utf8(name).ok()?,
    };
    Some((Record { meta, payload }, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_appended_is_read_back(
            number: u64, wall_ns: u64, severity: u8, name in "\\PC{0,80}", payload: Vec<u8>,
        ) {
            let meta = Meta { number, wall_ns, severity, name: &name };
            let mut block = Vec::new();
            prop_assert!(append(&mut block, meta, &payload));
            prop_assert!(append(&mut block, meta, b"next"));
            let (record, rest) = split(&block).unwrap();
            prop_assert_eq!(record.payload, &payload);
            prop_assert!(name.starts_with(record.meta.name));
            prop_assert_eq!(Meta { name: &name, ..record.meta }, meta);
            let (next, rest) = split(rest).unwrap();
            prop_assert_eq!(next.payload, b"next");
            prop_assert!(rest.is_empty() && split(rest).is_none());
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes: Vec<u8>) {
            let mut rest = &bytes[..];
            while let Some((_, after)) = split(rest) {
                prop_assert!(after.len() < rest.len());
                rest = after;
            }
        }
    }
}
