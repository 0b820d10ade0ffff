//! What is sent at once: lines, and what the spool says of them.

use std::ops::Range;
use std::time::Instant;

use crate::export::spool::cursor::Position;

/// One line to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item<'b> {
    /// The event in its format, without an end of line.
    pub(super) line: &'b [u8],
    /// Name of the kind of event.
    pub(super) name: &'b str,
    /// When it happened, ns since the epoch.
    pub(super) wall_ns: u64,
    /// Of an alert, 1 to 5; else 0.
    pub(super) severity: u8,
}

/// Lines that are collected.
#[derive(Debug)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Where the spool was read on from.
    pub(super) start: Position,
    /// Where it is read on after this.
    pub(super) after: Position,
    /// When the first line came.
    pub(super) since: Option<Instant>,
    /// There is an alert in it.
    pub(super) is_urgent: bool,
}

#[derive(Debug)]
struct Entry {
    line: Range<usize>,
    name: Range<usize>,
    wall_ns: u64,
    severity: u8,
}

impl Batch {
    pub(super) const fn new(place: Position) -> Self {
        Self {
            bytes: Vec::new(),
            entries: Vec::new(),
            start: place,
            after: place,
            since: None,
            is_urgent: false,
        }
    }

    /// Adds a line.
    pub(super) fn push(&mut self, item: Item<'_>) {
        let mut keep = |bytes: &[u8]| {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(bytes);
            start..self.bytes.len()
        };
        let (line, name) = (keep(item.line), keep(item.name.as_bytes()));
        self.entries.push(Entry {
            line,
            name,
            wall_ns: item.wall_ns,
            severity: item.severity,
        });
        self.since.get_or_insert_with(Instant::now);
    }

    /// Empties it, for what is read from this place on.
    pub(super) fn begin(&mut self, place: Position) {
        (self.start, self.after) = (place, place);
        self.bytes.clear();
        self.entries.clear();
        self.since = None;
        self.is_urgent = false;
    }

    /// Bytes in it.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Lines in it.
    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// The lines.
    pub(super) fn items(&self) -> Vec<Item<'_>> {
        let text = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        self.entries
            .iter()
            .map(|entry| Item {
                line: text(&entry.line),
                name: str::from_utf8(text(&entry.name)).unwrap_or_default(),
                wall_ns: entry.wall_ns,
                severity: entry.severity,
            })
            .collect()
    }
}
