//! Loads the embedded object and attaches its programs, way by way (see `hooks`), recording
//! what the kernel took and what it refused.

mod lsm;
mod program;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::fd::AsFd as _;
use std::sync::{Mutex, PoisonError};
use std::thread;

use aya::programs::{CgroupAttachMode, CgroupSkbAttachType, Program};
use aya::{Btf as AyaBtf, Ebpf, EbpfLoader, VerifierLogLevel};
use thiserror::Error;
use zerocopy::IntoBytes;

use super::btf::{Btf, BtfError};
use super::facts::{FactsError, KernelFacts};
use super::hooks::{Attach, Hook, SERVICES, Service, Way};
use super::perf::{Attached, Tracefs};
use super::selection::Selection;
use crate::cgroup;
use program::{Refusal, describe, ensure_loaded, unload};

/// The programs, built by `build.rs`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/sensor-ebpf.o"));

/// Where the kernel publishes its types.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// Why no program runs.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The kernel's types are not to be had.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// The kernel's types are not what we know.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// Loading the object or creating its maps failed.
    #[error("the kernel does not take the sensor's maps: {0}")]
    Object(#[from] aya::EbpfError),
    /// The loader's own look at the kernel's types failed.
    #[error("cannot read {BTF_PATH}: {0}")]
    KernelTypes(#[from] aya::BtfError),
    /// A map the programs must have is not in the object.
    #[error("the embedded object has no map {0}; this build is broken")]
    NoMap(&'static str),
    /// A map cannot be used as what it is.
    #[error("map {0}: {1}")]
    Map(&'static str, #[source] aya::maps::MapError),
    /// Every way of a service that cannot be done without was refused.
    #[error("the kernel refuses to observe {service}: {reason}")]
    Refused {
        /// Name of the service.
        service: &'static str,
        /// What the kernel said.
        reason: String,
    },
}

/// Sizes to load with.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Bytes of the process and network ring, a power of two and a multiple of the page size.
    pub process_ring: u32,
    /// Bytes of the file ring, likewise.
    pub file_ring: u32,
}

/// Whether to patch kernel functions (fentry, fexit) where the kernel lets us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trampolines {
    /// Yes: they cost least and see most.
    Use,
    /// No: take the next best way, as on kernels that refuse them.
    Avoid,
}

/// How one service came out.
#[derive(Clone, Debug)]
pub struct Served {
    /// The service.
    pub service: &'static Service,
    /// Index of the way in use, `None` when all were refused.
    pub way: Option<usize>,
    /// What the kernel said to each way that was tried and refused.
    pub refusals: Vec<String>,
}

impl Served {
    /// The way in use.
    #[must_use]
    pub fn in_use(&self) -> Option<&'static Way> {
        self.service.ways.get(self.way?)
    }
}

/// Loaded and attached programs; dropping it detaches everything.
pub struct Loaded {
    /// Programs and maps.
    pub ebpf: Ebpf,
    /// What serves what.
    pub served: Vec<Served>,
    /// The kernel's facts.
    pub facts: KernelFacts,
    attached: Vec<(&'static str, Attached)>,
}

/// One program as the kernel has it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ProgramCost {
    /// Its name in the object.
    pub name: String,
    /// Instructions the verifier went through, known from 5.16 on.
    pub verified_instructions: Option<u32>,
    /// Bytes of machine code.
    pub jited_bytes: u32,
}

impl Loaded {
    /// Detaches everything. Each hook makes the kernel wait until nobody can be in the program
    /// any more; all at once, they wait together.
    pub fn detach(mut self) {
        thread::scope(|scope| {
            // A thread that cannot be had only costs time: what it was to drop is dropped here.
            for (_, attached) in self.attached.drain(..) {
                let _ = thread::Builder::new().spawn_scoped(scope, move || drop(attached));
            }
            for (_, program) in self.ebpf.programs_mut() {
                let _ = thread::Builder::new().spawn_scoped(scope, move || unload(program));
            }
        });
    }

    /// The programs in use, dearest to verify first.
    #[must_use]
    pub fn programs(&self) -> Vec<ProgramCost> {
        let mut programs: Vec<_> = self
            .ebpf
            .programs()
            .filter_map(|(name, program)| {
                let info = program.info().ok()?;
                Some(ProgramCost {
                    name: name.to_owned(),
                    verified_instructions: info.verified_instruction_count(),
                    jited_bytes: info.size_jitted(),
                })
            })
            .collect();
        programs.sort_by(|a, b| {
            (b.verified_instructions, &b.jited_bytes)
                .cmp(&(a.verified_instructions, &a.jited_bytes))
        });
        programs
    }
}

/// Loads the object and attaches all it can of what is asked for.
///
/// # Errors
/// When the kernel's types cannot be had or the maps cannot be made. A hook that is refused
/// is not an error but shows in [`Loaded::served`].
pub fn load(
    sizes: Sizes,
    selection: &Selection,
    trampolines: Trampolines,
) -> Result<Loaded, LoadError> {
    let btf = Btf::load(BTF_PATH)?;
    let facts = KernelFacts::resolve(&btf)?;
    let words = facts.to_programs();
    let kernel_types = AyaBtf::from_sys_fs()?;
    let wake_at = u64::from(sizes.process_ring.min(sizes.file_ring) / 4).to_ne_bytes();

    let mut loader = EbpfLoader::new();
    let mut ebpf = loader
        .btf(Some(&kernel_types))
        .verifier_log_level(VerifierLogLevel::STATS)
        .override_global("KERNEL", words.as_bytes(), true)
        .override_global("SENSOR_PID", &std::process::id().to_ne_bytes()[..], true)
        .override_global("WAKE_AT_BYTES", &wake_at[..], true)
        .map_max_entries("RING_PROCESS", sizes.process_ring)
        .map_max_entries("RING_FILE", sizes.file_ring)
        .load(OBJECT)?;

    let services: Vec<&Service> = SERVICES
        .iter()
        .filter(|service| selection.needs(service.kinds) && !service.is_impossible_here())
        .collect();
    let mut hooker = Hooker {
        ebpf: &mut ebpf,
        btf: &btf,
        types: &kernel_types,
        trampolines: match trampolines {
            Trampolines::Use => Ok(()),
            Trampolines::Avoid => Err("switched off in the configuration".to_owned()),
        },
        refused: BTreeMap::new(),
        tracefs: None,
        attached: Vec::new(),
    };
    hooker.try_trampolines(&services);
    hooker.preload(&services);
    let served = services
        .into_iter()
        .map(|service| hooker.serve(service))
        .collect();
    let attached = hooker.attached;
    Ok(Loaded {
        ebpf,
        served,
        facts,
        attached,
    })
}

/// The kernel wants no flags for a link; others may then attach beside and below it all the
/// same (`cgroup_bpf_link_attach`, `kernel/bpf/cgroup.c`).
const BESIDE_OTHERS: CgroupAttachMode = CgroupAttachMode::Single;

/// What it takes to attach programs.
struct Hooker<'a> {
    ebpf: &'a mut Ebpf,
    /// The kernel's types, as we read them.
    btf: &'a Btf,
    /// The same, as the loader library does.
    types: &'a AyaBtf,
    /// Whether the kernel has trampolines, or why not.
    trampolines: Result<(), String>,
    /// What was asked of the kernel in vain; it is not asked again.
    refused: BTreeMap<(&'static str, Attach), Refusal>,
    /// Opened when first needed.
    tracefs: Option<Tracefs>,
    /// By name of the program; what is attached past the loader library.
    attached: Vec<(&'static str, Attached)>,
}

impl Hooker<'_> {
    /// Loads one program for a trampoline: a kernel that does not want such programs need not
    /// be asked for each of them.
    fn try_trampolines(&mut self, services: &[&Service]) {
        let hook = services
            .iter()
            .filter_map(|service| service.ways.first())
            .flat_map(|way| way.hooks)
            .find(|hook| {
                matches!(hook.attach, Attach::Fentry(_) | Attach::Fexit(_)) && !hook.optional
            });
        let (Some(hook), Ok(())) = (hook, &self.trampolines) else {
            return;
        };
        if let Err(refusal @ Refusal::Policy(_)) = self.loaded(hook) {
            self.trampolines = Err(refusal.to_string());
        }
    }

    /// Has the kernel verify the programs that will be wanted, on all CPUs at once: that is most
    /// of the time a start takes. What is refused here is reported when its turn comes.
    fn preload(&mut self, services: &[&Service]) {
        let usable = |way: &&Way| self.trampolines.is_ok() || !way.uses_trampolines();
        let wanted: BTreeMap<&str, &Hook> = services
            .iter()
            .filter_map(|service| service.ways.iter().find(usable))
            .flat_map(|way| way.hooks)
            .filter(|hook| !self.refused.contains_key(&hook.key()))
            .map(|hook| (hook.program, hook))
            .collect();
        let types = self.types;
        let programs = self
            .ebpf
            .programs_mut()
            .filter_map(|(name, program)| Some((program, *wanted.get(name)?)));
        let queue = Mutex::new(programs);
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let refused = Mutex::new(&mut self.refused);
        let work = || {
            while let Some((program, hook)) = next() {
                if let Err(refusal) = ensure_loaded(program, hook, types) {
                    let mut refused = refused.lock().unwrap_or_else(PoisonError::into_inner);
                    refused.insert(hook.key(), refusal);
                }
            }
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 1..threads {
                // A thread that cannot be had only costs time.
                let _ = thread::Builder::new().spawn_scoped(scope, work);
            }
            work();
        });
    }

    /// Takes the first way of a service that the kernel accepts as a whole.
    fn serve(&mut self, service: &'static Service) -> Served {
        let mut refusals = Vec::new();
        for (at, way) in service.ways.iter().enumerate() {
            match self.take(way) {
                Ok(()) => {
                    return Served {
                        service,
                        way: Some(at),
                        refusals,
                    };
                }
                Err(reason) => refusals.push(reason),
            }
        }
        Served {
            service,
            way: None,
            refusals,
        }
    }

    /// Attaches all hooks of a way, or none.
    fn take(&mut self, way: &Way) -> Result<(), String> {
        if let (true, Err(reason)) = (way.uses_trampolines(), &self.trampolines) {
            return Err(format!("trampolines (fentry, fexit, lsm): {reason}"));
        }
        for hook in way.hooks {
            if hook.optional && !self.exists(hook.attach) {
                continue;
            }
            if let Err(reason) = self.attach(hook) {
                for hook in way.hooks {
                    self.unload(hook.program);
                }
                return Err(format!("{}: {reason}", hook.attach.describe()));
            }
        }
        Ok(())
    }

    /// Whether the kernel has the function a trampoline is meant for.
    fn exists(&self, attach: Attach) -> bool {
        match attach {
            Attach::Fentry(name) | Attach::Fexit(name) => {
                self.btf.resolve(&format!("func {name}")).is_ok()
            }
            _ => true,
        }
    }

    /// The program of a hook, as the kernel has verified it.
    fn loaded(&mut self, hook: &Hook) -> Result<&mut Program, Refusal> {
        if let Some(refusal) = self.refused.get(&hook.key()) {
            return Err(refusal.clone());
        }
        let Some(program) = self.ebpf.program_mut(hook.program) else {
            return Err(Refusal::Missing(hook.program));
        };
        match ensure_loaded(program, hook, self.types) {
            Ok(()) => Ok(program),
            Err(refusal) => {
                self.refused.insert(hook.key(), refusal.clone());
                Err(refusal)
            }
        }
    }

    fn attach(&mut self, hook: &Hook) -> Result<(), String> {
        let name = hook.program;
        let program = self.loaded(hook).map_err(|refusal| refusal.to_string())?;
        match (hook.attach, program) {
            (_, Program::BtfTracePoint(program)) => program.attach().map(drop),
            (_, Program::FEntry(program)) => program.attach().map(drop),
            (_, Program::FExit(program)) => program.attach().map(drop),
            (_, Program::Lsm(program)) => program.attach().map(drop),
            (_, Program::CgroupSock(program)) => {
                program.attach(cgroup_root()?, BESIDE_OTHERS).map(drop)
            }
            (_, Program::CgroupSockAddr(program)) => {
                program.attach(cgroup_root()?, BESIDE_OTHERS).map(drop)
            }
            (_, Program::CgroupSkb(program)) => {
                let side = program
                    .expected_attach_type()
                    .unwrap_or(CgroupSkbAttachType::Ingress);
                program
                    .attach(cgroup_root()?, side, BESIDE_OTHERS)
                    .map(drop)
            }
            (Attach::SyscallEnter(calls), Program::TracePoint(_)) => {
                return self.attach_to_calls(name, "sys_enter", calls);
            }
            (Attach::SyscallExit(calls), Program::TracePoint(_)) => {
                return self.attach_to_calls(name, "sys_exit", calls);
            }
            (_, _) => return Err(Refusal::misfit(hook).to_string()),
        }
        .map_err(|error| describe(&error))
    }

    /// Attaches one program to the beginning or the return of system calls, the first of which
    /// every kernel has.
    fn attach_to_calls(
        &mut self,
        name: &'static str,
        side: &str,
        calls: &[&str],
    ) -> Result<(), String> {
        let tracefs = match &mut self.tracefs {
            Some(tracefs) => tracefs,
            none => none.insert(Tracefs::open().map_err(|error| format!("no tracefs: {error}"))?),
        };
        let Some(Program::TracePoint(program)) = self.ebpf.program_mut(name) else {
            return Err(Refusal::Missing(name).to_string());
        };
        let fd = program.fd().map_err(|error| describe(&error))?.as_fd();
        for (at, call) in calls.iter().enumerate() {
            match tracefs.attach(&format!("{side}_{call}"), fd) {
                Ok(event) => self.attached.push((name, event)),
                // A system call younger than this kernel, beside one that it has.
                Err(error) if at > 0 && error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(format!("tracepoint {side}_{call}: {error}")),
            }
        }
        Ok(())
    }

    fn unload(&mut self, name: &str) {
        self.attached.retain(|(program, _)| *program != name);
        if let Some(program) = self.ebpf.program_mut(name) {
            unload(program);
        }
    }
}

fn cgroup_root() -> Result<std::fs::File, String> {
    cgroup::root().map_err(|error| error.to_string())
}
