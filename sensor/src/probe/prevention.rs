//! The user-space side of `sensor-ebpf/src/prevent.rs`: writes the rules about programs that are
//! not to start, at start and while the programs run. A rule keeps its place in the sets as long
//! as it stays the same, and a changed one is in force before its old form is taken out, so that
//! there is no moment with fewer rules than before and after a change.

pub mod known;
pub mod rule;
mod tables;

use aya::Ebpf;
use aya::maps::{Array, MapData};
use sensor_common::filter::PREFIX_MAX;
use sensor_common::prevent::{NAME_BYTES, Prevention as Sets, RULES_MAX, SLOTS};

use super::filters::FilterError;
use super::filters::set::{HashSet, InodeBytes, TrieSet, hash_set, take, trie_set};
pub use rule::{Mode, Program, Rule, Stream, Trait};
use tables::Tables;

type SetsBytes = [u8; size_of::<Sets>()];

/// Programs that are never kept from starting, by their path, for one user each.
pub type Spared = Vec<(std::path::PathBuf, u32)>;

/// The rules of running programs.
pub struct Prevention {
    sets: Array<MapData, SetsBytes>,
    names: Array<MapData, [u8; NAME_BYTES]>,
    files: HashSet<InodeBytes, u64>,
    spared_files: HashSet<InodeBytes, u32>,
    paths: TrieSet<PREFIX_MAX, u64>,
    users: HashSet<u32, u64>,
    groups: HashSet<u64, u64>,
    /// Rules in force, with their places.
    rules: Vec<(u32, Rule)>,
    spared: Spared,
    /// What is written.
    now: Tables,
}

fn array<V: aya::Pod>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<Array<MapData, V>, FilterError> {
    Array::try_from(take(ebpf, name)?).map_err(|_| FilterError::NoMap(name))
}

impl Prevention {
    /// Takes over the maps and sets the first rules.
    ///
    /// # Errors
    /// When a map is missing or the kernel refuses an entry.
    pub fn new(ebpf: &mut Ebpf, rules: Vec<Rule>, spared: Spared) -> Result<Self, FilterError> {
        let mut prevention = Self {
            sets: array(ebpf, "PREVENTION")?,
            names: array(ebpf, "PREVENT_NAMES")?,
            files: hash_set(ebpf, "PREVENT_FILES")?,
            spared_files: hash_set(ebpf, "PREVENT_SPARED")?,
            paths: trie_set(ebpf, "PREVENT_PATHS")?,
            users: hash_set(ebpf, "PREVENT_USERS")?,
            groups: hash_set(ebpf, "PREVENT_GROUPS")?,
            rules: Vec::new(),
            spared: Vec::new(),
            now: Tables::default(),
        };
        prevention.apply(rules, spared)?;
        Ok(prevention)
    }

    /// Replaces the rules, while the programs run.
    ///
    /// # Errors
    /// When the kernel refuses an entry; the rules are then between the old and the new.
    pub fn apply(&mut self, rules: Vec<Rule>, spared: Spared) -> Result<(), FilterError> {
        let rules = place(rules, &self.rules);
        for (place, rule) in &rules {
            let name = name_bytes(&rule.name);
            self.names
                .set(*place, name, 0)
                .map_err(|error| FilterError::Map("PREVENT_NAMES", error))?;
        }
        self.spared = spared;
        let both = rules
            .iter()
            .chain(self.rules.iter().filter(|old| !rules.contains(old)));
        let wide = Tables::of(both);
        let narrow = Tables::of(rules.iter());
        self.write(&wide, &narrow)?;
        self.rules = rules;
        Ok(())
    }

    /// Finds out anew which files and groups the rules mean; to be done from time to time.
    ///
    /// # Errors
    /// When the kernel refuses an entry.
    pub fn refresh(&mut self) -> Result<(), FilterError> {
        let tables = Tables::of(self.rules.iter());
        if tables == self.now && tables::spared(&self.spared) == self.spared_files.entries {
            return Ok(());
        }
        self.write(&tables, &tables)
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Writes `narrow`, by way of `wide`, which has all that is in it and all that was: so every
    /// condition of a new rule is there before the rule is, and of an old one until it is gone.
    fn write(&mut self, wide: &Tables, narrow: &Tables) -> Result<(), FilterError> {
        let spared = tables::spared(&self.spared);
        self.spared_files.add(&spared)?;
        self.add(wide)?;
        for rules in [self.now.sets.rules, narrow.sets.rules] {
            self.set(&Sets { rules, ..wide.sets })?;
        }
        self.add(narrow)?;
        self.files.retain(&narrow.files)?;
        self.paths.retain(&narrow.paths)?;
        self.users.retain(&narrow.users)?;
        self.groups.retain(&narrow.groups)?;
        self.set(&narrow.sets)?;
        self.spared_files.retain(&spared)?;
        self.now = narrow.clone();
        Ok(())
    }

    fn add(&mut self, tables: &Tables) -> Result<(), FilterError> {
        self.files.add(&tables.files)?;
        self.paths.add(&tables.paths)?;
        self.users.add(&tables.users)?;
        self.groups.add(&tables.groups)
    }

    fn set(&mut self, sets: &Sets) -> Result<(), FilterError> {
        let bytes: SetsBytes = zerocopy::transmute!(*sets);
        let written = self.sets.set(0, bytes, 0);
        written.map_err(|error| FilterError::Map("PREVENTION", error))
    }
}

/// Gives each rule its place: its old one, if it is the same as before, else one that is free.
fn place(rules: Vec<Rule>, before: &[(u32, Rule)]) -> Vec<(u32, Rule)> {
    let old = |rule: &Rule| {
        before
            .iter()
            .find(|(_, old)| old == rule)
            .map(|(place, _)| *place)
    };
    let mut free = (0..SLOTS).filter(|place| before.iter().all(|(taken, _)| taken != place));
    rules
        .into_iter()
        .take(RULES_MAX as usize)
        .filter_map(|rule| Some((old(&rule).or_else(|| free.next())?, rule)))
        .collect()
}

/// A name that ends with a NUL.
fn name_bytes(name: &str) -> [u8; NAME_BYTES] {
    let mut bytes = [0; NAME_BYTES];
    for (to, from) in bytes.iter_mut().take(NAME_BYTES - 1).zip(name.bytes()) {
        *to = from;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str) -> Rule {
        Rule {
            name: name.into(),
            ..Rule::default()
        }
    }

    #[test]
    fn an_unchanged_rule_keeps_its_place_and_a_changed_one_gets_another() {
        let first = place(vec![rule("a"), rule("b")], &[]);
        let mut changed = rule("b");
        changed.logins = true;
        let second = place(vec![rule("c"), rule("a"), changed], &first);
        let places: Vec<u32> = second.iter().map(|(place, _)| *place).collect();
        assert_eq!(places, [2, 0, 3]);
        let many = |prefix: &str| (0..40).map(|n| rule(&format!("{prefix}{n}"))).collect();
        let before = place(many("x"), &[]);
        let after = place(many("y"), &before);
        assert_eq!((before.len(), after.len()), (32, 32));
    }
}
