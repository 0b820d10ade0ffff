//! Patterns with `*` for any run of characters and `?` for any one of them.

use std::fmt;

/// Longest pattern, in bytes.
pub const PATTERN_MAX: usize = 256;

/// A pattern that a whole text has to match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// From how it is written.
    ///
    /// # Errors
    /// When it is empty, which matches nothing, or too long.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > PATTERN_MAX {
            return Err(format!(
                "a pattern has 1 to {PATTERN_MAX} bytes; {} do not do",
                text.len()
            ));
        }
        Ok(Self(text.into()))
    }

    /// Whether it matches. Takes at most as many steps as both are long, multiplied: of several
    /// `*` only the latest is ever tried again.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let mut pattern = self.0.chars();
        let mut rest = text.chars();
        let mut again = None;
        loop {
            let mut ahead = pattern.clone();
            match (ahead.next(), rest.clone().next()) {
                (Some('*'), _) => {
                    again = Some((ahead.clone(), rest.clone()));
                    pattern = ahead;
                }
                (Some(wanted), Some(found)) if wanted == '?' || wanted == found => {
                    pattern = ahead;
                    rest.next();
                }
                (None, None) => return true,
                // The latest `*` takes one more.
                _ => {
                    let Some((after, from)) = &mut again else {
                        return false;
                    };
                    if from.next().is_none() {
                        return false;
                    }
                    pattern = after.clone();
                    rest = from.clone();
                }
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(text)
    }

    #[test]
    fn stars_take_any_run_and_question_marks_one_character() {
        assert!(matches("remote-shell.*", "remote-shell.reverse"));
        assert!(matches("*", ""));
        assert!(matches("*a*b", "xxaxxbxb"));
        assert!(matches("c?t", "cät"));
        assert!(!matches("remote-shell", "remote-shell.reverse"));
        assert!(!matches("*a", "ab"));
        assert!(!matches("c?t", "ct"));
        assert!(Pattern::parse("").is_err());
    }

    /// What it means, said as simply as can be.
    fn means(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, rest) => rest.is_none(),
            (Some(('*', rest)), left) => {
                means(rest, text) || left.is_some_and(|(_, left)| means(pattern, left))
            }
            (Some((wanted, rest)), Some((found, left))) => {
                (*wanted == '?' || wanted == found) && means(rest, left)
            }
            (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn it_is_what_it_means(pattern in "[ab*?]{1,8}", text in "[ab]{0,10}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &text), means(&chars(&pattern), &chars(&text)));
        }
    }

    #[test]
    fn the_worst_pattern_takes_no_time() {
        let pattern = "*a".repeat(PATTERN_MAX / 2);
        assert!(!matches(&pattern, &"ab".repeat(50_000)));
    }
}
