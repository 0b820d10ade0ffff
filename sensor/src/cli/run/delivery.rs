//! What brings events to other receivers than standard output: the spool and the sinks after it,
//! where the configuration has any.

use std::io::Write;

use crate::config::Config;
use crate::export::sink::Sinks;
use crate::export::spool::keeper::Spool;
use crate::export::writer::Writer;
use crate::status::Status;

/// Both, at work.
pub(super) struct Delivery {
    spool: Spool,
    sinks: Sinks,
}

impl Delivery {
    /// Starts them; nothing without sinks.
    pub(super) fn start<W: Write>(
        config: &Config,
        writer: &mut Writer<W>,
        status: &Status,
    ) -> anyhow::Result<Option<Self>> {
        let sinks = config.sinks()?;
        if sinks.is_empty() {
            return Ok(None);
        }
        let (spool, feed) = Spool::open(config.spool()?)?;
        let torn = spool.recovered().torn;
        if torn > 0 {
            tracing::warn!(
                bytes = torn,
                "the run before was interrupted while it wrote to the spool; what was not whole is cut off"
            );
        }
        writer.keep_in(feed);
        let sinks = Sinks::start(&spool, sinks, &writer.origin)?;
        let _ = status.spool.set(spool.shared());
        let _ = status.sinks.set(sinks.statuses());
        Ok(Some(Self { spool, sinks }))
    }

    /// Once the pipeline has ended: what is left is on disk, and delivered if that goes quickly.
    pub(super) fn finish(self) {
        self.spool.finish();
        self.sinks.finish();
    }
}
