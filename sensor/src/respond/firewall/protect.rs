//! What is never blocked: this host itself, those who have to reach it to mend things, and what
//! it cannot do without. Also not by a network that contains it. The list is made from the host
//! as it is now; whether it may be overridden depends on what it would break.

use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use super::host;
use super::network::Network;
use super::operator::Sessions;

/// Where name servers are named; the second behind systemd-resolved, which puts itself into the
/// first.
const RESOLVERS: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
/// Name servers looked at in one file; libc uses three.
const RESOLVERS_MAX: usize = 32;

/// Why an address is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protection {
    /// It means this host, or no host at all.
    Loopback,
    /// It is one of this host's own addresses.
    Own,
    /// Whoever is asking is connected from there.
    Operator,
    /// It is a gateway of this host's default route.
    Gateway,
    /// It is a name server of this host.
    NameServer,
    /// Somebody is logged in from there by ssh.
    Login,
    /// The configuration says so.
    Configured,
}

impl Protection {
    /// Whether nothing overrides it.
    #[must_use]
    pub const fn is_absolute(self) -> bool {
        matches!(self, Self::Loopback | Self::Own | Self::Operator)
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "which means this host itself",
            Self::Own => "an address of this host",
            Self::Operator => "from where you are connected",
            Self::Gateway => "a gateway of this host",
            Self::NameServer => "a name server of this host",
            Self::Login => "from where somebody is logged in by ssh",
            Self::Configured => "protected by respond.protect in the configuration",
        })
    }
}

/// Something protected is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub struct Refusal {
    /// What was to be blocked.
    pub wanted: Network,
    /// What is protected.
    pub protected: Network,
    /// Why.
    pub why: Protection,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            wanted,
            protected,
            why,
        } = self;
        if wanted == protected {
            write!(f, "{wanted} is protected: {why}")?;
        } else {
            write!(f, "{wanted} would cover {protected}, {why}")?;
        }
        let prefix = wanted.prefix();
        match why {
            _ if prefix == 0 => f.write_str("; to cut off everybody, use `sensor isolate`"),
            Protection::Loopback | Protection::Own => {
                f.write_str("; nothing overrides that. Block smaller networks around it")
            }
            Protection::Operator => f.write_str(
                "; nothing overrides that. Do it from elsewhere, or block smaller networks around it",
            ),
            _ => f.write_str("; --force blocks it nevertheless"),
        }
    }
}

/// All that is protected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protected {
    networks: Vec<(Network, Protection)>,
}

impl Protected {
    /// As this host is now.
    ///
    /// # Errors
    /// When the kernel does not tell its addresses, routes or sockets: nothing can be protected
    /// then, and so nothing may be blocked.
    pub fn look(configured: &[Network]) -> io::Result<Self> {
        let sessions = Sessions::look()?;
        let own = host::addresses()?.into_iter().map(|(_, address)| address);
        let mut this = Self::always();
        this.add(Protection::Own, own);
        this.add_sessions(&sessions);
        this.add(Protection::Gateway, host::gateways()?);
        this.add(Protection::NameServer, name_servers());
        let configured = configured.iter();
        this.networks
            .extend(configured.map(|network| (*network, Protection::Configured)));
        Ok(this)
    }

    /// What means this host, or none, everywhere.
    #[must_use]
    pub fn always() -> Self {
        let v4 = |address, prefix| Network::around(IpAddr::V4(address), prefix);
        let v6 = |address| Network::around(IpAddr::V6(address), 128);
        let networks = [
            v4(Ipv4Addr::LOCALHOST, 8),
            // "This host on this network" (RFC 1122, 3.2.1.3).
            v4(Ipv4Addr::UNSPECIFIED, 8),
            v4(Ipv4Addr::BROADCAST, 32),
            v6(Ipv6Addr::LOCALHOST),
            v6(Ipv6Addr::UNSPECIFIED),
        ];
        Self {
            networks: networks
                .map(|network| (network, Protection::Loopback))
                .to_vec(),
        }
    }

    fn add_sessions(&mut self, sessions: &Sessions) {
        let client = |session: &super::operator::Session| session.client.ip();
        self.add(Protection::Operator, sessions.asking.iter().map(client));
        self.add(Protection::Operator, sessions.remembered.iter().copied());
        self.add(Protection::Login, sessions.others.iter().map(client));
    }

    /// Protects addresses.
    pub fn add(&mut self, why: Protection, addresses: impl IntoIterator<Item = IpAddr>) {
        let addresses = addresses.into_iter().map(Network::from);
        self.networks
            .extend(addresses.map(|address| (address, why)));
    }

    /// Whether a network may be blocked. The weightiest reason against it is given.
    ///
    /// # Errors
    /// When something protected is in it, or it is in something protected.
    pub fn check(&self, wanted: &Network, force: bool) -> Result<(), Refusal> {
        let in_the_way = self
            .networks
            .iter()
            .filter(|(network, why)| (why.is_absolute() || !force) && network.overlaps(wanted))
            .min_by_key(|(_, why)| *why);
        match in_the_way {
            None => Ok(()),
            Some((protected, why)) => Err(Refusal {
                wanted: *wanted,
                protected: *protected,
                why: *why,
            }),
        }
    }

    /// Why an address is protected, if it is.
    #[must_use]
    pub fn of(&self, address: IpAddr) -> Option<Protection> {
        let holding = self
            .networks
            .iter()
            .filter(|(network, _)| network.contains(address));
        holding.map(|(_, why)| *why).min()
    }
}

/// The servers that this host asks for names.
pub(super) fn name_servers() -> Vec<IpAddr> {
    let mut found = Vec::new();
    for path in RESOLVERS {
        found.extend(servers_in(&fs::read_to_string(path).unwrap_or_default()));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// `nameserver ADDRESS` (resolv.conf(5)).
fn servers_in(text: &str) -> Vec<IpAddr> {
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        words.next().filter(|word| *word == "nameserver")?;
        let address: IpAddr = words.next()?.split('%').next()?.parse().ok()?;
        Some(address.to_canonical())
    });
    lines.take(RESOLVERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn protected() -> Protected {
        let mut this = Protected::always();
        let address = |text: &str| [text.parse().unwrap()];
        this.add(Protection::Own, address("192.0.2.10"));
        this.add(Protection::Operator, address("198.51.100.7"));
        this.add(Protection::Gateway, address("192.0.2.1"));
        this.add(Protection::NameServer, address("2001:db8::53"));
        this
    }

    #[test]
    fn what_is_protected_is_refused_and_so_is_what_contains_it() {
        let protected = protected();
        for (wanted, says) in [
            ("127.0.0.1", "this host itself"),
            ("::1", "this host itself"),
            ("192.0.2.10", "an address of this host"),
            ("198.51.100.0/24", "from where you are connected"),
            ("192.0.2.1", "--force"),
            ("2001:db8::/32", "name server"),
            ("0.0.0.0/0", "sensor isolate"),
            ("::/0", "sensor isolate"),
        ] {
            let refusal = protected.check(&network(wanted), false).unwrap_err();
            assert!(refusal.to_string().contains(says), "{wanted}: {refusal}");
        }
        assert_eq!(protected.check(&network("203.0.113.0/24"), false), Ok(()));
    }

    #[test]
    fn force_never_overrides_this_host_or_the_operator() {
        let protected = protected();
        for wanted in [
            "127.1.2.3",
            "192.0.2.10",
            "198.51.100.7",
            "0.0.0.0/0",
            "::/0",
        ] {
            assert!(protected.check(&network(wanted), true).is_err(), "{wanted}");
        }
        for wanted in ["192.0.2.1", "2001:db8::/32"] {
            assert_eq!(protected.check(&network(wanted), true), Ok(()), "{wanted}");
        }
    }

    #[test]
    fn the_weightiest_reason_is_given() {
        let refusal = protected().check(&network("192.0.2.0/24"), false);
        assert_eq!(refusal.unwrap_err().why, Protection::Own);
    }

    #[test]
    fn name_servers_are_read_as_libc_reads_them() {
        let text = "# nameserver 1.1.1.1\nsearch x\nnameserver 192.0.2.53\nnameserver\tfe80::1%eth0 \nnameserver x\n";
        let found = servers_in(text);
        assert_eq!(
            found,
            ["192.0.2.53", "fe80::1"].map(|text| text.parse::<IpAddr>().unwrap())
        );
    }

    #[test]
    fn this_host_protects_itself() {
        let protected = Protected::look(&[network("203.0.113.0/24")]).unwrap();
        let configured = protected.of("203.0.113.7".parse().unwrap());
        assert_eq!(configured, Some(Protection::Configured));
        assert!(protected.of("127.0.0.1".parse().unwrap()).is_some());
    }

    proptest! {
        #[test]
        fn nothing_that_may_be_blocked_holds_what_is_protected(bytes: [u8; 16], six: bool, prefix: u8, force: bool) {
            let [a, b, c, d, ..] = bytes;
            let address = if six { IpAddr::from(bytes) } else { IpAddr::from([a, b, c, d]) };
            let wanted = Network::around(address, prefix);
            let protected = protected();
            if protected.check(&wanted, force).is_ok() {
                for (network, why) in &protected.networks {
                    let may_overlap = force && !why.is_absolute();
                    prop_assert!(may_overlap || !network.overlaps(&wanted));
                }
            }
        }

        #[test]
        fn arbitrary_files_never_panic(text: String) {
            let _ = servers_in(&text);
        }
    }
}
