//! The border to the kernel: finds out what it can do, loads and attaches the programs, reads
//! the rings, and turns raw records into events. Nothing here interprets an event.

pub mod account;
pub mod btf;
pub mod decode;
pub mod facts;
pub mod file;
pub mod filters;
pub mod hooks;
mod inode;
pub mod load;
pub mod network;
pub mod order;
pub mod perf;
pub mod prevent;
pub mod prevention;
pub mod privilege;
pub mod privileges;
pub mod process;
pub mod program_log;
pub mod programs;
pub mod reader;
pub mod selection;
pub mod system;
