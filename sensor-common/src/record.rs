//! What every record begins with: its header and the identity of the process it is about.

use crate::limits::COMM_LEN;

/// Version of the layouts in this crate; part of every header.
pub const VERSION: u8 = 3;

record! {
    /// First bytes of every record.
    pub struct Header {
        /// Length of the whole record in bytes, this header included.
        pub len: u32,
        /// One of [`crate::kind`].
        pub kind: u16,
        /// [`VERSION`].
        pub version: u8,
        /// One of [`crate::kind`]'s lanes.
        pub lane: u8,
        /// CPU the event happened on.
        pub cpu: u32,
        /// Bits of `HEADER_*`.
        pub flags: u32,
        /// Nanoseconds since boot, suspended time included (`CLOCK_BOOTTIME`).
        pub boot_ns: u64,
    }
}

/// Header flag: nobody can say whose doing the event is; the subject is all zero.
pub const HEADER_OWNER_UNKNOWN: u32 = 1;

record! {
    /// Who did it, as the kernel knew it at that moment.
    #[derive(Default)]
    pub struct Subject {
        /// Process id (`task_struct.tgid`) in the initial pid namespace.
        pub pid: u32,
        /// Thread id (`task_struct.pid`) in the initial pid namespace.
        pub tid: u32,
        /// Process id of the parent in the initial pid namespace.
        pub ppid: u32,
        /// Process id in the process's own pid namespace.
        pub ns_pid: u32,
        /// Start of the process (its first thread), nanoseconds since boot.
        pub start_boot_ns: u64,
        /// Real user id; ids are in the initial user namespace.
        pub uid: u32,
        /// Real group id.
        pub gid: u32,
        /// Saved user id.
        pub suid: u32,
        /// Saved group id.
        pub sgid: u32,
        /// Effective user id.
        pub euid: u32,
        /// Effective group id.
        pub egid: u32,
        /// Audit login uid, `u32::MAX` when unset.
        pub login_uid: u32,
        /// Audit session id, `u32::MAX` when unset.
        pub audit_session: u32,
        /// Session id: pid of the session leader in the initial pid namespace.
        pub session: u32,
        /// Controlling terminal as `major << 20 | minor`, 0 when none.
        pub tty: u32,
        /// Effective capabilities, bit n is capability n of `uapi/linux/capability.h`.
        pub caps_effective: u64,
        /// Id of the cgroup in the unified hierarchy.
        pub cgroup_id: u64,
        /// Inode of the mount namespace.
        pub mnt_ns: u32,
        /// Inode of the pid namespace.
        pub pid_ns: u32,
        /// Inode of the network namespace.
        pub net_ns: u32,
        /// Inode of the user namespace.
        pub user_ns: u32,
        /// `task_struct.comm`, NUL padded.
        pub comm: [u8; COMM_LEN],
        /// `task_struct.flags` (`PF_*` of `include/linux/sched.h`).
        pub task_flags: u32,
        /// Padding.
        pub reserved: u32,
    }
}

record! {
    /// A record with nothing but header and subject.
    pub struct Plain {
        /// Header.
        pub header: Header,
        /// The process.
        pub subject: Subject,
    }
}

record! {
    /// [`crate::kind::EXIT`]: the last thread of a process ended.
    pub struct Exit {
        /// Header.
        pub header: Header,
        /// The process.
        pub subject: Subject,
        /// As `wait(2)` gives it: exit status in bits 8 to 15, signal in bits 0 to 6.
        pub code: u32,
        /// Padding.
        pub reserved: u32,
    }
}

record! {
    /// [`crate::kind::MEMFD`]: an anonymous file was made; [`crate::tail::NAME`] is its name.
    pub struct Memfd {
        /// Header.
        pub header: Header,
        /// The process.
        pub subject: Subject,
        /// `MFD_*` flags of `include/uapi/linux/memfd.h`.
        pub flags: u32,
        /// The new descriptor.
        pub fd: u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{offset_of, size_of};

    #[test]
    fn the_layout_is_the_one_of_this_version() {
        assert_eq!(VERSION, 3, "a new version: write its layout down here");
        assert_eq!(size_of::<Header>(), 24);
        assert_eq!(offset_of!(Header, boot_ns), 16);
        assert_eq!(size_of::<Subject>(), 120);
        assert_eq!(offset_of!(Subject, start_boot_ns), 16);
        assert_eq!(offset_of!(Subject, caps_effective), 64);
        assert_eq!(offset_of!(Subject, comm), 96);
        assert_eq!(size_of::<Exit>(), 152);
    }
}
