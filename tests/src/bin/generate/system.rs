//! Mounts, in a mount namespace of our own, and control groups.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::ptr;

use anyhow::{Context as _, Result};
use sensor_tests::plan;
use serde_json::{Value, json};

use crate::Job;
use crate::sys::{c_string, call};

/// Mounts a tmpfs on the directory and unmounts it. This process is in a namespace of its own
/// from here on, so that nothing of it is seen outside.
pub(crate) fn mount(job: &Job) -> Result<Value> {
    let none = ptr::null::<libc::c_char>();
    call!(SYS_unshare, libc::CLONE_NEWNS).context("no mount namespace; is this root?")?;
    call!(
        SYS_mount,
        none,
        c"/".as_ptr(),
        none,
        libc::MS_REC | libc::MS_PRIVATE,
        none
    )?;
    let target = c_string(&job.dir)?;
    for index in job.indices() {
        let source = c_string(plan::mount_source(job.seed, index))?;
        call!(
            SYS_mount,
            source.as_ptr(),
            target.as_ptr(),
            c"tmpfs".as_ptr(),
            libc::MS_NODEV,
            none
        )?;
        call!(SYS_umount2, target.as_ptr(), 0)?;
    }
    Ok(json!({}))
}

/// Makes control groups at the root of the unified hierarchy and removes them.
pub(crate) fn cgroup(job: &Job) -> Result<Value> {
    let root = unified_hierarchy()?;
    let mut ids = Vec::with_capacity(job.count as usize);
    for index in job.indices() {
        let group = root.join(plan::group_name(job.seed, index));
        fs::create_dir(&group).with_context(|| format!("cannot make {}", group.display()))?;
        ids.push(group.metadata()?.ino());
        fs::remove_dir(&group)?;
    }
    Ok(json!({ "ids": ids, "root": root }))
}

fn unified_hierarchy() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let line = mounts
        .lines()
        .find(|line| line.contains(" - cgroup2 "))
        .context("no cgroup2 is mounted")?;
    line.split(' ')
        .nth(4)
        .map(PathBuf::from)
        .context("mountinfo is not as it should be")
}
