//! Every bound the kernel programs work under. A bound that cuts something off is visible in
//! the record itself (see [`crate::tail::TRUNCATED`]) or in a counter.

/// Longest argument vector copied at exec, in bytes; one less than a power of two, so that
/// masking a length with it is also its upper limit (which the verifier understands).
pub const ARGV_MAX: usize = 8191;
/// Longest environment block copied at exec, in bytes. User space keeps a handful of
/// variables of it and drops the rest.
pub const ENV_MAX: usize = 4095;
/// Longest path in bytes, `PATH_MAX` of `include/uapi/linux/limits.h` less one.
pub const PATH_MAX: usize = 4095;
/// Longest single path component, `NAME_MAX` of `include/uapi/linux/limits.h`.
pub const NAME_MAX: usize = 255;
/// Deepest path walked, in components and mount hops together; deeper paths are cut at the
/// root end and marked truncated.
pub const PATH_DEPTH_MAX: usize = 48;
/// Room for the variable part of a record, in bytes (a power of two).
pub const TAIL_MAX: usize = 16384;
/// Length of `task_struct.comm`, including the final NUL.
pub const COMM_LEN: usize = 16;
/// How many records one CPU may be building at a time: a program can be preempted by another
/// task whose program runs on the same CPU. One more than that is counted as lost.
pub const SCRATCH_SLOTS: u32 = 4;
/// Longest part of a DNS message copied, in bytes; one less than a power of two, as for
/// [`ARGV_MAX`]. Plain DNS over UDP has at most 512 (RFC 1035, 4.2.1), EDNS mostly 1232.
pub const DNS_MAX: usize = 1023;
/// How many sockets that talk DNS have their owner remembered; user space may change it at load.
pub const DNS_SOCKETS: u32 = 4096;
/// How many pairs of process and UDP peer are remembered, so as to report each once; user
/// space may change it at load.
pub const UDP_PEERS: u32 = 8192;
/// How many TCP connections have their owner remembered; user space may change it at load.
pub const CONNECTIONS: u32 = 16384;
/// For how many processes the TCP connection they opened or accepted last is remembered.
pub const CONNECTED: u32 = 16384;
