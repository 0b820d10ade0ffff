//! The entrances: one file per kind of hook. Each only says where a packet is and what pass and
//! drop are called there; all of them ask `verdict`.

mod cgroup;
mod connect;
mod tc;
mod xdp;
