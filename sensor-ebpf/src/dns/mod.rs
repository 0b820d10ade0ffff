//! DNS messages and whose they are. They are copied as they are; user space reads them. Here
//! is what both ways share: `call` watches the functions that send and receive UDP, `packet`
//! every packet of the machine, where trampolines are refused.

mod call;
mod packet;

use sensor_common::kind::{DNS, LANE_PROCESS};
use sensor_common::network::{DNS_PORTS, Dns, Flow};
use sensor_common::record::{Header, Subject};

use crate::emit::{self, Tail};

/// Ports, in host order, on which UDP is taken for DNS; unused places are 0. User space may
/// change them at load.
#[unsafe(no_mangle)]
static DNS_ON: [u16; DNS_PORTS] = [53, 0, 0, 0];

/// Whether the port is one of DNS.
#[inline(always)]
fn is_dns(port: u16) -> bool {
    (0..DNS_PORTS).any(|at| {
        // SAFETY: a plain load from a static of this object.
        port == unsafe { (&raw const DNS_ON).cast::<u16>().add(at).read_volatile() }
    }) && port != 0
}

/// Reports a message of `bytes` bytes.
#[inline(always)]
fn report(
    direction: u32,
    bytes: u32,
    owner: impl FnOnce(&mut Header, &mut Subject),
    ends: impl FnOnce(&mut Flow),
    payload: impl FnOnce(&mut Tail),
) {
    emit::seen(DNS);
    emit::variable::<Dns>(DNS, LANE_PROCESS, |record, tail| {
        owner(&mut record.header, &mut record.subject);
        ends(&mut record.flow);
        record.direction = direction;
        record.message_bytes = bytes;
        payload(tail);
    });
}
