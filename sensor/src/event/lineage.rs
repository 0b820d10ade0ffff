//! On whose behalf a process works: what stands above it among its ancestors, in a few words
//! that rules can ask for. How it is found out is not known here.

use std::ops::{BitOr, BitOrAssign};

/// A set of such words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lineage(u8);

/// Bits and words.
const WORDS: [(Lineage, &str); 5] = [
    (Lineage::PACKAGE_MANAGER, "package_manager"),
    (Lineage::REMOTE_LOGIN, "remote_login"),
    (Lineage::SCHEDULER, "scheduler"),
    (Lineage::WEB_SERVICE, "web_service"),
    (Lineage::DATABASE, "database"),
];

impl Lineage {
    /// Nobody's.
    pub const NONE: Self = Self(0);
    /// A package manager, which is still at work, or one of its scripts.
    pub const PACKAGE_MANAGER: Self = Self(1);
    /// Somebody who logged in from afar.
    pub const REMOTE_LOGIN: Self = Self(2);
    /// What runs jobs at set times.
    pub const SCHEDULER: Self = Self(4);
    /// A web service.
    pub const WEB_SERVICE: Self = Self(8);
    /// A database.
    pub const DATABASE: Self = Self(16);

    /// Whether it has one of these.
    #[must_use]
    pub const fn has(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }

    /// All but these.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Its words.
    pub fn words<'w>(self) -> impl Iterator<Item = &'w str> {
        WORDS
            .iter()
            .filter_map(move |(bit, word)| self.has(*bit).then_some(*word))
    }

    /// The set with these words; words that are none are left out.
    #[must_use]
    pub fn of_words<'w>(words: impl IntoIterator<Item = &'w str>) -> Self {
        words
            .into_iter()
            .filter_map(|word| WORDS.iter().find(|(_, known)| *known == word))
            .fold(Self::NONE, |set, (bit, _)| set | *bit)
    }
}

impl BitOr for Lineage {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Lineage {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_are_the_same_set() {
        for bits in 0..32 {
            assert_eq!(Lineage::of_words(Lineage(bits).words()), Lineage(bits));
        }
        assert_eq!(Lineage::of_words(["nobody"]), Lineage::NONE);
    }
}
