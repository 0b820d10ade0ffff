//! The guard as the kernel gets it: the embedded object, its maps in the sizes asked for, and its
//! programs, verified. Where they are attached and what is in the maps is not known here.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::OnceLock;

use aya::programs::{CgroupSkb, CgroupSockAddr, Program, ProgramError, SchedClassifier, Xdp};
use aya::{Ebpf, EbpfError, EbpfLoader, VerifierLogLevel};
use sensor_common::guard;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// The programs, built by `build.rs`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/sensor-guard.o"));

/// Names the embedded object by its content: what is pinned by another build has another name.
#[must_use]
pub fn build() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let hash = Sha256::digest(OBJECT);
        let hash = hash.iter().take(8).map(|byte| format!("{byte:02x}"));
        format!("build_{}", hash.collect::<String>())
    })
}

/// Every map of the object.
pub const MAPS: [&str; 10] = [
    "DENY4",
    "DENY6",
    "DENY_NETS4",
    "DENY_NETS6",
    "ALLOW4",
    "ALLOW6",
    "NOTES",
    "STATE",
    "GROUPS",
    "TALLY",
];

/// Why the guard is not there.
#[derive(Debug, Error)]
pub enum ObjectError {
    /// Loading the object or creating its maps failed.
    #[error("the kernel does not take the firewall's maps: {0}")]
    Object(#[from] EbpfError),
    /// A program or map is missing from the object, or of another kind.
    #[error("the embedded object has no {0} of the kind wanted; this build is broken")]
    Missing(&'static str),
    /// The kernel refused a program.
    #[error("the kernel refuses the program {0}: {1}")]
    Refused(&'static str, #[source] ProgramError),
}

/// How much fits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Addresses that can be denied, by family.
    pub addresses: u32,
    /// Networks that can be denied, and networks and addresses that can be allowed, by family.
    pub networks: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            addresses: guard::ADDRESSES,
            networks: guard::NETS_MAX,
        }
    }
}

/// Loads the object with new maps, or with those that are pinned below a directory; what is not
/// pinned there yet then is. No program is loaded before it is asked for.
///
/// # Errors
/// When the kernel refuses a map, or what is pinned is not what is wanted.
pub fn load(sizes: Sizes, pins: Option<&Path>) -> Result<Guard, ObjectError> {
    let mut loader = EbpfLoader::new();
    loader.verifier_log_level(VerifierLogLevel::STATS);
    for map in ["DENY4", "DENY6"] {
        loader.map_max_entries(map, sizes.addresses);
    }
    for map in ["DENY_NETS4", "DENY_NETS6", "ALLOW4", "ALLOW6"] {
        loader.map_max_entries(map, sizes.networks);
    }
    if let Some(pins) = pins {
        for map in MAPS {
            loader.map_pin_path(map, pins.join(map));
        }
    }
    Ok(Guard(loader.load(OBJECT)?))
}

/// The loaded object.
pub struct Guard(pub Ebpf);

/// A program by its type, loaded when it is first asked for.
macro_rules! programs {
    ($($function:ident $descriptor:ident $kind:ident;)*) => {
        $(
            /// A program of this kind, verified by the kernel.
            ///
            /// # Errors
            /// When the kernel refuses it.
            pub fn $function(&mut self, name: &'static str) -> Result<&mut $kind, ObjectError> {
                let Some(Program::$kind(program)) = self.0.program_mut(name) else {
                    return Err(ObjectError::Missing(name));
                };
                if program.fd().is_err() {
                    program.load().map_err(|error| ObjectError::Refused(name, error))?;
                }
                Ok(program)
            }

            /// A descriptor of it.
            ///
            /// # Errors
            /// When the kernel refuses it, or there are too many open.
            pub fn $descriptor(&mut self, name: &'static str) -> Result<OwnedFd, ObjectError> {
                let fd = self.$function(name)?.fd().and_then(|fd| Ok(fd.as_fd().try_clone_to_owned()?));
                fd.map_err(|error| ObjectError::Refused(name, error))
            }
        )*
    };
}

impl Guard {
    programs! {
        xdp xdp_fd Xdp;
        classifier classifier_fd SchedClassifier;
        packets packets_fd CgroupSkb;
        calls calls_fd CgroupSockAddr;
    }
}
