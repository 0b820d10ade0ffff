//! What it takes to be let in by a server, as a configuration says it.

use std::path::PathBuf;

use super::secret::Secret;

/// Credentials and trust.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// With a password; else the secret is a token.
    pub username: Option<String>,
    /// Password or token.
    pub secret: Option<Secret>,
    /// What stands before a token, `Bearer` when absent.
    pub scheme: Option<&'static str>,
    /// Authorities to trust instead of those of this host, in PEM.
    pub authorities: Option<PathBuf>,
    /// Certificates to show, in PEM, and the key, which may be in the same file.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// `http://proxy:3128`; what the environment says is not looked at.
    pub proxy: Option<String>,
}
