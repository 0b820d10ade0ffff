//! Which rules an event could match, found in one pass over its texts instead of one per rule:
//! per kind of event and field, one automaton looks for all texts that rules need there, and a
//! rule is a candidate when each of its groups of texts was met. Exact semantics stay with
//! rsigma, which decides on every candidate.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::fields::Answer;
use super::need::{Atom, Need, Place, cost};
use super::record::{Record, visit_texts};

/// Bytes of texts up to which the fastest, largest form of automaton is used for a field.
const DENSE_MAX: usize = 8 * 1024;

/// A text in a place in a field.
type Literal = u32;
/// A rule in a shape.
pub type Entry = u32;

/// The index for events of one kind.
#[derive(Debug, Default)]
pub struct Index {
    /// Entries of which nothing is known.
    always: Vec<Entry>,
    /// Fields that hold the best texts of entries.
    first: Vec<Scan>,
    /// Fields that only confirm; looked at when there is something to confirm.
    later: Vec<Scan>,
    /// Per literal, entries it may lead to.
    leads: Vec<Vec<Entry>>,
    /// Per entry, the groups that must be met beside the one that led to it.
    confirm: Vec<Vec<Vec<Literal>>>,
}

/// One field and the texts looked for in it.
#[derive(Debug)]
struct Scan {
    answer: Answer,
    automaton: Arc<AhoCorasick>,
    /// Per text of the automaton, the places it counts in.
    literals: Vec<Vec<(Place, Literal)>>,
}

/// What was found in the event at hand; kept between events for its memory.
#[derive(Debug, Default)]
pub struct Scratch {
    event: u32,
    literals: Vec<u32>,
    hits: Vec<Literal>,
    /// Candidates found.
    pub candidates: Vec<Entry>,
    entries: Vec<u32>,
}

impl Scratch {
    fn begin(&mut self, literals: usize, entries: usize) {
        self.event = self.event.wrapping_add(1);
        if self.event == 0 {
            self.literals.fill(0);
            self.entries.fill(0);
            self.event = 1;
        }
        if self.literals.len() < literals {
            self.literals.resize(literals, 0);
        }
        if self.entries.len() < entries {
            self.entries.resize(entries, 0);
        }
        self.hits.clear();
        self.candidates.clear();
    }

    fn hit(&mut self, literal: Literal) {
        if let Some(seen) = self.literals.get_mut(literal as usize)
            && *seen != self.event
        {
            *seen = self.event;
            self.hits.push(literal);
        }
    }

    fn was_hit(&self, literal: Literal) -> bool {
        self.literals.get(literal as usize) == Some(&self.event)
    }

    /// Whether this is the first time an entry comes up.
    fn is_new(&mut self, entry: Entry) -> bool {
        match self.entries.get_mut(entry as usize) {
            Some(seen) if *seen != self.event => {
                *seen = self.event;
                true
            }
            _ => false,
        }
    }
}

/// Automata by the texts they look for: many kinds of event are asked for the same.
#[derive(Debug, Default)]
pub struct Automata(HashMap<Vec<String>, Arc<AhoCorasick>>);

impl Automata {
    fn of(&mut self, texts: Vec<String>) -> Result<Arc<AhoCorasick>, aho_corasick::BuildError> {
        if let Some(known) = self.0.get(&texts) {
            return Ok(Arc::clone(known));
        }
        let bytes: usize = texts.iter().map(String::len).sum();
        let kind = if bytes <= DENSE_MAX {
            AhoCorasickKind::DFA
        } else {
            AhoCorasickKind::ContiguousNFA
        };
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(Some(kind))
            .build(&texts)?;
        let automaton = Arc::new(automaton);
        self.0.insert(texts, Arc::clone(&automaton));
        Ok(automaton)
    }

    /// Memory they take, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.0
            .values()
            .map(|automaton| automaton.memory_usage())
            .sum()
    }
}

/// Builds an [`Index`].
#[derive(Debug, Default)]
pub struct Builder {
    ids: HashMap<Atom, Literal>,
    index: Index,
    entries: Entry,
}

impl Builder {
    /// Adds the next entry, and says what its number is.
    pub fn add(&mut self, need: Need) -> Option<Entry> {
        let Need::Groups(mut groups) = need else {
            return None;
        };
        let entry = self.entries;
        self.entries += 1;
        groups.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
        let mut groups = groups.into_iter();
        match groups.next() {
            None => self.index.always.push(entry),
            Some(best) => {
                for atom in best {
                    let literal = self.literal(atom);
                    if let Some(leads) = self.index.leads.get_mut(literal as usize) {
                        leads.push(entry);
                    }
                }
            }
        }
        let confirm = groups
            .map(|group| group.into_iter().map(|atom| self.literal(atom)).collect())
            .collect();
        self.index.confirm.push(confirm);
        Some(entry)
    }

    fn literal(&mut self, atom: Atom) -> Literal {
        let next = u32::try_from(self.ids.len()).unwrap_or(u32::MAX);
        let literal = *self.ids.entry(atom).or_insert(next);
        if literal == next {
            self.index.leads.push(Vec::new());
        }
        literal
    }

    /// The finished index.
    ///
    /// # Errors
    /// When an automaton would be larger than memory can hold.
    pub fn build(mut self, automata: &mut Automata) -> Result<Index, aho_corasick::BuildError> {
        let mut fields: BTreeMap<Answer, BTreeMap<String, Vec<(Place, Literal)>>> = BTreeMap::new();
        for (atom, literal) in self.ids {
            let texts = fields.entry(atom.answer).or_default();
            texts
                .entry(atom.text)
                .or_default()
                .push((atom.place, literal));
        }
        for (answer, texts) in fields {
            let leads = texts.values().flatten().any(|(_, literal)| {
                let entries = self.index.leads.get(*literal as usize);
                entries.is_some_and(|entries| !entries.is_empty())
            });
            let (texts, literals): (Vec<String>, Vec<_>) = texts.into_iter().unzip();
            let scan = Scan {
                answer,
                automaton: automata.of(texts)?,
                literals,
            };
            if leads {
                self.index.first.push(scan);
            } else {
                self.index.later.push(scan);
            }
        }
        for entries in &mut self.index.leads {
            entries.shrink_to_fit();
        }
        Ok(self.index)
    }
}

impl Scan {
    fn look<R: Record>(&self, record: &R, scratch: &mut Scratch) {
        let Some(value) = record.answer(self.answer) else {
            return;
        };
        visit_texts(&value, &mut |text| {
            // The automaton knows the cases of ASCII only.
            if text.is_ascii() {
                self.find(text, scratch);
            } else {
                self.find(&text.to_lowercase(), scratch);
            }
        });
    }

    fn find(&self, text: &str, scratch: &mut Scratch) {
        for found in self.automaton.find_overlapping_iter(text) {
            let Some(literals) = self.literals.get(found.pattern().as_usize()) else {
                continue;
            };
            let (starts, ends) = (found.start() == 0, found.end() == text.len());
            for (place, literal) in literals {
                let fits = match place {
                    Place::Inside => true,
                    Place::Start => starts,
                    Place::End => ends,
                    Place::Whole => starts && ends,
                };
                if fits {
                    scratch.hit(*literal);
                }
            }
        }
    }
}

impl Index {
    /// Leaves in `scratch.candidates` the entries that an event could match.
    pub fn candidates<R: Record>(&self, record: &R, scratch: &mut Scratch) {
        scratch.begin(self.leads.len(), self.confirm.len());
        scratch.candidates.extend_from_slice(&self.always);
        for scan in &self.first {
            scan.look(record, scratch);
        }
        let first = scratch.hits.len();
        let mut looked = self.later.is_empty();
        for at in 0..first {
            let leads = scratch
                .hits
                .get(at)
                .and_then(|literal| self.leads.get(*literal as usize));
            for entry in leads.into_iter().flatten() {
                if !scratch.is_new(*entry) {
                    continue;
                }
                let groups = self.confirm.get(*entry as usize);
                if !looked && groups.is_some_and(|groups| !groups.is_empty()) {
                    looked = true;
                    for scan in &self.later {
                        scan.look(record, scratch);
                    }
                }
                let met =
                    |group: &Vec<Literal>| group.iter().any(|literal| scratch.was_hit(*literal));
                if groups.is_none_or(|groups| groups.iter().all(met)) {
                    scratch.candidates.push(*entry);
                }
            }
        }
    }
}
