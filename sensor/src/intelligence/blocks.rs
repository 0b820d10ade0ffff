//! What lists want blocked, as a difference between two stores. How it is blocked, and what never
//! is, is the firewall's business.

use std::sync::Arc;

use super::store::Store;
use super::subject::Network;

/// Blocks begun and ended in one piece of a change.
const PIECE: usize = 65_536;

/// Something to be blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What.
    pub network: Network,
    /// Until when, in seconds since the epoch.
    pub until: u64,
    /// The list that wants it.
    pub list: Arc<str>,
    /// What the list calls the threat; may be empty.
    pub title: Arc<str>,
}

/// What is to be done to get from one state to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Not to be blocked any more; done first.
    pub remove: Vec<Network>,
    /// To be blocked from now on, or for another time than before.
    pub add: Vec<Block>,
}

impl Change {
    /// From what one store wants blocked to what another does, in pieces: a million at once would
    /// take much memory for a moment.
    pub fn in_pieces<'s>(old: &'s Store, new: &'s Store) -> impl Iterator<Item = Self> + 's {
        // Who blocks never shortens a block, so one that ends sooner now is begun anew.
        let is_over = |until, network| new.blocked_until(network).is_none_or(|new| new < until);
        let mut gone = old
            .blocks()
            .filter(move |(network, note)| is_over(note.until, *network))
            .map(|(network, _)| network);
        let mut come = new
            .blocks()
            .filter(|(network, note)| old.blocked_until(*network) != Some(note.until))
            .map(|(network, note)| Block {
                network,
                until: note.until,
                list: Arc::clone(&note.list),
                title: Arc::clone(&note.title),
            });
        std::iter::from_fn(move || {
            let remove: Vec<_> = gone.by_ref().take(PIECE).collect();
            // Nothing is begun before all that it may take the place of is gone.
            let room = if remove.len() < PIECE { PIECE } else { 0 };
            let add = come.by_ref().take(room).collect();
            Some(Self { remove, add }).filter(|piece| !piece.is_empty())
        })
    }

    /// Whether there is nothing to be done.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }
}

/// Who blocks. Called on the thread that refreshes lists, and may take its time.
pub trait Blocker: Send {
    /// Takes back what an earlier run blocked for lists and nobody wants any more. Called once,
    /// before all else.
    ///
    /// # Errors
    /// When it could not be done, in words.
    fn take_up(&mut self, is_wanted: &dyn Fn(Network) -> bool) -> Result<(), String>;

    /// Does what is to be done.
    ///
    /// # Errors
    /// When it could not be done, in words.
    fn change(&mut self, change: &Change) -> Result<(), String>;
}

#[cfg(test)]
mod tests {
    use super::super::store::{Builder, Note};
    use super::super::subject::Subject;
    use super::*;

    fn store(entries: &[(&str, u64)]) -> Store {
        let mut builder = Builder::default();
        for (text, until) in entries {
            let note = builder.note(Note {
                list: "x".into(),
                title: "".into(),
                id: Box::default(),
                technique: None,
                tactic: None,
                confidence: 50,
                until: *until,
                blocks: true,
            });
            builder.add(&Subject::parse(text).unwrap(), note);
        }
        builder.finish()
    }

    #[test]
    fn only_what_differs_is_done() {
        let old = store(&[
            ("192.0.2.1", 10),
            ("192.0.2.2", 10),
            ("198.51.100.0/24", 10),
            ("192.0.2.3", 10),
        ]);
        let new = store(&[
            ("192.0.2.1", 10),
            ("192.0.2.2", 20),
            ("2001:db8::/32", 5),
            ("192.0.2.3", 7),
        ]);
        let mut pieces = Change::in_pieces(&old, &new);
        let change = pieces.next().unwrap();
        assert_eq!(pieces.next(), None);
        drop(pieces);
        let mut add: Vec<_> = change
            .add
            .iter()
            .map(|block| (block.network.to_string(), block.until))
            .collect();
        add.sort();
        let expected = [("192.0.2.2", 20), ("192.0.2.3", 7), ("2001:db8::/32", 5)];
        assert_eq!(add, expected.map(|(text, until)| (text.to_owned(), until)));
        let mut remove: Vec<_> = change.remove.iter().map(Network::to_string).collect();
        remove.sort();
        assert_eq!(remove, ["192.0.2.3", "198.51.100.0/24"]);
        assert_eq!(Change::in_pieces(&new, &new).next(), None);
    }
}
