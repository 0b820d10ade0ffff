//! What a record is about. Numbers are stable: gaps are left inside each family, and a number
//! that falls out of use is never given to something else.

/// A number and the lane and name that belong to it.
macro_rules! kinds {
    ($($(#[$meta:meta])* $name:ident = $number:literal, $lane:ident, $text:literal;)*) => {
        $($(#[$meta])* pub const $name: u16 = $number;)*

        /// Every kind there is: number, lane, name.
        pub const ALL: &[(u16, u8, &str)] = &[$(($number, $lane, $text)),*];
    };
}

/// Lane of process and network records.
pub const LANE_PROCESS: u8 = 0;
/// Lane of file records, so that a flood of opens can never push out an exec.
pub const LANE_FILE: u8 = 1;
/// How many lanes there are.
pub const LANES: usize = 2;
/// One more than the highest kind number; the size of tables indexed by kind.
pub const LIMIT: usize = 96;

kinds! {
    /// A process was forked or cloned (threads are counted, not reported).
    FORK = 1, LANE_PROCESS, "process.fork";
    /// A program was executed, successfully.
    EXEC = 2, LANE_PROCESS, "process.exec";
    /// The last thread of a process ended.
    EXIT = 3, LANE_PROCESS, "process.exit";
    /// Credentials changed in a way that gains privilege.
    CREDENTIALS = 4, LANE_PROCESS, "process.credentials";
    /// A process attached to another's memory or registers.
    PTRACE = 5, LANE_PROCESS, "process.ptrace";
    /// `process_vm_writev` into another process.
    VM_WRITE = 6, LANE_PROCESS, "process.vm_write";
    /// An anonymous file was made with `memfd_create`.
    MEMFD = 7, LANE_PROCESS, "process.memfd";
    /// A kernel module was loaded.
    MODULE = 8, LANE_PROCESS, "kernel.module";
    /// A BPF program was loaded.
    BPF = 9, LANE_PROCESS, "kernel.bpf";
    /// `setns` into other namespaces.
    SETNS = 10, LANE_PROCESS, "process.setns";
    /// `unshare` of namespaces.
    UNSHARE = 11, LANE_PROCESS, "process.unshare";
    /// `mount`.
    MOUNT = 12, LANE_PROCESS, "process.mount";
    /// A signal sent to the sensor.
    SIGNAL = 13, LANE_PROCESS, "process.signal";
    /// A control group was made.
    CGROUP_MKDIR = 14, LANE_PROCESS, "cgroup.mkdir";
    /// A control group was removed.
    CGROUP_RMDIR = 15, LANE_PROCESS, "cgroup.rmdir";
    /// A rule applied to a program that was being started.
    PREVENT = 16, LANE_PROCESS, "response.prevent";

    /// A TCP connect with its outcome.
    TCP_CONNECT = 32, LANE_PROCESS, "network.connect";
    /// A TCP connection was accepted.
    TCP_ACCEPT = 33, LANE_PROCESS, "network.accept";
    /// A TCP socket listens.
    TCP_LISTEN = 34, LANE_PROCESS, "network.listen";
    /// An inet socket was bound to a port.
    BIND = 35, LANE_PROCESS, "network.bind";
    /// A TCP connection ended.
    TCP_CLOSE = 36, LANE_PROCESS, "network.close";
    /// A UDP socket was connected to a peer.
    UDP_CONNECT = 37, LANE_PROCESS, "network.udp_connect";
    /// The first datagram of a process to a peer.
    UDP_SEND = 38, LANE_PROCESS, "network.udp_send";
    /// A raw or packet socket was made.
    RAW_SOCKET = 39, LANE_PROCESS, "network.raw_socket";
    /// A unix socket was connected.
    UNIX_CONNECT = 40, LANE_PROCESS, "network.unix_connect";
    /// A DNS message was sent or received.
    DNS = 41, LANE_PROCESS, "network.dns";

    /// A file was opened for writing or created.
    FILE_OPEN = 64, LANE_FILE, "file.open";
    /// A file opened for writing was closed.
    FILE_CLOSE = 65, LANE_FILE, "file.close";
    /// A watched file was opened for reading.
    FILE_READ = 66, LANE_FILE, "file.read";
    /// A file or directory was renamed.
    FILE_RENAME = 67, LANE_FILE, "file.rename";
    /// A file or directory was removed.
    FILE_UNLINK = 68, LANE_FILE, "file.unlink";
    /// A hard link was made.
    FILE_LINK = 69, LANE_FILE, "file.link";
    /// A symbolic link was made.
    FILE_SYMLINK = 70, LANE_FILE, "file.symlink";
    /// Mode bits were changed.
    FILE_CHMOD = 71, LANE_FILE, "file.chmod";
    /// The owner was changed.
    FILE_CHOWN = 72, LANE_FILE, "file.chown";
    /// A file was truncated by path or descriptor.
    FILE_TRUNCATE = 73, LANE_FILE, "file.truncate";
    /// A directory was made.
    FILE_MKDIR = 74, LANE_FILE, "file.mkdir";
    /// A fifo or the master of a pseudo-terminal was opened: what joins processes. Rare, and
    /// needed to understand an exec, so it shares its lane.
    STREAM_OPEN = 75, LANE_PROCESS, "file.stream";
}

/// Name of a kind, `"unknown"` for a number this build does not know.
#[must_use]
pub fn name(kind: u16) -> &'static str {
    ALL.iter()
        .find(|(number, _, _)| *number == kind)
        .map_or("unknown", |(_, _, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_within_the_limit() {
        for (at, (number, lane, _)) in ALL.iter().enumerate() {
            assert!(usize::from(*number) < LIMIT);
            assert!(usize::from(*lane) < LANES);
            assert!(ALL[at + 1..].iter().all(|(other, _, _)| other != number));
        }
    }
}
