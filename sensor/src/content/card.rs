//! What a YARA rule says of itself in its `meta`: how bad it is, how sure, which techniques, what
//! looks alike. Also understands the `score` that public rule sets give. Compiles nothing.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::alert::{Rule, Ruleset, Severity};
use crate::event::attack::{Technique, tactic};

/// Longest text taken over from a rule, in bytes.
const TEXT_MAX: usize = 512;
/// Most techniques and tactics of a rule.
const ATTACK_MAX: usize = 16;

/// A rule's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Name in the rule file.
    pub name: String,
    /// The rule file.
    pub file: String,
    /// One line for people.
    pub title: String,
    /// What it looks for.
    pub description: String,
    /// Who wrote it.
    pub author: String,
    /// Word for how bad it is, or a score from 0 to 100.
    pub severity: String,
    /// How sure it is, in percent.
    pub confidence: Option<u8>,
    /// ATT&CK ids and names of tactics, separated by commas or spaces.
    pub attack: String,
    /// What looks alike.
    pub false_positives: String,
}

impl Card {
    /// Takes in one line of a rule's `meta`; what means nothing here is passed over.
    pub fn learn(&mut self, key: &str, value: &str) {
        let text = || cut(value).to_owned();
        match key {
            "title" => self.title = text(),
            "description" => self.description = text(),
            "author" => self.author = text(),
            "severity" => self.severity = text(),
            "score" if self.severity.is_empty() => self.severity = text(),
            "confidence" => self.confidence = value.parse().ok().filter(|percent| *percent <= 100),
            "attack" | "mitre_attack" | "mitre" => self.attack = text(),
            "false_positives" => self.false_positives = text(),
            _ => {}
        }
    }

    /// How bad a match is. A rule that does not say is shown as if it were medium.
    #[must_use]
    pub fn severity(&self) -> Severity {
        let word = self.severity.to_ascii_lowercase();
        Severity::from_name(&word).unwrap_or_else(|| match word.parse::<i64>() {
            Ok(80..) => Severity::High,
            Ok(50..80) => Severity::Medium,
            Ok(_) => Severity::Low,
            Err(_) => Severity::Medium,
        })
    }

    /// As the rule of an alert.
    #[must_use]
    pub fn rule(&self) -> Arc<Rule> {
        let words = self
            .attack
            .split([',', ' '])
            .filter(|word| !word.is_empty())
            .take(ATTACK_MAX);
        let mut rule = Rule {
            id: format!("yara.{}", self.name).into(),
            name: if self.title.is_empty() {
                self.name.as_str().into()
            } else {
                self.title.as_str().into()
            },
            ruleset: Ruleset::Yara,
            authors: Some(&self.author)
                .filter(|author| !author.is_empty())
                .map(|author| author.as_str().into())
                .into_iter()
                .collect(),
            techniques: Box::default(),
            tactics: words.clone().filter_map(tactic).collect(),
        };
        rule.techniques = words
            .filter(|word| is_technique(word))
            .map(|word| Technique::new(word.to_owned()))
            .collect();
        Arc::new(rule)
    }
}

/// `T1505` and `T1505.003`.
fn is_technique(word: &str) -> bool {
    word.strip_prefix('T').is_some_and(|digits| {
        digits.len() >= 4 && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
    })
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(lines: &[(&str, &str)]) -> Card {
        let mut card = Card {
            name: "x".into(),
            ..Card::default()
        };
        for (key, value) in lines {
            card.learn(key, value);
        }
        card
    }

    #[test]
    fn techniques_and_tactics_stand_in_one_line() {
        let rule = card(&[("attack", "T1505.003, T1059 persistence")]).rule();
        assert_eq!(rule.techniques.len(), 2);
        assert_eq!(&*rule.techniques[0].id, "T1505.003");
        assert_eq!(rule.tactics[0].id, "TA0003");
        assert_eq!(&*rule.id, "yara.x");
    }

    #[test]
    fn a_score_is_a_severity_where_no_other_is_given() {
        assert_eq!(card(&[("score", "85")]).severity(), Severity::High);
        assert_eq!(card(&[("score", "40")]).severity(), Severity::Low);
        let both = card(&[("severity", "Critical"), ("score", "10")]);
        assert_eq!(both.severity(), Severity::Critical);
        assert_eq!(card(&[]).severity(), Severity::Medium);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = "é".repeat(TEXT_MAX);
        assert!(card(&[("description", &long)]).description.len() <= TEXT_MAX);
    }
}
