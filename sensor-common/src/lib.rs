//! The contract between the kernel programs (`sensor-ebpf`) and the daemon (`sensor`):
//! records, map keys, limits, and the list of kernel facts the programs are told at load.
//!
//! Plain `#[repr(C)]` data only: no enums, bools or `usize` cross the border, all padding is
//! explicit, and every layout is pinned by a test. No logic belongs here.

#![cfg_attr(not(test), no_std)]

/// Derives what user space needs to view raw ring bytes as a record, without copying.
///
/// `FromBytes` makes every bit pattern valid, `IntoBytes` proves there is no hidden padding.
macro_rules! record {
    ($(#[$meta:meta])* pub struct $name:ident { $($body:tt)* }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        #[cfg_attr(
            feature = "user",
            derive(
                zerocopy::FromBytes,
                zerocopy::IntoBytes,
                zerocopy::KnownLayout,
                zerocopy::Immutable
            )
        )]
        pub struct $name { $($body)* }
    };
}

pub mod account;
pub mod exec;
pub mod facts;
pub mod file;
pub mod filter;
pub mod guard;
pub mod kind;
pub mod limits;
pub mod network;
pub mod prevent;
pub mod privilege;
pub mod record;
pub mod system;
pub mod tail;
