//! What changes the system as a whole: kernel modules, BPF programs, control groups.

use super::Label;
use super::field::{Field, Fields};
use super::flags::{self, BPF_ATTACHMENTS, BPF_PROGRAMS, TAINTS};

/// Label of [`Module`].
pub const MODULE: Label = Label {
    name: "kernel.module",
    action: "module_load",
    category: &["driver"],
    kind: &["start"],
};
/// Label of [`BpfLoad`].
pub const BPF: Label = Label {
    name: "kernel.bpf",
    action: "bpf_load",
    category: &["driver"],
    kind: &["start"],
};
/// Label of a [`Cgroup`] that was made.
pub const CGROUP_MKDIR: Label = Label {
    name: "cgroup.mkdir",
    action: "cgroup_mkdir",
    category: &["configuration"],
    kind: &["creation"],
};
/// Label of a [`Cgroup`] that was removed.
pub const CGROUP_RMDIR: Label = Label {
    name: "cgroup.rmdir",
    action: "cgroup_rmdir",
    category: &["configuration"],
    kind: &["deletion"],
};

/// A kernel module was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its name.
    pub name: Box<str>,
    /// The file it came from, unless it was handed over as bytes.
    pub path: Option<Box<str>>,
    /// `TAINT_*` bits that it brings.
    pub taints: u64,
}

impl Module {
    pub(super) fn put<'a>(&'a self, fields: &mut Fields<'a>) {
        fields.put(Field::SensorModuleName, &*self.name);
        fields.put_some(Field::SensorModulePath, self.path.as_deref());
        fields.put_list(Field::SensorModuleTaints, flags::names(self.taints, TAINTS));
    }

    pub(super) fn summary(&self) -> String {
        let mut text = format!(
            "{} from {}",
            self.name,
            self.path.as_deref().unwrap_or("memory")
        );
        for taint in flags::names(self.taints, TAINTS) {
            text.push_str(" !");
            text.push_str(taint);
        }
        text
    }
}

/// A BPF program was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BpfLoad {
    /// Its name, at most 15 bytes.
    pub name: Box<str>,
    /// The kernel function or tracepoint it is made for.
    pub function: Option<Box<str>>,
    /// `BPF_PROG_TYPE_*`.
    pub program_type: u32,
    /// `enum bpf_attach_type`.
    pub attach_type: u32,
    /// Its id.
    pub id: u32,
    /// Its length.
    pub instructions: u32,
}

impl BpfLoad {
    fn type_name(&self) -> String {
        flags::name(self.program_type.into(), BPF_PROGRAMS)
    }

    pub(super) fn put<'a>(&'a self, fields: &mut Fields<'a>) {
        fields.put(Field::SensorBpfName, &*self.name);
        fields.put(Field::SensorBpfType, self.type_name());
        fields.put(
            Field::SensorBpfAttachType,
            flags::name(self.attach_type.into(), BPF_ATTACHMENTS),
        );
        fields.put_some(Field::SensorBpfFunction, self.function.as_deref());
        fields.put(Field::SensorBpfId, self.id);
        fields.put(Field::SensorBpfInstructions, self.instructions);
    }

    pub(super) fn summary(&self) -> String {
        let mut text = format!("{} {} id {}", self.type_name(), self.name, self.id);
        if let Some(function) = &self.function {
            text.push_str(" on ");
            text.push_str(function);
        }
        text
    }
}

/// A control group was made or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// Its id.
    pub id: u64,
    /// Path in its hierarchy.
    pub path: Box<str>,
    /// The hierarchy; the unified one has 0.
    pub hierarchy: u32,
    /// Depth; the root has 0.
    pub level: u32,
}

impl Cgroup {
    pub(super) fn put<'a>(&'a self, fields: &mut Fields<'a>) {
        fields.put(Field::SensorControlGroupId, self.id);
        fields.put(Field::SensorControlGroupPath, &*self.path);
        fields.put(Field::SensorControlGroupHierarchy, self.hierarchy);
        fields.put(Field::SensorControlGroupLevel, self.level);
    }

    pub(super) fn summary(&self) -> String {
        format!("{} id {}", self.path, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_from_memory_says_so_and_shows_its_taints() {
        let module = Module {
            name: "rk".into(),
            path: None,
            taints: (1 << 12) | (1 << 13),
        };
        assert_eq!(module.summary(), "rk from memory !out_of_tree !unsigned");
    }

    #[test]
    fn a_program_is_named_by_type_and_place() {
        let load = BpfLoad {
            name: "hide".into(),
            function: Some("__x64_sys_getdents64".into()),
            program_type: 26,
            attach_type: 25,
            id: 7,
            instructions: 40,
        };
        assert_eq!(load.summary(), "tracing hide id 7 on __x64_sys_getdents64");
    }
}
