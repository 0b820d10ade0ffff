//! Detection: concludes from events, and from the state of the host that they add up to, that
//! somebody is at work who should not be. Each behaviour is a file of its own whose first lines
//! say what it sees, what it misses and what looks alike. Nothing here talks to the kernel or
//! acts on what it finds.

mod command_loop;
mod finding;
mod identity;
mod incidents;
mod program;
mod remote_shell;
mod reported;
pub mod sigma;
mod story;
mod suspects;

use crate::event::Event;
use crate::event::alert::Alert;
use crate::event::process::Process;
use crate::track::Tracker;

use command_loop::CommandLoops;
use finding::Finding;
use incidents::Incidents;
use remote_shell::RemoteShells;
use reported::Reported;

/// All behaviours, and what they remember.
#[derive(Debug, Default)]
pub struct Detector {
    remote_shells: RemoteShells,
    command_loops: CommandLoops,
    reported: Reported,
    incidents: Incidents,
    found: Vec<Finding>,
}

/// An alert and the process it is about.
#[derive(Debug)]
pub struct Raised {
    /// The alert.
    pub alert: Alert,
    /// The process.
    pub about: Box<Process>,
}

impl Detector {
    /// Looks at an event, after the host's state has learned of it; gives what it means.
    pub fn observe(&mut self, event: &Event, host: &Tracker) -> Vec<Raised> {
        let (reported, found) = (&mut self.reported, &mut self.found);
        self.remote_shells.observe(event, host, reported, found);
        self.command_loops.observe(event, host, reported, found);
        let raised = self
            .found
            .drain(..)
            .map(|finding| self.incidents.raise(finding, host))
            .collect();
        self.incidents.learn(event);
        raised
    }

    /// How much was forgotten for want of room.
    #[must_use]
    pub const fn forgotten(&self) -> u64 {
        self.remote_shells.forgotten() + self.command_loops.forgotten()
    }
}
