//! The decoded event: what happened, who did it, when. Everything downstream (tracking,
//! detection, every output format) works on this type. Nothing here talks to the kernel and
//! nothing here knows a host's state; what tracking finds out is written into the fields that
//! are optional here.

pub mod alert;
pub mod attack;
pub mod dns;
#[cfg(test)]
pub mod ecs_check;
pub mod field;
pub mod file;
pub mod flags;
pub mod health;
pub mod lineage;
#[cfg(test)]
pub mod made_up;
pub mod network;
pub mod object;
pub mod origin;
pub mod parse;
pub mod privilege;
pub mod process;
pub mod response;
pub mod system;
#[cfg(test)]
mod template;
pub mod text;

use std::fmt;
use std::net::IpAddr;

use field::{Field, Fields};
use process::Process;

use crate::identity::Identity;

/// Identifies one event of one run of the sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId {
    /// Random, chosen at start.
    pub run: u32,
    /// Number among the events of the run, from 0, in the order they are written. A gap is an
    /// event that could not be written, and is counted as such.
    pub sequence: u64,
}

impl EventId {
    /// The id of an event that is not delivered, and that nobody can refer to.
    #[must_use]
    pub const fn undelivered(self) -> Self {
        Self {
            run: self.run,
            sequence: u64::MAX,
        }
    }

    /// Whether somebody who reads the output knows it.
    #[must_use]
    pub const fn is_delivered(self) -> bool {
        self.sequence != u64::MAX
    }

    /// The id of the event after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self {
            run: self.run,
            sequence: self.sequence + 1,
        }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.run, self.sequence)
    }
}

/// When something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Nanoseconds since boot, suspended time included: monotonic.
    pub boot_ns: u64,
    /// Nanoseconds since the epoch.
    pub wall_ns: u64,
}

/// One event.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// CPU it happened on.
    pub cpu: u32,
    /// When it happened.
    pub time: Stamp,
    /// Who did it; `None` for the sensor's own events and where nobody can be named.
    pub process: Option<Process>,
    /// What happened.
    pub action: Action,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Action {
    /// A process came to be; it is the event's process.
    Fork,
    /// A program was executed.
    Exec(Box<process::Exec>),
    /// A process ended.
    Exit(process::Exit),
    /// An anonymous file was made.
    Memfd(process::Memfd),
    /// A thread gained privilege.
    Credentials(Box<privilege::Credentials>),
    /// A thread traces another.
    Ptrace(Box<privilege::Ptrace>),
    /// Another process's memory was written to.
    VmWrite(Box<privilege::VmWrite>),
    /// A thread moved to other namespaces.
    Setns(Box<privilege::Setns>),
    /// A thread made namespaces of its own.
    Unshare(privilege::Unshare),
    /// Something was mounted.
    Mount(Box<privilege::Mount>),
    /// Somebody sent the sensor a signal.
    Signal(privilege::Signal),
    /// A kernel module was loaded.
    Module(system::Module),
    /// A BPF program was loaded.
    BpfLoad(system::BpfLoad),
    /// A control group was made.
    CgroupMkdir(system::Cgroup),
    /// A control group was removed.
    CgroupRmdir(system::Cgroup),
    /// A TCP connect with its outcome.
    TcpConnect(Box<network::Connect>),
    /// A TCP connection was accepted.
    TcpAccept(Box<network::Accept>),
    /// A TCP socket listens.
    TcpListen(Box<network::Listen>),
    /// A socket was bound to an address.
    Bind(Box<network::Bind>),
    /// A TCP connection ended.
    TcpClose(Box<network::Close>),
    /// A UDP socket was connected to a peer.
    UdpConnect(Box<network::Connect>),
    /// The first datagram of a process to a peer.
    UdpSend(Box<network::Send>),
    /// A raw or packet socket was made.
    RawSocket(network::RawSocket),
    /// A unix socket was connected.
    UnixConnect(Box<network::UnixConnect>),
    /// A DNS message was sent or received.
    Dns(Box<network::dns::Dns>),
    /// Something was done through an open file.
    FileAccess(Box<file::Access>),
    /// A fifo or the master of a pseudo-terminal was opened.
    StreamOpen(Box<file::Stream>),
    /// A name or attributes of a file were changed.
    FileChange(Box<file::Change>),
    /// Detection concluded something.
    Alert(Box<alert::Alert>),
    /// Something was done about an intruder.
    Response(Box<response::Response>),
    /// Events were lost.
    Lost(health::Lost),
    /// The sensor started, stopped, or changed how well it sees.
    Health(health::Health),
}

/// How an event is labelled in every format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Name of the kind, as in `--events`: `process.exec`.
    pub name: &'static str,
    /// ECS `event.action`.
    pub action: &'static str,
    /// ECS `event.category`.
    pub category: &'static [&'static str],
    /// ECS `event.type`.
    pub kind: &'static [&'static str],
}

/// What an event is to those who pass it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Something that happened on the host.
    Observed,
    /// A conclusion.
    Alert(alert::Severity),
    /// What the sensor did, or says of itself.
    Own,
}

impl Action {
    /// What it is to those who pass it on.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self {
            Self::Alert(alert) => Standing::Alert(alert.severity),
            Self::Response(_) | Self::Lost(_) | Self::Health(_) => Standing::Own,
            _ => Standing::Observed,
        }
    }

    /// Its label.
    #[must_use]
    pub fn label(&self) -> Label {
        match self {
            Self::Fork => process::FORK,
            Self::Exec(_) => process::EXEC,
            Self::Exit(_) => process::EXIT,
            Self::Memfd(_) => process::MEMFD,
            Self::Credentials(_) => privilege::CREDENTIALS_LABEL,
            Self::Ptrace(_) => privilege::PTRACE_LABEL,
            Self::VmWrite(_) => privilege::VM_WRITE_LABEL,
            Self::Setns(_) => privilege::SETNS_LABEL,
            Self::Unshare(_) => privilege::UNSHARE_LABEL,
            Self::Mount(_) => privilege::MOUNT_LABEL,
            Self::Signal(_) => privilege::SIGNAL_LABEL,
            Self::Module(_) => system::MODULE,
            Self::BpfLoad(_) => system::BPF,
            Self::CgroupMkdir(_) => system::CGROUP_MKDIR,
            Self::CgroupRmdir(_) => system::CGROUP_RMDIR,
            Self::TcpConnect(connect) if connect.denied() => network::TCP_CONNECT_DENIED,
            Self::TcpConnect(_) => network::TCP_CONNECT,
            Self::TcpAccept(_) => network::TCP_ACCEPT,
            Self::TcpListen(_) => network::TCP_LISTEN,
            Self::Bind(_) => network::BIND,
            Self::TcpClose(_) => network::TCP_CLOSE,
            Self::UdpConnect(_) => network::UDP_CONNECT,
            Self::UdpSend(_) => network::UDP_SEND,
            Self::RawSocket(_) => network::RAW_SOCKET,
            Self::UnixConnect(_) => network::UNIX_CONNECT,
            Self::Dns(_) => network::dns::DNS,
            Self::FileAccess(access) => access.label(),
            Self::StreamOpen(_) => file::STREAM_OPEN,
            Self::FileChange(change) => change.label(),
            Self::Alert(_) => alert::ALERT,
            Self::Response(response) => response.label(),
            Self::Lost(_) => health::LOST,
            Self::Health(health) => health.label(),
        }
    }

    fn put<'a>(&'a self, fields: &mut Fields<'a>) {
        match self {
            Self::Fork => {}
            Self::Exec(exec) => exec.put(fields),
            Self::Exit(exit) => exit.put(fields),
            Self::Memfd(memfd) => memfd.put(fields),
            Self::Credentials(gain) => gain.put(fields),
            Self::Ptrace(ptrace) => ptrace.put(fields),
            Self::VmWrite(write) => write.put(fields),
            Self::Setns(setns) => setns.put(fields),
            Self::Unshare(unshare) => unshare.put(fields),
            Self::Mount(mount) => mount.put(fields),
            Self::Signal(signal) => signal.put(fields),
            Self::Module(module) => module.put(fields),
            Self::BpfLoad(load) => load.put(fields),
            Self::CgroupMkdir(cgroup) | Self::CgroupRmdir(cgroup) => cgroup.put(fields),
            Self::TcpConnect(connect) | Self::UdpConnect(connect) => connect.put(fields),
            Self::TcpAccept(accept) => accept.put(fields),
            Self::TcpListen(listen) => listen.put(fields),
            Self::Bind(bind) => bind.put(fields),
            Self::TcpClose(close) => close.put(fields),
            Self::UdpSend(send) => send.put(fields),
            Self::RawSocket(socket) => socket.put(fields),
            Self::UnixConnect(connect) => connect.put(fields),
            Self::Dns(dns) => dns.put(fields),
            Self::FileAccess(access) => access.put(fields),
            Self::StreamOpen(stream) => stream.put(fields),
            Self::FileChange(change) => change.put(fields),
            Self::Alert(alert) => alert.put(fields),
            Self::Response(response) => response.put(fields),
            Self::Lost(lost) => lost.put(fields),
            Self::Health(health) => health.put(fields),
        }
    }

    /// What there is to say beyond label and process, for people, in a few words. Not escaped.
    #[must_use]
    pub fn summary(&self) -> String {
        match self {
            Self::Fork => String::new(),
            Self::Exec(exec) => exec.summary(),
            Self::Exit(exit) => exit.summary(),
            Self::Memfd(memfd) => memfd.summary(),
            Self::Credentials(gain) => gain.summary(),
            Self::Ptrace(ptrace) => ptrace.summary(),
            Self::VmWrite(write) => write.summary(),
            Self::Setns(setns) => setns.summary(),
            Self::Unshare(unshare) => unshare.summary(),
            Self::Mount(mount) => mount.summary(),
            Self::Signal(signal) => signal.summary(),
            Self::Module(module) => module.summary(),
            Self::BpfLoad(load) => load.summary(),
            Self::CgroupMkdir(cgroup) | Self::CgroupRmdir(cgroup) => cgroup.summary(),
            Self::TcpConnect(connect) | Self::UdpConnect(connect) => connect.summary(),
            Self::TcpAccept(accept) => accept.summary(),
            Self::TcpListen(listen) => listen.summary(),
            Self::Bind(bind) => bind.summary(),
            Self::TcpClose(close) => close.summary(),
            Self::UdpSend(send) => send.summary(),
            Self::RawSocket(socket) => socket.summary(),
            Self::UnixConnect(connect) => connect.summary(),
            Self::Dns(dns) => dns.summary(),
            Self::FileAccess(access) => access.summary(),
            Self::StreamOpen(stream) => stream.summary(),
            Self::FileChange(change) => change.summary(),
            Self::Alert(alert) => alert.summary(),
            Self::Response(response) => response.summary(),
            Self::Lost(lost) => lost.summary(),
            Self::Health(health) => health.summary(),
        }
    }
}

impl Event {
    /// All fields of the event, as far as it happened anywhere.
    #[must_use]
    pub fn fields(&self) -> Fields<'_> {
        self.complete(Fields::new())
    }

    /// All fields of the event, and where it is from: the one definition that every format is made
    /// from.
    #[must_use]
    pub fn fields_from<'a>(&'a self, origin: &'a Identity) -> Fields<'a> {
        let mut fields = Fields::new();
        origin::put(origin, &mut fields);
        self.complete(fields)
    }

    fn complete<'a>(&'a self, mut fields: Fields<'a>) -> Fields<'a> {
        let label = self.action.label();
        fields.put(Field::Timestamp, field::Value::Time(self.time.wall_ns));
        fields.put(Field::EventId, self.id.to_string());
        fields.put(Field::EventSequence, self.id.sequence);
        let is_alert = matches!(self.action, Action::Alert(_));
        fields.put(Field::EventKind, if is_alert { "alert" } else { "event" });
        fields.put(Field::EventModule, "sensor");
        fields.put(Field::EventDataset, label.name);
        fields.put(Field::EventAction, label.action);
        fields.put_list(Field::EventCategory, label.category.iter().copied());
        fields.put_list(Field::EventType, label.kind.iter().copied());
        fields.put(Field::SensorBootNs, self.time.boot_ns);
        fields.put(Field::SensorCpu, u64::from(self.cpu));
        if let Some(process) = &self.process {
            process.put(&mut fields);
        }
        self.action.put(&mut fields);
        fields.sort();
        fields
    }
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Address; IPv4-mapped IPv6 addresses are given as IPv4.
    pub address: IpAddr,
    /// Port, host order.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            IpAddr::V4(address) => write!(f, "{address}:{}", self.port),
            IpAddr::V6(address) => write!(f, "[{address}]:{}", self.port),
        }
    }
}
