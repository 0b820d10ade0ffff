//! Texts that must stand in whatever a regular expression matches. Knows nothing of rules.

use regex_syntax::hir::{Class, Hir, HirKind};

/// Shortest text worth looking for.
const LENGTH_MIN: usize = 2;
/// Alternatives of one place in an expression that are kept.
const ALTERNATIVES_MAX: usize = 64;

/// Groups of texts in lower case, ASCII only: of each group, one must be there. No groups when
/// nothing can be said.
#[must_use]
pub fn of_regex(pattern: &str) -> Vec<Vec<String>> {
    match regex_syntax::parse(pattern) {
        Ok(hir) => groups(&hir),
        Err(_) => Vec::new(),
    }
}

fn groups(hir: &Hir) -> Vec<Vec<String>> {
    match hir.kind() {
        HirKind::Literal(_) | HirKind::Class(_) => sequence(std::slice::from_ref(hir)),
        HirKind::Concat(parts) => sequence(parts),
        HirKind::Capture(capture) => groups(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => groups(&repetition.sub),
        HirKind::Alternation(branches) => alternatives(branches).into_iter().collect(),
        HirKind::Empty | HirKind::Look(_) | HirKind::Repetition(_) => Vec::new(),
    }
}

/// One text of each branch, together; nothing when a branch has none.
fn alternatives(branches: &[Hir]) -> Option<Vec<String>> {
    let mut texts = Vec::new();
    for branch in branches {
        let shortest = |group: &Vec<String>| group.iter().map(String::len).min();
        texts.extend(groups(branch).into_iter().max_by_key(shortest)?);
    }
    (texts.len() <= ALTERNATIVES_MAX).then_some(texts)
}

fn sequence(parts: &[Hir]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut run = String::new();
    for part in parts {
        let known = match part.kind() {
            HirKind::Literal(literal) => std::str::from_utf8(&literal.0)
                .ok()
                .filter(|text| text.is_ascii())
                .map(str::to_ascii_lowercase),
            HirKind::Class(class) => one_letter(class).map(String::from),
            _ => None,
        };
        match known {
            Some(text) => run.push_str(&text),
            None => {
                end_run(&mut run, &mut found);
                if !matches!(part.kind(), HirKind::Literal(_) | HirKind::Class(_)) {
                    found.extend(groups(part));
                }
            }
        }
    }
    end_run(&mut run, &mut found);
    found
}

fn end_run(run: &mut String, found: &mut Vec<Vec<String>>) {
    if run.len() >= LENGTH_MIN {
        found.push(vec![std::mem::take(run)]);
    }
    run.clear();
}

/// The letter that a class is both cases of. A class like `(?i)k`, that has a sign outside
/// ASCII beside them, is that letter in lower case as well: `K` of Kelvin is `k`.
fn one_letter(class: &Class) -> Option<char> {
    let Class::Unicode(class) = class else {
        return None;
    };
    let mut letter = None;
    for range in class.ranges() {
        if range.start() != range.end() {
            return None;
        }
        let mut lower = range.start().to_lowercase();
        let first = lower.next().filter(char::is_ascii)?;
        if lower.next().is_some() || letter.is_some_and(|letter| letter != first) {
            return None;
        }
        letter = Some(first);
    }
    letter
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pattern: &str) -> Vec<Vec<String>> {
        of_regex(pattern)
    }

    #[test]
    fn what_must_be_there_is_found_and_what_may_be_is_not() {
        assert_eq!(of("nc.*-e\\s"), [["nc"], ["-e"]]);
        assert_eq!(of("(foo|bar)?x"), Vec::<Vec<String>>::new());
        assert_eq!(of("(?:foo|barr)+z{2}"), [["foo", "barr"]]);
        assert_eq!(of("[a-z]+"), Vec::<Vec<String>>::new());
        assert_eq!(of("(abc|.)"), Vec::<Vec<String>>::new());
    }

    #[test]
    fn case_does_not_matter_kelvin_included() {
        assert_eq!(of("(?i)WGET\\b"), [["wget"]]);
        assert_eq!(of("(?i)kill"), [["kill"]]);
    }
}
