//! Packets written down by what is in them, built byte by byte, and what can be told of them when
//! they are cut off somewhere. Knows nothing of verdicts.

use std::net::IpAddr;

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMPV6: u8 = 58;
pub const SCTP: u8 = 132;

pub const TAG: u16 = 0x8100;
pub const OUTER_TAG: u16 = 0x88a8;
/// Tags and IPv6 headers that the programs look behind.
const TAGS_MAX: usize = 2;
const HEADERS_MAX: usize = 8;

/// A packet to be built.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Types of VLAN tags, the outermost first.
    pub tags: Vec<u16>,
    pub source: IpAddr,
    /// Of the same family.
    pub destination: IpAddr,
    /// IPv4: words of options.
    pub options: u8,
    /// IPv4: which fragment it is.
    pub fragment: Fragment,
    /// IPv6: what comes between.
    pub extensions: Vec<Extension>,
    pub body: Body,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    Whole,
    First,
    Later,
}

/// An IPv6 extension header; the number is its length field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    HopByHop(u8),
    Routing(u8),
    Destination(u8),
    Mobility(u8),
    Authentication(u8),
    First,
    Later,
}

/// What is behind the network layer.
#[derive(Clone, Debug)]
pub enum Body {
    /// TCP, UDP and the like: ports of source and destination.
    Ports(u8, u16, u16),
    /// ICMP of the family, of this type.
    Icmp(u8),
    /// ICMP of this type, about this packet.
    Error(u8, Box<Packet>),
    Other(u8),
}

/// A packet as bytes, and where its headers are.
pub struct Built {
    pub frame: Vec<u8>,
    /// Where the network layer begins.
    pub network: usize,
    /// Bytes it takes to know each header, outermost first.
    ethernet: Vec<usize>,
    ip: usize,
    extensions: Vec<usize>,
    body: usize,
    quoted: Option<Box<Built>>,
}

/// What is known of a packet of which only so many bytes are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// It is IP, as far as can be seen.
    pub is_ip: bool,
    /// Source and destination; none when the packet is cut off before.
    pub ends: Option<(IpAddr, IpAddr)>,
    pub protocol: Option<u8>,
    /// Of source and destination.
    pub ports: Option<(u16, u16)>,
    /// Type of ICMP.
    pub icmp: Option<u8>,
    pub is_malformed: bool,
    pub is_later_fragment: bool,
    /// What an error is about.
    pub quoted: Option<Box<View>>,
}

impl Packet {
    pub fn new(source: IpAddr, destination: IpAddr, body: Body) -> Self {
        Self {
            tags: Vec::new(),
            source,
            destination,
            options: 0,
            fragment: Fragment::Whole,
            extensions: Vec::new(),
            body,
        }
    }

    /// The whole frame.
    pub fn build(&self) -> Built {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        let mut ethernet = Vec::new();
        for tag in &self.tags {
            frame.extend(tag.to_be_bytes());
            frame.extend([0, 7]);
            ethernet.push(frame.len());
        }
        let kind: u16 = if self.source.is_ipv4() {
            0x0800
        } else {
            0x86dd
        };
        frame.extend(kind.to_be_bytes());
        ethernet.push(frame.len() + 2);
        let mut built = Built {
            network: frame.len(),
            frame,
            ethernet,
            ip: 0,
            extensions: Vec::new(),
            body: 0,
            quoted: None,
        };
        self.network(&mut built);
        built
    }

    fn network(&self, built: &mut Built) {
        match (self.source, self.destination) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let start = built.frame.len();
                let fragment: u16 = match self.fragment {
                    Fragment::Whole => 0x4000,
                    Fragment::First => 0x2000,
                    Fragment::Later => 0x2001,
                };
                built.frame.extend([0x45 + self.options, 0, 0, 84, 0, 1]);
                built.frame.extend(fragment.to_be_bytes());
                built.frame.extend([64, self.body.protocol(true), 0, 0]);
                built.frame.extend(from.octets());
                built.frame.extend(to.octets());
                built.ip = start + 20;
                built.frame.extend(vec![1; usize::from(self.options) * 4]);
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let mut next: Vec<u8> = self.extensions.iter().map(|e| e.protocol()).collect();
                next.push(self.body.protocol(false));
                built.frame.extend([0x60, 0, 0, 0, 0, 64, next[0], 64]);
                built.frame.extend(from.octets());
                built.frame.extend(to.octets());
                built.ip = built.frame.len();
                for (extension, next) in self.extensions.iter().zip(&next[1..]) {
                    built.extensions.push(built.frame.len() + 4);
                    built.frame.extend(extension.bytes(*next));
                }
            }
            _ => unreachable!("both ends are of one family"),
        }
        built.body = built.frame.len() + 4;
        match &self.body {
            Body::Ports(_, from, to) => {
                built.frame.extend(from.to_be_bytes());
                built.frame.extend(to.to_be_bytes());
            }
            Body::Icmp(kind) | Body::Error(kind, _) => built.frame.extend([*kind, 0, 0, 0]),
            Body::Other(_) => {}
        }
        built.frame.extend([0; 4]);
        if let Body::Error(_, quoted) = &self.body {
            let mut inner = Built {
                frame: std::mem::take(&mut built.frame),
                network: 0,
                ethernet: Vec::new(),
                ip: 0,
                extensions: Vec::new(),
                body: 0,
                quoted: None,
            };
            quoted.network(&mut inner);
            built.frame = std::mem::take(&mut inner.frame);
            built.quoted = Some(Box::new(inner));
        }
        built.frame.extend([0; 16]);
    }

    /// What is known of its first bytes, from the link layer on.
    pub fn view(&self, built: &Built, length: usize) -> View {
        if self.tags.len() > TAGS_MAX {
            let known = built.ethernet.iter().take(TAGS_MAX + 1);
            return View {
                is_malformed: known.max().is_some_and(|needed| *needed > length),
                ..View::default()
            };
        }
        if built.ethernet.iter().any(|needed| *needed > length) {
            return View {
                is_malformed: true,
                ..View::default()
            };
        }
        self.network_view(built, length)
    }

    /// The same from the network layer on.
    pub fn network_view(&self, built: &Built, length: usize) -> View {
        let mut view = View {
            is_ip: true,
            ..View::default()
        };
        if built.ip > length {
            view.is_malformed = true;
            return view;
        }
        view.ends = Some((self.source, self.destination));
        if self.fragment == Fragment::Later && self.source.is_ipv4() {
            view.protocol = Some(self.body.protocol(true));
            view.is_later_fragment = true;
            return view;
        }
        for (number, (extension, needed)) in
            self.extensions.iter().zip(&built.extensions).enumerate()
        {
            if number == HEADERS_MAX || *needed > length {
                view.is_malformed = true;
                return view;
            }
            if *extension == Extension::Later {
                let next = self.extensions.get(number + 1).map(|next| next.protocol());
                view.protocol = next.or(Some(self.body.protocol(false)));
                view.is_later_fragment = true;
                return view;
            }
        }
        if self.extensions.len() >= HEADERS_MAX {
            view.is_malformed = true;
            return view;
        }
        view.protocol = Some(self.body.protocol(self.source.is_ipv4()));
        if built.body > length && !matches!(self.body, Body::Other(_)) {
            view.is_malformed = true;
            return view;
        }
        match &self.body {
            Body::Ports(_, from, to) => view.ports = Some((*from, *to)),
            Body::Icmp(kind) => view.icmp = Some(*kind),
            Body::Error(kind, quoted) => {
                view.icmp = Some(*kind);
                let inner = built.quoted.as_ref().expect("an error quotes");
                view.quoted = Some(Box::new(quoted.network_view(inner, length)));
            }
            Body::Other(_) => {}
        }
        view
    }
}

impl Extension {
    fn protocol(self) -> u8 {
        match self {
            Self::HopByHop(_) => 0,
            Self::Routing(_) => 43,
            Self::First | Self::Later => 44,
            Self::Authentication(_) => 51,
            Self::Destination(_) => 60,
            Self::Mobility(_) => 135,
        }
    }

    fn bytes(self, next: u8) -> Vec<u8> {
        match self {
            Self::First => vec![next, 0, 0, 1, 0, 0, 0, 1],
            Self::Later => vec![next, 0, 0, 9, 0, 0, 0, 1],
            Self::Authentication(length) => {
                let mut bytes = vec![0; (usize::from(length) + 2) * 4];
                (bytes[0], bytes[1]) = (next, length);
                bytes
            }
            Self::HopByHop(length)
            | Self::Routing(length)
            | Self::Destination(length)
            | Self::Mobility(length) => {
                let mut bytes = vec![0; (usize::from(length) + 1) * 8];
                (bytes[0], bytes[1]) = (next, length);
                bytes
            }
        }
    }
}

impl Body {
    fn protocol(&self, is_v4: bool) -> u8 {
        match self {
            Self::Ports(protocol, _, _) | Self::Other(protocol) => *protocol,
            Self::Icmp(_) | Self::Error(_, _) if is_v4 => ICMP,
            Self::Icmp(_) | Self::Error(_, _) => ICMPV6,
        }
    }
}
