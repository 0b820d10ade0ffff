//! Which kinds of event the user asked for. What nobody asked for is not even observed.

use sensor_common::kind::{self, PREVENT};

/// Kinds that the sensor needs itself, to know what runs and where it belongs.
const ESSENTIAL: [u16; 6] = [
    kind::FORK,
    kind::EXEC,
    kind::EXIT,
    kind::CGROUP_MKDIR,
    kind::CGROUP_RMDIR,
    PREVENT,
];

/// What stands for no kind at all: alerts are delivered whatever else is.
const ALERT: &str = "alert";

/// Which kinds of event to deliver, and whether detection runs.
#[derive(Clone, Debug)]
pub struct Selection {
    wanted: [bool; kind::LIMIT],
    detection: bool,
}

impl Selection {
    /// Everything.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            wanted: [true; kind::LIMIT],
            detection: false,
        }
    }

    /// Nothing but what is always delivered.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            wanted: [false; kind::LIMIT],
            detection: false,
        }
    }

    /// By names (`process.exec`) and families (`process`, `process.*`).
    ///
    /// # Errors
    /// The first name that means nothing.
    pub fn parse<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Self, String> {
        let mut wanted = [false; kind::LIMIT];
        for name in names {
            let family = name.trim_end_matches(".*");
            let mut found = name == ALERT;
            for (number, _, full) in kind::ALL {
                let matches = *full == name
                    || full
                        .split_once('.')
                        .is_some_and(|(first, _)| first == family);
                if let (true, Some(place)) = (matches, wanted.get_mut(usize::from(*number))) {
                    *place = true;
                    found = true;
                }
            }
            if !found {
                return Err(name.to_owned());
            }
        }
        Ok(Self {
            wanted,
            detection: false,
        })
    }

    /// Whether events of the kind of this name are observed, delivered or not.
    #[must_use]
    pub fn observes(&self, name: &str) -> bool {
        kind::ALL
            .iter()
            .any(|(number, _, known)| *known == name && self.needs(&[*number]))
    }

    /// The same, but with everything observed, which is what detection concludes from.
    #[must_use]
    pub const fn with_detection(mut self, detection: bool) -> Self {
        self.detection = detection;
        self
    }

    /// Whether a kind is to be delivered; what the sensor itself does always is.
    #[must_use]
    pub fn wants(&self, kind: u16) -> bool {
        kind == PREVENT || self.wanted.get(usize::from(kind)).copied().unwrap_or(true)
    }

    /// Whether a kind is to be delivered, by its name; the sensor's own events always are.
    #[must_use]
    pub fn wants_named(&self, name: &str) -> bool {
        kind::ALL
            .iter()
            .find(|(_, _, known)| *known == name)
            .is_none_or(|(kind, _, _)| self.wants(*kind))
    }

    /// Whether any of these kinds has to be observed, to be delivered or for the sensor itself.
    #[must_use]
    pub fn needs(&self, kinds: &[u16]) -> bool {
        kinds
            .iter()
            .any(|kind| self.wants(*kind) || ESSENTIAL.contains(kind) || self.detection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_selected_by_name_and_family() {
        let selection = Selection::parse(["process.exec", "network"]).unwrap();
        assert!(selection.wants(kind::EXEC) && selection.wants(kind::TCP_CONNECT));
        assert!(!selection.wants(kind::FORK) && !selection.wants(kind::FILE_OPEN));
        assert!(selection.needs(&[kind::FORK]) && !selection.needs(&[kind::FILE_OPEN]));
        assert_eq!(
            Selection::parse(["file.*", "proces"]).unwrap_err(),
            "proces"
        );
    }
}
