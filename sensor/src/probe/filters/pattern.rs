//! What a person writes to say which files are meant, and what the kernel programs make of it.
//! No maps here.

use sensor_common::filter::{DROP, PREFIX_MAX, REPORT, SUFFIX_MAX};
use thiserror::Error;

/// Why a pattern means nothing.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PatternError {
    /// Neither a path nor an ending.
    #[error("{0:?} names no files: begin with / for a path, or with * for an ending")]
    Unclear(String),
    /// A star where there can be none.
    #[error("{0:?}: a star can only stand at the end of a path, or before an ending")]
    Star(String),
    /// Longer than the programs look.
    #[error("{0:?} is longer than {1} bytes")]
    TooLong(String, usize),
}

/// Which paths are meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pattern {
    /// Those that begin so; with a NUL at the end, the one that is so.
    Beginning(Vec<u8>),
    /// Those that end so.
    Ending(Vec<u8>),
}

impl Pattern {
    /// - `/etc/passwd`: that file;
    /// - `/var/www/`: everything in that directory, however deep;
    /// - `/tmp/sess*`: every path that begins so;
    /// - `*.php`: every path that ends so.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let bytes = text.as_bytes();
        let (pattern, length) = match bytes {
            [b'*', ending @ ..] if !ending.is_empty() => {
                (Self::Ending(ending.to_vec()), SUFFIX_MAX)
            }
            [b'/', .., b'*'] => (
                Self::Beginning(bytes.split_last().map_or(bytes, |(_, rest)| rest).to_vec()),
                PREFIX_MAX,
            ),
            [b'/', .., b'/'] | [b'/'] => (Self::Beginning(bytes.to_vec()), PREFIX_MAX),
            [b'/', ..] => (Self::Beginning([bytes, &[0]].concat()), PREFIX_MAX),
            _ => return Err(PatternError::Unclear(text.to_owned())),
        };
        let inner = pattern.bytes();
        if inner.contains(&b'*') {
            return Err(PatternError::Star(text.to_owned()));
        }
        if inner.len() > length {
            return Err(PatternError::TooLong(text.to_owned(), length));
        }
        Ok(pattern)
    }

    /// What it is made of.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Beginning(bytes) | Self::Ending(bytes) => bytes,
        }
    }

    fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Beginning(beginning) => match beginning.strip_suffix(&[0]) {
                Some(whole) => path == whole,
                None => path.starts_with(beginning),
            },
            Self::Ending(ending) => path.ends_with(ending),
        }
    }
}

/// Patterns and what they say, as the programs apply them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathRules {
    rules: Vec<(Pattern, u32)>,
    /// Changes in kernel file systems are reported like any other.
    pub kernel_file_systems: bool,
}

impl PathRules {
    /// From patterns to report and patterns to drop; of two equal ones, the report counts.
    ///
    /// # Errors
    /// The first pattern that means nothing.
    pub fn new<'t>(
        report: impl IntoIterator<Item = &'t str>,
        drop: impl IntoIterator<Item = &'t str>,
    ) -> Result<Self, PatternError> {
        let mut rules = Vec::new();
        for text in report {
            rules.push((Pattern::parse(text)?, REPORT));
        }
        for text in drop {
            let pattern = Pattern::parse(text)?;
            if !rules.iter().any(|(known, _)| *known == pattern) {
                rules.push((pattern, DROP));
            }
        }
        Ok(Self {
            rules,
            kernel_file_systems: false,
        })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &(Pattern, u32)> {
        self.rules.iter()
    }

    /// Whether a path is reported: what `sensor-ebpf/src/filter.rs` does, for paths that the
    /// programs do not know. Kernel file systems are told by where they usually are.
    #[must_use]
    pub fn admit(&self, path: &str) -> bool {
        let path = path.as_bytes();
        let longest = |beginning: bool| {
            self.rules
                .iter()
                .filter(|(pattern, _)| {
                    matches!(pattern, Pattern::Beginning(_)) == beginning && pattern.matches(path)
                })
                .max_by_key(|(pattern, _)| pattern.bytes().len())
                .map_or(0, |(_, says)| *says)
        };
        let said = longest(true) | longest(false);
        if said & REPORT != 0 {
            return true;
        }
        let pseudo = path.starts_with(b"/proc/") || path.starts_with(b"/sys/");
        said & DROP == 0 && (self.kernel_file_systems || !pseudo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_directories_beginnings_and_endings_are_told_apart() {
        assert_eq!(
            Pattern::parse("/etc/passwd"),
            Ok(Pattern::Beginning(b"/etc/passwd\0".to_vec()))
        );
        assert_eq!(
            Pattern::parse("/srv/"),
            Ok(Pattern::Beginning(b"/srv/".to_vec()))
        );
        assert_eq!(
            Pattern::parse("/tmp/sess*"),
            Ok(Pattern::Beginning(b"/tmp/sess".to_vec()))
        );
        assert_eq!(
            Pattern::parse("*.php"),
            Ok(Pattern::Ending(b".php".to_vec()))
        );
        assert_eq!(Pattern::parse("/"), Ok(Pattern::Beginning(b"/".to_vec())));
        assert_eq!(Pattern::parse("/*"), Ok(Pattern::Beginning(b"/".to_vec())));
    }

    #[test]
    fn what_means_nothing_is_refused_with_a_reason() {
        for unclear in ["", "*", "etc/passwd"] {
            assert_eq!(
                Pattern::parse(unclear),
                Err(PatternError::Unclear(unclear.to_owned()))
            );
        }
        assert!(matches!(
            Pattern::parse("/home/*/.ssh/"),
            Err(PatternError::Star(_))
        ));
        assert!(matches!(
            Pattern::parse("*/a*b"),
            Err(PatternError::Star(_))
        ));
        let long = format!("*{}", "x".repeat(SUFFIX_MAX + 1));
        assert!(matches!(
            Pattern::parse(&long),
            Err(PatternError::TooLong(_, SUFFIX_MAX))
        ));
    }

    #[test]
    fn the_longest_beginning_decides_and_a_report_beats_a_drop() {
        let rules = PathRules::new(
            ["/var/www/", "*.php", "/proc/sys/kernel/core_pattern"],
            ["/var/", "/var/www/cache/", "*.log"],
        )
        .unwrap();
        for (path, admitted) in [
            ("/var/lib/x", false),
            ("/var/www/index.html", true),
            ("/var/www/cache/page", false),
            ("/var/www/cache/x.php", true),
            ("/var/www/access.log", true),
            ("/opt/access.log", false),
            ("/etc/passwd", true),
            ("/proc/self/oom_score_adj", false),
            ("/proc/sys/kernel/core_pattern", true),
            ("/proc/sys/kernel/core_pattern2", false),
        ] {
            assert_eq!(rules.admit(path), admitted, "{path}");
        }
    }
}
