//! Records of both lanes in the order of their times. Nothing is handed on while something older
//! waits in the other lane's queue: whoever learns of a file before the process that made it knows
//! nothing of that process. What is still in the kernel's rings is not waited for. What records mean
//! is not known here.

use std::collections::VecDeque;

use ringbuf::HeapCons;
use ringbuf::traits::{Consumer, Observer};

use super::decode::peek;
use super::reader::{Frame, Lanes};

/// Records held of each lane.
const BATCH: usize = 4_096;

/// A record and what its head says.
#[derive(Debug)]
pub struct Record {
    /// When it was made, in nanoseconds since boot.
    pub boot_ns: u64,
    /// Its kind; 0 for one too short to say.
    pub kind: u16,
    /// All of it.
    pub frame: Frame,
}

/// Puts records in order.
pub struct Ordered {
    queues: Lanes<HeapCons<Frame>>,
    held: Lanes<VecDeque<Record>>,
}

impl Ordered {
    /// Of what comes through these queues.
    #[must_use]
    pub fn new(queues: Lanes<HeapCons<Frame>>) -> Self {
        let held = || VecDeque::with_capacity(BATCH);
        Self {
            queues,
            held: Lanes {
                process: held(),
                file: held(),
            },
        }
    }

    /// Whether there is nothing now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queues.process.is_empty()
            && self.queues.file.is_empty()
            && self.held.process.is_empty()
            && self.held.file.is_empty()
    }

    /// What can be handed on, the oldest first: all there is, or all up to the time from which on
    /// a lane has more than was taken of it. Something, unless there is nothing.
    pub fn take(&mut self) -> Vec<Record> {
        // A process is reported before its files are: who takes what there is of files first
        // misses none of their processes.
        let horizon = fill(&mut self.held.file, &mut self.queues.file)
            .min(fill(&mut self.held.process, &mut self.queues.process));
        let mut ready = Vec::new();
        for held in [&mut self.held.process, &mut self.held.file] {
            let (now, later): (VecDeque<_>, _) = std::mem::take(held)
                .into_iter()
                .partition(|record| record.boot_ns <= horizon);
            ready.extend(now);
            *held = later;
        }
        // Of one lane, too, they are only nearly in order, since there are several CPUs; stable
        // for equal times.
        ready.sort_by_key(|record| record.boot_ns);
        ready
    }
}

/// Takes what there is and can be held; up to when there is nothing more to come.
fn fill(held: &mut VecDeque<Record>, queue: &mut HeapCons<Frame>) -> u64 {
    let room = BATCH.saturating_sub(held.len());
    held.extend(queue.pop_iter().take(room).map(|frame| {
        let (kind, boot_ns) = peek(&frame).unwrap_or_default();
        Record {
            boot_ns,
            kind,
            frame,
        }
    }));
    match held.back() {
        Some(last) if held.len() >= BATCH => last.boot_ns,
        _ => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ringbuf::HeapRb;
    use ringbuf::traits::{Producer, Split};
    use sensor_common::record::Header;
    use zerocopy::IntoBytes;

    use super::*;

    fn frame(kind: u16, boot_ns: u64) -> Frame {
        let header = Header {
            len: size_of::<Header>() as u32,
            kind,
            version: sensor_common::record::VERSION,
            lane: 0,
            cpu: 0,
            flags: 0,
            boot_ns,
        };
        Frame::copy_from_slice(header.as_bytes())
    }

    /// Times of a lane.
    fn queue(kind: u16, times: &[u64]) -> HeapCons<Frame> {
        let (mut end, queue) = HeapRb::new(times.len().max(1)).split();
        for time in times {
            end.try_push(frame(kind, *time)).unwrap();
        }
        queue
    }

    fn all(process: &[u64], file: &[u64]) -> Vec<(u64, u16)> {
        let mut ordered = Ordered::new(Lanes {
            process: queue(1, process),
            file: queue(2, file),
        });
        let mut seen = Vec::new();
        while !ordered.is_empty() {
            let taken = ordered.take();
            assert!(!taken.is_empty());
            seen.extend(taken.iter().map(|record| (record.boot_ns, record.kind)));
        }
        seen
    }

    #[test]
    fn a_lane_that_is_behind_is_waited_for() {
        // Many processes, and files that were made after them.
        let process: Vec<u64> = (0..20_000).collect();
        let file: Vec<u64> = (0..5_000).map(|n| 4 * n + 1).collect();
        let seen = all(&process, &file);
        assert_eq!(seen.len(), 25_000);
        assert!(seen.is_sorted());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_all_is_in_order(
            mut process in prop::collection::vec(0..50_000_u64, 0..12_000),
            mut file in prop::collection::vec(0..50_000_u64, 0..12_000),
        ) {
            process.sort_unstable();
            file.sort_unstable();
            let seen = all(&process, &file);
            prop_assert_eq!(seen.len(), process.len() + file.len());
            prop_assert!(seen.iter().map(|(time, _)| time).is_sorted());
        }
    }
}
