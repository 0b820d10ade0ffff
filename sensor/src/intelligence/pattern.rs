//! STIX patterns (STIX 2.1, part 9), as far as one look at one event can answer them: an address,
//! a name, a page or the hash of a file, alternatives of those, and lists of them. What needs
//! several observations, an order, a time or further properties is told apart, so that it can be
//! counted and never alarms by half. Takes any text; work and depth are bounded.

mod token;

use thiserror::Error;
use token::{Token, Tokens};

use super::subject::{Domain, FileHash, Network, Subject, Unfit};

/// Longest pattern, in bytes.
pub const PATTERN_MAX: usize = 256 * 1024;
/// Indicators taken from one pattern.
pub const SUBJECTS_MAX: usize = 8_192;
/// Brackets within brackets.
const DEPTH_MAX: u32 = 16;

/// Why a pattern yields nothing.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PatternError {
    /// It is not one.
    #[error("not a STIX pattern, from byte {0} on")]
    Syntax(usize),
    /// It is too long, too deep, or names too much.
    #[error("a pattern this large is refused")]
    TooLarge,
    /// It asks for more than one event can answer.
    #[error("asks for {0}, which no single event answers")]
    Unsupported(&'static str),
    /// What it names is no usable indicator.
    #[error("{0}")]
    Unfit(#[from] Unfit),
}

/// What of a pattern can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternatives {
    /// Any of these is what it looks for.
    pub subjects: Vec<Subject>,
    /// Further alternatives cannot be used, and why the first of them cannot.
    pub left_out: Option<PatternError>,
}

/// Reads a pattern.
///
/// # Errors
/// When it is none, or no part of it can be used alone.
pub fn parse(text: &str) -> Result<Alternatives, PatternError> {
    if text.len() > PATTERN_MAX {
        return Err(PatternError::TooLarge);
    }
    let mut parser = Parser {
        tokens: Tokens::of(text),
        depth: 0,
    };
    let said = parser.observations()?;
    parser.end()?;
    said.alternatives()
}

/// What a part of a pattern comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    /// Each of these alone is enough; some alternatives may be missing.
    AnyOf(Alternatives),
    /// It only says what kind of thing another part must be.
    Kind,
    /// It cannot be answered.
    Not(PatternError),
}

impl Said {
    fn one(subject: Subject) -> Self {
        Self::AnyOf(Alternatives {
            subjects: vec![subject],
            left_out: None,
        })
    }

    fn alternatives(self) -> Result<Alternatives, PatternError> {
        match self {
            Self::AnyOf(found) => Ok(found),
            Self::Kind => Err(PatternError::Unsupported("a kind of object only")),
            Self::Not(error) => Err(error),
        }
    }

    /// Either is enough, so each is used that can be.
    fn or(self, other: Self) -> Result<Self, PatternError> {
        match (self.alternatives(), other.alternatives()) {
            (Ok(mut one), Ok(other)) => {
                one.subjects.extend(other.subjects);
                one.left_out = one.left_out.or(other.left_out);
                if one.subjects.len() > SUBJECTS_MAX {
                    return Err(PatternError::TooLarge);
                }
                Ok(Self::AnyOf(one))
            }
            (Ok(mut one), Err(error)) | (Err(error), Ok(mut one)) => {
                one.left_out.get_or_insert(error);
                Ok(Self::AnyOf(one))
            }
            (Err(error), Err(_)) => Ok(Self::Not(error)),
        }
    }

    /// Both together. The hash of a file says all that its other properties could add, and a
    /// kind adds nothing to what is of that kind; anything else asks for more than one event.
    fn and(self, other: Self) -> Self {
        let is_file = |said: &Self| match said {
            Self::AnyOf(found) => found
                .subjects
                .iter()
                .all(|subject| matches!(subject, Subject::File(_))),
            _ => false,
        };
        match (self, other) {
            (Self::Kind, other) | (other, Self::Kind) => other,
            (one, other) if is_file(&one) && is_file(&other) => Self::stronger(one, other),
            (one, Self::Not(PatternError::Unsupported(FILE))) if is_file(&one) => one,
            (Self::Not(PatternError::Unsupported(FILE)), other) if is_file(&other) => other,
            (Self::Not(error), _) | (_, Self::Not(error)) => Self::Not(error),
            _ => Self::Not(PatternError::Unsupported("several things at once")),
        }
    }

    /// Of two ways to name a file, the one that is compared with what runs.
    fn stronger(one: Self, other: Self) -> Self {
        let is_sha256 = matches!(&one, Self::AnyOf(found)
            if found.subjects.iter().all(|subject| matches!(subject, Subject::File(FileHash::Sha256(_)))));
        if is_sha256 { one } else { other }
    }
}

/// What properties of files other than hashes are called.
const FILE: &str = "a property of a file";

struct Parser<'t> {
    tokens: Tokens<'t>,
    depth: u32,
}

impl<'t> Parser<'t> {
    /// Observations joined by OR, AND, FOLLOWEDBY; of those, only OR is of use. AND binds more
    /// tightly than OR, and OR than FOLLOWEDBY (STIX 2.1, 9.5).
    fn observations(&mut self) -> Result<Said, PatternError> {
        let first = self.either_observation()?;
        if !self.tokens.word("FOLLOWEDBY")? {
            return Ok(first);
        }
        self.either_observation()?;
        while self.tokens.word("FOLLOWEDBY")? {
            self.either_observation()?;
        }
        Ok(Said::Not(PatternError::Unsupported("an order of events")))
    }

    fn either_observation(&mut self) -> Result<Said, PatternError> {
        let mut said = self.all_observations()?;
        while self.tokens.word("OR")? {
            said = said.or(self.all_observations()?)?;
        }
        Ok(said)
    }

    fn all_observations(&mut self) -> Result<Said, PatternError> {
        let mut said = self.observation()?;
        while self.tokens.word("AND")? {
            self.observation()?;
            said = Said::Not(PatternError::Unsupported("several events"));
        }
        Ok(said)
    }

    fn observation(&mut self) -> Result<Said, PatternError> {
        self.deeper()?;
        let mut said = if self.tokens.sign(b'(')? {
            let said = self.observations()?;
            self.expect(b')')?;
            said
        } else {
            self.expect(b'[')?;
            let said = self.either()?;
            self.expect(b']')?;
            said
        };
        self.depth -= 1;
        while let Some(qualifier) = self.qualifier()? {
            said = Said::Not(PatternError::Unsupported(qualifier));
        }
        Ok(said)
    }

    /// `WITHIN 5 SECONDS`, `REPEATS 5 TIMES`, `START t'…' STOP t'…'`.
    fn qualifier(&mut self) -> Result<Option<&'static str>, PatternError> {
        let what = if self.tokens.word("WITHIN")? {
            self.literal()?;
            self.expect_word("SECONDS")?;
            "events within a time"
        } else if self.tokens.word("REPEATS")? {
            self.literal()?;
            self.expect_word("TIMES")?;
            "repeated events"
        } else if self.tokens.word("START")? {
            self.literal()?;
            self.expect_word("STOP")?;
            self.literal()?;
            "events of a certain time"
        } else {
            return Ok(None);
        };
        Ok(Some(what))
    }

    fn either(&mut self) -> Result<Said, PatternError> {
        let mut said = self.all()?;
        while self.tokens.word("OR")? {
            said = said.or(self.all()?)?;
        }
        Ok(said)
    }

    fn all(&mut self) -> Result<Said, PatternError> {
        let mut said = self.comparison()?;
        while self.tokens.word("AND")? {
            said = said.and(self.comparison()?);
        }
        Ok(said)
    }

    fn comparison(&mut self) -> Result<Said, PatternError> {
        if self.tokens.sign(b'(')? {
            self.deeper()?;
            let said = self.either()?;
            self.expect(b')')?;
            self.depth -= 1;
            return Ok(said);
        }
        let is_exists = self.tokens.word("EXISTS")?;
        let path = self.path()?;
        if is_exists {
            return Ok(Said::Not(path.unsupported()));
        }
        let is_negated = self.tokens.word("NOT")?;
        let operator = self.operator()?;
        let values = match operator {
            Operator::In => self.list()?,
            _ => vec![self.literal()?],
        };
        if is_negated {
            return Ok(Said::Not(PatternError::Unsupported("what is not the case")));
        }
        path.compare(operator, &values)
    }

    fn operator(&mut self) -> Result<Operator, PatternError> {
        for (word, operator) in [
            ("IN", Operator::In),
            ("LIKE", Operator::Like),
            ("ISSUBSET", Operator::IsSubset),
            ("ISSUPERSET", Operator::Other),
            ("MATCHES", Operator::Other),
        ] {
            if self.tokens.word(word)? {
                return Ok(operator);
            }
        }
        match self.tokens.next()? {
            Token::Compare("=" | "==") => Ok(Operator::Equals),
            Token::Compare(_) => Ok(Operator::Other),
            _ => Err(self.tokens.unexpected()),
        }
    }

    fn list(&mut self) -> Result<Vec<String>, PatternError> {
        self.expect(b'(')?;
        let mut values = vec![self.literal()?];
        while self.tokens.sign(b',')? {
            if values.len() >= SUBJECTS_MAX {
                return Err(PatternError::TooLarge);
            }
            values.push(self.literal()?);
        }
        self.expect(b')')?;
        Ok(values)
    }

    fn literal(&mut self) -> Result<String, PatternError> {
        match self.tokens.next()? {
            Token::Text(text) => Ok(text),
            Token::Bare(word) => Ok(word.to_owned()),
            _ => Err(self.tokens.unexpected()),
        }
    }

    /// `file:hashes.'SHA-256'`, `network-traffic:dst_ref.value`, `a:b[*].c`.
    fn path(&mut self) -> Result<Path, PatternError> {
        let Token::Bare(kind) = self.tokens.next()? else {
            return Err(self.tokens.unexpected());
        };
        self.expect(b':')?;
        let mut path = Path {
            kind: kind.to_ascii_lowercase(),
            steps: vec![self.step()?],
        };
        loop {
            if self.tokens.sign(b'.')? {
                path.steps.push(self.step()?);
            } else if self.tokens.sign(b'[')? {
                if !self.tokens.sign(b'*')? {
                    self.literal()?;
                }
                self.expect(b']')?;
                path.steps.push("[]".to_owned());
            } else {
                return Ok(path);
            }
        }
    }

    fn step(&mut self) -> Result<String, PatternError> {
        self.literal().map(|step| step.to_ascii_lowercase())
    }

    fn deeper(&mut self) -> Result<(), PatternError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(PatternError::TooLarge);
        }
        Ok(())
    }

    fn expect(&mut self, sign: u8) -> Result<(), PatternError> {
        if self.tokens.sign(sign)? {
            Ok(())
        } else {
            Err(self.tokens.unexpected())
        }
    }

    fn expect_word(&mut self, word: &str) -> Result<(), PatternError> {
        if self.tokens.word(word)? {
            Ok(())
        } else {
            Err(self.tokens.unexpected())
        }
    }

    fn end(&mut self) -> Result<(), PatternError> {
        match self.tokens.next()? {
            Token::End => Ok(()),
            _ => Err(self.tokens.unexpected()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equals,
    In,
    Like,
    IsSubset,
    Other,
}

/// What a comparison is about.
#[derive(Debug)]
struct Path {
    kind: String,
    steps: Vec<String>,
}

impl Path {
    fn unsupported(&self) -> PatternError {
        PatternError::Unsupported(match self.kind.as_str() {
            "file" => FILE,
            "ipv4-addr" | "ipv6-addr" | "network-traffic" => "a property of traffic",
            "domain-name" | "url" => "a property of a name",
            "process" => "a property of a process",
            "email-addr" | "email-message" => "mail",
            _ => "a kind of object that is not observed",
        })
    }

    fn compare(&self, operator: Operator, values: &[String]) -> Result<Said, PatternError> {
        let steps: Vec<&str> = self.steps.iter().map(String::as_str).collect();
        let read: fn(&str) -> Option<Subject> = match (self.kind.as_str(), steps.as_slice()) {
            ("ipv4-addr" | "ipv6-addr", ["value"]) => address,
            ("domain-name", ["value"]) if operator == Operator::Like => below,
            ("domain-name", ["value"]) => name,
            ("url", ["value"]) => page,
            ("file", ["hashes", _]) => hash,
            ("network-traffic", ["dst_ref" | "src_ref", "value"]) => peer,
            ("network-traffic", ["dst_ref" | "src_ref", "type"])
                if operator == Operator::Equals =>
            {
                return Ok(Said::Kind);
            }
            _ => return Ok(Said::Not(self.unsupported())),
        };
        let is_usable = match operator {
            Operator::Equals | Operator::In => true,
            Operator::IsSubset => self.kind.starts_with("ipv"),
            Operator::Like => self.kind == "domain-name",
            Operator::Other => false,
        };
        if !is_usable {
            return Ok(Said::Not(PatternError::Unsupported("a comparison by form")));
        }
        let mut said = None;
        for value in values {
            let one = read(value).map_or(Said::Not(Unfit::Unknown.into()), Said::one);
            said = Some(match said {
                None => one,
                Some(said) => Said::or(said, one)?,
            });
        }
        Ok(said.unwrap_or(Said::Not(Unfit::Unknown.into())))
    }
}

fn address(text: &str) -> Option<Subject> {
    Subject::parse(text)
        .ok()
        .filter(|subject| matches!(subject, Subject::Network(_)))
}

fn name(text: &str) -> Option<Subject> {
    Domain::parse(text).map(Subject::Domain)
}

/// `%.example.net`: the one form of LIKE that lists use for names.
fn below(text: &str) -> Option<Subject> {
    let parent = text.strip_prefix("%.")?;
    Domain::parse(&format!("*.{parent}")).map(Subject::Domain)
}

fn page(text: &str) -> Option<Subject> {
    Subject::parse(text)
        .ok()
        .filter(|subject| matches!(subject, Subject::Host(_) | Subject::Network(_)))
}

fn peer(text: &str) -> Option<Subject> {
    match text.parse() {
        Ok(address) => Some(Subject::Network(Network::host(address))),
        Err(_) => name(text),
    }
}

fn hash(text: &str) -> Option<Subject> {
    FileHash::parse(text).map(Subject::File)
}

#[cfg(test)]
mod tests;
