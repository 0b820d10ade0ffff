//! Operations of processes: fork, exec, exit, memory files, becoming root.

use std::ffi::CString;
use std::io;
use std::ptr;

use anyhow::{Result, ensure};
use sensor_tests::plan;
use serde_json::{Value, json};

use crate::sys::{c_string, call, child, wait};
use crate::{Job, LEAF};

/// Executes this program again and again.
pub(crate) fn exec(job: &Job) -> Result<Value> {
    std::env::set_current_dir(&job.dir)?;
    let program = std::env::current_exe()?;
    let path = c_string(&program)?;
    let mut pids = Vec::with_capacity(job.count as usize);
    for index in job.indices() {
        let mut arguments = vec![c_string(LEAF)?];
        for argument in plan::arguments(job.seed, index) {
            arguments.push(c_string(argument)?);
        }
        let pid = spawn(&path, &arguments)?;
        let status = wait(pid)?;
        ensure!(
            status == plan::exit_status(index),
            "child {index} ended with {status}"
        );
        pids.push(pid);
    }
    Ok(json!({ "pids": pids, "executable": program }))
}

/// `posix_spawn`, which the C library does with `vfork`, so that the size of this process costs
/// nothing.
fn spawn(path: &CString, arguments: &[CString]) -> io::Result<i32> {
    let mut pointers: Vec<*mut libc::c_char> = arguments
        .iter()
        .map(|argument| argument.as_ptr().cast_mut())
        .collect();
    pointers.push(ptr::null_mut());
    let environment = [ptr::null_mut()];
    let mut pid = 0;
    // SAFETY: strings and lists end as they must and outlive the call.
    let error = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            path.as_ptr(),
            ptr::null(),
            ptr::null(),
            pointers.as_ptr(),
            environment.as_ptr(),
        )
    };
    if error == 0 {
        Ok(pid)
    } else {
        Err(io::Error::from_raw_os_error(error))
    }
}

/// Forks children that end at once.
pub(crate) fn fork(job: &Job) -> Result<Value> {
    let mut pids = Vec::with_capacity(job.count as usize);
    for index in job.indices() {
        let pid = child(|| plan::exit_status(index))?;
        wait(pid)?;
        pids.push(pid);
    }
    Ok(json!({ "pids": pids }))
}

/// Makes memory files.
pub(crate) fn memfd(job: &Job) -> Result<Value> {
    let mut fds = Vec::with_capacity(job.count as usize);
    for index in job.indices() {
        let name = c_string(plan::memfd_name(job.seed, index))?;
        let fd = call!(SYS_memfd_create, name.as_ptr(), plan::memfd_flags(index))?;
        call!(SYS_close, fd)?;
        fds.push(fd);
    }
    Ok(json!({ "fds": fds }))
}

/// The user a child becomes before it becomes root again.
const SOMEBODY: u32 = 1000;

/// Forks children that gain privilege twice: they raise a capability, and become root by it.
pub(crate) fn setuid(job: &Job) -> Result<Value> {
    let mut pids = Vec::with_capacity(job.count as usize);
    for _ in job.indices() {
        let pid = child(|| if become_root_again().is_ok() { 0 } else { 1 })?;
        ensure!(
            wait(pid)? == 0,
            "a child could not become root again; is this root?"
        );
        pids.push(pid);
    }
    Ok(json!({ "pids": pids, "from_uid": SOMEBODY }))
}

fn become_root_again() -> io::Result<()> {
    const PR_SET_KEEPCAPS: i64 = 8;
    const CAP_SETUID: u32 = 1 << 7;
    // `_LINUX_CAPABILITY_VERSION_3`, this thread.
    let header = [0x2008_0522_u32, 0];
    let sets = [CAP_SETUID, CAP_SETUID, 0, 0, 0, 0];
    call!(SYS_prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0)?;
    call!(SYS_setresuid, SOMEBODY, SOMEBODY, SOMEBODY)?;
    call!(SYS_capset, header.as_ptr(), sets.as_ptr())?;
    call!(SYS_setuid, 0).map(drop)
}
