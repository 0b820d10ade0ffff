//! Decodes the records of `sensor-ebpf/src/system.rs` into `event/system.rs`.

use sensor_common::system as raw;
use sensor_common::tail;

use super::decode::{Decoded, Raw};
use crate::event::Action;
use crate::event::process::Process;
use crate::event::system::{BpfLoad, Cgroup, Module};

/// [`sensor_common::kind::MODULE`].
pub fn module(raw: &Raw<'_>) -> Decoded {
    let (record, sections) = raw.parts::<raw::Module>()?;
    let module = Module {
        name: sections.text(tail::NAME).unwrap_or_default(),
        path: sections.text(tail::PATH),
        taints: record.taints,
    };
    Ok((Some(raw.process(&record.subject)), Action::Module(module)))
}

/// [`sensor_common::kind::BPF`].
pub fn bpf(raw: &Raw<'_>) -> Decoded {
    let (record, sections) = raw.parts::<raw::BpfLoad>()?;
    let load = BpfLoad {
        name: sections.text(tail::NAME).unwrap_or_default(),
        function: sections.text(tail::FUNCTION),
        program_type: record.program_type,
        attach_type: record.attach_type,
        id: record.id,
        instructions: record.instructions,
    };
    Ok((Some(raw.process(&record.subject)), Action::BpfLoad(load)))
}

/// [`sensor_common::kind::CGROUP_MKDIR`].
pub fn cgroup_mkdir(raw: &Raw<'_>) -> Decoded {
    let (process, cgroup) = cgroup(raw)?;
    Ok((process, Action::CgroupMkdir(cgroup)))
}

/// [`sensor_common::kind::CGROUP_RMDIR`].
pub fn cgroup_rmdir(raw: &Raw<'_>) -> Decoded {
    let (process, cgroup) = cgroup(raw)?;
    Ok((process, Action::CgroupRmdir(cgroup)))
}

fn cgroup(raw: &Raw<'_>) -> Result<(Option<Process>, Cgroup), super::decode::DecodeError> {
    let (record, sections) = raw.parts::<raw::Cgroup>()?;
    let cgroup = Cgroup {
        id: record.id,
        path: sections.text(tail::PATH).unwrap_or_default(),
        hierarchy: record.hierarchy,
        level: record.level,
    };
    Ok((Some(raw.process(&record.subject)), cgroup))
}
