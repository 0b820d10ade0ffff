//! The sensor: a library, so that fuzz targets and benchmarks reach every part of it. The
//! binary only calls [`cli::main`].
//!
//! Data flows one way, and a room imports only rooms to its left:
//! `probe` → `event` → `track` → `detect` → `respond` → `export`, `content` and `intelligence`
//! beside `track`; `engine` joins `track`, `detect` and `export`, `pipeline` and `replay` feed it, `cli`
//! starts them.

pub mod cgroup;
pub mod cli;
pub mod clock;
pub mod config;
pub mod content;
pub mod control;
pub mod decoy;
pub mod detached;
pub mod detect;
pub mod door;
pub mod drill;
pub mod engine;
pub mod event;
pub mod export;
pub mod glance;
pub mod identity;
pub mod intelligence;
pub mod lifeline;
pub mod metrics;
pub mod net;
#[cfg(test)]
mod page;
pub mod pipeline;
pub mod prctl;
pub mod priority;
pub mod probe;
pub mod random;
pub mod replay;
pub mod respond;
pub mod service;
pub mod shed;
pub mod state;
pub mod status;
pub mod track;
