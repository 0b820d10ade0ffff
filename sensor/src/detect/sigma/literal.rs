//! Texts that must stand in whatever a regular expression matches. Knows nothing of rules.

use regex_syntax::hir::{Class, Hir, HirKind};

/// Shortest text worth looking for.
const LENGTH_MIN: usize = 2;
/// Alternatives of one place in an expression that are kept.
const ALTERNATIVES_MAX: usize = 64;
/// Variants of one run of characters that are kept.
const VARIANTS_MAX: usize = 16;

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
    let mut runs = vec![String::new()];
    for part in parts {
        match exact(part).and_then(|texts| joined(&runs, &texts)) {
            Some(longer) => runs = longer,
            None => {
                end(&mut runs, &mut found);
                match exact(part) {
                    Some(texts) => runs = texts,
                    // One that is no sequence says nothing, and would come back here.
                    None if matches!(part.kind(), HirKind::Literal(_) | HirKind::Class(_)) => {}
                    None => found.extend(groups(part)),
                }
            }
        }
    }
    end(&mut runs, &mut found);
    found
}

/// Each text followed by each of others, unless there would be too many.
fn joined(firsts: &[String], seconds: &[String]) -> Option<Vec<String>> {
    if firsts.len() * seconds.len() > VARIANTS_MAX {
        return None;
    }
    let pairs = firsts
        .iter()
        .flat_map(|first| seconds.iter().map(move |second| format!("{first}{second}")));
    Some(pairs.collect())
}

fn end(runs: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let mut texts = std::mem::replace(runs, vec![String::new()]);
    texts.sort();
    texts.dedup();
    if texts.iter().all(|text| text.len() >= LENGTH_MIN) {
        found.push(texts);
    }
}

/// All texts that an expression matches, in lower case, when they are few and ASCII.
fn exact(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Literal(literal) => {
            let text = std::str::from_utf8(&literal.0).ok()?;
            text.is_ascii().then(|| vec![text.to_ascii_lowercase()])
        }
        HirKind::Class(class) => letters(class),
        HirKind::Capture(capture) => exact(&capture.sub),
        HirKind::Concat(parts) => {
            let mut texts = vec![String::new()];
            for part in parts {
                texts = joined(&texts, &exact(part)?)?;
            }
            Some(texts)
        }
        HirKind::Alternation(branches) => {
            let mut texts = Vec::new();
            for branch in branches {
                texts.extend(exact(branch)?);
            }
            (texts.len() <= VARIANTS_MAX).then_some(texts)
        }
        _ => None,
    }
}

/// The characters of a class, in lower case. A class like `(?i)k`, that has a sign outside
/// ASCII beside the letter, is that letter as well: the Kelvin sign is `k` in lower case.
fn letters(class: &Class) -> Option<Vec<String>> {
    let Class::Unicode(class) = class else {
        return None;
    };
    let mut texts = Vec::new();
    for range in class.ranges() {
        for c in range.start()..=range.end() {
            let mut lower = c.to_lowercase();
            let first = lower.next().filter(char::is_ascii)?;
            let text = String::from(first);
            if lower.next().is_some() || texts.len() >= VARIANTS_MAX {
                return None;
            }
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
    }
    Some(texts)
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
        assert_eq!(of("-(W|R)\\s?x"), [["-r", "-w"]]);
        assert_eq!(of("a[bc]d.e"), [["abd", "acd"]]);
    }

    #[test]
    fn case_does_not_matter_kelvin_included() {
        assert_eq!(of("(?i)WGET\\b"), [["wget"]]);
        assert_eq!(of("(?i)kill"), [["kill"]]);
    }
}
