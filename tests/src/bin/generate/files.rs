//! Files in the directory given: made, written, renamed, removed.

use std::fs::{self, File};
use std::io::Write as _;

use anyhow::Result;
use sensor_tests::plan;
use serde_json::{Value, json};

use crate::Job;

/// open, write, close, rename, unlink.
pub(crate) fn write_rename_unlink(job: &Job) -> Result<Value> {
    let content = [b'x'; 5_000];
    for index in job.indices() {
        let path = job.dir.join(plan::file_name(job.seed, index));
        let new = job.dir.join(plan::file_new_name(job.seed, index));
        let mut file = File::create_new(&path)?;
        file.write_all(
            content
                .get(..plan::file_bytes(job.seed, index))
                .unwrap_or_default(),
        )?;
        drop(file);
        fs::rename(&path, &new)?;
        fs::remove_file(&new)?;
    }
    Ok(json!({}))
}
