//! Processes whose standard streams join them to others, or that take commands from something
//! others can write to: the ones that may turn out to be somebody's remote shell once it is known
//! where the streams lead. Bounded: the oldest are
//! forgotten first, and counted.

use std::collections::{HashMap, VecDeque};

use super::identity::Identities;
use super::program::Kind;
use crate::event::object;
use crate::event::process::{Carried, Exec, Process, ProcessKey};
use crate::event::{Event, EventId};
use crate::track::streams::{Channel, is_joint};

/// Processes remembered.
const SUSPECTS_MAX: usize = 4_096;

/// A process that reads from and writes to something that others can hold too.
#[derive(Clone, Debug)]
pub struct Suspect {
    /// The process, as its exec showed it.
    pub process: Box<Process>,
    /// That exec.
    pub exec: EventId,
    /// What it is.
    pub kind: Kind,
    /// It reads commands from its standard input.
    pub reads_commands: bool,
    /// It was seen to run programs with its own input and output.
    pub runs_commands: bool,
    /// It stands where packages put programs.
    pub of_system: bool,
    /// It was told to talk to a person, whoever that is.
    pub is_interactive: bool,
    /// What the connection it inherited had carried when it started.
    pub carried: Option<Carried>,
    /// Its standard input and output.
    streams: [Option<Channel>; 2],
}

/// All of them.
#[derive(Debug, Default)]
pub struct Suspects {
    by_key: HashMap<ProcessKey, Suspect>,
    identities: Identities,
    order: VecDeque<ProcessKey>,
    forgotten: u64,
}

impl Suspects {
    /// For events that are not of this host: its programs mean nothing for them.
    #[must_use]
    pub fn of_elsewhere() -> Self {
        Self {
            by_key: HashMap::new(),
            identities: Identities::none(),
            order: VecDeque::new(),
            forgotten: 0,
        }
    }

    /// Looks at an exec; says whether the process is one now.
    pub fn executed(&mut self, event: &Event, process: &Process, exec: &Exec) -> bool {
        let [stdin, stdout, stderr] = &exec.stdio;
        let answers = is_joint(stdout.kind) || is_joint(stderr.kind);
        // A terminal alone feeds every shell that anybody sits at.
        let fed = is_joint(stdin.kind) && (answers || stdin.kind != object::Kind::Tty);
        if !fed {
            self.identities.pass(exec);
            self.by_key.remove(&process.key);
            return false;
        }
        let look = self.identities.look(process.key.pid, exec);
        if !answers && !look.reads_commands() {
            self.by_key.remove(&process.key);
            return false;
        }
        let suspect = Suspect {
            process: Box::new(process.clone()),
            exec: event.id,
            kind: look.kind(),
            reads_commands: look.reads_commands(),
            runs_commands: false,
            of_system: look.is_of_system(),
            is_interactive: look.is_interactive(),
            carried: exec.carried,
            streams: [Channel::of(stdin), Channel::of(stdout)],
        };
        if self.by_key.insert(process.key, suspect).is_none() {
            self.order.push_back(process.key);
        }
        self.make_room();
        true
    }

    /// The process that runs this one with its own input and output, as a shell does with
    /// commands; it is one of them too.
    #[must_use]
    pub fn runner_of(&self, key: ProcessKey) -> Option<ProcessKey> {
        let suspect = self.by_key.get(&key)?;
        let parent = suspect.process.parent.as_ref()?.key;
        let runner = self.by_key.get(&parent)?;
        (runner.streams == suspect.streams).then_some(parent)
    }

    /// A process was seen to run commands.
    pub fn runs_commands(&mut self, key: ProcessKey) {
        if let Some(suspect) = self.by_key.get_mut(&key) {
            suspect.runs_commands = true;
        }
    }

    /// A process ended.
    pub fn ended(&mut self, key: ProcessKey) {
        self.by_key.remove(&key);
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, key: ProcessKey) -> Option<&Suspect> {
        self.by_key.get(&key)
    }

    /// How many were forgotten for want of room while they lived.
    #[must_use]
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn make_room(&mut self) {
        if self.order.len() > 2 * SUSPECTS_MAX {
            self.order.retain(|key| self.by_key.contains_key(key));
        }
        while self.by_key.len() > SUSPECTS_MAX {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            self.forgotten += u64::from(self.by_key.remove(&oldest).is_some());
        }
    }
}
