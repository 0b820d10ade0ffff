//! Fifos and masters of pseudo-terminals: what joins one process's output to another's input
//! without being a standard stream of both.

use sensor_common::exec::OBJECT_PIPE;
use sensor_common::file::StreamOpen;
use sensor_common::kind::{LANE_PROCESS, STREAM_OPEN};
use sensor_common::tail;

use super::access;
use crate::emit;
use crate::filter::Filter;
use crate::kernel::path::Location;
use crate::kernel::{Address, object, task};

/// `FMODE_STREAM` of `include/linux/fs.h`, alike from 5.10 to 7.x: has no position. Fifos are
/// opened so (`fifo_open`, `fs/pipe.c`), and regular files never.
pub const FMODE_STREAM: u32 = 0x20_0000;
/// Device number of `/dev/ptmx`, and of `ptmx` in a devpts
/// (`Documentation/admin-guide/devices.txt`).
pub const PTMX: u32 = (5 << 20) | 2;

/// Reports a fifo or a master that was opened.
#[inline(always)]
pub fn opened(filter: Filter, open: Address, mode: u32) {
    emit::seen(STREAM_OPEN);
    if filter.excludes_process() {
        return emit::filtered(STREAM_OPEN);
    }
    emit::variable::<StreamOpen>(STREAM_OPEN, LANE_PROCESS, |record, tail| {
        task::identify_acting(&mut record.subject);
        object::describe(open, &mut record.object);
        record.access = access(mode);
        record.reserved = 0;
        // Anonymous pipes come here through `/proc/PID/fd`; they have no path.
        if record.object.kind != OBJECT_PIPE {
            tail.path(tail::PATH, Location::of_file(open));
        }
    });
}
