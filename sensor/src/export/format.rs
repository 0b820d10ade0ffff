//! Formats by name: one line from the fields of an event, for whoever writes or sends it. What a
//! format looks like is in its own file.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::{cef, json, ocsf};
use crate::event::field::Fields;

/// Form in which an event leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Elastic Common Schema 9, nested JSON.
    #[default]
    Ecs,
    /// The same names, flat JSON.
    Native,
    /// Open Cybersecurity Schema Framework 1.9, JSON.
    Ocsf,
    /// ArcSight's Common Event Format 0.
    Cef,
}

impl Format {
    /// The form in which events are kept on disk for receivers.
    pub const KEPT: Self = Self::Ecs;

    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ecs, Self::Native, Self::Ocsf, Self::Cef];

    /// Whether its lines are JSON objects.
    #[must_use]
    pub const fn is_json(self) -> bool {
        match self {
            Self::Ecs | Self::Native | Self::Ocsf => true,
            Self::Cef => false,
        }
    }

    /// An event as one line of UTF-8 without controls and without the newline, whatever is in
    /// its fields.
    ///
    /// # Errors
    /// Only if the serializer fails, which no event can make it do.
    pub fn line(self, fields: &Fields<'_>) -> serde_json::Result<String> {
        match self {
            Self::Ecs => json::ecs(fields),
            Self::Native => json::native(fields),
            Self::Ocsf => ocsf::line(fields),
            Self::Cef => cef::line(fields),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;
    use crate::event::field::{ALL, Field};
    use crate::event::process::{Parent, ProcessKey};
    use crate::event::{Action, Event, made_up, parse};
    use crate::export::roundtrip::any;
    use crate::identity::Identity;

    #[track_caller]
    fn assert_one_line(format: Format, fields: &Fields<'_>) {
        let line = format.line(fields).unwrap();
        assert!(!line.chars().any(char::is_control), "{format:?}: {line:?}");
        if format.is_json() {
            let json: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert!(json.is_object());
        }
    }

    proptest! {
        #[test]
        fn any_event_is_one_line_in_every_format(event in any::event_or_alert(), origin in any::origin()) {
            for format in Format::ALL {
                assert_one_line(format, &event.fields_from(&origin));
            }
        }

        #[test]
        fn any_text_in_any_field_is_one_line_in_every_format(at in 0..ALL.len(), kind in any_kind(), text in "(?s).{0,64}") {
            let mut fields = Fields::default();
            fields.put(Field::EventDataset, kind);
            fields.put(ALL[at], text);
            for format in Format::ALL {
                assert_one_line(format, &fields);
            }
        }
    }

    fn any_kind() -> impl Strategy<Value = &'static str> {
        let observed = sensor_common::kind::ALL.iter().map(|(_, _, name)| *name);
        prop::sample::select(
            observed
                .chain(["alert", "response.kill"])
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn a_mebibyte_of_hostile_text_is_one_line_in_every_format() {
        let text = "\n\0|=\\\u{1b}\u{202e}\"".repeat(1024 * 1024 / 12);
        let mut fields = Fields::default();
        fields.put(Field::EventDataset, "process.exec");
        fields.put(Field::ProcessCommandLine, text);
        for format in Format::ALL {
            assert_one_line(format, &fields);
        }
    }

    /// An exec as there are thousands a second, on a host of which all is known.
    fn usual() -> (Event, Identity) {
        let text = |text: &str| Some(text.into());
        let mut process = made_up::process(ProcessKey {
            pid: 27_853,
            start_ticks: 1_057_721,
        });
        let program = made_up::program(&[
            "/usr/bin/convert",
            "-resize",
            "200x200",
            "in.png",
            "out.png",
        ]);
        process.entity = text("d6a4dfcc-27853-1057721");
        process.parent_entity = text("d6a4dfcc-911-4711");
        process.parent = Some(Parent {
            key: ProcessKey {
                pid: 911,
                start_ticks: 4_711,
            },
            program: made_up::program(&["/usr/sbin/php-fpm8.2", "--nodaemonize"]),
            ancestors: Box::default(),
        });
        process.program = Some(Arc::clone(&program));
        process.names.user = Some("www-data".into());
        process.names.group = Some("www-data".into());
        process.home.cgroup = Some("/system.slice/php8.2-fpm.service".into());
        process.home.service = Some("php8.2-fpm".into());
        let exec = Action::Exec(Box::new(made_up::exec(program)));
        let options = crate::identity::Options::default();
        let directory = tempfile::tempdir().unwrap();
        let origin = Identity::here(directory.path(), &options);
        (made_up::event(process, 1_057_721_123_456_789, exec), origin)
    }

    #[track_caller]
    fn measure(what: &str, mut once: impl FnMut() -> usize) {
        const TIMES: u32 = 200_000;
        let begin = Instant::now();
        let bytes: usize = (0..TIMES).map(|_| once()).sum();
        let each = begin.elapsed() / TIMES;
        println!("{what}: {each:?} each, {} bytes", bytes / TIMES as usize);
    }

    #[test]
    #[ignore = "measures; run it alone and in release"]
    fn what_formats_cost() {
        let (event, origin) = usual();
        measure("ecs, from nowhere", || {
            Format::Ecs.line(&event.fields()).unwrap().len()
        });
        for format in Format::ALL {
            let line = || format.line(&event.fields_from(&origin)).unwrap();
            measure(&format!("{format:?}"), || line().len());
        }
        for format in [Format::Ecs, Format::Native] {
            let line = format.line(&event.fields_from(&origin)).unwrap();
            measure(&format!("{format:?} read back"), || {
                parse::fields(line.as_bytes()).unwrap().entries().count()
            });
        }
        let kept = Format::KEPT.line(&event.fields_from(&origin)).unwrap();
        for format in [Format::Ocsf, Format::Cef] {
            measure(&format!("{format:?} from a kept line"), || {
                format
                    .line(&parse::fields(kept.as_bytes()).unwrap())
                    .unwrap()
                    .len()
            });
        }
    }
}
