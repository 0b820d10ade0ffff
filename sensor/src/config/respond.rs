//! `[respond]`: what may be done about intruders, and what must never be done.

use std::path::PathBuf;

use sensor_common::guard::{ADDRESSES, ADDRESSES_MAX};
use serde::Deserialize;

use super::ConfigError;
use super::prevent::{self, Prevent};
use crate::probe::prevention::{Rule, Spared};
use crate::respond::firewall::network::Network;
use crate::respond::firewall::order::Settings;
use crate::respond::firewall::target::Target;
use crate::respond::playbook::{Mode, Playbook, Set};
use crate::respond::process::Protected;

/// Where the firewall is pinned.
const PINS: &str = "/sys/fs/bpf/sensor";
/// Networks that can be protected, and allowed.
const NETWORKS_MAX: usize = 1_024;

/// What is done about intruders.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Respond {
    /// How far playbooks may go, whatever each of them says.
    pub mode: Mode,
    /// What is done by itself about which alerts.
    pub playbook: Vec<Playbook>,
    /// Directory in a BPF file system where the firewall's maps and links are pinned, so that it
    /// outlives the sensor.
    pub pins: PathBuf,
    /// Control group whose traffic the firewall judges, as a directory; the root of the unified
    /// hierarchy, which is all of this host, when absent.
    pub control_group: Option<PathBuf>,
    /// Addresses that can be blocked at a time, by family; networks have tables of their own. A
    /// change takes effect once nothing is blocked any more.
    pub addresses: u32,
    /// Networks that are never blocked, besides those that never are: loopback, this host's own
    /// addresses, its gateways and name servers, and whoever is logged in by ssh.
    pub protect: Vec<Network>,
    /// With whom traffic goes on while this host is isolated: `192.0.2.10`, `192.0.2.10 tcp/6514`.
    pub allow: Vec<Target>,
    /// Programs whose processes are never acted on, as `/usr/sbin/sshd` or `USER:/usr/bin/program`
    /// when it is not root's; what init, logins, the bus and containers hang on when absent.
    pub protect_processes: Option<Vec<String>>,
    /// Which programs are not to start.
    pub prevent: Vec<Prevent>,
}

impl Default for Respond {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            playbook: Vec::new(),
            pins: PINS.into(),
            control_group: None,
            addresses: ADDRESSES,
            protect: Vec::new(),
            allow: Vec::new(),
            protect_processes: None,
            prevent: Vec::new(),
        }
    }
}

impl Respond {
    /// What the firewall needs of it.
    #[must_use]
    pub fn firewall(&self) -> Settings {
        Settings {
            pins: self.pins.clone(),
            control_group: self.control_group.clone(),
            addresses: self.addresses,
            protect: self.protect.clone(),
            allow: self.allow.clone(),
        }
    }

    /// The playbooks.
    ///
    /// # Errors
    /// When they cannot be in force together.
    pub fn playbooks(&self) -> Result<Set, ConfigError> {
        Set::new(self.mode, &self.playbook).map_err(ConfigError::Playbooks)
    }

    /// Whose processes are never acted on.
    ///
    /// # Errors
    /// The first entry that means nothing.
    pub fn protected(&self) -> Result<Protected, ConfigError> {
        match &self.protect_processes {
            Some(entries) => {
                Protected::new(entries).map_err(|error| ConfigError::Protect(error.to_string()))
            }
            None => Ok(Protected::default()),
        }
    }

    /// Which programs are not to start, and which always may.
    ///
    /// # Errors
    /// The first rule that means nothing.
    pub fn prevention(&self) -> Result<(Vec<Rule>, Spared), ConfigError> {
        let rules = prevent::rules(&self.prevent)
            .map_err(|error| ConfigError::Prevent(error.to_string()))?;
        let protected = self.protected()?;
        let spared = protected.programs().iter();
        let spared = spared.map(|program| (program.path.clone(), program.user));
        Ok((rules, spared.collect()))
    }

    /// Whether it makes sense.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let range =
            |key, value: String, range: String| Err(ConfigError::Range { key, value, range });
        if !(1..=ADDRESSES_MAX).contains(&self.addresses) {
            let value = self.addresses.to_string();
            return range("respond.addresses", value, format!("1 to {ADDRESSES_MAX}"));
        }
        if !self.pins.is_absolute() {
            let value = self.pins.display().to_string();
            return range(
                "respond.pins",
                value,
                "a path that begins with /".to_owned(),
            );
        }
        for (key, length) in [
            ("respond.protect", self.protect.len()),
            ("respond.allow", self.allow.len()),
        ] {
            if length > NETWORKS_MAX {
                let most = format!("at most {NETWORKS_MAX} networks");
                return range(key, format!("{length} networks"), most);
            }
        }
        self.prevention()?;
        self.playbooks().map(drop)
    }
}
