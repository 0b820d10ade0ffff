//! A command line as events quote it, taken apart into its arguments: the inverse of
//! [`text::shell_quote_args`](crate::event::text::shell_quote_args), and of nothing more that
//! shells understand. Any text is safe.

use std::iter::Peekable;
use std::str::Chars;

/// The arguments of a command line.
pub(super) fn split(line: &str) -> Box<[Box<str>]> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            ' ' => words.push(std::mem::take(&mut word).into_boxed_str()),
            '\\' => word.extend(rest.next()),
            '\'' => word.extend(rest.by_ref().take_while(|c| *c != '\'')),
            '$' if rest.next_if_eq(&'\'').is_some() => spelled(&mut rest, &mut word),
            c => word.push(c),
        }
    }
    if !line.is_empty() {
        words.push(word.into_boxed_str());
    }
    words.into_boxed_slice()
}

/// What stands between `$'` and `'`.
fn spelled(rest: &mut Peekable<Chars<'_>>, word: &mut String) {
    while let Some(c) = rest.next() {
        match c {
            '\'' => return,
            '\\' => word.extend(escaped(rest)),
            c => word.push(c),
        }
    }
}

fn escaped(rest: &mut Peekable<Chars<'_>>) -> Option<char> {
    match rest.next()? {
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'x' => coded(rest, 2),
        'u' => coded(rest, 4),
        'U' => coded(rest, 8),
        c => Some(c),
    }
}

/// A character by the hexadecimal digits of its code.
fn coded(rest: &mut Peekable<Chars<'_>>, digits: usize) -> Option<char> {
    let mut code = 0;
    for _ in 0..digits {
        let digit = rest.next_if(char::is_ascii_hexdigit)?.to_digit(16)?;
        code = code << 4 | digit;
    }
    char::from_u32(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::text::shell_quote_args;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn arguments_come_back_as_they_were(args in proptest::collection::vec("(?s)(.|['\\\\$ \u{1b}\u{202e}\n]){0,8}", 0..5)) {
            let line = shell_quote_args(&args);
            let back: Vec<String> = split(&line).iter().map(|word| word.to_string()).collect();
            prop_assert_eq!(back, args);
        }

        #[test]
        fn any_text_is_safe(line: String) {
            let _ = split(&line);
        }
    }
}
