//! Whether the kernel asks BPF programs at its security hooks. Such programs can be loaded and
//! attached also where it does not, and are never called then.

use std::fs;
use std::path::Path;

use crate::detached::Detached;

/// What to do when it does not.
pub const NOT_IN_USE: &str = "BPF is not among the security modules in use; add `bpf` to `lsm=` \
                              on the kernel's command line to have it there after the next boot";

/// Whether `bpf` is among the security modules in use (`lsm_names_ops`, `security/inode.c`).
pub fn is_in_use() -> bool {
    let mounted = fs::read_to_string("/sys/kernel/security/lsm");
    let list = mounted.or_else(|_| {
        let system = Detached::mount(c"securityfs")?;
        fs::read_to_string(Path::new(&system.path()).join("lsm"))
    });
    list.is_ok_and(|list| list.trim().split(',').any(|name| name == "bpf"))
}
