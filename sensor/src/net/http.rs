//! Asks servers for documents: with credentials that never show, over TLS with one's own
//! authority if need be, within a size and a time. What is in the documents is not known here.

use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use ureq::http::{HeaderMap, StatusCode, Uri, header};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Proxy};

use super::access::Access;
use super::resolve::Direct;
use super::secret::{self, SecretError};
use super::tls::AUTHORITIES;

/// Other addresses that an answer may send us to, one after the other.
const REDIRECTS_MAX: u32 = 3;
/// Longest wait that a server may ask for.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Why a document could not be had.
#[derive(Debug, Error)]
pub enum HttpError {
    /// A file that the configuration names.
    #[error("cannot use {}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Credentials would go over the network for all to read.
    #[error("{0} is not https, so no credentials are sent there")]
    Insecure(String),
    /// No usable address.
    #[error("{0} is no address of a server: http:// or https:// is wanted")]
    Url(String),
    /// It could not be asked, or did not finish its answer.
    #[error("{url}: {source}")]
    Transport {
        /// Which document.
        url: String,
        /// Why.
        source: Box<ureq::Error>,
    },
    /// It says no.
    #[error("{url} answers {status}: {advice}")]
    Status {
        /// Which document.
        url: String,
        /// The number.
        status: u16,
        /// What may be wrong.
        advice: &'static str,
    },
    /// It asks to be left alone for a while.
    #[error("{url} answers {status}: it wants no more questions for now")]
    Busy {
        /// Which document.
        url: String,
        /// The number.
        status: u16,
        /// For how long, if it says.
        wait: Option<Duration>,
    },
    /// It answers something else.
    #[error("{url} answers with {found:?}, not with {wanted}")]
    Media {
        /// Which document.
        url: String,
        /// Its type.
        found: String,
        /// What is wanted.
        wanted: &'static str,
    },
}

/// How long a server may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// To be connected to.
    pub connect: Duration,
    /// To begin its answer.
    pub answer: Duration,
    /// For all of it, however slowly it goes on.
    pub whole: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            answer: Duration::from_secs(60),
            whole: Duration::from_secs(300),
        }
    }
}

/// Asks one server.
pub struct Client {
    agent: Agent,
    /// Value of the header, kept out of every message.
    authorization: Option<String>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// An answer with nothing wrong so far.
pub struct Answer {
    /// What is said about it.
    pub headers: HeaderMap,
    /// The document.
    body: ureq::Body,
    url: String,
}

impl Client {
    /// For the server of this address, with files and secrets read now.
    ///
    /// # Errors
    /// When one of them cannot be used, or credentials would go over the network in the clear.
    pub fn new(access: &Access, url: &str) -> Result<Self, HttpError> {
        Self::with_patience(access, url, Patience::default())
    }

    /// The same, with other bounds in time.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with_patience(
        access: &Access,
        url: &str,
        patience: Patience,
    ) -> Result<Self, HttpError> {
        let is_secure = is_secure(url)?;
        if access.secret.is_some() && !is_secure && !is_here(url) {
            return Err(HttpError::Insecure(url.to_owned()));
        }
        let proxy = access.proxy.as_deref().map(|proxy| {
            Proxy::new(proxy).map_err(|source| HttpError::Transport {
                url: without_credentials(proxy),
                source: Box::new(source),
            })
        });
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(is_secure)
            .proxy(proxy.transpose()?)
            .max_redirects(REDIRECTS_MAX)
            .timeout_connect(Some(patience.connect))
            .timeout_recv_response(Some(patience.answer))
            .timeout_global(Some(patience.whole))
            .user_agent(concat!("sensor/", env!("CARGO_PKG_VERSION")));
        if is_secure {
            config = config.tls_config(tls(access)?);
        }
        Ok(Self {
            agent: Agent::with_parts(config.build(), DefaultConnector::new(), Direct),
            authorization: authorization(access)?,
        })
    }

    /// Asks for a document; its body is still to be read.
    ///
    /// # Errors
    /// When there is no answer, or it says no.
    pub fn get(
        &self,
        url: &str,
        query: &[(&str, &str)],
        accept: &str,
    ) -> Result<Answer, HttpError> {
        let mut request = self.agent.get(url).header(header::ACCEPT, accept);
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let answer = request
            .query_pairs(query.iter().copied())
            .call()
            .map_err(|source| transport(url, source))?;
        let (parts, body) = answer.into_parts();
        check(url, parts.status, &parts.headers)?;
        Ok(Answer {
            headers: parts.headers,
            body,
            url: url.to_owned(),
        })
    }
}

impl Client {
    /// Sends a document, and waits for what is said about it, be it a refusal.
    ///
    /// # Errors
    /// When there is no answer, or the server is busy.
    pub fn post(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        document: &[u8],
    ) -> Result<(u16, Answer), HttpError> {
        // Sent on, a document would be asked for instead of handed over (RFC 9110, 15.4.3).
        let mut request = self.agent.post(url).config().max_redirects(0).build();
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request
            .send(document)
            .map_err(|source| transport(url, source))?;
        let (parts, body) = answer.into_parts();
        if let Err(busy @ HttpError::Busy { .. }) = check(url, parts.status, &parts.headers) {
            return Err(busy);
        }
        let answer = Answer {
            headers: parts.headers,
            body,
            url: url.to_owned(),
        };
        Ok((parts.status.as_u16(), answer))
    }
}

impl Answer {
    /// A header, as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Refuses what is not of this media type, whatever its parameters.
    ///
    /// # Errors
    /// When it is of another.
    pub fn of_media(self, wanted: &'static str) -> Result<Self, HttpError> {
        let found = self.header("content-type").unwrap_or_default();
        let plain = found.split(';').next().unwrap_or_default().trim();
        if plain.eq_ignore_ascii_case(wanted) {
            return Ok(self);
        }
        Err(HttpError::Media {
            found: found.chars().take(80).collect(),
            url: self.url,
            wanted,
        })
    }

    /// Reads it, unpacked, if it has no more than so many bytes.
    ///
    /// # Errors
    /// When it has more, ends early, or does not end in time.
    pub fn document(self, limit: u64) -> Result<Vec<u8>, HttpError> {
        let mut document = Vec::new();
        let mut reader = self.body.into_with_config().limit(limit).reader();
        match reader.read_to_end(&mut document) {
            Ok(_) => Ok(document),
            Err(error) => Err(transport(&self.url, error.into())),
        }
    }

    /// Copies it, unpacked, if it has no more than so many bytes.
    ///
    /// # Errors
    /// When it has more, ends early, does not end in time, or cannot be written.
    pub fn copy(self, limit: u64, to: &mut impl io::Write) -> Result<u64, HttpError> {
        let mut reader = self.body.into_with_config().limit(limit).reader();
        io::copy(&mut reader, to).map_err(|error| transport(&self.url, error.into()))
    }
}

fn transport(url: &str, source: ureq::Error) -> HttpError {
    HttpError::Transport {
        url: url.to_owned(),
        source: Box::new(source),
    }
}

fn check(url: &str, status: StatusCode, headers: &HeaderMap) -> Result<(), HttpError> {
    let advice = match status.as_u16() {
        200..=299 => return Ok(()),
        429 | 503 => {
            return Err(HttpError::Busy {
                url: url.to_owned(),
                status: status.as_u16(),
                wait: wait(headers),
            });
        }
        300..=399 => "it sends on to another address; use that one",
        401 => "check username and secret",
        403 => "these credentials may not read that",
        404 => "there is nothing at this address; check API root and collection",
        406 => "it does not speak this version",
        _ => "see what its log says",
    };
    Err(HttpError::Status {
        url: url.to_owned(),
        status: status.as_u16(),
        advice,
    })
}

/// `Retry-After` in seconds (RFC 9110, 10.2.3); dates are taken as no answer.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    let seconds = text.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(WAIT_MAX))
}

fn is_secure(url: &str) -> Result<bool, HttpError> {
    let uri: Option<Uri> = url.parse().ok();
    let uri = uri.filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    match uri.as_ref().and_then(Uri::scheme_str) {
        Some("https") => Ok(true),
        Some("http") => Ok(false),
        _ => Err(HttpError::Url(without_credentials(url))),
    }
}

/// Whether a server is on this machine, so that nobody reads what is sent to it.
fn is_here(url: &str) -> bool {
    let uri: Option<Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<std::net::IpAddr>()
        .is_ok_and(|address| address.is_loopback())
}

/// An address without what stands before the host.
fn without_credentials(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        _ => url.to_owned(),
    }
}

fn authorization(access: &Access) -> Result<Option<String>, HttpError> {
    let Some(secret) = &access.secret else {
        return Ok(None);
    };
    let secret = secret.read()?;
    Ok(Some(match &access.username {
        Some(name) => format!("Basic {}", STANDARD.encode(format!("{name}:{secret}"))),
        None => format!("{} {secret}", access.scheme.unwrap_or("Bearer")),
    }))
}

fn tls(access: &Access) -> Result<TlsConfig, HttpError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
    let authorities = match &access.authorities {
        Some(path) => certificates(path)?,
        None => AUTHORITIES
            .iter()
            .find_map(|path| certificates(Path::new(path)).ok())
            .unwrap_or_default(),
    };
    config = config.root_certs(RootCerts::new_with_certs(&authorities));
    if let Some((certificate, key)) = &access.certificate {
        let key_text = secret::read(key)?;
        let parsed = PrivateKey::from_pem(key_text.as_bytes()).map_err(|_| HttpError::File {
            path: key.clone(),
            why: "there is no private key in it".to_owned(),
        })?;
        let chain = certificates(certificate)?;
        config = config.client_cert(Some(ClientCert::new_with_certs(&chain, parsed)));
    }
    Ok(config.build())
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, HttpError> {
    let text = fs::read(path).map_err(|error| HttpError::File {
        path: path.to_owned(),
        why: error.to_string(),
    })?;
    let found: Vec<_> = parse_pem(&text)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        return Err(HttpError::File {
            path: path.to_owned(),
            why: "there is no certificate in it".to_owned(),
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::secret::Secret;
    use super::*;

    #[test]
    fn credentials_do_not_go_over_the_network_in_the_clear() {
        let access = Access {
            secret: Some(Secret::Variable("SENSOR_TEST_NO_SUCH".to_owned())),
            ..Access::default()
        };
        let refusal = |url| Client::new(&access, url).unwrap_err().to_string();
        assert!(refusal("http://feed.example/").contains("not https"));
        assert!(refusal("http://127.0.0.1:1/").contains("SENSOR_TEST_NO_SUCH"));
        assert!(refusal("ftp://feed.example/").contains("http:// or https://"));
        assert!(!refusal("ftp://me:word@feed.example/").contains("word"));
    }

    #[test]
    fn a_file_that_is_not_what_it_should_be_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        fs::write(&path, "nothing").unwrap();
        let access = Access {
            authorities: Some(path),
            ..Access::default()
        };
        let message = Client::new(&access, "https://feed.example/")
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("ca.pem") && message.contains("no certificate"),
            "{message}"
        );
    }

    #[test]
    fn a_wait_that_a_server_asks_for_has_an_end() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, text.parse().unwrap());
            wait(&headers)
        };
        assert_eq!(of("120"), Some(Duration::from_secs(120)));
        assert_eq!(of("99999999999"), Some(WAIT_MAX));
        assert_eq!(of("Wed, 21 Oct 2026 07:28:00 GMT"), None);
    }
}
