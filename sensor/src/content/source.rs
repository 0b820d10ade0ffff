//! The texts of YARA rules: those that come with the sensor, and those of files and directories.
//! Bounded. Whether they mean anything is for `engine` to say.

use std::fs;
use std::path::{Path, PathBuf};

include!(concat!(env!("OUT_DIR"), "/yara.rs"));

/// Beginning of the names of built-in rule files.
pub const ORIGIN: &str = "built-in/yara/";
/// Largest rule file, in bytes.
pub const FILE_MAX: u64 = 1024 * 1024;
/// Most rule files.
const FILES_MAX: usize = 1_024;
/// Most bytes of all rule files together.
const TOTAL_MAX: usize = 32 * 1024 * 1024;
/// How deep directories may be nested.
const DEPTH_MAX: usize = 16;

/// A rule file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// What it says.
    pub text: String,
}

/// Rule files, and what is wrong with others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Those that could be read.
    pub files: Vec<Source>,
    /// `file: reason` of each that could not.
    pub problems: Vec<String>,
    total: usize,
}

impl Sources {
    /// The built-in ones if wanted, then those of the paths.
    #[must_use]
    pub fn read(paths: &[PathBuf], builtin: bool) -> Self {
        let mut sources = Self::default();
        if builtin {
            sources.files = RULES
                .iter()
                .map(|(name, text, _)| Source {
                    name: format!("{ORIGIN}{name}"),
                    text: (*text).to_owned(),
                })
                .collect();
        }
        for path in paths {
            sources.add(path, 0);
        }
        sources
    }

    fn add(&mut self, path: &Path, depth: usize) {
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) => return self.problem(path, format!("cannot be read: {error}")),
        };
        if metadata.is_dir() {
            return self.add_directory(path, depth);
        }
        let is_rule = path
            .extension()
            .is_some_and(|extension| extension == "yar" || extension == "yara");
        // A file given by name is meant, whatever it is called.
        if depth > 0 && !is_rule {
            return;
        }
        if !metadata.is_file() || metadata.len() > FILE_MAX {
            return self.problem(path, format!("is no file of up to {FILE_MAX} bytes"));
        }
        match fs::read_to_string(path) {
            Ok(text) => self.add_text(path, text),
            Err(error) => self.problem(path, format!("cannot be read: {error}")),
        }
    }

    fn add_text(&mut self, path: &Path, text: String) {
        self.total += text.len();
        if self.files.len() >= FILES_MAX || self.total > TOTAL_MAX {
            return self.problem(
                path,
                format!("is one too many: {FILES_MAX} files and {TOTAL_MAX} bytes are taken"),
            );
        }
        let name = path.display().to_string();
        self.files.push(Source { name, text });
    }

    fn add_directory(&mut self, path: &Path, depth: usize) {
        if depth >= DEPTH_MAX {
            return self.problem(path, format!("is deeper than {DEPTH_MAX} directories"));
        }
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) => return self.problem(path, format!("cannot be read: {error}")),
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            self.add(&path, depth + 1);
        }
    }

    fn problem(&mut self, path: &Path, what: String) {
        self.problems.push(format!("{}: {what}", path.display()));
    }
}

/// Samples of the built-in rule files: file, text.
pub fn builtin_samples() -> impl Iterator<Item = (String, &'static str)> {
    RULES
        .iter()
        .map(|(name, _, samples)| (format!("{ORIGIN}{name}"), *samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_directory_come_in_order_and_others_are_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b.yar", "a.yara", "readme.txt"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let sources = Sources::read(&[directory.path().to_owned()], false);
        let names: Vec<_> = sources.files.iter().map(|file| &file.name).collect();
        assert!(names[0].ends_with("a.yara") && names[1].ends_with("b.yar"));
        assert_eq!((names.len(), sources.problems.len()), (2, 0));
    }

    #[test]
    fn what_cannot_be_read_is_a_problem_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let latin = directory.path().join("latin.yar");
        fs::write(&latin, b"rule caf\xe9 {}").unwrap();
        let sources = Sources::read(&[latin, "/nonexistent.yar".into()], false);
        assert_eq!(sources.problems.len(), 2);
        assert!(sources.problems[0].contains("latin.yar"));
    }
}
