//! A Sigma rule as alerts name it: id, title, authors, severity, ATT&CK. What it detects is
//! elsewhere.

use std::sync::Arc;

use rsigma_parser::{CorrelationRule, Level, SigmaRule};

use crate::event::alert::{Rule, Ruleset, Severity};
use crate::event::attack::{Tactic, Technique, tactic};

/// Longest value shown in a message, in characters.
const VALUE_MAX: usize = 120;
/// Most fields shown in a message.
const FIELDS_MAX: usize = 4;

/// What alerts say of a rule.
#[derive(Clone, Debug)]
pub struct Card {
    /// For the alert.
    pub rule: Arc<Rule>,
    /// How bad.
    pub severity: Severity,
}

impl Card {
    /// Of a detection rule.
    #[must_use]
    pub fn of_rule(rule: &SigmaRule) -> Self {
        Self::new(
            rule.id.as_deref(),
            &rule.title,
            rule.author.as_deref(),
            rule.level,
            &rule.tags,
        )
    }

    /// Of a correlation.
    #[must_use]
    pub fn of_correlation(rule: &CorrelationRule) -> Self {
        Self::new(
            rule.id.as_deref(),
            &rule.title,
            rule.author.as_deref(),
            rule.level,
            &rule.tags,
        )
    }

    fn new(
        id: Option<&str>,
        title: &str,
        author: Option<&str>,
        level: Option<Level>,
        tags: &[String],
    ) -> Self {
        let (techniques, tactics) = attack(tags);
        let rule = Rule {
            id: id.unwrap_or(title).into(),
            name: title.into(),
            ruleset: Ruleset::Sigma,
            authors: author
                .unwrap_or_default()
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty())
                .map(Into::into)
                .collect(),
            techniques: techniques.into(),
            tactics: tactics.into(),
        };
        // A rule without a level has not been judged; it is shown as if it were medium.
        let severity = level
            .and_then(|level| Severity::from_name(level.as_str()))
            .unwrap_or(Severity::Medium);
        Self {
            rule: Arc::new(rule),
            severity,
        }
    }

    /// One sentence: the title, and what of the event matched.
    pub fn message(&self, fields: impl IntoIterator<Item = (String, String)>) -> String {
        let mut shown: Vec<(String, String)> = Vec::new();
        for field in fields {
            if shown.len() < FIELDS_MAX && !shown.contains(&field) {
                shown.push(field);
            }
        }
        let mut text = self.rule.name.to_string();
        for (index, (name, value)) in shown.iter().enumerate() {
            text.push_str(if index == 0 { ": " } else { ", " });
            text.push_str(&format!("{name} is {}", shortened(value)));
        }
        text
    }
}

fn shortened(value: &str) -> String {
    if value.chars().count() <= VALUE_MAX {
        return value.to_owned();
    }
    let mut text: String = value.chars().take(VALUE_MAX).collect();
    text.push('…');
    text
}

/// Techniques and tactics of tags such as `attack.t1059.004` and `attack.defense-evasion`.
fn attack(tags: &[String]) -> (Vec<Technique>, Vec<Tactic>) {
    let (mut techniques, mut tactics) = (Vec::new(), Vec::new());
    for tag in tags {
        let tag = tag.to_ascii_lowercase();
        let Some(name) = tag.strip_prefix("attack.") else {
            continue;
        };
        let is_technique = name
            .strip_prefix('t')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if is_technique {
            techniques.push(Technique::new(name.to_ascii_uppercase()));
        } else if let Some(tactic) = tactic(name) {
            tactics.push(tactic);
        }
    }
    (techniques, tactics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_become_techniques_and_tactics_and_others_are_left() {
        let tags = ["attack.t1059.004", "attack.defense-evasion", "cve.2021-1"];
        let (techniques, tactics) = attack(&tags.map(str::to_owned));
        assert_eq!(techniques[0].id, "T1059.004");
        assert_eq!(tactics[0].id, "TA0005");
        assert_eq!((techniques.len(), tactics.len()), (1, 1));
    }

    #[test]
    fn a_message_is_one_sentence_of_bounded_length() {
        let card = Card::new(None, "Odd", Some("A, B (C)"), Some(Level::High), &[]);
        let field = |value: &str| ("Image".to_owned(), value.to_owned());
        assert_eq!(card.message([field("/x"), field("/x")]), "Odd: Image is /x");
        assert!(card.message([field(&"é".repeat(9_000))]).chars().count() < 200);
        assert_eq!(card.rule.authors.len(), 2);
        assert_eq!(card.severity, Severity::High);
    }
}
