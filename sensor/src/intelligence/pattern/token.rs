//! The words and signs of a STIX pattern. Knows no grammar.

use super::PatternError;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token<'t> {
    /// A text in quotes, without them; also of a timestamp (`t'…'`), of bytes (`b'…'`, `h'…'`).
    Text(String),
    /// A word or number.
    Bare(&'t str),
    /// `=`, `!=`, `<`, …
    Compare(&'t str),
    /// A bracket, comma, colon, dot or star.
    Sign(u8),
    /// Nothing is left.
    End,
}

/// What is left of a text.
pub struct Tokens<'t> {
    text: &'t str,
    at: usize,
    /// Where the last token that was looked at began.
    before: usize,
}

impl<'t> Tokens<'t> {
    /// All of a text.
    pub const fn of(text: &'t str) -> Self {
        Self {
            text,
            at: 0,
            before: 0,
        }
    }

    /// The next one is this word, in any case; then it is taken.
    pub fn word(&mut self, word: &str) -> Result<bool, PatternError> {
        self.take(|token| matches!(token, Token::Bare(bare) if bare.eq_ignore_ascii_case(word)))
    }

    /// The next one is this sign; then it is taken.
    pub fn sign(&mut self, sign: u8) -> Result<bool, PatternError> {
        self.take(|token| *token == Token::Sign(sign))
    }

    fn take(&mut self, wanted: impl Fn(&Token<'t>) -> bool) -> Result<bool, PatternError> {
        let at = self.at;
        let is_it = wanted(&self.next()?);
        if !is_it {
            self.at = at;
        }
        Ok(is_it)
    }

    /// The last token is not what belongs there.
    pub const fn unexpected(&self) -> PatternError {
        PatternError::Syntax(self.before)
    }

    /// Takes the next one.
    pub fn next(&mut self) -> Result<Token<'t>, PatternError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let rest = rest.trim_start();
        self.before = self.text.len() - rest.len();
        self.at = self.before;
        let Some(first) = rest.bytes().next() else {
            return Ok(Token::End);
        };
        match first {
            b'\'' => self.quoted(rest, 1),
            b't' | b'b' | b'h' if rest.as_bytes().get(1) == Some(&b'\'') => self.quoted(rest, 2),
            b'[' | b']' | b'(' | b')' | b',' | b':' | b'.' | b'*' => {
                self.at += 1;
                Ok(Token::Sign(first))
            }
            b'=' | b'!' | b'<' | b'>' => {
                Ok(Token::Compare(self.run(rest, |byte| {
                    matches!(byte, b'=' | b'!' | b'<' | b'>')
                })))
            }
            _ if is_bare(first) => Ok(Token::Bare(self.bare(rest))),
            _ => Err(self.unexpected()),
        }
    }

    fn run(&mut self, rest: &'t str, belongs: impl Fn(u8) -> bool) -> &'t str {
        let length = rest.bytes().take_while(|byte| belongs(*byte)).count();
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    /// A word; a number with its point.
    fn bare(&mut self, rest: &'t str) -> &'t str {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 && rest.as_bytes().get(digits) == Some(&b'.') {
            return self.run(rest, |byte| byte.is_ascii_digit() || byte == b'.');
        }
        self.run(rest, is_bare)
    }

    /// From behind the opening quote; a backslash goes before a quote or another one.
    fn quoted(&mut self, rest: &'t str, open: usize) -> Result<Token<'t>, PatternError> {
        let mut text = String::new();
        let mut is_escaped = false;
        for (offset, character) in rest.get(open..).unwrap_or_default().char_indices() {
            match character {
                _ if is_escaped => {
                    text.push(character);
                    is_escaped = false;
                }
                '\\' => is_escaped = true,
                '\'' => {
                    self.at += open + offset + 1;
                    return Ok(Token::Text(text));
                }
                _ => text.push(character),
            }
        }
        Err(self.unexpected())
    }
}

const fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+')
}
