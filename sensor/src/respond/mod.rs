//! Response: what is done about an intruder, by hand or by a playbook, and the record of it. Knows
//! nothing of how an intruder is found or how events come from the kernel.

pub mod journal;
pub mod outbox;
pub mod playbook;
