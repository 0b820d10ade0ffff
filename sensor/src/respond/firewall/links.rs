//! Attaches the guard's programs and holds them in place by pinned links: to a control group for
//! all sockets below it, and to interfaces. Pins are named `PROGRAM`, or
//! `PROGRAM-NAMESPACE-INTERFACE` by numbers, because names of interfaces change and have dots.
//! Which interfaces is decided in `places`.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use aya::programs::tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle};
use aya::programs::{ProgramError, SchedClassifier, TcAttachType, tc};
use thiserror::Error;

use super::host::{self, Interface};
use super::object::{self, Guard, ObjectError, Sizes};
use super::pins::{self, Pins, PinsError};
use super::places::{self, Layer};
use super::sys::{self, Hook};

/// Programs for control groups, with their attach types (`enum bpf_attach_type`).
const GROUP_HOOKS: [(&str, u32); 6] = [
    ("guard_ingress", 0),
    ("guard_egress", 1),
    ("guard_connect4", 10),
    ("guard_connect6", 11),
    ("guard_sendmsg4", 14),
    ("guard_sendmsg6", 15),
];
/// Programs for TC.
const CLASSIFIERS: [&str; 4] = [
    "guard_tc_ingress",
    "guard_tc_egress",
    "guard_l3_ingress",
    "guard_l3_egress",
];
/// `BPF_TCX_INGRESS`, `BPF_TCX_EGRESS`.
const TCX_INGRESS: u32 = 46;
const TCX_EGRESS: u32 = 47;
/// `XDP_FLAGS_SKB_MODE`, `XDP_FLAGS_DRV_MODE` (`include/uapi/linux/if_link.h`).
const XDP_GENERIC: u32 = 1 << 1;
const XDP_NATIVE: u32 = 1 << 2;
/// Ways to be at an interface with XDP, best first.
const XDP_WAYS: [(&str, u32); 3] = [
    ("guard_xdp", XDP_NATIVE),
    ("guard_xdp_frags", XDP_NATIVE),
    ("guard_xdp", XDP_GENERIC),
];
/// Before TCX: our filter's priority, the first, and its handle, by which it is known again.
const PRIORITY: u16 = 1;
const HANDLE: TcHandle = TcHandle::new(0, 0x5e05);

/// Why the guard is nowhere in place.
#[derive(Debug, Error)]
pub enum LinksError {
    /// The kernel does not take the programs.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// No place for pins.
    #[error(transparent)]
    Pins(#[from] PinsError),
    /// They cannot be attached.
    #[error("the firewall cannot be attached anywhere: {0}")]
    Nowhere(String),
    /// What is attached cannot be brought to this build.
    #[error(
        "the firewall of another build is in force and cannot be replaced ({link}: {source}); what \
         it blocks stays blocked. Lift it with that build, or with `rm -r {}`", root.display()
    )]
    Stuck {
        /// Name of the link's pin.
        link: String,
        /// Directory of all pins.
        root: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Where a program is attached, for people.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Attachment {
    /// `sockets`, or an interface.
    pub place: String,
    /// `in` or `out`.
    pub direction: &'static str,
    /// `control group`, `XDP native`, `XDP generic`, `TC`.
    pub mode: &'static str,
}

/// The programs and where they are.
#[derive(Debug)]
pub(super) struct Links {
    pins: Pins,
    namespace: u64,
    /// Interfaces that want no program, not to be asked each second, and why.
    refused: Vec<(u32, String)>,
}

impl Links {
    pub(super) fn new(pins: Pins) -> Self {
        let namespace = std::fs::metadata("/proc/thread-self/ns/net");
        Self {
            pins,
            namespace: namespace.map_or(0, |metadata| metadata.ino()),
            refused: Vec::new(),
        }
    }

    /// Makes maps and programs of this build be pinned, and whatever is attached be of this build,
    /// without a gap.
    pub(super) fn install(&self, sizes: Sizes) -> Result<(), LinksError> {
        let build = object::build();
        if self.pins.has_build(build) {
            return Ok(());
        }
        let mut guard = object::load(sizes, Some(&self.pins.maps()))?;
        // Maps that were pinned in vain would be taken for an older build's.
        let programs = load(&mut guard)?;
        for name in self.pins.link_names() {
            self.renew(&name, &programs)
                .map_err(|source| LinksError::Stuck {
                    link: name,
                    root: self.pins.root().to_owned(),
                    source,
                })?;
        }
        Pins::empty(&self.pins.programs())?;
        for (name, program) in &programs {
            let path = self.pins.programs().join(name);
            sys::pin(program.as_fd(), &path).map_err(|source| PinsError::Io {
                what: "pin",
                path,
                source,
            })?;
        }
        Ok(self.pins.set_build(build)?)
    }

    /// Brings one link to new programs.
    fn renew(&self, name: &str, programs: &[(&'static str, OwnedFd)]) -> io::Result<()> {
        let path = self.pins.links().join(name);
        let wanted = name.split('-').next().unwrap_or_default();
        let Some((_, program)) = programs.iter().find(|(known, _)| *known == wanted) else {
            return Err(io::Error::other("this build has no such program"));
        };
        if path.is_dir() {
            return self.refilter(name, program);
        }
        let link = sys::pinned(&path)?;
        match sys::replace(link.as_fd(), program.as_fd()) {
            // What it was attached to is gone, and so is what it did.
            Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => Ok(()),
            result => result,
        }
    }

    /// Puts a new program in the place of a filter's.
    fn refilter(&self, name: &str, program: &OwnedFd) -> io::Result<()> {
        let Some(index) = self.index_of(name) else {
            return Ok(());
        };
        let interfaces = host::interfaces()?;
        let Some(interface) = interfaces.iter().find(|one| one.index == index) else {
            return Ok(());
        };
        // The loader library knows programs by their pins only.
        let path = self.pins.programs().join("renewed");
        let filtered = sys::pin(program.as_fd(), &path)
            .and_then(|()| filter(&path, &interface.name, side_of(name)));
        let removed = pins::remove(&path).map_err(io::Error::other);
        filtered.and(removed)
    }

    /// Attaches the programs that judge sockets to a control group, unless they are.
    pub(super) fn attach_group(&self, group: &Path) -> Result<(), String> {
        let directory = File::open(group)
            .map_err(|error| format!("control group {}: {error}", group.display()))?;
        for (name, kind) in GROUP_HOOKS {
            let pin = self.pins.links().join(name);
            if !pin.exists() {
                self.attach(name, name, Hook::Group(directory.as_fd(), kind))
                    .map_err(|error| format!("{name} at {}: {error}", group.display()))?;
            }
        }
        Ok(())
    }

    /// Attaches to interfaces that came, and forgets those that went; what did not work, and
    /// where.
    pub(super) fn attach_interfaces(&mut self) -> io::Result<&[(u32, String)]> {
        let interfaces = host::interfaces()?;
        let addresses = host::addresses()?;
        let names: HashSet<String> = self.pins.link_names().into_iter().collect();
        self.forget(&names, &interfaces);
        for one in &interfaces {
            let is_refused = self.refused.iter().any(|(index, _)| *index == one.index);
            if let Some(layer) = places::wanted(one, &interfaces, &addresses)
                && !is_refused
                && let Err(why) = self.attach_interface(one, layer, &names)
            {
                tracing::warn!(
                    interface = one.name,
                    why,
                    "the firewall is not at an interface"
                );
                self.refused
                    .push((one.index, format!("{}: {why}", one.name)));
            }
        }
        Ok(&self.refused)
    }

    /// Unpins what belonged to interfaces of this namespace that are gone.
    fn forget(&mut self, names: &HashSet<String>, interfaces: &[Interface]) {
        let is_there = |index: u32| interfaces.iter().any(|one| one.index == index);
        self.refused.retain(|(index, _)| is_there(*index));
        for name in names {
            if let Some(index) = self.index_of(name)
                && !is_there(index)
                && let Err(error) = pins::remove(&self.pins.links().join(name))
            {
                tracing::warn!(%error, "an interface is gone, but its pin is not");
            }
        }
    }

    fn attach_interface(
        &self,
        one: &Interface,
        layer: Layer,
        names: &HashSet<String>,
    ) -> Result<(), String> {
        let pin = |program: &str| format!("{program}-{}-{}", self.namespace, one.index);
        let has = |program: &str| names.contains(&pin(program));
        let (ingress, egress) = match layer {
            Layer::Ethernet => ("guard_tc_ingress", "guard_tc_egress"),
            Layer::Ip => ("guard_l3_ingress", "guard_l3_egress"),
        };
        let has_ingress = has(ingress) || XDP_WAYS.iter().any(|(program, _)| has(program));
        if !has_ingress && (layer == Layer::Ip || !self.attach_xdp(one)) {
            self.attach_classifier(one, ingress)?;
        }
        if !has(egress) {
            self.attach_classifier(one, egress)?;
        }
        Ok(())
    }

    /// Whether XDP can be had there; somebody else's program is left alone.
    fn attach_xdp(&self, one: &Interface) -> bool {
        XDP_WAYS.iter().any(|(program, flags)| {
            let name = format!("{program}-{}-{}", self.namespace, one.index);
            self.attach(program, &name, Hook::Xdp(one.index, *flags))
                .is_ok()
        })
    }

    fn attach_classifier(&self, one: &Interface, program: &str) -> Result<(), String> {
        let name = format!("{program}-{}-{}", self.namespace, one.index);
        let kind = match side_of(program) {
            TcAttachType::Ingress => TCX_INGRESS,
            _ => TCX_EGRESS,
        };
        if self
            .attach(program, &name, Hook::Tcx(one.index, kind))
            .is_ok()
        {
            return Ok(());
        }
        let path = self.pins.programs().join(program);
        filter(&path, &one.name, side_of(program))
            .map_err(|error| format!("{program}: {error}"))?;
        // Nothing of a filter can be pinned; a directory says that it is there.
        std::fs::create_dir(self.pins.links().join(&name)).map_err(|error| error.to_string())
    }

    /// The descriptor is not kept: the pin alone holds the program in place, so that removing it
    /// by hand works also while a sensor runs.
    fn attach(&self, program: &str, name: &str, hook: Hook<'_>) -> io::Result<()> {
        let program = sys::pinned(&self.pins.programs().join(program))?;
        let link = sys::link(program.as_fd(), hook)?;
        sys::pin(link.as_fd(), &self.pins.links().join(name))
    }

    /// Takes all programs off.
    pub(super) fn detach(&self) -> Result<(), PinsError> {
        let interfaces = host::interfaces().unwrap_or_default();
        for name in self.pins.link_names() {
            let path = self.pins.links().join(&name);
            if path.is_dir()
                && let Some(index) = self.index_of(&name)
                && let Some(one) = interfaces.iter().find(|one| one.index == index)
                && let Err(error) = unfilter(&one.name, side_of(&name))
            {
                tracing::warn!(interface = one.name, %error, "a TC filter cannot be removed");
            }
            pins::remove(&path)?;
        }
        Ok(())
    }

    /// Whether any program is attached.
    pub(super) fn any(&self) -> bool {
        !self.pins.link_names().is_empty()
    }

    /// Where programs are attached, as seen from this namespace.
    pub(super) fn attachments(&self) -> Vec<Attachment> {
        let interfaces = host::interfaces().unwrap_or_default();
        let mut found: Vec<_> = self
            .pins
            .link_names()
            .iter()
            .filter_map(|name| self.attachment(name, &interfaces))
            .collect();
        found.sort_by(|a, b| (&a.place, a.direction).cmp(&(&b.place, b.direction)));
        found
    }

    fn attachment(&self, name: &str, interfaces: &[Interface]) -> Option<Attachment> {
        let direction = match side_of(name) {
            TcAttachType::Egress => "out",
            _ => "in",
        };
        if !name.contains('-') {
            // Connects and sends are refused by programs beside those for packets.
            let is_packets = matches!(name, "guard_ingress" | "guard_egress");
            return is_packets.then(|| Attachment {
                place: "sockets".to_owned(),
                direction,
                mode: "control group",
            });
        }
        let index = self.index_of(name)?;
        let one = interfaces.iter().find(|one| one.index == index)?;
        let mode = match (name.starts_with("guard_xdp"), one.xdp) {
            (false, _) => "TC",
            // `XDP_ATTACHED_DRV`
            (true, 1) => "XDP native",
            (true, _) => "XDP generic",
        };
        Some(Attachment {
            place: one.name.clone(),
            direction,
            mode,
        })
    }

    /// The interface that a pin is about, if it is of this namespace.
    fn index_of(&self, name: &str) -> Option<u32> {
        let mut parts = name.split('-').skip(1);
        let namespace: u64 = parts.next()?.parse().ok()?;
        let index = parts.next()?.parse().ok()?;
        (namespace == self.namespace).then_some(index)
    }
}

/// All programs that this kernel takes; without those that only few drivers need.
fn load(guard: &mut Guard) -> Result<Vec<(&'static str, OwnedFd)>, ObjectError> {
    let mut loaded = Vec::new();
    let mut add = |name, fd: Result<OwnedFd, ObjectError>| {
        loaded.push((name, fd?));
        Ok::<_, ObjectError>(())
    };
    for (name, _) in GROUP_HOOKS {
        let is_packets = matches!(name, "guard_ingress" | "guard_egress");
        add(
            name,
            if is_packets {
                guard.packets_fd(name)
            } else {
                guard.calls_fd(name)
            },
        )?;
    }
    for name in CLASSIFIERS {
        add(name, guard.classifier_fd(name))?;
    }
    add("guard_xdp", guard.xdp_fd("guard_xdp"))?;
    // Not before 5.18.
    if let Err(error) = add("guard_xdp_frags", guard.xdp_fd("guard_xdp_frags")) {
        tracing::debug!(%error, "no XDP for large frames");
    }
    Ok(loaded)
}

/// Which way packets go where a program is.
fn side_of(program: &str) -> TcAttachType {
    let program = program.split('-').next().unwrap_or_default();
    if program.ends_with("egress") {
        TcAttachType::Egress
    } else {
        TcAttachType::Ingress
    }
}

/// Before 6.6: a filter, first in line, which stays until it is removed.
fn filter(program: &Path, interface: &str, side: TcAttachType) -> io::Result<()> {
    // It may be there, ours or another's.
    let _ = tc::qdisc_add_clsact(interface);
    let mut program = SchedClassifier::from_pin(program).map_err(io::Error::other)?;
    let options = TcAttachOptions::Netlink(NlOptions {
        priority: PRIORITY,
        handle: HANDLE,
        classid: None,
    });
    let attached = match program.attach_with_options(interface, side, options) {
        Err(error) if is_there(&error) => {
            let link = SchedClassifierLink::attached(interface, side, PRIORITY, HANDLE, None)?;
            program.attach_to_link(link)
        }
        result => result,
    };
    let link = attached.and_then(|link| program.take_link(link));
    // It would be removed with us.
    std::mem::forget(link.map_err(io::Error::other)?);
    Ok(())
}

fn is_there(error: &ProgramError) -> bool {
    matches!(error, ProgramError::TcError(TcError::NetlinkError(error))
        if error.raw_os_error() == Some(libc::EEXIST))
}

fn unfilter(interface: &str, side: TcAttachType) -> io::Result<()> {
    let link = SchedClassifierLink::attached(interface, side, PRIORITY, HANDLE, None)?;
    aya::programs::links::Link::detach(link).map_err(io::Error::other)
}
