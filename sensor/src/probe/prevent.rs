//! Decodes the records of `sensor-ebpf/src/prevent.rs` into `event/response.rs`.

use std::fmt::Write as _;
use std::net::SocketAddr;

use sensor_common::prevent as raw;
use sensor_common::tail;

use super::decode::{Decoded, Raw, until_nul};
use crate::event::Action;
use crate::event::object::{Kind, Object};
use crate::event::response::{Origin, Outcome, Response, Verb};

/// [`sensor_common::kind::PREVENT`].
pub fn prevent(raw: &Raw<'_>) -> Decoded {
    let (record, sections) = raw.parts::<raw::Prevent>()?;
    let process = raw.process(&record.subject);
    let program = sections.text(tail::EXECUTABLE).unwrap_or_default();
    let rule = sections
        .get(tail::RULE)
        .map_or_else(Box::default, |name| until_nul(name.bytes));
    let [stdin, stdout] = record.stdio.map(|object| Object::from_raw(&object, None));

    let mut response = Response::new(Verb::Prevent, program, Origin::Playbook, rule);
    let (outcome, how) = what_became_of_it(record.outcome);
    response.outcome = outcome;
    response.peer = peer(&stdin).or_else(|| peer(&stdout));
    let mut detail = format!("{how}, pid {}", process.key.pid);
    if let Some(passed) = sections.text(tail::FILENAME) {
        let _ = write!(detail, ", started as {passed}");
    }
    let _ = write!(detail, ", standard input {stdin}, standard output {stdout}");
    let others = record.rules.count_ones().saturating_sub(1);
    if others > 0 {
        let _ = write!(detail, ", {others} more rules");
    }
    response.detail = detail.into();
    Ok((Some(process), Action::Response(Box::new(response))))
}

fn what_became_of_it(outcome: u32) -> (Outcome, &'static str) {
    match outcome {
        raw::PREVENT_REHEARSED => (Outcome::DryRun, "it runs, because the rule is a dry run"),
        raw::PREVENT_KILLED => (Outcome::Done, "killed before its first instruction"),
        raw::PREVENT_DENIED => (Outcome::Done, "its exec was refused"),
        raw::PREVENT_SPARED => (
            Outcome::Refused,
            "it runs, because it is protected or of somebody who has logged in",
        ),
        _ => (
            Outcome::Failed,
            "it runs, because the kernel did not take the signal",
        ),
    }
}

/// The other side of a stream that is a connection.
fn peer(stream: &Object) -> Option<SocketAddr> {
    let inet = stream.inet.filter(|_| stream.kind == Kind::InetSocket)?;
    let remote = inet.remote;
    (remote.port != 0).then(|| SocketAddr::new(remote.address, remote.port))
}
