//! How the helper shuts itself in, from the inside: no privileges, no identity worth having, no
//! new descriptors, files or processes, and of system calls only those that reading a descriptor,
//! answering and managing memory take. Nothing here is undone again. What a kernel refuses is
//! named and reported, and the rest still holds.

use std::io;

use libc::{c_int, c_long, c_ulong, sock_filter, sock_fprog};

use crate::prctl;

/// Who the helper is: nobody, of no group.
const NOBODY: libc::uid_t = 65_534;
/// Descriptors: the socket, three to nowhere, and the file that is looked at.
const DESCRIPTORS_MAX: libc::rlim_t = 8;
/// Memory: compiled rules, and the file.
const MEMORY_MAX: libc::rlim_t = 1536 * 1024 * 1024;
/// Time on a CPU, all files together, in seconds; then it is killed and another one is started.
const CPU_SECONDS_MAX: libc::rlim_t = 3_600;
/// Capabilities there may be.
const CAPABILITIES_MAX: c_int = 63;

/// The system calls that are let through. Anything else kills the helper.
const ALLOWED: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_recvmsg,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_close,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    libc::SYS_sched_yield,
    libc::SYS_exit,
    libc::SYS_exit_group,
];
/// Let through to ask whether a descriptor is open, as debug builds do before they close one.
const FCNTL: (c_long, c_int) = (libc::SYS_fcntl, libc::F_GETFD);
/// Let through as long as their third argument does not ask for memory that can be executed.
const ALLOWED_WITHOUT_EXEC: &[c_long] = &[libc::SYS_mmap, libc::SYS_mprotect];

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// Shuts this process in; gives what could not be done, and why.
#[must_use]
pub fn confine() -> Vec<String> {
    let mut lacks = Vec::new();
    let mut note = |what: &str, done: io::Result<()>| {
        if let Err(error) = done {
            lacks.push(format!("{what}: {error}"));
        }
    };
    note("limits", limits());
    note(
        "no new privileges",
        prctl::set(libc::PR_SET_NO_NEW_PRIVS, 1),
    );
    note("capabilities and user", become_nobody());
    note("not to be traced", prctl::set(libc::PR_SET_DUMPABLE, 0));
    // After the change of user, which forgets it.
    let kill = libc::SIGKILL.cast_unsigned().into();
    note(
        "death with its parent",
        prctl::set(libc::PR_SET_PDEATHSIG, kill),
    );
    note("system calls", filter_system_calls());
    lacks
}

fn limits() -> io::Result<()> {
    let limits = [
        (libc::RLIMIT_AS, MEMORY_MAX),
        (libc::RLIMIT_CPU, CPU_SECONDS_MAX),
        (libc::RLIMIT_NOFILE, DESCRIPTORS_MAX),
        (libc::RLIMIT_FSIZE, 0),
        (libc::RLIMIT_NPROC, 0),
        (libc::RLIMIT_CORE, 0),
    ];
    for (what, most) in limits {
        let limit = libc::rlimit {
            rlim_cur: most,
            rlim_max: most,
        };
        // SAFETY: a structure of the kernel's type, which outlives the call.
        prctl::done(unsafe { libc::setrlimit(what, &raw const limit) })?;
    }
    Ok(())
}

/// A helper of somebody who is not root has nothing to give up.
fn become_nobody() -> io::Result<()> {
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        return Ok(());
    }
    for capability in 0..=CAPABILITIES_MAX {
        // Those that the kernel does not know are refused, which is as good.
        let _ = prctl::set(libc::PR_CAPBSET_DROP, capability.cast_unsigned().into());
    }
    // SAFETY: no list is passed.
    prctl::done(unsafe { libc::setgroups(0, std::ptr::null()) })?;
    // SAFETY: no memory is passed.
    prctl::done(unsafe { libc::setresgid(NOBODY, NOBODY, NOBODY) })?;
    // SAFETY: no memory is passed. All capabilities go with the user.
    prctl::done(unsafe { libc::setresuid(NOBODY, NOBODY, NOBODY) })
}

/// Installs the filter; needs no privilege once there can be no new ones.
fn filter_system_calls() -> io::Result<()> {
    let mut program = program();
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let description = sock_fprog {
        len: length,
        filter: program.as_mut_ptr(),
    };
    let mode = c_ulong::from(libc::SECCOMP_MODE_FILTER);
    // SAFETY: the program outlives the call, which copies it, and is as long as it says.
    prctl::done(unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const description) })
}

/// The filter, for the kernel's classic BPF (`Documentation/userspace-api/seccomp_filter.rst`).
fn program() -> Vec<sock_filter> {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    // Offsets in `struct seccomp_data`: the number, the architecture, the arguments.
    const NUMBER: u32 = 0;
    const ARCH: u32 = 4;
    const SECOND_ARGUMENT: u32 = 16 + 8;
    const THIRD_ARGUMENT: u32 = 16 + 2 * 8;
    let kill = step(RETURN, libc::SECCOMP_RET_KILL_PROCESS, 0, 0);
    let allow = step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0);
    let mut program = vec![
        step(LOAD, ARCH, 0, 0),
        step(EQUAL, ARCHITECTURE, 1, 0),
        kill,
        step(LOAD, NUMBER, 0, 0),
    ];
    for call in ALLOWED {
        program.push(step(EQUAL, call_number(*call), 0, 1));
        program.push(allow);
    }
    for call in ALLOWED_WITHOUT_EXEC {
        program.push(step(EQUAL, call_number(*call), 0, 4));
        program.push(step(LOAD, THIRD_ARGUMENT, 0, 0));
        let exec = libc::PROT_EXEC.cast_unsigned();
        program.push(step(ANY_BIT, exec, 1, 0));
        program.push(allow);
        program.push(kill);
    }
    program.extend([
        step(EQUAL, call_number(FCNTL.0), 0, 3),
        step(LOAD, SECOND_ARGUMENT, 0, 0),
        step(EQUAL, FCNTL.1.cast_unsigned(), 0, 1),
        allow,
        kill,
    ]);
    program
}

fn step(code: u32, value: u32, then: u8, otherwise: u8) -> sock_filter {
    sock_filter {
        // All codes are below 256.
        code: code as u16,
        jt: then,
        jf: otherwise,
        k: value,
    }
}

/// All numbers are small.
fn call_number(call: c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_fits_and_ends_in_a_refusal() {
        let program = program();
        assert!(program.len() < 4096);
        let last = program.last().unwrap();
        assert_eq!(last.k, libc::SECCOMP_RET_KILL_PROCESS);
    }

    #[test]
    fn nothing_that_opens_starts_or_connects_is_let_through() {
        let refused = [
            libc::SYS_openat,
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_clone,
            libc::SYS_socket,
            libc::SYS_connect,
            libc::SYS_ptrace,
            libc::SYS_bpf,
            libc::SYS_kill,
            libc::SYS_memfd_create,
            libc::SYS_ioctl,
            libc::SYS_prctl,
        ];
        for call in refused {
            assert!(!ALLOWED.contains(&call) && !ALLOWED_WITHOUT_EXEC.contains(&call));
        }
    }
}
