//! Decoys: files and ports that nobody has any business with, so that whoever touches one gives
//! himself away. Here they are laid out and watched over; what a touch means is for `detect`.

pub mod files;
pub mod ports;

use std::net::SocketAddr;

use serde::Deserialize;

use crate::intelligence::subject::{Network, Subject};

/// Decoy files of one configuration.
pub const FILES_MAX: usize = 256;
/// Decoy ports of one configuration.
pub const PORTS_MAX: usize = 64;
/// Longest banner, in bytes.
const BANNER_MAX: usize = 256;

/// Decoys, as the configuration has them (`[decoys]`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Files that nobody should read or change, by absolute path.
    pub files: Vec<String>,
    /// Whether files that are not there are made, with something plausible in them.
    pub create_files: bool,
    /// Programs that may touch the files all the same, by path: backup, index, virus scanner.
    pub exclude_programs: Vec<String>,
    /// Where nobody should call: `0.0.0.0:2323`, `[::]:3389`, `udp:0.0.0.0:161`.
    pub ports: Vec<String>,
    /// What is said to who calls; nothing when empty.
    pub banner: String,
    /// Addresses and networks that may call all the same: vulnerability scanners of one's own.
    pub ignore_peers: Vec<String>,
}

/// How a decoy port is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// By a connection.
    Tcp,
    /// By a datagram.
    Udp,
}

impl Transport {
    /// Word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A port, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// How it is called.
    pub transport: Transport,
    /// Where.
    pub at: SocketAddr,
}

/// All decoys, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoys {
    /// Paths of the files.
    pub files: Vec<Box<str>>,
    /// Whether those that are not there are made.
    pub create_files: bool,
    /// Paths of programs that may touch them.
    pub exclude_programs: Vec<Box<str>>,
    /// The ports.
    pub ports: Vec<Port>,
    /// What is said there.
    pub banner: Box<[u8]>,
    /// Who may call.
    pub ignore_peers: Vec<Network>,
}

impl Options {
    /// The decoys that are meant.
    ///
    /// # Errors
    /// The first value that means nothing, with its key.
    pub fn check(&self) -> Result<Decoys, String> {
        if self.files.len() > FILES_MAX || self.ports.len() > PORTS_MAX {
            return Err(format!("at most {FILES_MAX} files and {PORTS_MAX} ports"));
        }
        if self.banner.len() > BANNER_MAX {
            return Err(format!("banner has more than {BANNER_MAX} bytes"));
        }
        for (key, paths) in [
            ("files", &self.files),
            ("exclude_programs", &self.exclude_programs),
        ] {
            let is_path = |path: &String| {
                path.starts_with('/') && !path.ends_with('/') && !path.contains('*')
            };
            if let Some(path) = paths.iter().find(|path| !is_path(path)) {
                return Err(format!("{key}: {path:?} is not the whole path of one file"));
            }
        }
        let owned = |paths: &[String]| paths.iter().map(|path| path.as_str().into()).collect();
        Ok(Decoys {
            files: owned(&self.files),
            create_files: self.create_files,
            exclude_programs: owned(&self.exclude_programs),
            ports: self
                .ports
                .iter()
                .map(|text| port(text))
                .collect::<Result<_, _>>()?,
            banner: self.banner.as_bytes().into(),
            ignore_peers: self
                .ignore_peers
                .iter()
                .map(|text| network(text))
                .collect::<Result<_, _>>()?,
        })
    }
}

fn port(text: &str) -> Result<Port, String> {
    let (transport, rest) = match text.split_once(':') {
        Some(("tcp", rest)) => (Transport::Tcp, rest),
        Some(("udp", rest)) => (Transport::Udp, rest),
        _ => (Transport::Tcp, text),
    };
    let at: SocketAddr = rest.parse().map_err(|_| {
        format!("ports: {text:?} is no address and port; try 0.0.0.0:2323 or udp:[::]:161")
    })?;
    Ok(Port { transport, at })
}

fn network(text: &str) -> Result<Network, String> {
    match Subject::parse(text) {
        Ok(Subject::Network(network)) => Ok(network),
        _ => Err(format!("ignore_peers: {text:?} is no address or network")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Decoys, String> {
        toml::from_str::<Options>(text)
            .map_err(|error| error.to_string())?
            .check()
    }

    #[test]
    fn decoys_are_whole_paths_and_ports() {
        let decoys = check(
            "files = ['/root/x']\nports = ['0.0.0.0:23', 'udp:[::]:161', 'tcp:127.0.0.1:1']\nignore_peers = ['192.0.2.0/24']",
        )
        .unwrap();
        let transports: Vec<_> = decoys
            .ports
            .iter()
            .map(|port| port.transport.name())
            .collect();
        assert_eq!(transports, ["tcp", "udp", "tcp"]);
        for (text, complaint) in [
            ("files = ['x']", "whole path"),
            ("files = ['/root/']", "whole path"),
            ("files = ['/home/*/x']", "whole path"),
            ("ports = ['23']", "0.0.0.0:2323"),
            ("ports = ['sctp:0.0.0.0:23']", "0.0.0.0:2323"),
            ("ignore_peers = ['me']", "no address"),
            ("port = []", "unknown field"),
        ] {
            let message = check(text).unwrap_err();
            assert!(message.contains(complaint), "{text}: {message}");
        }
    }
}
