//! What the maps have to say for a list of rules.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use sensor_common::filter::PREFIX_MAX;
use sensor_common::prevent::{
    FILES_MAX, GROUP_LEVEL_MAX, LOOK_FILES, LOOK_STDIN, LOOK_STDOUT, LOOK_TRAITS, LOOK_USERS,
    PATHS_MAX, Prevention as Sets, SPARED_MAX, SUBJECTS_MAX,
};

use super::rule::{Mode, Program, Rule, Stream};
use crate::cgroup;
use crate::probe::filters::set::{InodeBytes, TrieKey};
use crate::probe::filters::{Pattern, trie_key};
use crate::probe::inode::Inodes;

/// Where logind puts what people who have logged in start (systemd.special(7)).
const LOGINS_GROUP: &str = "user.slice";

/// All of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tables {
    pub sets: Sets,
    pub files: HashMap<InodeBytes, u64>,
    pub paths: HashMap<TrieKey<PREFIX_MAX>, u64>,
    pub users: HashMap<u32, u64>,
    pub groups: HashMap<u64, u64>,
}

impl Tables {
    /// For rules, each with its place.
    pub fn of<'r>(rules: impl Iterator<Item = &'r (u32, Rule)>) -> Self {
        let mut tables = Self::default();
        let mut beginnings: Vec<(Vec<u8>, u64)> = Vec::new();
        let inodes = Inodes::default();
        for (place, rule) in rules {
            tables.add(1 << place, rule, &mut beginnings, &inodes);
        }
        tables.paths = tries(&beginnings);
        if !tables.files.is_empty() {
            tables.sets.looks |= LOOK_FILES;
        }
        tables.sets.logins_group = group(LOGINS_GROUP).map_or(0, |(id, _)| id);
        tables
    }

    fn add(
        &mut self,
        bit: u64,
        rule: &Rule,
        beginnings: &mut Vec<(Vec<u8>, u64)>,
        inodes: &Inodes,
    ) {
        let sets = &mut self.sets;
        sets.rules |= bit;
        sets.enforced |= if rule.mode == Mode::Enforce { bit } else { 0 };
        sets.logins |= if rule.logins { bit } else { 0 };
        sets.looks |= streams(&mut sets.stdin, &rule.stdin, bit, LOOK_STDIN);
        sets.looks |= streams(&mut sets.stdout, &rule.stdout, bit, LOOK_STDOUT);

        if rule.traits.is_empty() {
            sets.any_trait |= bit;
        } else {
            sets.looks |= LOOK_TRAITS;
        }
        for one in &rule.traits {
            if let Some(accepting) = sets.traits.get_mut(one.place()) {
                *accepting |= bit;
            }
        }
        if rule.users.is_empty() {
            sets.any_user |= bit;
        } else {
            sets.looks |= LOOK_USERS;
        }
        for user in &rule.users {
            put(&mut self.users, *user, bit, SUBJECTS_MAX);
        }
        if rule.groups.is_empty() {
            sets.any_group |= bit;
        }
        for (id, level) in rule.groups.iter().filter_map(|path| group(path)) {
            sets.group_levels |= 1 << level;
            put(&mut self.groups, id, bit, SUBJECTS_MAX);
        }
        if !rule.groups.is_empty() {
            // So that they are looked at also while none of them is there.
            sets.group_levels |= 1 << GROUP_LEVEL_MAX;
        }
        if rule.programs.is_empty() {
            sets.any_program |= bit;
        } else {
            sets.by_path |= bit;
        }
        for program in &rule.programs {
            self.add_program(program, bit, beginnings, inodes);
        }
    }

    fn add_program(
        &mut self,
        program: &Program,
        bit: u64,
        beginnings: &mut Vec<(Vec<u8>, u64)>,
        inodes: &Inodes,
    ) {
        let paths = match program {
            Program::Known(known) => known.paths(),
            Program::Path(Pattern::Beginning(bytes)) => {
                beginnings.push((bytes.clone(), bit));
                whole(bytes).into_iter().collect()
            }
            Program::Path(Pattern::Ending(_)) => return,
        };
        for path in paths {
            if let Some(key) = inodes.at(&path) {
                put(&mut self.files, zerocopy::transmute!(key), bit, FILES_MAX);
            }
            beginnings.push(([path.as_os_str().as_bytes(), &[0]].concat(), bit));
        }
    }
}

/// The path that a pattern stands for, when it is only one.
fn whole(beginning: &[u8]) -> Option<PathBuf> {
    let path = beginning.strip_suffix(&[0])?;
    Some(std::ffi::OsStr::from_bytes(path).into())
}

fn put<K: Eq + std::hash::Hash>(sets: &mut HashMap<K, u64>, key: K, bit: u64, most: u32) {
    if sets.len() < most as usize || sets.contains_key(&key) {
        *sets.entry(key).or_insert(0) |= bit;
    } else {
        tracing::error!(
            most,
            "a rule about programs that are not to start has too many entries"
        );
    }
}

fn streams(accepting: &mut [u64], wanted: &[Stream], bit: u64, look: u32) -> u32 {
    for (place, accepting) in accepting.iter_mut().enumerate() {
        if wanted.is_empty() || wanted.iter().any(|stream| stream.place() == place) {
            *accepting |= bit;
        }
    }
    if wanted.is_empty() { 0 } else { look }
}

/// Id of a control group (the inode number of its directory) and its level.
fn group(path: &str) -> Option<(u64, u32)> {
    let root = cgroup::mount_point().ok()?;
    let path = path.trim_matches('/');
    let level = path.split('/').filter(|name| !name.is_empty()).count();
    let level = u32::try_from(level)
        .ok()
        .filter(|level| *level < GROUP_LEVEL_MAX)?;
    let directory = std::fs::metadata(root.join(path)).ok()?;
    Some((directory.ino(), level))
}

/// The longest beginning of a path that is there is all that is found, so each says what all
/// beginnings of its own beginning say.
fn tries(beginnings: &[(Vec<u8>, u64)]) -> HashMap<TrieKey<PREFIX_MAX>, u64> {
    let mut paths = HashMap::new();
    for (bytes, _) in beginnings
        .iter()
        .filter(|(bytes, _)| bytes.len() <= PREFIX_MAX)
    {
        let above = beginnings
            .iter()
            .filter(|(other, _)| bytes.starts_with(other));
        let set = above.fold(0, |set, (_, bit)| set | bit);
        put(&mut paths, trie_key(bytes.iter()), set, PATHS_MAX);
    }
    paths
}

/// Which files are spared, for which user.
pub fn spared(programs: &[(PathBuf, u32)]) -> HashMap<InodeBytes, u32> {
    let inodes = Inodes::default();
    let programs = programs.iter().take(SPARED_MAX as usize);
    programs
        .filter_map(|(path, user)| Some((zerocopy::transmute!(inodes.at(path)?), *user)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(programs: &[&str]) -> Rule {
        let programs = programs
            .iter()
            .map(|text| Program::parse("r", text).unwrap());
        Rule {
            name: "r".into(),
            programs: programs.collect(),
            ..Rule::default()
        }
    }

    #[test]
    fn a_longer_beginning_says_what_the_shorter_ones_say() {
        let rules = [
            (0, rule(&["/tmp/"])),
            (1, rule(&["/tmp/x*"])),
            (2, rule(&["/var/"])),
        ];
        let tables = Tables::of(rules.iter());
        let set = |text: &[u8]| tables.paths[&trie_key(text.iter())];
        assert_eq!(set(b"/tmp/"), 0b001);
        assert_eq!(set(b"/tmp/x"), 0b011);
        assert_eq!(set(b"/var/"), 0b100);
        assert_eq!(tables.sets.by_path, 0b111);
        assert_eq!(tables.sets.any_program, 0);
    }

    #[test]
    fn a_rule_without_a_condition_of_a_kind_accepts_all_of_that_kind() {
        let mut strict = rule(&["/bin/sh"]);
        strict.stdin.push(Stream::InetSocket);
        strict.users.push(33);
        let rules = [(0, strict), (3, rule(&["shell"]))];
        let tables = Tables::of(rules.iter());
        let sets = tables.sets;
        assert_eq!(sets.rules, 0b1001);
        assert_eq!(sets.stdin[Stream::InetSocket.place()], 0b1001);
        assert_eq!(sets.stdin[Stream::LoopbackSocket.place()], 0b1000);
        assert_eq!(sets.stdout, [0b1001; 16]);
        assert_eq!((sets.any_user, tables.users[&33]), (0b1000, 0b0001));
        assert_eq!(sets.looks, LOOK_STDIN | LOOK_USERS | LOOK_FILES);
        assert!(tables.files.values().any(|set| *set == 0b1001));
    }
}
