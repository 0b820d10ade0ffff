//! What the sensor and its scanner say to each other: frames of a length and a JSON text on a
//! socket of their own. A descriptor that goes with an order is not part of the frame. Neither
//! side trusts the other further than this file: everything is bounded, and what the scanner says
//! of a file refers to rules it named before it saw any.

use std::collections::VecDeque;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::card::Card;

/// Largest frame, in bytes: a rule file in which every byte is escaped, and a little.
pub const FRAME_MAX: usize = 6 * 1024 * 1024 + 4096;
/// Most rules that are named for one file.
pub const HITS_MAX: usize = 64;
/// Bytes of the length before each frame.
const PREFIX: usize = 4;

/// Why what comes is not understood. Whoever sent it is not talked to any more.
#[derive(Debug, Error)]
pub enum WireError {
    /// A frame is announced that is longer than any.
    #[error("a frame of {0} bytes is announced; {FRAME_MAX} is the most")]
    TooLong(u32),
    /// A frame does not say what it should.
    #[error("a frame is not understood: {0}")]
    Meaning(#[from] serde_json::Error),
}

/// From the sensor to the scanner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// A rule file.
    Source {
        /// Its name.
        name: String,
        /// What it says.
        text: String,
    },
    /// That was all of them.
    Compile,
    /// Try the rules on the file whose descriptor comes with this.
    Scan {
        /// Number to answer with.
        ticket: u64,
        /// Bytes to look at.
        size_max: u64,
        /// Time to take, in milliseconds.
        time_ms: u64,
    },
}

/// From the scanner to the sensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "report", rename_all = "snake_case")]
pub enum Report {
    /// A rule file that cannot be used: `file:line:column: reason`.
    Problem {
        /// That text.
        text: String,
    },
    /// A rule that is in force. Referred to by its number, from 0.
    Rule {
        /// What it says of itself.
        card: Card,
    },
    /// All rules are named, files may come.
    Ready {
        /// What of its confinement the kernel refused.
        lacks: Vec<String>,
    },
    /// What became of a file.
    Scanned {
        /// The number it came with.
        ticket: u64,
        /// Bytes looked at.
        bytes: u64,
        /// How it ended.
        end: End,
        /// Rules that match.
        hits: Vec<WireHit>,
    },
}

/// How looking at a file ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// All bytes wanted were looked at.
    Done,
    /// The time was up.
    TimedOut,
    /// It could not be read, or came without a descriptor.
    Unreadable,
}

/// A rule that matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WireHit {
    /// Which rule.
    pub rule: u32,
    /// The first of its strings that was found.
    pub string: Option<String>,
    /// Where.
    pub offset: u64,
}

/// A message as a frame.
///
/// # Errors
/// When it is longer than a frame may be.
pub fn frame<T: Serialize>(message: &T) -> Result<Vec<u8>, WireError> {
    let mut bytes = vec![0; PREFIX];
    serde_json::to_writer(&mut bytes, message)?;
    let length = u32::try_from(bytes.len() - PREFIX).unwrap_or(u32::MAX);
    if length as usize > FRAME_MAX {
        return Err(WireError::TooLong(length));
    }
    for (place, byte) in bytes.iter_mut().zip(length.to_le_bytes()) {
        *place = byte;
    }
    Ok(bytes)
}

/// Puts frames together from what comes in pieces.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: VecDeque<u8>,
}

impl Frames {
    /// Takes in what has come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// The next message, if all of it is there.
    ///
    /// # Errors
    /// When it is not understood.
    pub fn take<T: DeserializeOwned>(&mut self) -> Result<Option<T>, WireError> {
        let mut prefix = [0; PREFIX];
        if self.bytes.len() < PREFIX {
            return Ok(None);
        }
        for (place, byte) in prefix.iter_mut().zip(&self.bytes) {
            *place = *byte;
        }
        let length = u32::from_le_bytes(prefix);
        let whole = PREFIX + length as usize;
        if length as usize > FRAME_MAX {
            return Err(WireError::TooLong(length));
        }
        if self.bytes.len() < whole {
            return Ok(None);
        }
        let frame: Vec<u8> = self.bytes.drain(..whole).skip(PREFIX).collect();
        Ok(Some(serde_json::from_slice(&frame)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_order() -> impl Strategy<Value = Order> {
        prop_oneof![
            (".*", ".*").prop_map(|(name, text)| Order::Source { name, text }),
            Just(Order::Compile),
            any::<(u64, u64, u64)>().prop_map(|(ticket, size_max, time_ms)| Order::Scan {
                ticket,
                size_max,
                time_ms
            }),
        ]
    }

    proptest! {
        #[test]
        fn messages_arrive_whole_and_in_order_however_they_are_cut(
            orders in proptest::collection::vec(any_order(), 0..8),
            piece in 1..64_usize,
        ) {
            let bytes: Vec<u8> = orders.iter().flat_map(|order| frame(order).unwrap()).collect();
            let (mut frames, mut arrived) = (Frames::default(), Vec::new());
            for piece in bytes.chunks(piece) {
                frames.push(piece);
                while let Some(order) = frames.take::<Order>().unwrap() {
                    arrived.push(order);
                }
            }
            prop_assert_eq!(arrived, orders);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let mut frames = Frames::default();
            frames.push(&bytes);
            while let Ok(Some(_)) = frames.take::<Report>() {}
        }
    }

    #[test]
    fn a_frame_longer_than_any_is_refused_before_it_has_come() {
        let mut frames = Frames::default();
        frames.push(&u32::MAX.to_le_bytes());
        assert!(matches!(
            frames.take::<Report>(),
            Err(WireError::TooLong(_))
        ));
    }
}
