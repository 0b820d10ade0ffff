//! What SIGHUP does: the configuration is read again, and its file filters, rules and playbooks take
//! the place of those in force, while the programs run on. The rest of it needs a new start.

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::Thread;

use super::lay_out;
use crate::config::Config;
use crate::content::scanner::Renewer;
use crate::detect::sigma::{Engine, Kinds};
use crate::intelligence::Intelligence;
use crate::pipeline::Renewal;
use crate::respond::responder::Handle;

/// Who is told of what has changed.
pub(super) struct Reload {
    /// The file; without one there is nothing to read.
    pub(super) path: Option<PathBuf>,
    /// To the pipeline.
    pub(super) renew: mpsc::Sender<Renewal>,
    /// To the scanner of files, where there is one.
    pub(super) content: Option<Renewer>,
    /// To the lists of what is hostile.
    pub(super) intelligence: Option<Intelligence>,
    /// Events that rules can look at.
    pub(super) kinds: Kinds,
    /// To the responder.
    pub(super) responder: Handle,
    /// The pipeline, to be woken.
    pub(super) pipeline: Thread,
}

impl Reload {
    /// A file that means nothing changes nothing.
    pub(super) fn now(&self) {
        let Some(path) = &self.path else {
            return tracing::warn!("SIGHUP, but there is no --config to read again");
        };
        let config = Config::load(path).and_then(|config| {
            let files = config.file_rules()?;
            let playbooks = config.respond.playbooks()?;
            let prevention = config.respond.prevention()?;
            Ok((config, files, playbooks, prevention))
        });
        if let Ok((config, ..)) = &config
            && let (true, Ok(decoys)) = (config.detection, config.decoys())
        {
            lay_out::make_decoys(&decoys);
        }
        match config {
            // It can only fail when the pipeline has ended, and then all of this ends.
            Ok((config, files, playbooks, (prevented, spared))) => {
                self.responder.renew(playbooks);
                drop(self.renew.send(Renewal::Prevention(prevented, spared)));
                drop(self.renew.send(Renewal::Filters(files)));
                if config.detection {
                    self.renew_rules(&config);
                    self.renew_content(&config);
                    self.renew_intelligence(&config);
                    self.renew_decoys(&config);
                }
            }
            Err(error) => {
                tracing::error!(%error, "the configuration is not usable; the old one stays in force")
            }
        }
        self.pipeline.unpark();
    }

    /// The scanner takes them once they are compiled, or says why not.
    fn renew_content(&self, config: &Config) {
        match &self.content {
            Some(renewer) if config.content.enabled => renewer.renew(config.content.settings()),
            None if !config.content.enabled => {}
            _ => tracing::warn!("content.enabled takes a new start of the sensor to change"),
        }
    }

    fn renew_intelligence(&self, config: &Config) {
        if let (Some(intelligence), Ok(sources)) = (&self.intelligence, config.sources())
            && !intelligence.renew(sources)
        {
            tracing::error!("too many changes at once; the old lists stay in force");
        }
    }

    /// Ports stay as they are until the next start.
    fn renew_decoys(&self, config: &Config) {
        if let Ok(decoys) = config.decoys() {
            drop(self.renew.send(Renewal::Decoys(decoys)));
        }
    }

    /// All of them or none: a set with a broken rule leaves the old one in force.
    fn renew_rules(&self, config: &Config) {
        let rules = &config.rules;
        let (engine, problems) = Engine::load(&rules.directories, rules.builtin, &self.kinds);
        for problem in &problems {
            tracing::error!(%problem, "a rule cannot be used; the old rules stay in force");
        }
        if problems.is_empty() {
            drop(self.renew.send(Renewal::Sigma(Box::new(engine))));
        }
    }
}
