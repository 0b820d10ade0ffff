//! Peers on the same work.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;

use super::{Bench, Part};
use crate::workspace::Workspace;

/// Not yet.
pub(super) fn run(
    _: &Workspace,
    _: &Bench,
    _: &BTreeMap<String, f64>,
    _: impl Fn(Part) -> bool,
) -> Result<Value> {
    Ok(Value::Null)
}
