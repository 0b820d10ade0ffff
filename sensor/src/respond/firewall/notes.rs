//! Why an entry is there and who made it: kept once for all entries that share it. The number of
//! a note is made from its content, so that whoever writes the same finds the same, in whatever
//! process.

use std::collections::HashSet;

use sensor_common::guard::{NOTE_BY, NOTE_REASON, Note};
use zerocopy::IntoBytes as _;

use super::table::{Table, TableError};
use crate::event::response::Origin;
use crate::respond::Cause;

/// The number that stands for no note.
pub(super) const NONE: u32 = 0;
/// Numbers tried for a note before it is left out.
const TRIES: u32 = 16;

/// What is to be noted. Texts that are too long are cut between characters.
pub(super) fn note(cause: &Cause, confirmed_until_boot_ns: Option<u64>) -> Note {
    Note {
        by: padded::<NOTE_BY>(&by(cause)),
        reason: padded::<NOTE_REASON>(&cause.reason),
        confirmed_until_boot_ns: confirmed_until_boot_ns.unwrap_or(0),
    }
}

/// Who: `operator root`, `playbook NAME`.
pub(super) fn by(cause: &Cause) -> String {
    format!("{} {}", cause.origin.name(), cause.by)
}

/// The cause that a note was made for.
pub(super) fn cause(note: &Note) -> Cause {
    let by = text(&note.by);
    let (origin, name) = by.split_once(' ').unwrap_or((by.as_str(), ""));
    let known = Origin::ALL.into_iter().find(|known| known.name() == origin);
    Cause {
        origin: known.unwrap_or(Origin::Operator),
        by: if known.is_some() { name } else { &by }.into(),
        reason: text(&note.reason).into(),
    }
}

fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let end = text.floor_char_boundary(N);
    let text = text.get(..end).unwrap_or_default();
    for (to, from) in bytes.iter_mut().zip(text.bytes().filter(|byte| *byte != 0)) {
        *to = from;
    }
    bytes
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    let bytes = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

/// The map `NOTES`.
#[derive(Debug)]
pub(super) struct Notes(pub(super) Table<u32, Note>);

impl Notes {
    /// The number of a note, which is written down if nobody has yet. [`NONE`] when there is no
    /// room: that a block has no reason must not keep it from being one.
    pub(super) fn number(&self, note: &Note) -> Result<u32, TableError> {
        let first = hash(note.as_bytes());
        for attempt in 0..TRIES {
            let number = first.wrapping_add(attempt);
            if number == NONE {
                continue;
            }
            match self.0.get(&number)? {
                Some(known) if known.as_bytes() == note.as_bytes() => return Ok(number),
                Some(_) => {}
                None => {
                    return match self.0.set(&number, note) {
                        Ok(()) => Ok(number),
                        Err(TableError::Full { .. }) => Ok(NONE),
                        Err(error) => Err(error),
                    };
                }
            }
        }
        Ok(NONE)
    }

    /// The note with this number.
    pub(super) fn get(&self, number: u32) -> Result<Option<Note>, TableError> {
        if number == NONE {
            return Ok(None);
        }
        self.0.get(&number)
    }

    /// Forgets notes that nothing refers to.
    pub(super) fn keep_only(&self, used: &HashSet<u32>) -> Result<(), TableError> {
        let mut unused = Vec::new();
        self.0.each(|number, _| {
            if !used.contains(number) {
                unused.push(*number);
            }
        })?;
        self.0.remove_many(&unused).map(drop)
    }
}

/// FNV-1a (<http://www.isthe.com/chongo/tech/comp/fnv/>): spreads well enough, and is the same in
/// every build.
fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cause_of(by: &str, reason: &str) -> Cause {
        Cause {
            origin: Origin::Playbook,
            by: by.into(),
            reason: reason.into(),
        }
    }

    #[test]
    fn a_note_says_who_and_why() {
        let made = cause_of("cut-off", "reverse shell");
        let note = note(&made, None);
        assert_eq!(text(&note.by), "playbook cut-off");
        assert_eq!(cause(&note), made);
    }

    #[test]
    fn texts_that_are_too_long_are_cut_between_characters() {
        let note = note(&cause_of("x", &"é".repeat(200)), None);
        assert_eq!(text(&note.reason), "é".repeat(NOTE_REASON / 2));
    }

    proptest! {
        #[test]
        fn arbitrary_notes_are_read(by: [u8; NOTE_BY], reason: Vec<u8>) {
            let mut note = note(&cause_of("", ""), None);
            note.by = by;
            for (to, from) in note.reason.iter_mut().zip(reason) {
                *to = from;
            }
            let _ = cause(&note);
        }

        #[test]
        fn arbitrary_causes_are_noted(by: String, reason: String) {
            let read = cause(&note(&cause_of(&by, &reason), Some(7)));
            prop_assert_eq!(read.origin, Origin::Playbook);
        }
    }
}
