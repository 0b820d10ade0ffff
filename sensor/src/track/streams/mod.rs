//! What joins processes to each other and to the network: pipes, fifos, unix sockets, terminals
//! and inet sockets, and who holds which end. Fed by events in any order, bounded, and searched
//! by `trace`. Draws no conclusions.

mod channel;
pub mod connection;
mod seed;
mod trace;

use std::collections::HashMap;

pub use channel::{Channel, Hold};
pub use connection::{Connection, Connections, Ends};
pub use trace::{Hop, Link, Way};

use crate::event::file::Stream;
use crate::event::network::{Direction, Flow, Outcome, UnixConnect};
use crate::event::object::{Kind, Object};
use crate::event::process::ProcessKey;
use crate::event::{Action, Event};

/// Holders remembered of one channel; the terminal of a busy session has many, and nobody needs
/// all of them.
const HOLDERS_MAX: usize = 64;
/// Connections remembered of one process, the latest.
const CONNECTIONS_OF_ONE_MAX: usize = 8;
/// Fifos and terminals remembered of one process besides its standard streams.
const OPENED_MAX: usize = 8;
/// Children remembered of one process, the latest.
const CHILDREN_MAX: usize = 64;
/// Unix sockets whose peer is remembered.
const UNIX_PEERS_MAX: usize = 16_384;

/// A connection a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    /// Inode of the socket.
    inode: u64,
    /// It was opened since the last exec, or is a standard stream: most programs have the
    /// kernel close the others then.
    certain: bool,
}

/// What is known of the descriptors of one process.
#[derive(Clone, Debug, Default)]
struct Node {
    parent: Option<ProcessKey>,
    children: Vec<ProcessKey>,
    holds: Vec<Hold>,
    connections: Vec<Held>,
}

/// All of it.
#[derive(Debug)]
pub struct Streams {
    nodes: HashMap<ProcessKey, Node>,
    /// The process that has a pid now.
    live: HashMap<u32, ProcessKey>,
    holders: HashMap<Channel, Vec<ProcessKey>>,
    unix_peers: HashMap<u64, u64>,
    connections: Connections,
    nodes_max: usize,
    dropped: u64,
}

impl Streams {
    /// Nothing known yet; for at most `nodes_max` processes.
    #[must_use]
    pub fn new(nodes_max: usize) -> Self {
        Self {
            nodes: HashMap::new(),
            live: HashMap::new(),
            holders: HashMap::new(),
            unix_peers: HashMap::new(),
            connections: Connections::default(),
            nodes_max: nodes_max.max(1),
            dropped: 0,
        }
    }

    /// Connections known.
    #[must_use]
    pub const fn connections(&self) -> &Connections {
        &self.connections
    }

    /// The connections a process has, the latest first. Of those it had before it executed a
    /// program, most are closed by that; only what is a standard stream is surely still there.
    pub fn connections_of(&self, key: ProcessKey) -> impl Iterator<Item = &Connection> {
        let held = self.nodes.get(&key).into_iter();
        held.flat_map(|node| node.connections.iter().rev())
            .filter(|held| held.certain)
            .filter_map(|held| self.connections.get(held.inode))
    }

    /// How much could not be remembered for want of room.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped + self.connections.forgotten()
    }

    /// Learns from an event. The end of a process is learned by [`Streams::ended`], once nobody
    /// asks about it any more.
    pub fn apply(&mut self, event: &Event) {
        let Some(process) = &event.process else {
            return;
        };
        let key = process.key;
        match &event.action {
            Action::Fork => self.forked(key, process.ppid),
            Action::Exec(exec) => {
                self.ensure(key, process.ppid);
                self.executed(key, &exec.stdio, event.time.boot_ns);
            }
            Action::TcpConnect(connect) if connect.outcome == Outcome::Success => {
                self.opened_connection(key, process.ppid, &connect.flow, Direction::Egress, event);
            }
            Action::UdpConnect(connect) if connect.outcome == Outcome::Success => {
                let direction = self.connections.direction_of_datagrams(&connect.flow);
                self.opened_connection(key, process.ppid, &connect.flow, direction, event);
            }
            Action::UdpSend(send) => {
                let direction = self.connections.direction_of_datagrams(&send.0);
                self.opened_connection(key, process.ppid, &send.0, direction, event);
            }
            Action::TcpAccept(accept) => {
                self.opened_connection(key, process.ppid, &accept.0, Direction::Ingress, event);
            }
            Action::TcpClose(close) => {
                self.connections.closed(&close.flow);
            }
            Action::Bind(bind) => self.connections.bound(&bind.0),
            Action::TcpListen(listen) => self.connections.listening(&listen.flow),
            Action::UnixConnect(connect) => self.joined(key, process.ppid, connect),
            Action::StreamOpen(stream) => self.opened_stream(key, process.ppid, stream),
            _ => {}
        }
    }

    /// A process ended.
    pub fn ended(&mut self, key: ProcessKey) {
        if self.live.get(&key.pid) == Some(&key) {
            self.live.remove(&key.pid);
        }
        let Some(node) = self.nodes.remove(&key) else {
            return;
        };
        for hold in node.holds {
            self.let_go(hold.channel, key);
        }
        if let Some(parent) = node.parent.and_then(|parent| self.nodes.get_mut(&parent)) {
            parent.children.retain(|child| *child != key);
        }
    }

    /// Learns what is there before the first event.
    pub fn seed(&mut self) {
        seed::fill(self);
    }

    /// A process is older than the first event.
    pub(super) fn adopt(&mut self, key: ProcessKey, ppid: u32) {
        self.ensure(key, ppid);
    }

    /// Makes a node for a process that events speak of but whose fork nobody saw.
    fn ensure(&mut self, key: ProcessKey, ppid: u32) {
        if !self.nodes.contains_key(&key) {
            self.forked(key, ppid);
        }
    }

    fn forked(&mut self, key: ProcessKey, ppid: u32) {
        if self.nodes.contains_key(&key) {
            return;
        }
        if self.nodes.len() >= self.nodes_max {
            self.dropped += 1;
            return;
        }
        let parent = self.live.get(&ppid).copied();
        let mut node = Node {
            parent,
            ..Node::default()
        };
        if let Some(parent) = parent.and_then(|parent| self.nodes.get_mut(&parent)) {
            node.holds.clone_from(&parent.holds);
            node.connections.clone_from(&parent.connections);
            if parent.children.len() >= CHILDREN_MAX {
                parent.children.remove(0);
            }
            parent.children.push(key);
        }
        for hold in &node.holds {
            self.dropped += u64::from(!hold_on(&mut self.holders, hold.channel, key));
        }
        self.nodes.insert(key, node);
        if let Some(before) = self.live.insert(key.pid, key) {
            // Its end was not seen.
            self.ended(before);
        }
    }

    fn executed(&mut self, key: ProcessKey, stdio: &[Object; 3], boot_ns: u64) {
        let mut holds: Vec<Hold> = Vec::with_capacity(3);
        let mut inherited = Vec::new();
        for (fd, object) in stdio.iter().enumerate() {
            let Some(channel) = Channel::of(object) else {
                continue;
            };
            if let Channel::Inet(inode) = channel {
                self.connections.seen(inode, object, key, boot_ns);
                inherited.push(inode);
            }
            if let (Channel::Unix(inode), Some(peer)) = (channel, object.peer_inode) {
                self.remember_peer(inode, peer);
            }
            let (reads, writes) = (fd == 0, fd != 0);
            match holds.iter_mut().find(|hold| hold.channel == channel) {
                Some(hold) => {
                    hold.reads |= reads;
                    hold.writes |= writes;
                }
                None => holds.push(Hold {
                    channel,
                    reads,
                    writes,
                    standard: true,
                }),
            }
        }
        let Some(node) = self.nodes.get_mut(&key) else {
            return;
        };
        let before = std::mem::replace(&mut node.holds, holds.clone());
        for held in &mut node.connections {
            held.certain = inherited.contains(&held.inode);
        }
        for hold in before {
            self.let_go(hold.channel, key);
        }
        for hold in holds {
            self.dropped += u64::from(!hold_on(&mut self.holders, hold.channel, key));
        }
    }

    fn opened_connection(
        &mut self,
        key: ProcessKey,
        ppid: u32,
        flow: &Flow,
        direction: Direction,
        event: &Event,
    ) {
        let Some(inode) = flow.inode else { return };
        if connection::is_name_lookup(flow) {
            return;
        }
        self.ensure(key, ppid);
        self.connections.insert(
            inode,
            Connection::new(flow, direction, key, event.time.boot_ns, Some(event.id)),
        );
        self.has_connection(key, inode);
    }

    fn has_connection(&mut self, key: ProcessKey, inode: u64) {
        let Some(node) = self.nodes.get_mut(&key) else {
            return;
        };
        node.connections
            .retain(|held| held.inode != inode && self.connections.get(held.inode).is_some());
        if node.connections.len() >= CONNECTIONS_OF_ONE_MAX {
            node.connections.remove(0);
        }
        node.connections.push(Held {
            inode,
            certain: true,
        });
    }

    fn opened_stream(&mut self, key: ProcessKey, ppid: u32, stream: &Stream) {
        let Some(channel) = Channel::of(&stream.object) else {
            return;
        };
        self.ensure(key, ppid);
        self.also_holds(
            key,
            Hold {
                channel,
                reads: stream.reads,
                writes: stream.writes,
                standard: false,
            },
        );
    }

    fn joined(&mut self, key: ProcessKey, ppid: u32, connect: &UnixConnect) {
        let Some(peer_inode) = connect.peer_inode else {
            return;
        };
        self.ensure(key, ppid);
        self.remember_peer(connect.inode, peer_inode);
        self.remember_peer(peer_inode, connect.inode);
        let hold = |inode| Hold {
            channel: Channel::Unix(inode),
            reads: true,
            writes: true,
            standard: false,
        };
        self.also_holds(key, hold(connect.inode));
        let peer = connect
            .peer_pid
            .and_then(|pid| self.live.get(&pid).copied());
        if let Some(peer) = peer {
            self.also_holds(peer, hold(peer_inode));
        }
    }

    fn also_holds(&mut self, key: ProcessKey, hold: Hold) {
        let Some(node) = self.nodes.get_mut(&key) else {
            return;
        };
        let mut opened = node.holds.iter().enumerate().filter(|(_, h)| !h.standard);
        let oldest = opened.next().map(|(at, _)| at);
        let full = opened.count() + 1 >= OPENED_MAX;
        if let (true, Some(at)) = (full, oldest) {
            let gone = node.holds.remove(at);
            self.let_go(gone.channel, key);
        }
        if let Some(node) = self.nodes.get_mut(&key) {
            node.holds.push(hold);
        }
        self.dropped += u64::from(!hold_on(&mut self.holders, hold.channel, key));
    }

    fn let_go(&mut self, channel: Channel, key: ProcessKey) {
        if let Some(holders) = self.holders.get_mut(&channel) {
            holders.retain(|holder| *holder != key);
            if holders.is_empty() {
                self.holders.remove(&channel);
                if let Channel::Unix(inode) = channel {
                    self.unix_peers.remove(&inode);
                }
            }
        }
    }

    fn remember_peer(&mut self, inode: u64, peer: u64) {
        if self.unix_peers.len() < UNIX_PEERS_MAX || self.unix_peers.contains_key(&inode) {
            self.unix_peers.insert(inode, peer);
        } else {
            self.dropped += 1;
        }
    }
}

/// Adds a holder of a channel; false when there is no room for another.
fn hold_on(
    holders: &mut HashMap<Channel, Vec<ProcessKey>>,
    channel: Channel,
    key: ProcessKey,
) -> bool {
    let holders = holders.entry(channel).or_default();
    if holders.contains(&key) {
        return true;
    }
    if holders.len() >= HOLDERS_MAX {
        return false;
    }
    holders.push(key);
    true
}

/// Whether a standard stream can join a process to another at all.
#[must_use]
pub const fn is_joint(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Pipe | Kind::Fifo | Kind::Tty | Kind::PtyMaster | Kind::InetSocket | Kind::UnixSocket
    )
}

#[cfg(test)]
mod tests;
