//! TLS 1.2 and 1.3 towards servers whose name and certificate are checked: with the authorities of
//! this host or one's own, and with a certificate to show if need be.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

use super::access::Access;
use super::secret::{self, SecretError};

/// Where distributions keep the authorities that they trust.
pub const AUTHORITIES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Why there can be no TLS.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] SecretError),
    /// A file is not what it should be.
    #[error("there is no {wanted} in {}", path.display())]
    Content {
        /// What should be in it.
        wanted: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// Nobody to trust.
    #[error("this host trusts no authority: install ca-certificates, or name one with `ca`")]
    NoAuthority,
    /// Certificate and key do not go together, or the like.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// What connections are made with.
///
/// # Errors
/// When a file cannot be used, or there is nobody to trust.
pub fn client(access: &Access) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(access.authorities.as_deref())?);
    let config = match &access.certificate {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let text = secret::read(key)?;
            let secret =
                PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| TlsError::Content {
                    wanted: "private key",
                    path: key.clone(),
                })?;
            config.with_client_auth_cert(certificates(certificate)?, secret)?
        }
    };
    Ok(Arc::new(config))
}

fn roots(own: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let trusted = match own {
        Some(path) => certificates(path)?,
        None => AUTHORITIES
            .iter()
            .find_map(|path| certificates(Path::new(path)).ok())
            .unwrap_or_default(),
    };
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(trusted);
    if taken == 0 {
        return Err(TlsError::NoAuthority);
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = std::fs::read(path).map_err(|source| SecretError::File {
        path: path.to_owned(),
        source,
    })?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&text).flatten().collect();
    if found.is_empty() {
        return Err(TlsError::Content {
            wanted: "certificate",
            path: path.to_owned(),
        });
    }
    Ok(found)
}
