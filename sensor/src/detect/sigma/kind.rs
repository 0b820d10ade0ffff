//! What a Sigma log source is to us: every kind of event, the shapes it can be seen in (a
//! process creation, an audit record, …), and which shapes a rule's `logsource` asks for.
//! Fields do not belong here.

use rsigma_parser::LogSource;

use crate::event::Action;

macro_rules! kinds {
    ($($kind:ident $name:literal [$($shape:ident)*];)*) => {
        /// Kind of event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind { $(#[doc = concat!("`", $name, "`.")] $kind,)* }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// As `event.dataset` and `--events` name it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name),* }
            }

            /// What it can be seen as, besides [`Shape::Native`].
            #[must_use]
            pub const fn shapes(self) -> &'static [Shape] {
                match self { $(Self::$kind => &[$(Shape::$shape,)* Shape::Native]),* }
            }
        }
    };
}

kinds! {
    Fork "process.fork" [AuditSyscall];
    Exec "process.exec" [ProcessCreation AnyLinux AuditSyscall AuditExecve AuditPath];
    Exit "process.exit" [ProcessTermination AuditSyscall];
    Credentials "process.credentials" [];
    Ptrace "process.ptrace" [ProcessAccess AuditSyscall];
    VmWrite "process.vm_write" [ProcessAccess AuditSyscall];
    Memfd "process.memfd" [AuditSyscall];
    Setns "process.setns" [AuditSyscall];
    Unshare "process.unshare" [AuditSyscall];
    Mount "process.mount" [AuditSyscall];
    Signal "process.signal" [AuditSyscall];
    Module "kernel.module" [DriverLoad AuditSyscall];
    Bpf "kernel.bpf" [AuditSyscall];
    CgroupMkdir "cgroup.mkdir" [];
    CgroupRmdir "cgroup.rmdir" [];
    Connect "network.connect" [NetworkConnection AuditSyscall];
    Accept "network.accept" [NetworkConnection AuditSyscall];
    Listen "network.listen" [AuditSyscall];
    Bind "network.bind" [AuditSyscall];
    Close "network.close" [];
    UdpConnect "network.udp_connect" [NetworkConnection AuditSyscall];
    UdpSend "network.udp_send" [NetworkConnection AuditSyscall];
    RawSocket "network.raw_socket" [AuditSyscall];
    UnixConnect "network.unix_connect" [AuditSyscall];
    Dns "network.dns" [Dns];
    FileOpen "file.open" [FileEvent AuditSyscall AuditPath];
    FileClose "file.close" [FileChange];
    FileRead "file.read" [FileAccess AuditSyscall AuditPath];
    FileRename "file.rename" [FileEvent FileRename AuditSyscall AuditPath];
    FileUnlink "file.unlink" [FileDelete AuditSyscall AuditPath];
    FileLink "file.link" [FileEvent AuditSyscall AuditPath];
    FileSymlink "file.symlink" [FileEvent AuditSyscall AuditPath];
    FileChmod "file.chmod" [FileChange AuditSyscall AuditPath];
    FileChown "file.chown" [FileChange AuditSyscall AuditPath];
    FileTruncate "file.truncate" [FileChange AuditSyscall AuditPath];
    FileMkdir "file.mkdir" [AuditSyscall AuditPath];
    Stream "file.stream" [AuditSyscall AuditPath];
    Alert "alert" [Alert];
    Response "response" [];
    Lost "sensor.lost" [];
    Health "sensor.health" [];
}

impl Kind {
    /// The kind of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        // Events about the sensor's own health have a name for each change.
        if matches!(name, "sensor.started" | "sensor.stopped") {
            return Some(Self::Health);
        }
        if name.starts_with("response.") {
            return Some(Self::Response);
        }
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// The kind of what happened.
    #[must_use]
    pub fn of(action: &Action) -> Self {
        use crate::event::file::{AccessKind, ChangeKind};
        match action {
            Action::Fork => Self::Fork,
            Action::Exec(_) => Self::Exec,
            Action::Exit(_) => Self::Exit,
            Action::Memfd(_) => Self::Memfd,
            Action::Credentials(_) => Self::Credentials,
            Action::Ptrace(_) => Self::Ptrace,
            Action::VmWrite(_) => Self::VmWrite,
            Action::Setns(_) => Self::Setns,
            Action::Unshare(_) => Self::Unshare,
            Action::Mount(_) => Self::Mount,
            Action::Signal(_) => Self::Signal,
            Action::Module(_) => Self::Module,
            Action::BpfLoad(_) => Self::Bpf,
            Action::CgroupMkdir(_) => Self::CgroupMkdir,
            Action::CgroupRmdir(_) => Self::CgroupRmdir,
            Action::TcpConnect(_) => Self::Connect,
            Action::TcpAccept(_) => Self::Accept,
            Action::TcpListen(_) => Self::Listen,
            Action::Bind(_) => Self::Bind,
            Action::TcpClose(_) => Self::Close,
            Action::UdpConnect(_) => Self::UdpConnect,
            Action::UdpSend(_) => Self::UdpSend,
            Action::RawSocket(_) => Self::RawSocket,
            Action::UnixConnect(_) => Self::UnixConnect,
            Action::Dns(_) => Self::Dns,
            Action::FileAccess(access) => match access.kind {
                AccessKind::Open => Self::FileOpen,
                AccessKind::Close => Self::FileClose,
                AccessKind::Read => Self::FileRead,
            },
            Action::FileChange(change) => match change.kind {
                ChangeKind::Rename => Self::FileRename,
                ChangeKind::Unlink => Self::FileUnlink,
                ChangeKind::Link => Self::FileLink,
                ChangeKind::Symlink => Self::FileSymlink,
                ChangeKind::Chmod => Self::FileChmod,
                ChangeKind::Chown => Self::FileChown,
                ChangeKind::Truncate => Self::FileTruncate,
                ChangeKind::Mkdir => Self::FileMkdir,
            },
            Action::StreamOpen(_) => Self::Stream,
            Action::Alert(_) => Self::Alert,
            Action::Response(_) => Self::Response,
            Action::Lost(_) => Self::Lost,
            Action::Health(_) => Self::Health,
        }
    }

    /// Names of the system calls that lead to it, as audit records have them.
    #[must_use]
    pub const fn system_calls(self) -> &'static [&'static str] {
        match self {
            Self::Fork => &["clone", "clone3", "fork", "vfork"],
            Self::Exec => &["execve", "execveat"],
            Self::Exit => &["exit_group", "exit"],
            Self::Ptrace => &["ptrace"],
            Self::VmWrite => &["process_vm_writev"],
            Self::Memfd => &["memfd_create"],
            Self::Setns => &["setns"],
            Self::Unshare => &["unshare"],
            Self::Mount => &["mount", "move_mount"],
            Self::Signal => &["kill", "tkill", "tgkill"],
            Self::Module => &["init_module", "finit_module"],
            Self::Bpf => &["bpf"],
            Self::Connect | Self::UdpConnect | Self::UnixConnect => &["connect"],
            Self::Accept => &["accept", "accept4"],
            Self::Listen => &["listen"],
            Self::Bind => &["bind"],
            Self::UdpSend => &["sendto", "sendmsg", "sendmmsg"],
            Self::RawSocket => &["socket"],
            Self::FileOpen | Self::FileRead | Self::Stream => {
                &["open", "openat", "openat2", "creat"]
            }
            Self::FileRename => &["rename", "renameat", "renameat2"],
            Self::FileUnlink => &["unlink", "unlinkat", "rmdir"],
            Self::FileLink => &["link", "linkat"],
            Self::FileSymlink => &["symlink", "symlinkat"],
            Self::FileChmod => &["chmod", "fchmod", "fchmodat"],
            Self::FileChown => &["chown", "fchown", "fchownat", "lchown"],
            Self::FileTruncate => &["truncate", "ftruncate"],
            Self::FileMkdir => &["mkdir", "mkdirat"],
            _ => &[],
        }
    }
}

/// What an event is seen as: the record that a Sigma rule expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shape {
    /// Category `process_creation`.
    ProcessCreation,
    /// Category `process_termination`.
    ProcessTermination,
    /// Category `process_access`.
    ProcessAccess,
    /// Category `network_connection`.
    NetworkConnection,
    /// Categories `dns_query` and `dns`.
    Dns,
    /// Category `file_event`: created, opened for writing, or given this name.
    FileEvent,
    /// Category `file_change`.
    FileChange,
    /// Category `file_delete`.
    FileDelete,
    /// Category `file_rename`.
    FileRename,
    /// Category `file_access`: read.
    FileAccess,
    /// Category `driver_load`.
    DriverLoad,
    /// Category `alert`: what a behaviour or another rule found.
    Alert,
    /// Service `auditd`, record type `SYSCALL`.
    AuditSyscall,
    /// Service `auditd`, record type `EXECVE`.
    AuditExecve,
    /// Service `auditd`, record type `PATH`.
    AuditPath,
    /// Product `linux` and nothing else: words anywhere in a log, for us in a command line.
    AnyLinux,
    /// Service `sensor`: our own fields only.
    Native,
}

impl Shape {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::ProcessCreation,
        Self::ProcessTermination,
        Self::ProcessAccess,
        Self::NetworkConnection,
        Self::Dns,
        Self::FileEvent,
        Self::FileChange,
        Self::FileDelete,
        Self::FileRename,
        Self::FileAccess,
        Self::DriverLoad,
        Self::Alert,
        Self::AuditSyscall,
        Self::AuditExecve,
        Self::AuditPath,
        Self::AnyLinux,
        Self::Native,
    ];

    /// As a rule's `logsource` names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProcessCreation => "category process_creation",
            Self::ProcessTermination => "category process_termination",
            Self::ProcessAccess => "category process_access",
            Self::NetworkConnection => "category network_connection",
            Self::Dns => "category dns_query, dns",
            Self::FileEvent => "category file_event",
            Self::FileChange => "category file_change",
            Self::FileDelete => "category file_delete",
            Self::FileRename => "category file_rename",
            Self::FileAccess => "category file_access",
            Self::DriverLoad => "category driver_load",
            Self::Alert => "category alert",
            Self::AuditSyscall => "service auditd, SYSCALL",
            Self::AuditExecve => "service auditd, EXECVE",
            Self::AuditPath => "service auditd, PATH",
            Self::AnyLinux => "product linux alone",
            Self::Native => "service sensor",
        }
    }
}

/// The shapes a rule's log source asks for; none when we do not produce it.
#[must_use]
pub fn shapes(source: &LogSource) -> &'static [Shape] {
    const AUDIT: &[Shape] = &[Shape::AuditSyscall, Shape::AuditExecve, Shape::AuditPath];
    let lower = |text: &Option<String>| text.as_deref().map(str::to_ascii_lowercase);
    let (product, service, category) = (
        lower(&source.product),
        lower(&source.service),
        lower(&source.category),
    );
    if product.is_some_and(|product| product != "linux") || !source.custom.is_empty() {
        return &[];
    }
    match (category.as_deref(), service.as_deref()) {
        (None, None) => &[Shape::AnyLinux],
        (None, Some("auditd")) => AUDIT,
        (None, Some("sensor")) => &[Shape::Native],
        (Some(category), None | Some("sensor")) => match category {
            "process_creation" => &[Shape::ProcessCreation],
            "process_termination" => &[Shape::ProcessTermination],
            "process_access" => &[Shape::ProcessAccess],
            "network_connection" => &[Shape::NetworkConnection],
            "dns_query" | "dns" => &[Shape::Dns],
            "file_event" => &[Shape::FileEvent],
            "file_change" => &[Shape::FileChange],
            "file_delete" => &[Shape::FileDelete],
            "file_rename" => &[Shape::FileRename],
            "file_access" => &[Shape::FileAccess],
            "driver_load" => &[Shape::DriverLoad],
            "alert" => &[Shape::Alert],
            _ => &[],
        },
        _ => &[],
    }
}

/// A log source in words, for messages.
#[must_use]
pub fn describe(source: &LogSource) -> String {
    let named = [
        ("product", &source.product),
        ("category", &source.category),
        ("service", &source.service),
    ];
    let mut words: Vec<String> = named
        .iter()
        .filter_map(|(name, value)| Some(format!("{name} {}", value.as_deref()?)))
        .collect();
    let mut custom: Vec<_> = source.custom.iter().collect();
    custom.sort();
    words.extend(custom.iter().map(|(name, value)| format!("{name} {value}")));
    if words.is_empty() {
        "empty".to_owned()
    } else {
        words.join(", ")
    }
}
