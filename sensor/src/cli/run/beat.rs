//! Keeps others informed while the sensor runs: the service manager, that it watches once it does,
//! how it is whenever that changes, and that it is alive; the next run, when this one last was. Both
//! only as long as the pipeline gets on: one that hangs is not covered up for.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::event::health::Previous;
use crate::lifeline::Lifeline;
use crate::service::Manager;
use crate::status::Status;

/// How often it is looked how the sensor is.
const EVERY: Duration = Duration::from_secs(5);
/// How often it is looked whether the sensor has begun to watch.
const SOON: Duration = Duration::from_millis(20);
/// Signs of life within the time after which the manager takes the sensor to be hung.
const IN_TIME: u32 = 3;

/// Never ends.
pub(super) async fn beat(manager: &Manager, status: &Status) {
    if !manager.listens() {
        return std::future::pending().await;
    }
    let turned = || status.turned.load(Ordering::Relaxed);
    while turned() == 0 {
        tokio::time::sleep(SOON).await;
    }
    let mut said = words(status);
    manager.status(&said);
    manager.ready();
    let every = manager
        .watchdog()
        .map_or(EVERY, |time| (time / IN_TIME).min(EVERY));
    let mut seen = 0;
    loop {
        let now = turned();
        if now == seen {
            tracing::error!(seconds = every.as_secs(), "the pipeline has not got on");
        } else {
            manager.alive();
        }
        seen = now;
        let words = words(status);
        if words != said {
            manager.status(&words);
            said = words;
        }
        tokio::time::sleep(every).await;
    }
}

fn words(status: &Status) -> String {
    let verdict = status
        .account()
        .map_or("unknown", |account| status.verdict(&account).name());
    format!("{verdict}: {}", status.summary())
}

/// Has the next run know of this one, and this one of the one before.
pub(super) fn lifeline(
    state: &Path,
    run: u32,
    status: &Arc<Status>,
    previous: &mut Option<Previous>,
) -> Option<Lifeline> {
    let status = Arc::clone(status);
    let turned = move || status.turned.load(Ordering::Relaxed);
    match Lifeline::start(state, run, turned) {
        Ok((lifeline, before)) => {
            *previous = before;
            Some(lifeline)
        }
        Err(error) => {
            tracing::warn!(%error, "the next start cannot tell how this run ended; choose another --state-directory");
            None
        }
    }
}
