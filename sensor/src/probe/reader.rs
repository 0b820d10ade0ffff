//! The thread that drains the kernel's rings into bounded queues, one per lane. It copies
//! records and counts them, nothing more, so that it keeps up with any burst a queue can hold;
//! when a queue is full it stops reading that lane, and the kernel counts what then finds no
//! room. So a flood in one lane never costs an event of the other.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;
use std::{io, thread};

use aya::maps::{Array, MapData, RingBuf};
use bytes::{Bytes, BytesMut};
use ringbuf::HeapRb;
use ringbuf::traits::{Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd};

use super::account::UserSide;
use super::decode::peek;
use crate::priority;

/// How long the reader sleeps between two looks at the rings while there are events, unless it
/// is woken because one fills up. Bounds the delay of an event; a wake-up per event would cost
/// the observed processes more than everything else the sensor does.
pub const TICK: Duration = Duration::from_millis(4);
/// How long it sleeps when a tick has brought nothing; the next record wakes it. (But for one
/// that is written at the very moment it goes to sleep: so the sleep is not much longer than a
/// delay nobody would notice.)
pub const NAP: Duration = Duration::from_millis(100);
/// Records each queue holds.
pub const QUEUE_RECORDS: usize = 32_768;
/// Records read from one ring before the other gets its turn.
const BATCH: usize = 4_096;
/// Bytes allocated at a time for copies of records.
const ARENA_BYTES: usize = 256 * 1024;

/// One raw record.
pub type Frame = Bytes;

/// The same thing for each lane.
#[derive(Debug)]
pub struct Lanes<T> {
    /// For process and network records, which matter most.
    pub process: T,
    /// For file records.
    pub file: T,
}

/// Makes the queues between reader and pipeline.
#[must_use]
pub fn queues() -> (Lanes<HeapProd<Frame>>, Lanes<HeapCons<Frame>>) {
    let (process, process_end) = HeapRb::new(QUEUE_RECORDS).split();
    let (file, file_end) = HeapRb::new(QUEUE_RECORDS).split();
    (
        Lanes { process, file },
        Lanes {
            process: process_end,
            file: file_end,
        },
    )
}

/// A running reader.
pub struct Reader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Reader {
    /// Starts the thread. `consumer` is unparked whenever there is something in a queue.
    ///
    /// # Errors
    /// When the epoll descriptor or the thread cannot be made.
    pub fn start(
        rings: Lanes<RingBuf<MapData>>,
        asleep: Array<MapData, u32>,
        queues: Lanes<HeapProd<Frame>>,
        counters: Arc<UserSide>,
        consumer: Thread,
    ) -> io::Result<Self> {
        let epoll = Epoll::new(&[rings.process.as_raw_fd(), rings.file.as_raw_fd()])?;
        let stop = Arc::new(AtomicBool::new(false));
        let lanes = Lanes {
            process: Lane {
                ring: rings.process,
                queue: queues.process,
            },
            file: Lane {
                ring: rings.file,
                queue: queues.file,
            },
        };
        let drain = Drain {
            counters,
            arena: BytesMut::with_capacity(ARENA_BYTES),
        };
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("reader".to_owned())
            .spawn(move || {
                priority::comes(priority::FIRST);
                let mut rest = Rest {
                    epoll,
                    asleep,
                    is_asleep: false,
                };
                run(lanes, drain, &mut rest, &stopped, &consumer);
            })?;
        Ok(Self { stop, thread })
    }

    /// Reads what is left and ends the thread. Detach the programs first, or it may never end.
    pub fn finish(self) {
        self.stop.store(true, Ordering::Release);
        if self.thread.join().is_err() {
            tracing::error!("the reader thread ended by a panic; events may be missing");
        }
    }
}

fn run(
    mut lanes: Lanes<Lane>,
    mut drain: Drain,
    rest: &mut Rest,
    stop: &AtomicBool,
    consumer: &Thread,
) {
    loop {
        // Read before the last look, so that what was emitted before the stop is seen.
        let last = stop.load(Ordering::Acquire);
        // In this order, no file comes before the process that it belongs to.
        let file = drain.take(&mut lanes.file);
        let process = drain.take(&mut lanes.process);
        let nothing = process.taken + file.taken == 0;
        if !nothing {
            rest.ask_to_be_woken(false);
            consumer.unpark();
        }
        match (process.end, file.end) {
            (End::Empty, End::Empty) if last => return,
            // Look once more after having said so: what was written before is seen.
            (End::Empty, End::Empty)
                if nothing && !rest.is_asleep && rest.ask_to_be_woken(true) => {}
            (End::Empty, End::Empty) => rest.wait(),
            (End::More, _) | (_, End::More) => {}
            // Waiting for the pipeline; the tick of the other lane must not suffer.
            _ => thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// How the reader waits for records.
struct Rest {
    epoll: Epoll,
    /// Where the programs look whether to wake it.
    asleep: Array<MapData, u32>,
    is_asleep: bool,
}

impl Rest {
    /// Tells the programs whether the next record is to wake the reader, and says whether it
    /// will. If they cannot be told, things stay as they are.
    fn ask_to_be_woken(&mut self, asleep: bool) -> bool {
        if asleep != self.is_asleep && self.asleep.set(0, u32::from(asleep), 0).is_ok() {
            self.is_asleep = asleep;
        }
        self.is_asleep
    }

    fn wait(&self) {
        self.epoll.wait(if self.is_asleep { NAP } else { TICK });
    }
}

/// A ring and the queue it is drained into.
struct Lane {
    ring: RingBuf<MapData>,
    queue: HeapProd<Frame>,
}

/// Why a turn at a ring ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// There was nothing left.
    Empty,
    /// It was the other's turn.
    More,
    /// The queue is full.
    Full,
}

/// Outcome of one turn at a ring.
struct Turn {
    taken: usize,
    end: End,
}

struct Drain {
    counters: Arc<UserSide>,
    arena: BytesMut,
}

impl Drain {
    fn take(&mut self, lane: &mut Lane) -> Turn {
        for taken in 0..BATCH {
            if lane.queue.is_full() {
                return Turn {
                    taken,
                    end: End::Full,
                };
            }
            let Some(record) = lane.ring.next() else {
                return Turn {
                    taken,
                    end: End::Empty,
                };
            };
            let frame = copy(&mut self.arena, &record);
            if let Some((kind, _)) = peek(&record) {
                self.counters.count_read(kind);
            }
            // There is room: this thread is the only producer.
            let _ = lane.queue.try_push(frame);
        }
        Turn {
            taken: BATCH,
            end: End::More,
        }
    }
}

/// Copies a record into the arena; the chunk is freed when the last record in it is.
fn copy(arena: &mut BytesMut, record: &[u8]) -> Frame {
    if arena.capacity() < record.len() {
        *arena = BytesMut::with_capacity(ARENA_BYTES.max(record.len()));
    }
    arena.extend_from_slice(record);
    arena.split().freeze()
}

/// Waits for a wake-up by the kernel or the end of the tick. Edge-triggered: data that is
/// merely there does not end the wait, only the programs' forced wake-up does.
struct Epoll {
    fd: OwnedFd,
}

impl Epoll {
    fn new(rings: &[i32]) -> io::Result<Self> {
        // SAFETY: no memory is passed.
        let raw = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `raw` is a descriptor that was just made for us.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        for ring in rings {
            let mut event = libc::epoll_event {
                events: (libc::EPOLLIN | libc::EPOLLET) as u32,
                u64: 0,
            };
            // SAFETY: `event` lives through the call, which copies it.
            let result = unsafe {
                libc::epoll_ctl(fd.as_raw_fd(), libc::EPOLL_CTL_ADD, *ring, &raw mut event)
            };
            if result < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Self { fd })
    }

    fn wait(&self, at_most: Duration) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 2];
        let timeout = i32::try_from(at_most.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the buffer has room for as many events as said. A failure (a signal) just
        // ends the wait early.
        unsafe {
            libc::epoll_wait(
                self.fd.as_raw_fd(),
                events.as_mut_ptr(),
                events.len() as i32,
                timeout,
            );
        }
    }
}
