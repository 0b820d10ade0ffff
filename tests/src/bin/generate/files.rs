//! Files in the directory given: made, written, renamed, removed, and changed in every way that
//! the sensor reports.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;

use anyhow::Result;
use sensor_tests::plan;
use serde_json::{Value, json};

use crate::Job;

/// open, write, close, rename, unlink.
pub(crate) fn write_rename_unlink(job: &Job) -> Result<Value> {
    let mut inodes = Vec::with_capacity(job.count as usize);
    for index in job.indices() {
        let path = job.dir.join(plan::file_name(job.seed, index));
        let new = job.dir.join(plan::file_new_name(job.seed, index));
        inodes.push(write(&path, plan::file_bytes(job.seed, index))?);
        fs::rename(&path, &new)?;
        fs::remove_file(&new)?;
    }
    Ok(json!({ "inodes": inodes }))
}

/// chmod, chown, truncate, link, unlink, symlink, unlink, mkdir, rmdir.
pub(crate) fn change(job: &Job) -> Result<Value> {
    let path = job.dir.join("changed");
    let other = job.dir.join("other");
    let inode = write(&path, 1)?;
    let open = OpenOptions::new().write(true).open(&path)?;
    for index in job.indices() {
        let (user, group) = plan::file_owner(job.seed, index);
        chown(&path, Some(user), Some(group))?;
        // After the owner, who loses the set-uid bits.
        let mode = plan::file_mode(job.seed, index);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        open.set_len(plan::file_length(job.seed, index))?;
        fs::hard_link(&path, &other)?;
        fs::remove_file(&other)?;
        symlink(plan::file_name(job.seed, index), &other)?;
        fs::remove_file(&other)?;
        fs::create_dir(&other)?;
        fs::remove_dir(&other)?;
    }
    Ok(json!({ "inode": inode }))
}

/// Makes a file of that many bytes; its inode.
fn write(path: &Path, bytes: usize) -> Result<u64> {
    let content = [b'x'; plan::FILE_MAX];
    let mut file = File::create_new(path)?;
    file.write_all(content.get(..bytes).unwrap_or_default())?;
    Ok(file.metadata()?.ino())
}
