//! Searches what is known of descriptors: which connections feed a process, which ones its
//! output reaches, and by way of whom.

use std::collections::VecDeque;

use super::{Channel, Hold, Streams};
use crate::event::process::ProcessKey;

/// Longest chain of relays followed.
const HOPS_MAX: usize = 8;
/// Most processes looked at in one search.
const VISITED_MAX: usize = 48;
/// Most connections one search gives.
const LINKS_MAX: usize = 16;

/// Which way bytes flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Towards the process: its standard input.
    In,
    /// Away from it: its standard output and error.
    Out,
}

impl Way {
    /// Whether a process that holds a channel like this is the next on the way.
    const fn follows(self, hold: &Hold) -> bool {
        match self {
            Self::In => hold.reads,
            Self::Out => hold.writes,
        }
    }

    /// Whether a process that holds a channel like this is at its other end.
    const fn meets(self, hold: &Hold) -> bool {
        match self {
            Self::In => hold.writes,
            Self::Out => hold.reads,
        }
    }
}

/// One step away from the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Through this.
    pub channel: Channel,
    /// To this process.
    pub relay: ProcessKey,
}

/// A way between a process and a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Inode of the connection's socket.
    pub connection: u64,
    /// The relays between, nearest to the process first; none when the socket itself is a
    /// standard stream.
    pub hops: Vec<Hop>,
    /// Every step was seen. Otherwise the other end of a pipe is nobody's standard stream, and
    /// taken to be held by the ancestor that made it.
    pub certain: bool,
}

/// A process that was reached, and how.
struct Reached {
    process: ProcessKey,
    hops: Vec<Hop>,
    certain: bool,
}

/// A search, breadth first: the shortest way to each process and connection is found first.
struct Search<'s> {
    streams: &'s Streams,
    way: Way,
    visited: Vec<ProcessKey>,
    next: VecDeque<Reached>,
    found: Vec<Link>,
}

impl Streams {
    /// The connections that feed a process's standard input, or that its output reaches.
    #[must_use]
    pub fn links(&self, process: ProcessKey, way: Way) -> Vec<Link> {
        let mut search = Search {
            streams: self,
            way,
            visited: vec![process],
            next: VecDeque::new(),
            found: Vec::new(),
        };
        search.from(&Reached {
            process,
            hops: Vec::new(),
            certain: true,
        });
        while let Some(reached) = search.next.pop_front() {
            search.from(&reached);
        }
        search.found
    }

    /// Processes joined to this one, itself included, nearest first, at most `max`: those whose
    /// links may change when something happens to it.
    #[must_use]
    pub fn joined_to(&self, process: ProcessKey, max: usize) -> Vec<ProcessKey> {
        let mut found = vec![process];
        let mut at = 0;
        while let Some(current) = found.get(at).copied() {
            at += 1;
            let Some(node) = self.nodes.get(&current) else {
                continue;
            };
            let neighbours = node
                .holds
                .iter()
                .filter_map(|hold| self.counterpart(hold.channel))
                .flat_map(|channel| self.holders.get(&channel).into_iter().flatten())
                .chain(&node.children);
            for neighbour in neighbours {
                if found.len() >= max {
                    return found;
                }
                if !found.contains(neighbour) {
                    found.push(*neighbour);
                }
            }
        }
        found
    }

    /// Whether a process has a connection of its own, other than `except`.
    #[must_use]
    pub fn has_other_connection(&self, process: ProcessKey, except: u64) -> bool {
        self.nodes.get(&process).is_some_and(|node| {
            node.connections
                .iter()
                .any(|held| held.certain && held.inode != except && self.is_open(held.inode))
        })
    }

    /// Whether a process holds a connection, opened by itself or before it was forked.
    #[must_use]
    pub fn holds_connection(&self, process: ProcessKey, inode: u64) -> bool {
        self.nodes.get(&process).is_some_and(|node| {
            node.connections
                .iter()
                .any(|held| held.certain && held.inode == inode)
                || node
                    .holds
                    .iter()
                    .any(|hold| hold.channel == Channel::Inet(inode))
        })
    }

    /// The process that forked this one, as far as it still lives.
    #[must_use]
    pub fn parent(&self, process: ProcessKey) -> Option<ProcessKey> {
        self.nodes.get(&process)?.parent
    }

    fn is_open(&self, inode: u64) -> bool {
        self.connections.get(inode).is_some()
    }

    /// The channel by which the other end of this one is known.
    fn counterpart(&self, channel: Channel) -> Option<Channel> {
        match channel {
            Channel::Pipe(_) | Channel::Fifo { .. } => Some(channel),
            Channel::Unix(inode) => self.unix_peers.get(&inode).copied().map(Channel::Unix),
            Channel::Terminal(index) => Some(Channel::Master(index)),
            Channel::Master(index) => Some(Channel::Terminal(index)),
            Channel::Inet(_) => None,
        }
    }

    /// The nearest ancestor that does not have this channel itself: who made a pipe keeps the
    /// other end.
    fn maker(&self, process: ProcessKey, channel: Channel) -> Option<ProcessKey> {
        let mut current = process;
        for _ in 0..HOPS_MAX {
            current = self.nodes.get(&current)?.parent?;
            let node = self.nodes.get(&current)?;
            if !node.holds.iter().any(|hold| hold.channel == channel) {
                return Some(current);
            }
        }
        None
    }
}

impl Search<'_> {
    /// Goes on from a process that was reached.
    fn from(&mut self, at: &Reached) {
        let Some(node) = self.streams.nodes.get(&at.process) else {
            return;
        };
        let is_start = at.hops.is_empty();
        if !is_start {
            for held in node.connections.iter().rev() {
                self.connected(held.inode, at, held.certain);
            }
        }
        for hold in &node.holds {
            if !self.way.follows(hold) || (is_start && !hold.standard) {
                continue;
            }
            match hold.channel {
                Channel::Inet(inode) => self.connected(inode, at, true),
                // What comes out of a master is what the programs on its terminal say; that
                // does not lead to whoever feeds them.
                Channel::Master(_) => {}
                channel => self.through(channel, at),
            }
        }
    }

    fn through(&mut self, channel: Channel, at: &Reached) {
        if at.hops.len() >= HOPS_MAX {
            return;
        }
        let ends = self
            .streams
            .counterpart(channel)
            .map_or_else(Vec::new, |other| self.others(other, at.process));
        if !ends.is_empty() {
            for end in ends {
                self.step(channel, end, at, true);
            }
        } else if !matches!(channel, Channel::Terminal(_) | Channel::Fifo { .. })
            && let Some(maker) = self.streams.maker(at.process, channel)
        {
            self.step(channel, maker, at, false);
        }
    }

    /// Who holds the other end of a channel.
    fn others(&self, channel: Channel, process: ProcessKey) -> Vec<ProcessKey> {
        let meets = |holder: &ProcessKey| {
            self.streams.nodes.get(holder).is_some_and(|node| {
                node.holds
                    .iter()
                    .any(|hold| hold.channel == channel && self.way.meets(hold))
            })
        };
        self.streams
            .holders
            .get(&channel)
            .into_iter()
            .flatten()
            .filter(|holder| **holder != process && meets(holder))
            .copied()
            .collect()
    }

    fn step(&mut self, channel: Channel, relay: ProcessKey, at: &Reached, seen: bool) {
        if self.visited.contains(&relay) || self.visited.len() >= VISITED_MAX {
            return;
        }
        self.visited.push(relay);
        let mut hops = at.hops.clone();
        hops.push(Hop { channel, relay });
        self.next.push_back(Reached {
            process: relay,
            hops,
            certain: at.certain && seen,
        });
    }

    fn connected(&mut self, connection: u64, at: &Reached, seen: bool) {
        let certain = at.certain && seen;
        let known = self
            .found
            .iter()
            .any(|link| link.connection == connection && (link.certain || !certain));
        if known || self.found.len() >= LINKS_MAX || !self.streams.is_open(connection) {
            return;
        }
        self.found.push(Link {
            connection,
            hops: at.hops.clone(),
            certain,
        });
    }
}
