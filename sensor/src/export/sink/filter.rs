//! Which records a sink wants, by what the spool says of them.

use crate::event::alert::Severity;
use crate::export::spool::record::Meta;

/// Names of the sensor's own events begin so; everybody gets these.
const OWN: &str = "sensor.";
/// Name of alerts.
const ALERT: &str = "alert";

/// A choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Names (`process.exec`) and families (`process`); everything when empty.
    pub events: Vec<String>,
    /// Alerts less severe than this are left out.
    pub severity: Option<Severity>,
}

impl Filter {
    /// Whether a record is wanted.
    #[must_use]
    pub fn wants(&self, meta: Meta<'_>) -> bool {
        if meta.name.starts_with(OWN) {
            return true;
        }
        if meta.name == ALERT
            && self
                .severity
                .is_some_and(|least| meta.severity < least.rank())
        {
            return false;
        }
        self.events.is_empty()
            || self.events.iter().any(|wanted| {
                meta.name
                    .strip_prefix(wanted.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(name: &str, severity: u8) -> Meta<'_> {
        Meta {
            number: 0,
            wall_ns: 0,
            severity,
            name,
        }
    }

    #[test]
    fn names_families_and_severity_choose() {
        let filter = Filter {
            events: vec!["process".to_owned(), "alert".to_owned()],
            severity: Some(Severity::High),
        };
        assert!(filter.wants(meta("process.exec", 0)));
        assert!(!filter.wants(meta("processes.exec", 0)));
        assert!(!filter.wants(meta("file.open", 0)));
        assert!(filter.wants(meta("alert", Severity::High.rank())));
        assert!(!filter.wants(meta("alert", Severity::Medium.rank())));
        assert!(filter.wants(meta("sensor.stopped", 0)));
        assert!(Filter::default().wants(meta("file.open", 0)));
    }
}
