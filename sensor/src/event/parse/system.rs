//! What changes the system as a whole, and what the sensor says of itself, read back.

use sensor_common::kind;

use super::ParseError;
use super::row::{Row, Wall};
use crate::event::field::Field;
use crate::event::flags::{self, BPF_ATTACHMENTS, BPF_PROGRAMS, TAINTS};
use crate::event::health::{Change, Health, LOST, Lost, Previous, UNKNOWN_KIND, Verdict};
use crate::event::response::{Origin, Outcome, Response, Verb};
use crate::event::system::{BPF, BpfLoad, CGROUP_MKDIR, CGROUP_RMDIR, Cgroup, MODULE, Module};
use crate::event::{Action, Stamp};

/// What happened; `None` for a kind that is not known.
pub(super) fn action(
    dataset: &str,
    row: &Row<'_>,
    time: Stamp,
) -> Result<Option<Action>, ParseError> {
    Ok(Some(if dataset == MODULE.name {
        Action::Module(Module {
            name: row.get(Field::SensorModuleName)?,
            path: row.find(Field::SensorModulePath)?,
            taints: flags::bits(row.words(Field::SensorModuleTaints)?, TAINTS),
        })
    } else if dataset == BPF.name {
        Action::BpfLoad(bpf_load(row)?)
    } else if dataset == CGROUP_MKDIR.name {
        Action::CgroupMkdir(cgroup(row)?)
    } else if dataset == CGROUP_RMDIR.name {
        Action::CgroupRmdir(cgroup(row)?)
    } else if dataset == LOST.name {
        Action::Lost(lost(row, time)?)
    } else if let Some(verb) = Verb::from_dataset(dataset) {
        Action::Response(Box::new(response(verb, row)?))
    } else if let Some(change) = Change::ALL
        .into_iter()
        .find(|change| change.label().name == dataset)
    {
        Action::Health(health(change, row)?)
    } else {
        return Ok(None);
    }))
}

fn bpf_load(row: &Row<'_>) -> Result<BpfLoad, ParseError> {
    let number = |field, table| {
        flags::number(row.get(field)?, table)
            .and_then(|number| u32::try_from(number).ok())
            .ok_or_else(|| ParseError::wrong(field, "a type of BPF"))
    };
    Ok(BpfLoad {
        name: row.get(Field::SensorBpfName)?,
        function: row.find(Field::SensorBpfFunction)?,
        program_type: number(Field::SensorBpfType, BPF_PROGRAMS)?,
        attach_type: number(Field::SensorBpfAttachType, BPF_ATTACHMENTS)?,
        id: row.get(Field::SensorBpfId)?,
        instructions: row.get(Field::SensorBpfInstructions)?,
    })
}

fn cgroup(row: &Row<'_>) -> Result<Cgroup, ParseError> {
    Ok(Cgroup {
        id: row.get(Field::SensorControlGroupId)?,
        path: row.get(Field::SensorControlGroupPath)?,
        hierarchy: row.get(Field::SensorControlGroupHierarchy)?,
        level: row.get(Field::SensorControlGroupLevel)?,
    })
}

fn lost(row: &Row<'_>, time: Stamp) -> Result<Lost, ParseError> {
    let name: &str = row.get(Field::SensorLostKind)?;
    let at = |field| Ok::<_, ParseError>(time.at_wall(row.get::<Wall>(field)?.0));
    Ok(Lost {
        kind: kind::ALL
            .iter()
            .map(|(_, _, known)| *known)
            .find(|known| *known == name)
            .unwrap_or(UNKNOWN_KIND),
        count: row.get(Field::SensorLostCount)?,
        reason: row.get::<&str>(Field::SensorLostReason)?.to_owned().into(),
        from: at(Field::SensorLostFrom)?,
        to: at(Field::SensorLostTo)?,
    })
}

fn health(change: Change, row: &Row<'_>) -> Result<Health, ParseError> {
    let name: &str = row.get(Field::SensorHealthVerdict)?;
    let account: Option<&str> = row.find(Field::SensorAccount)?;
    Ok(Health {
        change,
        verdict: [Verdict::Healthy, Verdict::Degraded, Verdict::Blind]
            .into_iter()
            .find(|verdict| verdict.name() == name)
            .ok_or_else(|| {
                ParseError::wrong(Field::SensorHealthVerdict, "healthy, degraded or blind")
            })?,
        detail: row.get::<&str>(Field::SensorHealthDetail)?.to_owned(),
        account: account.map(str::to_owned),
        previous: previous(row)?,
    })
}

fn previous(row: &Row<'_>) -> Result<Option<Previous>, ParseError> {
    let Some(run) = row.find::<&str>(Field::SensorPreviousRun)? else {
        return Ok(None);
    };
    Ok(Some(Previous {
        run: u32::from_str_radix(run, 16)
            .map_err(|_| ParseError::wrong(Field::SensorPreviousRun, "a number of a run"))?,
        until_wall_ns: row.get::<Wall>(Field::SensorPreviousUntil)?.0,
        in_order: row.get(Field::SensorPreviousInOrder)?,
    }))
}

fn response(verb: Verb, row: &Row<'_>) -> Result<Response, ParseError> {
    let outcome: &str = row.get(Field::SensorResponseOutcome)?;
    let origin: &str = row.get(Field::SensorResponseOrigin)?;
    let until = row.find::<Wall>(Field::SensorResponseUntil)?;
    Ok(Response {
        verb,
        outcome: Outcome::ALL
            .into_iter()
            .find(|known| known.name() == outcome)
            .ok_or_else(|| ParseError::wrong(Field::SensorResponseOutcome, "an outcome"))?,
        target: row.get(Field::SensorResponseTarget)?,
        origin: Origin::ALL
            .into_iter()
            .find(|known| known.name() == origin)
            .ok_or_else(|| ParseError::wrong(Field::SensorResponseOrigin, "an origin"))?,
        by: row.get(Field::SensorResponseBy)?,
        reason: row.get(Field::SensorResponseReason)?,
        detail: row.get(Field::SensorResponseDetail)?,
        peer: match row.find::<&str>(Field::SensorResponsePeer)? {
            Some(peer) => Some(peer.parse().map_err(|_| {
                ParseError::wrong(Field::SensorResponsePeer, "an address and a port")
            })?),
            None => None,
        },
        until_wall_ns: until.map(|wall| wall.0),
        undo: row.find(Field::SensorResponseUndo)?,
        alert: row.find(Field::SensorResponseAlert)?,
        incident: row.find(Field::SensorAlertIncident)?,
        latency_ns: row.find(Field::SensorResponseLatency)?,
    })
}
