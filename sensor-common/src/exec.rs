//! [`crate::kind::EXEC`]: a program was executed; with what its standard streams really are.

use crate::record::{Header, Subject};

record! {
    /// A kernel object behind a file descriptor.
    #[derive(Default)]
    pub struct Object {
        /// One of the `OBJECT_*` constants.
        pub kind: u8,
        /// Address family (`AF_*`) of a socket.
        pub family: u8,
        /// IP protocol of an inet socket.
        pub protocol: u8,
        /// TCP state (`TCP_*` of `include/net/tcp_states.h`), also of unix sockets.
        pub state: u8,
        /// Socket type (`SOCK_*`).
        pub socket_type: u16,
        /// Local port, host order.
        pub local_port: u16,
        /// Remote port, host order.
        pub remote_port: u16,
        /// Padding.
        pub reserved: u16,
        /// `file.f_flags`: access mode and the like.
        pub flags: u32,
        /// Device of the inode, `major << 20 | minor`.
        pub dev: u32,
        /// Device that a device node stands for, `major << 20 | minor`; for a terminal the
        /// real one, also when it was opened through `/dev/tty`.
        pub rdev: u32,
        /// Inode number.
        pub inode: u64,
        /// Socket inode of a unix socket's peer, 0 when none.
        pub peer_inode: u64,
        /// Local address; IPv4 in the first four bytes, network order.
        pub local_address: [u8; 16],
        /// Remote address; IPv4 in the first four bytes, network order.
        pub remote_address: [u8; 16],
    }
}

/// The descriptor is closed.
pub const OBJECT_CLOSED: u8 = 0;
/// A regular file.
pub const OBJECT_FILE: u8 = 1;
/// A directory.
pub const OBJECT_DIRECTORY: u8 = 2;
/// An anonymous pipe.
pub const OBJECT_PIPE: u8 = 3;
/// A named pipe.
pub const OBJECT_FIFO: u8 = 4;
/// A terminal: the slave end of a pty, a console, a serial line.
pub const OBJECT_TTY: u8 = 5;
/// The master end of a pty.
pub const OBJECT_PTY_MASTER: u8 = 6;
/// `/dev/null`.
pub const OBJECT_NULL: u8 = 7;
/// Another character device.
pub const OBJECT_CHARACTER: u8 = 8;
/// A block device.
pub const OBJECT_BLOCK: u8 = 9;
/// A socket of family `AF_INET` or `AF_INET6`.
pub const OBJECT_INET: u8 = 10;
/// A unix socket.
pub const OBJECT_UNIX: u8 = 11;
/// A socket of another family.
pub const OBJECT_SOCKET: u8 = 12;
/// An anonymous inode: eventfd, epoll and the like.
pub const OBJECT_ANONYMOUS: u8 = 13;
/// An anonymous file in memory (`memfd_create`).
pub const OBJECT_MEMFD: u8 = 14;

record! {
    /// A file, by everything but its name.
    #[derive(Default)]
    pub struct FileIdentity {
        /// Inode number.
        pub inode: u64,
        /// Size in bytes.
        pub size: u64,
        /// Last modification, seconds since the epoch.
        pub mtime_sec: i64,
        /// Last status change, seconds since the epoch.
        pub ctime_sec: i64,
        /// Nanoseconds of the modification time.
        pub mtime_nsec: u32,
        /// Nanoseconds of the status change time.
        pub ctime_nsec: u32,
        /// Device, `major << 20 | minor`.
        pub dev: u32,
        /// Type and permission bits (`S_IF*`, `S_IS*`).
        pub mode: u32,
        /// Owner in the initial user namespace.
        pub uid: u32,
        /// Group in the initial user namespace.
        pub gid: u32,
        /// Hard links; 0 means deleted.
        pub links: u32,
        /// `super_block.s_magic` of its file system (`include/uapi/linux/magic.h`).
        pub fs_magic: u32,
        /// Bits of `FILE_*`.
        pub flags: u32,
        /// Padding.
        pub reserved: u32,
    }
}

/// File flag: made with `memfd_create`.
pub const FILE_MEMFD: u32 = 1;
/// File flag: the name is no longer in its directory.
pub const FILE_DELETED: u32 = 2;
/// File flag: on an overlay file system, in its upper (writable) layer.
pub const FILE_OVERLAY_UPPER: u32 = 4;

record! {
    /// The TCP connection that a process, or the one it was forked from, opened or accepted
    /// last, while it lasts: what it has carried so far.
    #[derive(Default)]
    pub struct Carried {
        /// Inode of the socket, 0 when there is no such connection.
        pub inode: u64,
        /// Payload bytes received.
        pub received_bytes: u64,
        /// Payload bytes sent.
        pub sent_bytes: u64,
        /// Nanoseconds since the last packet in either direction.
        pub idle_ns: u64,
    }
}

record! {
    /// A program was executed.
    pub struct Exec {
        /// Header.
        pub header: Header,
        /// The process, with its identity after the exec.
        pub subject: Subject,
        /// What descriptors 0, 1 and 2 are.
        pub stdio: [Object; 3],
        /// The executable.
        pub executable: FileIdentity,
        /// What the connection carried that it inherited.
        pub carried: Carried,
        /// Bytes of all arguments together, before truncation.
        pub argument_bytes: u64,
        /// Bytes of the environment, before truncation.
        pub environment_bytes: u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{offset_of, size_of};

    #[test]
    fn the_layout_is_the_one_of_this_version() {
        assert_eq!(size_of::<Object>(), 72);
        assert_eq!(offset_of!(Object, inode), 24);
        assert_eq!(size_of::<FileIdentity>(), 72);
        assert_eq!(size_of::<Exec>(), 24 + 120 + 3 * 72 + 72 + 32 + 16);
    }
}
