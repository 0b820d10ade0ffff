//! Secrets: where they are, and reading them. None is ever in a configuration, a message or a log.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Longest file with a secret or a certificate in it, in bytes.
const FILE_MAX: u64 = 64 * 1024;

/// Why one cannot be had.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The file.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The variable.
    #[error("the environment has no variable {0} with a secret in it")]
    Variable(String),
}

/// Where a secret is. Never in the configuration itself, which more people read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// In a file, of which the last line break does not count.
    File(PathBuf),
    /// In a variable of the environment.
    Variable(String),
}

impl Secret {
    /// Reads it.
    ///
    /// # Errors
    /// When it is not there.
    pub fn read(&self) -> Result<String, SecretError> {
        match self {
            Self::File(path) => Ok(read(path)?.trim_end().to_owned()),
            Self::Variable(name) => std::env::var(name)
                .ok()
                .filter(|text| !text.is_empty())
                .ok_or_else(|| SecretError::Variable(name.clone())),
        }
    }
}

/// A short text from a file.
///
/// # Errors
/// When it cannot be read, or is none.
pub fn read(path: &Path) -> Result<String, SecretError> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(FILE_MAX).read_to_string(&mut text))
        .map_err(|source| SecretError::File {
            path: path.to_owned(),
            source,
        })?;
    Ok(text)
}
