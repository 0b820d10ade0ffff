//! The YARA engine: compiles rule files one by one, says what is wrong with which, and tries the
//! rules on bytes. Opens nothing; runs inside the helper, and in tests and benchmarks.

use std::collections::HashMap;
use std::time::Duration;

use boreal::compiler::CompilerParams;
use boreal::scanner::{EvaluatedRule, ScanParams};
use boreal::{Compiler, MetadataValue, Scanner};

use super::card::Card;
use super::source::Source;
use super::wire::{HITS_MAX, WireHit};

/// Occurrences of one string that are counted.
const OCCURRENCES_MAX: u32 = 1_000;

/// Rules, compiled.
pub struct Engine {
    scanner: Scanner,
    cards: Vec<Card>,
    numbers: HashMap<(String, String), u32>,
}

/// What the rules make of some bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Rules that match.
    pub hits: Vec<WireHit>,
    /// The time was up before all were tried.
    pub timed_out: bool,
}

impl Engine {
    /// Compiles rule files. What is wrong with one (`file:line:column: reason`) leaves the others.
    #[must_use]
    pub fn compile(sources: &[Source]) -> (Self, Vec<String>) {
        let mut compiler = Compiler::new();
        // A rule file cannot make the sensor read others.
        compiler.set_params(CompilerParams::default().disable_includes(true));
        let mut problems = Vec::new();
        for source in sources {
            let added = compiler.add_rules_str_in_namespace(&source.text, &source.name);
            if let Err(error) = added {
                let report = error.to_diagnostic();
                problems.push(boreal::compiler::generate_description(
                    &report,
                    &source.name,
                    &source.text,
                ));
            }
        }
        let scanner = compiler.finalize();
        let cards = cards(&scanner);
        let numbers = cards
            .iter()
            .zip(0..)
            .map(|(card, number)| ((card.file.clone(), card.name.clone()), number))
            .collect();
        let engine = Self {
            scanner,
            cards,
            numbers,
        };
        (engine, problems)
    }

    /// What the rules say of themselves, in the order of their numbers.
    #[must_use]
    pub fn cards(&self) -> &[Card] {
        &self.cards
    }

    /// Tries the rules.
    pub fn scan(&mut self, bytes: &[u8], time: Duration) -> Scan {
        self.scanner.set_scan_params(
            ScanParams::default()
                .timeout_duration(Some(time))
                .string_max_nb_matches(OCCURRENCES_MAX),
        );
        let (result, timed_out) = match self.scanner.scan_mem(bytes) {
            Ok(result) => (result, false),
            Err((_, result)) => (result, true),
        };
        let hits = result
            .rules
            .iter()
            .filter_map(|rule| self.hit(rule))
            .take(HITS_MAX)
            .collect();
        Scan { hits, timed_out }
    }

    fn hit(&self, rule: &EvaluatedRule<'_>) -> Option<WireHit> {
        let name = (rule.namespace.to_owned(), rule.name.to_owned());
        let first = rule
            .matches
            .iter()
            .filter_map(|string| Some((string.name, string.matches.first()?.offset)))
            .min_by_key(|(_, offset)| *offset);
        Some(WireHit {
            rule: *self.numbers.get(&name)?,
            string: first.map(|(name, _)| name.to_owned()),
            offset: first.map_or(0, |(_, offset)| offset as u64),
        })
    }
}

fn cards(scanner: &Scanner) -> Vec<Card> {
    let rules = scanner.rules().filter(|rule| !rule.is_private);
    rules
        .map(|rule| {
            let mut card = Card {
                name: rule.name.to_owned(),
                file: rule.namespace.to_owned(),
                ..Card::default()
            };
            for line in rule.metadatas {
                let key = scanner.get_string_symbol(line.name);
                match line.value {
                    MetadataValue::Bytes(text) => {
                        let text = String::from_utf8_lossy(scanner.get_bytes_symbol(text));
                        card.learn(key, &text);
                    }
                    MetadataValue::Integer(number) => card.learn(key, &number.to_string()),
                    MetadataValue::Boolean(_) => {}
                }
            }
            card
        })
        .collect()
}

#[cfg(test)]
mod tests;
