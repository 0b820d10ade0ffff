//! What a file descriptor really is: pipe, terminal, socket with both its ends, …

use sensor_common::exec::{
    OBJECT_ANONYMOUS, OBJECT_BLOCK, OBJECT_CHARACTER, OBJECT_CLOSED, OBJECT_DIRECTORY, OBJECT_FIFO,
    OBJECT_FILE, OBJECT_INET, OBJECT_MEMFD, OBJECT_NULL, OBJECT_PIPE, OBJECT_PTY_MASTER,
    OBJECT_SOCKET, OBJECT_TTY, OBJECT_UNIX, Object,
};

use super::socket;
use super::{Address, Probed, file, follow, read, task};
use crate::fact;

/// `AF_UNIX` of `include/linux/socket.h`.
pub const AF_UNIX: u16 = 1;
/// `AF_INET`.
pub const AF_INET: u16 = 2;
/// `AF_INET6`.
pub const AF_INET6: u16 = 10;

/// `PIPEFS_MAGIC` of `include/uapi/linux/magic.h`: anonymous pipes.
const PIPEFS_MAGIC: u64 = 0x5049_5045;
/// `/dev/null` is character device 1:3 (`Documentation/admin-guide/devices.txt`).
const DEV_NULL: u32 = (1 << 20) | 3;

/// The open file at descriptor `fd` of `task`, null when closed.
#[inline(always)]
pub fn open_file(task: Address, fd: u32) -> Address {
    let fdt = follow(follow(task, fact!(task_files)), fact!(files_fdt));
    if fd >= read::<u32>(fdt, fact!(fdt_max_fds)) {
        return core::ptr::null();
    }
    let table = follow(fdt, fact!(fdt_fd));
    follow(table.wrapping_add(fd as usize * size_of::<usize>()), 0)
}

/// Fills in what `file` is; all zero (closed) for null.
#[inline(always)]
pub fn describe(file: Address, object: &mut Object) {
    *object = Object::default();
    if file.is_null() {
        object.kind = OBJECT_CLOSED;
        return;
    }
    let inode = follow(file, fact!(file_inode));
    let sb = follow(inode, fact!(inode_sb));
    object.flags = read(file, fact!(file_flags));
    object.inode = read(inode, fact!(inode_ino));
    object.dev = read(sb, fact!(sb_dev));
    object.rdev = read(inode, fact!(inode_rdev));

    object.kind = match file::mode(inode) & file::S_IFMT {
        0o140_000 => describe_socket(
            follow(follow(file, fact!(file_private_data)), fact!(socket_sk)),
            object,
        ),
        0o120_000 => OBJECT_ANONYMOUS,
        0o100_000 if file::is_memfd(follow(file, fact!(file_path_dentry))) => OBJECT_MEMFD,
        0o100_000 => OBJECT_FILE,
        0o060_000 => OBJECT_BLOCK,
        0o040_000 => OBJECT_DIRECTORY,
        0o020_000 => describe_character(file, object),
        0o010_000 if read::<u64>(sb, fact!(sb_magic)) == PIPEFS_MAGIC => OBJECT_PIPE,
        0o010_000 => OBJECT_FIFO,
        _ => OBJECT_ANONYMOUS,
    };
}

/// Terminals by their driver, because `/dev/tty` stands for another device.
/// Majors: `Documentation/admin-guide/devices.txt`.
#[inline(always)]
fn describe_character(file: Address, object: &mut Object) -> u8 {
    if object.rdev == DEV_NULL {
        return OBJECT_NULL;
    }
    let major = object.rdev >> 20;
    // 2: BSD ptys, 3: their slaves, 4: consoles and serial lines, 5: /dev/tty and friends,
    // 128 to 135: Unix98 masters, 136 to 143: slaves.
    if !matches!(major, 2..=5 | 128..=143) {
        return OBJECT_CHARACTER;
    }
    let tty = follow(follow(file, fact!(file_private_data)), fact!(tty_file_tty));
    let real = task::terminal::<Probed>(tty);
    if real != 0 {
        object.rdev = real;
    }
    if matches!(object.rdev >> 20, 2 | 128..=135) {
        OBJECT_PTY_MASTER
    } else {
        OBJECT_TTY
    }
}

/// Fills in the socket part of `object` from a `struct sock`.
#[inline(always)]
pub fn describe_socket(sk: Address, object: &mut Object) -> u8 {
    let family: u16 = read(sk, fact!(sk_family));
    object.family = family as u8;
    object.state = read(sk, fact!(sk_state));
    object.socket_type = read(sk, fact!(sk_type));
    object.protocol = read::<u16>(sk, fact!(sk_protocol)) as u8;
    match family {
        AF_INET => {
            object.remote_address = socket::v4(read(sk, fact!(sk_daddr)));
            object.local_address = socket::v4(read(sk, fact!(sk_rcv_saddr)));
            describe_ports(sk, object);
            OBJECT_INET
        }
        AF_INET6 => {
            object.remote_address = read(sk, fact!(sk_v6_daddr));
            object.local_address = read(sk, fact!(sk_v6_rcv_saddr));
            describe_ports(sk, object);
            OBJECT_INET
        }
        AF_UNIX => {
            object.peer_inode = socket_inode(follow(sk, fact!(unix_peer)));
            OBJECT_UNIX
        }
        _ => OBJECT_SOCKET,
    }
}

#[inline(always)]
fn describe_ports(sk: Address, object: &mut Object) {
    object.remote_port = u16::from_be(read(sk, fact!(sk_dport)));
    object.local_port = read(sk, fact!(sk_num));
}

/// Inode number of the `struct socket` a `struct sock` belongs to, 0 when it has none
/// (`SOCK_INODE`, `include/net/sock.h`).
#[inline(always)]
pub fn socket_inode(sk: Address) -> u64 {
    inode_of_socket(follow(sk, fact!(sk_socket)))
}

/// Inode number of a `struct socket`, 0 for null: both are members of one `struct
/// socket_alloc`, the socket first.
#[inline(always)]
pub fn inode_of_socket(socket: Address) -> u64 {
    if socket.is_null() {
        return 0;
    }
    read(socket, fact!(socket_alloc_inode) + fact!(inode_ino))
}
