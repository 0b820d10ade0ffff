//! What processes do to gain power over the machine or over one another: credentials, tracing,
//! foreign memory, namespaces, mounts, signals. Modules, BPF and control groups are in `system`.

use crate::limits::COMM_LEN;
use crate::record::{Header, Subject};

record! {
    /// Who a thread is to the kernel (`struct cred`, `include/linux/cred.h`); ids are in the
    /// initial user namespace.
    #[derive(Default, PartialEq, Eq)]
    pub struct Identity {
        /// Real user id.
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
        /// User id for access to files.
        pub fsuid: u32,
        /// Group id for access to files.
        pub fsgid: u32,
        /// Capabilities it may make effective, bit n is capability n.
        pub caps_permitted: u64,
        /// Capabilities in force.
        pub caps_effective: u64,
        /// Inode of the user namespace that the capabilities count in.
        pub user_ns: u32,
        /// Depth of that namespace; the initial one has 0.
        pub user_ns_level: u32,
    }
}

/// A user id became 0 that was not.
pub const GAINED_ROOT: u32 = 1;
/// Capabilities were added to the permitted or the effective set.
pub const GAINED_CAPABILITIES: u32 = 2;
/// The user namespace is now one closer to the initial one. No system call does that.
pub const GAINED_NAMESPACE: u32 = 4;
/// Nothing the old identity could not have taken back at any time: one of its ids was 0
/// already, capabilities were permitted already.
pub const GAINED_BACK: u32 = 8;

impl Identity {
    /// What `new` has that `self` has not, as `GAINED_*`. Going down into a user namespace of
    /// one's own is not a gain: what it gives counts in there only, and `unshare`, `setns` and
    /// fork report it.
    #[inline(always)]
    #[must_use]
    pub fn gain(&self, new: &Self) -> u32 {
        if new.user_ns_level > self.user_ns_level {
            return 0;
        }
        let mut gain = 0;
        if (new.uid == 0 && self.uid != 0)
            || (new.suid == 0 && self.suid != 0)
            || (new.euid == 0 && self.euid != 0)
            || (new.fsuid == 0 && self.fsuid != 0)
        {
            gain |= GAINED_ROOT;
        }
        let permitted = new.caps_permitted & !self.caps_permitted;
        let effective = new.caps_effective & !self.caps_effective;
        if permitted | effective != 0 {
            gain |= GAINED_CAPABILITIES;
        }
        if new.user_ns_level < self.user_ns_level {
            return gain | GAINED_NAMESPACE;
        }
        let had_root = self.uid == 0 || self.suid == 0 || self.euid == 0;
        let had_caps = (permitted | effective) & !self.caps_permitted == 0;
        if gain != 0 && (had_root || gain & GAINED_ROOT == 0) && (had_root || had_caps) {
            gain |= GAINED_BACK;
        }
        gain
    }
}

record! {
    /// [`crate::kind::CREDENTIALS`]: a thread gained privilege other than by an exec (the exec
    /// record has the identity that came of it).
    pub struct Credentials {
        /// Header.
        pub header: Header,
        /// The thread, with its identity before the change.
        pub subject: Subject,
        /// Before.
        pub old: Identity,
        /// After.
        pub new: Identity,
        /// Bits of `GAINED_*`.
        pub gain: u32,
        /// Padding.
        pub reserved: u32,
    }
}

record! {
    /// The thread something was done to. All zero but for `ns_pid` when it was gone by the
    /// time the system call returned.
    #[derive(Default)]
    pub struct Target {
        /// Process id in the initial pid namespace.
        pub pid: u32,
        /// Thread id in the initial pid namespace.
        pub tid: u32,
        /// The number it was called by, in the pid namespace of the caller; 0 when it was not
        /// named by a number.
        pub ns_pid: u32,
        /// Real user id in the initial user namespace.
        pub uid: u32,
        /// Start of the process (its first thread), nanoseconds since boot.
        pub start_boot_ns: u64,
        /// Effective capabilities.
        pub caps_effective: u64,
        /// `task_struct.comm`, NUL padded.
        pub comm: [u8; COMM_LEN],
    }
}

record! {
    /// [`crate::kind::PTRACE`]: a thread attached to another, or wrote to one it is attached
    /// to (the first time it uses that request on that thread).
    pub struct Ptrace {
        /// Header.
        pub header: Header,
        /// Who traces.
        pub subject: Subject,
        /// Who is traced.
        pub target: Target,
        /// Request, `PTRACE_*` of `include/uapi/linux/ptrace.h` and of `asm/ptrace-abi.h`.
        pub request: u64,
        /// Third argument: the address written to, for a request that writes memory.
        pub address: u64,
    }
}

record! {
    /// [`crate::kind::VM_WRITE`]: `process_vm_writev` wrote to another process's memory.
    pub struct VmWrite {
        /// Header.
        pub header: Header,
        /// Who wrote.
        pub subject: Subject,
        /// Whose memory it was.
        pub target: Target,
        /// How many bytes were written.
        pub bytes: u64,
        /// First address written to.
        pub address: u64,
    }
}

record! {
    /// [`crate::kind::SETNS`]: a thread moved to other namespaces, which its subject shows.
    pub struct Setns {
        /// Header.
        pub header: Header,
        /// The thread, already there.
        pub subject: Subject,
        /// Namespace types moved to, `CLONE_NEW*`; 0 when the kernel would not say.
        pub namespaces: u32,
        /// The flags argument as passed.
        pub flags: u32,
        /// Inode of the namespace joined, 0 when the descriptor was a pidfd.
        pub inode: u64,
        /// The process whose namespaces were joined when the descriptor was a pidfd.
        pub target: Target,
    }
}

record! {
    /// [`crate::kind::UNSHARE`]: a thread made namespaces of its own, which its subject shows
    /// (but for a new pid namespace, which its next child is the first in).
    pub struct Unshare {
        /// Header.
        pub header: Header,
        /// The thread, already there.
        pub subject: Subject,
        /// `CLONE_NEW*` and other `CLONE_*` bits of `include/uapi/linux/sched.h`.
        pub flags: u64,
    }
}

record! {
    /// [`crate::kind::MOUNT`]: something was mounted. Sections: [`crate::tail::RAW_PATH`] is the
    /// source, [`crate::tail::RAW_TARGET_PATH`] the mount point, both as passed;
    /// [`crate::tail::NAME`] the file-system type; [`crate::tail::WORKING_DIRECTORY`] what a
    /// relative mount point starts from; [`crate::tail::PATH`] where it really is, for
    /// `move_mount` of a descriptor.
    pub struct Mount {
        /// Header.
        pub header: Header,
        /// The process.
        pub subject: Subject,
        /// `MS_*` of `include/uapi/linux/mount.h`, for `move_mount` its `MOVE_MOUNT_*`.
        pub flags: u64,
        /// One of `MOUNT_BY_*`.
        pub by: u32,
        /// Directory descriptor the source is relative to (or is, when it is empty), as `i32`.
        pub source_fd: u32,
        /// Directory descriptor the mount point is relative to, as `i32`.
        pub target_fd: u32,
        /// Padding.
        pub reserved: u32,
    }
}

/// By `mount(2)`.
pub const MOUNT_BY_MOUNT: u32 = 1;
/// By `move_mount(2)`, the last step of `fsopen`, `fsmount` and of `open_tree`.
pub const MOUNT_BY_MOVE: u32 = 2;

record! {
    /// [`crate::kind::SIGNAL`]: somebody sent the sensor a signal. The subject is who did, or
    /// whatever ran when the kernel did.
    pub struct Signal {
        /// Header.
        pub header: Header,
        /// The sender.
        pub subject: Subject,
        /// Signal number.
        pub signal: u32,
        /// `si_code` as `i32`: 0 or less when a process sent it, more when the kernel did.
        pub code: u32,
        /// What became of it, `TRACE_SIGNAL_*` of `include/trace/events/signal.h`: 0 delivered,
        /// 1 ignored, 2 already pending, 3 and 4 no memory.
        pub outcome: u32,
        /// Thread of the sensor it was sent to.
        pub tid: u32,
    }
}

/// `SI_USER` of `include/uapi/asm-generic/siginfo.h`: by `kill`.
pub const SI_USER: u32 = 0;
/// `SI_KERNEL` of `include/uapi/asm-generic/siginfo.h`.
pub const SI_KERNEL: u32 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{offset_of, size_of};

    #[test]
    fn the_layout_is_the_one_of_this_version() {
        const HEAD: usize = size_of::<Header>() + size_of::<Subject>();
        assert_eq!(size_of::<Identity>(), 56);
        assert_eq!(offset_of!(Identity, caps_permitted), 32);
        assert_eq!(size_of::<Target>(), 48);
        assert_eq!(size_of::<Credentials>(), HEAD + 2 * 56 + 8);
        assert_eq!(size_of::<Ptrace>(), HEAD + 48 + 16);
        assert_eq!(size_of::<VmWrite>(), HEAD + 48 + 16);
        assert_eq!(size_of::<Setns>(), HEAD + 16 + 48);
        assert_eq!(size_of::<Unshare>(), HEAD + 8);
        assert_eq!(size_of::<Mount>(), HEAD + 24);
        assert_eq!(size_of::<Signal>(), HEAD + 16);
    }

    fn user(id: u32) -> Identity {
        Identity {
            uid: id,
            suid: id,
            euid: id,
            fsuid: id,
            ..Identity::default()
        }
    }

    #[test]
    fn becoming_root_from_nothing_is_a_gain() {
        let root = Identity {
            caps_permitted: 0xff,
            caps_effective: 0xff,
            ..user(0)
        };
        assert_eq!(user(1000).gain(&root), GAINED_ROOT | GAINED_CAPABILITIES);
        assert_eq!(user(1000).gain(&user(0)), GAINED_ROOT);
        assert_eq!(
            user(1000).gain(&Identity {
                fsuid: 0,
                ..user(1000)
            }),
            GAINED_ROOT
        );
    }

    #[test]
    fn giving_up_or_keeping_is_not() {
        assert_eq!(user(0).gain(&user(1000)), 0);
        assert_eq!(user(0).gain(&user(0)), 0);
        assert_eq!(user(1000).gain(&user(1001)), 0);
    }

    #[test]
    fn taking_back_what_was_kept_is_told_apart() {
        let resting = Identity {
            uid: 0,
            suid: 0,
            ..user(1000)
        };
        assert_eq!(resting.gain(&user(0)), GAINED_ROOT | GAINED_BACK);
        let permitted = Identity {
            caps_permitted: 2,
            ..user(1000)
        };
        let raised = Identity {
            caps_effective: 2,
            ..permitted
        };
        assert_eq!(permitted.gain(&raised), GAINED_CAPABILITIES | GAINED_BACK);
        let more = Identity {
            caps_permitted: 6,
            caps_effective: 6,
            ..user(1000)
        };
        assert_eq!(permitted.gain(&more), GAINED_CAPABILITIES);
    }

    #[test]
    fn a_user_namespace_of_ones_own_gives_nothing_but_leaving_one_does() {
        let outside = user(1000);
        let inside = Identity {
            user_ns_level: 1,
            caps_permitted: !0,
            caps_effective: !0,
            ..outside
        };
        assert_eq!(outside.gain(&inside), 0);
        let escaped = Identity {
            caps_permitted: !0,
            caps_effective: !0,
            ..user(0)
        };
        assert_eq!(inside.gain(&escaped), GAINED_ROOT | GAINED_NAMESPACE);
        assert_eq!(inside.gain(&outside), GAINED_NAMESPACE);
    }
}
