//! What changes the system as a whole: kernel modules, BPF programs, control groups.

use crate::record::{Header, Subject};

record! {
    /// [`crate::kind::MODULE`]: a kernel module was loaded. [`crate::tail::NAME`] is its name,
    /// [`crate::tail::PATH`] the file it came from, unless it was handed over as bytes
    /// (`init_module`).
    pub struct Module {
        /// Header.
        pub header: Header,
        /// Who loaded it.
        pub subject: Subject,
        /// `TAINT_*` bits of `include/linux/panic.h` that it brings: bit 0 not GPL, bit 1 forced,
        /// bit 12 out of tree, bit 13 not signed.
        pub taints: u64,
    }
}

record! {
    /// [`crate::kind::BPF`]: a BPF program was loaded. [`crate::tail::NAME`] is its name,
    /// [`crate::tail::FUNCTION`] the kernel function or tracepoint it is made for, if any.
    pub struct BpfLoad {
        /// Header.
        pub header: Header,
        /// Who loaded it.
        pub subject: Subject,
        /// `BPF_PROG_TYPE_*` of `include/uapi/linux/bpf.h`.
        pub program_type: u32,
        /// `enum bpf_attach_type` it was loaded for; 0 when its type knows none.
        pub attach_type: u32,
        /// Id of the program, as `bpftool prog` shows it.
        pub id: u32,
        /// Length in instructions, as translated by the verifier.
        pub instructions: u32,
    }
}

record! {
    /// [`crate::kind::CGROUP_MKDIR`], [`crate::kind::CGROUP_RMDIR`]: a control group was made or
    /// removed. [`crate::tail::PATH`] is its path within its hierarchy.
    pub struct Cgroup {
        /// Header.
        pub header: Header,
        /// Who did it.
        pub subject: Subject,
        /// Id of the group: inode number of its directory.
        pub id: u64,
        /// Which hierarchy; the unified one (version 2) has 0.
        pub hierarchy: u32,
        /// Depth; the root has 0.
        pub level: u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{offset_of, size_of};

    #[test]
    fn the_layout_is_the_one_of_this_version() {
        const HEAD: usize = size_of::<Header>() + size_of::<Subject>();
        assert_eq!(size_of::<Module>(), HEAD + 8);
        assert_eq!(size_of::<BpfLoad>(), HEAD + 16);
        assert_eq!(size_of::<Cgroup>(), HEAD + 16);
        assert_eq!(offset_of!(Cgroup, hierarchy), HEAD + 8);
    }
}
