//! The contract between the kernel programs and the daemon.
#![cfg_attr(not(test), no_std)]
