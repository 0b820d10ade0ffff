//! From the number a process is called by to its task, as `find_task_by_vpid` (`kernel/pid.c`)
//! does it: there is no helper for that, so the radix tree is walked here.

use super::{Address, follow, read, task};
use crate::fact;

/// Levels of a radix tree that holds `PID_MAX_LIMIT` (2²²) numbers: `XA_CHUNK_SHIFT` is 6.
const LEVELS: u32 = 4;
/// Entries per level less one.
const SLOT_MASK: u64 = 63;

/// The task that the current task calls `number`; null when there is none.
#[inline(always)]
pub fn find(number: u32) -> Address {
    let namespace = task::pid_namespace(task::current());
    task_of(lookup(
        follow(namespace, fact!(pid_ns_idr)),
        u64::from(number),
    ))
}

/// The task of a thread or process `struct pid` (`pid_task`, `PIDTYPE_PID` being 0).
#[inline(always)]
pub fn task_of(pid: Address) -> Address {
    let link = follow(pid, fact!(pid_tasks));
    if link.is_null() {
        return link;
    }
    link.wrapping_sub(fact!(task_pid_links) as usize)
}

/// `xa_load` (`lib/xarray.c`). An entry whose low bits are `10` is a node.
#[inline(always)]
fn lookup(head: Address, index: u64) -> Address {
    let mut entry = head;
    for level in 0..LEVELS {
        if entry as usize & 3 != 2 {
            break;
        }
        let node = entry.wrapping_sub(2);
        let slot = index >> u32::from(read::<u8>(node, fact!(xa_node_shift)));
        if level == 0 && slot > SLOT_MASK {
            return core::ptr::null();
        }
        let at = (slot & SLOT_MASK) as usize * size_of::<usize>();
        entry = follow(node.wrapping_add(at), fact!(xa_node_slots));
    }
    if entry as usize & 3 == 0 {
        entry
    } else {
        core::ptr::null()
    }
}
