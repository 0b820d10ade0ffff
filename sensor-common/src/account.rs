//! The kernel's side of the balancing account. Per CPU and kind:
//! `seen == filtered + submitted + lost`, always; user space then has to have read exactly
//! what was submitted.

record! {
    /// What the programs did with one kind of event on one CPU.
    #[derive(Default)]
    pub struct KindCount {
        /// Events of this kind that a hook saw.
        pub seen: u64,
        /// Of those, dropped on purpose by a filter.
        pub filtered: u64,
        /// Of those, put into the ring.
        pub submitted: u64,
        /// Of those, lost because the ring was full.
        pub lost_ring: u64,
        /// Of those, lost because all scratch slots of the CPU were in use.
        pub lost_scratch: u64,
        /// Of those, lost because other threads pushed out what was noted when it began.
        pub lost_begun: u64,
    }
}

impl KindCount {
    /// Events of this kind that should have reached user space and did not.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost_ring + self.lost_scratch + self.lost_begun
    }
}
