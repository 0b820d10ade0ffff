//! What `sensor run` sets up besides watching: lists of what is hostile, and decoys.

use std::path::Path;

use crate::config::Config;
use crate::decoy::ports::Ports;
use crate::decoy::{self, Decoys};
use crate::detect::Detector;
use crate::intelligence::Intelligence;
use crate::respond::lists::Lists;
use crate::respond::outbox::Outbox;
use crate::status::Status;

/// Lists of what is hostile, if they can be kept; also without any, since there may be some later.
pub fn intelligence(
    config: &Config,
    detector: &mut Detector,
    status: &Status,
    outbox: &Outbox,
) -> Option<Intelligence> {
    let respond = &config.respond;
    let lists = Lists::new(respond.firewall(), respond.mode, outbox.clone());
    let state = &config.state_directory;
    let started = config.sources().map_err(anyhow::Error::from);
    let started =
        started.and_then(|sources| Ok(Intelligence::start(sources, state, Some(Box::new(lists)))?));
    match started {
        Ok(intelligence) => {
            detector.look_for(intelligence.reader());
            let _ = status.intelligence.set(intelligence.clone());
            Some(intelligence)
        }
        Err(error) => {
            tracing::warn!(%error, "there is no threat intelligence; choose another --state-directory");
            None
        }
    }
}

/// Opens decoy ports, and has decoys watched over. What cannot be opened is said.
pub fn decoys(config: &Config, detector: &mut Detector, status: &Status) -> anyhow::Result<()> {
    let decoys = config.decoys()?;
    let ports = Ports::open(&decoys)?;
    let closed = ports.closed.iter().map(|(port, error)| {
        let port = format!("{}:{}", port.transport.name(), port.at);
        tracing::warn!(port, %error, "a decoy port cannot be opened");
        format!("{port} ({error})")
    });
    let _ = status.closed_decoys.set(closed.collect());
    detector.watch_decoys(&decoys, Some(ports));
    Ok(())
}

/// Makes the decoy files that are not there, if that is wanted.
pub fn make_decoys(decoys: &Decoys) {
    for path in decoys.files.iter().filter(|_| decoys.create_files) {
        match decoy::files::lay_out(Path::new(&**path)) {
            Ok(true) => tracing::info!(path, "a decoy was laid out"),
            Ok(false) => {}
            Err(error) => tracing::warn!(path, %error, "a decoy cannot be laid out"),
        }
    }
}
