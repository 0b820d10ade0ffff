//! Reading rule files: every file that can be read counts, every one that cannot is a problem
//! with its place and reason, and stops nothing else. Compiling and indexing is in `mod.rs`.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use rsigma_parser::{CorrelationRule, FilterRule, SigmaRule, parse_sigma_yaml};

/// Largest rule file read, in bytes.
const FILE_MAX: u64 = 4 * 1024 * 1024;
/// Most rules loaded at a time.
pub const RULES_MAX: usize = 65_536;
/// How deep directories may be nested.
const DEPTH_MAX: usize = 16;

/// Something in a rule file that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Where in it, where that is known.
    pub line: Option<u32>,
    /// What, and why.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file.display(), self.what),
            None => write!(f, "{}: {}", self.file.display(), self.what),
        }
    }
}

/// A document of a rule file and where it stands.
#[derive(Clone, Debug)]
pub struct Found<T> {
    /// The document.
    pub document: T,
    /// The file.
    pub file: PathBuf,
    /// Line of its title.
    pub line: Option<u32>,
}

impl<T> Found<T> {
    /// A problem with it.
    pub fn problem(&self, what: impl Into<String>) -> Problem {
        Problem {
            file: self.file.clone(),
            line: self.line,
            what: what.into(),
        }
    }
}

/// What was read.
#[derive(Debug, Default)]
pub struct Sources {
    /// Detection rules.
    pub rules: Vec<Found<SigmaRule>>,
    /// Correlations of them.
    pub correlations: Vec<Found<CorrelationRule>>,
    /// Filters that tune them.
    pub filters: Vec<Found<FilterRule>>,
    /// What could not be read.
    pub problems: Vec<Problem>,
    /// Files read.
    pub files: usize,
}

impl Sources {
    /// Reads a file, or all `.yml` and `.yaml` files below a directory, in the order of their
    /// names.
    pub fn add_path(&mut self, path: &Path) {
        self.add_below(path, 0, true);
    }

    fn add_below(&mut self, path: &Path, depth: usize, named: bool) {
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) => return self.problem(path, format!("cannot be read: {error}")),
        };
        if metadata.is_dir() {
            return self.add_directory(path, depth);
        }
        let is_rule = path
            .extension()
            .is_some_and(|extension| extension == "yml" || extension == "yaml");
        // A file given by name is meant, whatever it is called.
        if !named && !is_rule {
            return;
        }
        if metadata.len() > FILE_MAX {
            return self.problem(path, format!("is larger than {FILE_MAX} bytes"));
        }
        match fs::read_to_string(path) {
            Ok(text) => self.add_text(path, &text),
            Err(error) => self.problem(path, format!("cannot be read: {error}")),
        }
    }

    fn add_directory(&mut self, path: &Path, depth: usize) {
        if depth >= DEPTH_MAX {
            return self.problem(
                path,
                format!("is nested deeper than {DEPTH_MAX} directories"),
            );
        }
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) => return self.problem(path, format!("cannot be read: {error}")),
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            self.add_below(&path, depth + 1, false);
        }
    }

    /// Reads the text of a file.
    pub fn add_text(&mut self, file: &Path, text: &str) {
        self.files += 1;
        let collection = match parse_sigma_yaml(text) {
            Ok(collection) => collection,
            Err(error) => return self.problem(file, error.to_string()),
        };
        for error in &collection.errors {
            self.problem(file, error.clone());
        }
        let nothing = collection.rules.is_empty()
            && collection.correlations.is_empty()
            && collection.filters.is_empty();
        if nothing && collection.errors.is_empty() {
            self.problem(file, "holds no rule".to_owned());
        }
        for document in collection.rules {
            if self.rules.len() >= RULES_MAX {
                return self.problem(file, format!("there are more than {RULES_MAX} rules"));
            }
            let line = line_of_title(text, &document.title);
            self.rules.push(found(document, file, line));
        }
        for document in collection.correlations {
            let line = line_of_title(text, &document.title);
            self.correlations.push(found(document, file, line));
        }
        for document in collection.filters {
            let line = line_of_title(text, &document.title);
            self.filters.push(found(document, file, line));
        }
    }

    fn problem(&mut self, file: &Path, what: String) {
        self.problems.push(Problem {
            file: file.to_owned(),
            line: line_in_message(&what),
            what,
        });
    }
}

fn found<T>(document: T, file: &Path, line: Option<u32>) -> Found<T> {
    Found {
        document,
        file: file.to_owned(),
        line,
    }
}

fn line_of_title(text: &str, title: &str) -> Option<u32> {
    let at = text
        .lines()
        .position(|line| line.trim_start().starts_with("title:") && line.contains(title))?;
    u32::try_from(at + 1).ok()
}

/// The line that a parser's message names: `… at line 7 column 3`.
fn line_in_message(message: &str) -> Option<u32> {
    let (_, rest) = message.split_once(" line ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Sources {
        let mut sources = Sources::default();
        sources.add_text(Path::new("x.yml"), text);
        sources
    }

    #[test]
    fn broken_yaml_is_a_problem_with_its_line() {
        let sources = read("title: x\nlogsource:\n  product: [linux\n");
        assert!(sources.rules.is_empty());
        let [problem] = &sources.problems[..] else {
            panic!("{:?}", sources.problems)
        };
        assert!(problem.line.is_some(), "{problem}");
    }

    #[test]
    fn a_broken_document_does_not_take_its_neighbour_with_it() {
        let good = "title: Good\nlogsource: {product: linux, category: process_creation}\n\
                    detection: {s: {Image: /x}, condition: s}\n";
        let sources = read(&format!("title: Bad\nlogsource: {{}}\n---\n{good}"));
        assert_eq!(sources.rules.len(), 1);
        assert_eq!(sources.rules[0].line, Some(4));
        assert!(!sources.problems.is_empty());
    }

    #[test]
    fn a_missing_directory_is_a_problem_and_no_panic() {
        let mut sources = Sources::default();
        sources.add_path(Path::new("/nonexistent/rules"));
        assert_eq!(sources.problems.len(), 1);
    }
}
