//! The rows of the file family.

use sensor_common::kind;

use super::{Service, Way, fentry, fentry_if_any, fexit, syscall_enter, syscall_exit, tracepoint};

pub(super) const OPEN: Service = Service {
    name: "file open",
    kinds: &[kind::FILE_OPEN, kind::FILE_READ, kind::STREAM_OPEN],
    ways: &[
        Way {
            hooks: &[
                fexit("file_open", "do_file_open"),
                fexit("file_open_root", "do_file_open_root"),
            ],
            misses: "",
        },
        // Up to 6.19.
        Way {
            hooks: &[
                fexit("file_open", "do_filp_open"),
                fexit("file_open_root", "do_file_open_root"),
            ],
            misses: "",
        },
        Way {
            hooks: &[syscall_exit(
                "file_open_exit",
                &["openat", "open", "creat", "openat2"],
            )],
            misses: "io_uring, open_by_handle_at, 32-bit system calls",
        },
    ],
};

pub(super) const CLOSE: Service = Service {
    name: "file close",
    kinds: &[kind::FILE_CLOSE],
    ways: &[
        Way {
            hooks: &[fentry("file_close", "locks_remove_file")],
            misses: "",
        },
        Way {
            hooks: &[
                syscall_enter("file_close_enter", &["close"]),
                syscall_enter("file_dup_enter", &["dup3", "dup2"]),
                tracepoint("file_close_at_exit", "sched_process_exit"),
            ],
            misses: "files closed by close_range, exec, munmap, io_uring or 32-bit system calls; \
                     more than four of a process, or above descriptor 63, when it ends",
        },
    ],
};

/// What the tracepoints of system calls do not see of a change, and do not know of it.
const BY_NAME: &str =
    "io_uring, 32-bit system calls; paths are as passed, and nothing is known of the file before";

pub(super) const UNLINK: Service = Service {
    name: "file unlink",
    kinds: &[kind::FILE_UNLINK],
    ways: &[
        Way {
            hooks: &[
                fentry("path_unlink", "security_path_unlink"),
                fexit("vfs_unlink", "vfs_unlink"),
                fentry("path_rmdir", "security_path_rmdir"),
                fentry("directory_removed", "shrink_dcache_parent"),
            ],
            misses: "",
        },
        Way {
            hooks: &[syscall_exit(
                "file_unlink_exit",
                &["unlinkat", "unlink", "rmdir"],
            )],
            misses: BY_NAME,
        },
    ],
};

pub(super) const RENAME: Service = Service {
    name: "file rename",
    kinds: &[kind::FILE_RENAME],
    ways: &[
        Way {
            hooks: &[
                fentry("path_rename", "security_path_rename"),
                fexit("vfs_rename", "vfs_rename"),
            ],
            misses: "",
        },
        Way {
            hooks: &[syscall_exit(
                "file_rename_exit",
                &["renameat2", "rename", "renameat"],
            )],
            misses: BY_NAME,
        },
    ],
};

pub(super) const LINK: Service = Service {
    name: "file link",
    kinds: &[kind::FILE_LINK],
    ways: &[
        Way {
            hooks: &[
                fentry("path_link", "security_path_link"),
                fexit("vfs_link", "vfs_link"),
            ],
            misses: "",
        },
        Way {
            hooks: &[syscall_exit("file_link_exit", &["linkat", "link"])],
            misses: BY_NAME,
        },
    ],
};

pub(super) const SYMLINK: Service = Service {
    name: "file symlink",
    kinds: &[kind::FILE_SYMLINK],
    ways: &[
        Way {
            hooks: &[
                fentry("path_symlink", "security_path_symlink"),
                fexit("vfs_symlink", "vfs_symlink"),
            ],
            misses: "",
        },
        Way {
            hooks: &[syscall_exit("file_symlink_exit", &["symlinkat", "symlink"])],
            misses: BY_NAME,
        },
    ],
};

pub(super) const MKDIR: Service = Service {
    name: "file mkdir",
    kinds: &[kind::FILE_MKDIR],
    ways: &[
        Way {
            hooks: &[
                fentry("path_mkdir", "security_path_mkdir"),
                fexit("vfs_mkdir", "vfs_mkdir"),
            ],
            misses: "",
        },
        Way {
            hooks: &[syscall_exit("file_mkdir_exit", &["mkdirat", "mkdir"])],
            misses: BY_NAME,
        },
    ],
};

pub(super) const ATTRIBUTES: Service = Service {
    name: "file mode, owner, size",
    kinds: &[kind::FILE_CHMOD, kind::FILE_CHOWN, kind::FILE_TRUNCATE],
    ways: &[
        Way {
            hooks: &[
                fentry("path_chmod", "security_path_chmod"),
                fentry("path_chown", "security_path_chown"),
                fentry("path_truncate", "security_path_truncate"),
                // Up to 6.1 descriptors come to security_path_truncate as well.
                fentry_if_any("file_truncate", "security_file_truncate"),
                fexit("notify_change", "notify_change"),
            ],
            misses: "",
        },
        // Up to 6.0, where trampolines cannot take security_path_chown.
        Way {
            hooks: &[
                fentry("path_chmod", "security_path_chmod"),
                fentry("path_chown", "chown_common"),
                fentry("path_truncate", "security_path_truncate"),
                fexit("notify_change", "notify_change"),
            ],
            misses: "",
        },
        Way {
            hooks: &[
                syscall_exit(
                    "file_chmod_exit",
                    &["fchmodat", "chmod", "fchmod", "fchmodat2"],
                ),
                syscall_exit(
                    "file_chown_exit",
                    &["fchownat", "chown", "lchown", "fchown"],
                ),
                syscall_exit("file_truncate_exit", &["truncate", "ftruncate"]),
            ],
            misses: BY_NAME,
        },
    ],
};
