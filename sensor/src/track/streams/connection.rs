//! Inet connections: who opened them, which way, to whom. By inode of the socket, which is what
//! standard streams are known by. Bounded: the oldest are forgotten first, and counted.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::event::network::{Direction, Flow};
use crate::event::object::{InetSocket, Object};
use crate::event::process::ProcessKey;
use crate::event::{Endpoint, EventId};

/// Connections remembered.
const CONNECTIONS_MAX: usize = 32_768;
/// Ports remembered that somebody listens on.
const LISTENERS_MAX: usize = 4_096;
/// Ports remembered that datagrams may come to unasked.
const BOUND_MAX: usize = 4_096;
/// Port of the domain name system.
const DNS: u16 = 53;

/// What tells one connection from every other that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ends {
    /// This end.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
    /// IP protocol number.
    pub protocol: u8,
}

/// One connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// This end.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
    /// IP protocol number.
    pub protocol: u8,
    /// Who opened it.
    pub direction: Direction,
    /// The process that opened or accepted it; the first one seen with it when that was before
    /// the sensor.
    pub opener: ProcessKey,
    /// When, in nanoseconds since boot.
    pub since_boot_ns: u64,
    /// The event that told of it.
    pub event: Option<EventId>,
}

impl Connection {
    /// Its two ends.
    #[must_use]
    pub const fn ends(&self) -> Ends {
        Ends {
            local: self.local,
            remote: self.remote,
            protocol: self.protocol,
        }
    }

    /// From what an event says.
    #[must_use]
    pub const fn new(
        flow: &Flow,
        direction: Direction,
        opener: ProcessKey,
        since_boot_ns: u64,
        event: Option<EventId>,
    ) -> Self {
        Self {
            local: flow.local,
            remote: flow.remote,
            protocol: flow.protocol,
            direction,
            opener,
            since_boot_ns,
            event,
        }
    }
}

/// Whether a flow is nothing but a question to a name server.
#[must_use]
pub fn is_name_lookup(flow: &Flow) -> bool {
    i32::from(flow.protocol) == libc::IPPROTO_UDP && flow.remote.port == DNS
}

/// All connections known.
#[derive(Debug, Default)]
pub struct Connections {
    by_inode: HashMap<u64, Connection>,
    /// When a socket is closed, its inode is mostly gone already.
    by_ends: HashMap<Ends, u64>,
    order: VecDeque<u64>,
    listeners: HashSet<u16>,
    /// Ports that a UDP socket was bound to by name.
    bound: HashSet<u16>,
    forgotten: u64,
}

impl Connections {
    /// The connection of a socket.
    #[must_use]
    pub fn get(&self, inode: u64) -> Option<&Connection> {
        self.by_inode.get(&inode)
    }

    /// The connection with these two ends.
    #[must_use]
    pub fn with_ends(&self, ends: &Ends) -> Option<&Connection> {
        self.get(*self.by_ends.get(ends)?)
    }

    /// How many are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_inode.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_inode.is_empty()
    }

    /// How many were forgotten for want of room.
    #[must_use]
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub(super) fn insert(&mut self, inode: u64, connection: Connection) {
        self.by_ends.insert(connection.ends(), inode);
        if self.by_inode.insert(inode, connection).is_none() {
            self.order.push_back(inode);
        }
        // Closed ones are still in the queue; it may be twice as long before it is tidied up.
        if self.order.len() > 2 * CONNECTIONS_MAX {
            self.order.retain(|inode| self.by_inode.contains_key(inode));
        }
        while self.by_inode.len() > CONNECTIONS_MAX {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            if let Some(connection) = self.by_inode.remove(&oldest) {
                self.by_ends.remove(&connection.ends());
                self.forgotten += 1;
            }
        }
    }

    /// A process has an inet socket as a standard stream; nobody may have seen it opened.
    pub(super) fn seen(&mut self, inode: u64, object: &Object, holder: ProcessKey, boot_ns: u64) {
        let Some(inet) = &object.inet else { return };
        // One without a port of its own was closed by the other side, while it is still held.
        let is_dead = inet.local.port == 0 || inet.remote.port == 0;
        if self.by_inode.contains_key(&inode) || is_dead {
            return;
        }
        let direction = self.direction(inet);
        self.insert(
            inode,
            Connection {
                local: inet.local,
                remote: inet.remote,
                protocol: inet.protocol,
                direction,
                opener: holder,
                since_boot_ns: boot_ns,
                event: None,
            },
        );
    }

    /// Which way a connection was opened, as far as that can be told from its ports.
    fn direction(&self, inet: &InetSocket) -> Direction {
        if self.listeners.contains(&inet.local.port) {
            Direction::Ingress
        } else {
            Direction::Unknown
        }
    }

    pub(super) fn listening(&mut self, flow: &Flow) {
        self.listens_on(flow.local.port);
    }

    pub(super) fn listens_on(&mut self, port: u16) {
        if self.listeners.len() < LISTENERS_MAX {
            self.listeners.insert(port);
        }
    }

    /// A socket got a port by name.
    pub(super) fn bound(&mut self, flow: &Flow) {
        let is_udp = i32::from(flow.protocol) == libc::IPPROTO_UDP;
        if is_udp && self.bound.len() < BOUND_MAX {
            self.bound.insert(flow.local.port);
        }
    }

    /// Who began to talk: we, unless the socket has a port by name, to which anybody may have
    /// sent first. That cannot be told then, and is not guessed.
    pub(super) fn direction_of_datagrams(&self, flow: &Flow) -> Direction {
        if self.bound.contains(&flow.local.port) {
            Direction::Unknown
        } else {
            Direction::Egress
        }
    }

    pub(super) fn listeners_have(&self, port: u16) -> bool {
        self.listeners.contains(&port)
    }

    /// A connection was closed.
    pub(super) fn closed(&mut self, flow: &Flow) {
        let ends = Ends {
            local: flow.local,
            remote: flow.remote,
            protocol: flow.protocol,
        };
        if let Some(inode) = self.by_ends.remove(&ends) {
            self.by_inode.remove(&inode);
        }
    }
}
