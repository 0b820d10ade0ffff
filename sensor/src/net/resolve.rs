//! Finds the addresses of a server by asking the name servers of this host directly. The C
//! library's way would load plug-ins into the process (NSS), which a statically linked one cannot
//! survive everywhere. Knows the hosts file and DNS over UDP, and no search domains.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::event::dns;
use crate::random;

/// Name servers asked, as the C library does (resolv.conf(5)).
const SERVERS_MAX: usize = 3;
/// How long one of them may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest answer over UDP without EDNS, and some more, in bytes.
const ANSWER_MAX: usize = 4_096;
/// Answers that are not to our question, before a server is given up.
const STRANGERS_MAX: usize = 16;
/// Addresses of one server that are tried.
const ADDRESSES_MAX: usize = 16;
/// Record types (RFC 1035, RFC 3596).
const A: u16 = 1;
const AAAA: u16 = 28;
/// Port of name servers.
const DNS: u16 = 53;

/// Asks the name servers of this host.
#[derive(Debug)]
pub struct Direct;

impl Resolver for Direct {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
        let standard = if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let port = uri.port_u16().unwrap_or(standard);
        let mut found = self.empty();
        for address in addresses(host).into_iter().take(ADDRESSES_MAX) {
            found.push(SocketAddr::new(address, port));
        }
        if found.is_empty() {
            return Err(ureq::Error::HostNotFound);
        }
        Ok(found)
    }
}

/// The addresses of a host, the older kind first.
#[must_use]
pub fn addresses(host: &str) -> Vec<IpAddr> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse() {
        return vec![address];
    }
    let known = in_hosts(
        &std::fs::read_to_string("/etc/hosts").unwrap_or_default(),
        host,
    );
    if !known.is_empty() {
        return known;
    }
    let servers = servers(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
    for server in servers {
        let mut found = Vec::new();
        for kind in [A, AAAA] {
            match ask(server, host, kind) {
                Ok(addresses) => found.extend(addresses),
                Err(error) => tracing::debug!(%server, %error, "a name server does not answer"),
            }
        }
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

/// One of them.
///
/// # Errors
/// When none is known.
pub fn address(host: &str) -> io::Result<IpAddr> {
    let none = || {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("no address is known for {host}"),
        )
    };
    addresses(host).into_iter().next().ok_or_else(none)
}

/// hosts(5).
fn in_hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let of_line = |line: &str| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words
            .any(|name| name.eq_ignore_ascii_case(host))
            .then_some(address)
    };
    text.lines().filter_map(of_line).collect()
}

/// resolv.conf(5); without any, the one on this host.
fn servers(text: &str) -> Vec<IpAddr> {
    let words = text.lines().map(|line| line.split_whitespace());
    let named = words.filter_map(|mut words| {
        (words.next() == Some("nameserver")).then(|| words.next()?.parse().ok())?
    });
    let named: Vec<IpAddr> = named.take(SERVERS_MAX).collect();
    if named.is_empty() {
        vec![Ipv4Addr::LOCALHOST.into()]
    } else {
        named
    }
}

fn ask(server: IpAddr, host: &str, kind: u16) -> io::Result<Vec<IpAddr>> {
    let here: SocketAddr = match server {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(here)?;
    socket.connect((server, DNS))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let id = random::number() as u16;
    let question = question(id, host, kind).ok_or(io::ErrorKind::InvalidInput)?;
    socket.send(&question)?;
    let mut answer = [0; ANSWER_MAX];
    for _ in 0..STRANGERS_MAX {
        let length = socket.recv(&mut answer)?;
        let message = dns::parse(answer.get(..length).unwrap_or_default());
        let Ok(message) = message else { continue };
        let is_ours = message.is_response
            && message.id == id
            && message.questions.first().is_some_and(|question| {
                question.qtype == kind && question.name.eq_ignore_ascii_case(host)
            });
        if is_ours {
            return Ok(message.addresses().collect());
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// A question (RFC 1035, 4.1); `None` for what is no name.
fn question(id: u16, host: &str, kind: u16) -> Option<Vec<u8>> {
    let mut message = id.to_be_bytes().to_vec();
    // Recursion desired, one question.
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in host.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len())
            .ok()
            .filter(|length| (1..64).contains(length))?;
        message.push(length);
        message.extend(label.bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    // Class IN.
    message.extend([0, 1]);
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_name_servers_are_read_as_the_c_library_does() {
        let hosts = "127.0.0.1 localhost\n192.0.2.7 Taxii.example feed # old\n#192.0.2.8 feed\n2001:db8::7 feed\n";
        let found = in_hosts(hosts, "feed");
        assert_eq!(
            found,
            [
                "192.0.2.7".parse::<IpAddr>().unwrap(),
                "2001:db8::7".parse().unwrap()
            ]
        );
        assert_eq!(in_hosts(hosts, "taxii.EXAMPLE").len(), 1);
        let text =
            "search x\nnameserver 192.0.2.53\noptions y\nnameserver 2001:db8::53\nnameserver bad\n";
        assert_eq!(servers(text).len(), 2);
        assert_eq!(servers(""), [IpAddr::V4(Ipv4Addr::LOCALHOST)]);
        assert_eq!(addresses("[::1]"), ["::1".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn a_question_is_what_the_decoder_reads() {
        let message = dns::parse(&question(7, "feed.example", AAAA).unwrap()).unwrap();
        let question_read = message.questions.first().unwrap();
        assert_eq!(
            (message.id, &*question_read.name, question_read.qtype),
            (7, "feed.example", AAAA)
        );
        assert_eq!(question(7, "a..b", A), None);
        assert_eq!(question(7, &"a".repeat(64), A), None);
    }
}
